"""Video: the next frame after observed ones, and futures of many frames."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.config import Inputs, PerceptionConfig, RunConfig
from benchmarks.domains.contract import VERDICTS, Domain
from benchmarks.domains.video.conditions import FUTURES
from benchmarks.domains.video.config import (
    BallsShiftsConfig,
    VideoConfig,
    VideoEvaluationConfig,
)
from benchmarks.domains.video.contrasts import CONTRASTS
from benchmarks.domains.video.models import MODELS

if TYPE_CHECKING:
    from benchmarks.domains.fake import FakeData
    from benchmarks.domains.labels import Items, Views
    from benchmarks.domains.samples import Samples
    from benchmarks.domains.video.data import VideoData
    from benchmarks.domains.video.judge import FrameJudge
    from benchmarks.record.results import Result
    from benchmarks.reporting.report import Report
    from benchmarks.reporting.tables import Table


class Video(Domain):
    """Predict the next frame of a video, and roll out."""

    name = "video"
    compares = "next_frame"
    config = VideoConfig
    evaluation = VideoEvaluationConfig
    shifts = BallsShiftsConfig
    declared = MODELS
    sequences = True
    plain = "transformer_pp"
    contrasts = CONTRASTS
    entry_points = "ebt_bench.predictors"

    def prepare(self, config: RunConfig, inputs: Inputs) -> "VideoData":
        """Make or reuse the shards of a folder of videos, a shard set, or the built-in corpus."""
        from benchmarks.domains.video.data import prepare_data

        return prepare_data(config, inputs)

    def judge(
        self,
        evaluation: Any,
        perception: PerceptionConfig,
        data: "VideoData",
        device: str,
    ) -> "FrameJudge":
        """Teacher-forced, and by rollouts; by perception where there are pixels."""
        from baselines.trivial import CopyLast
        from benchmarks.domains.video.judge import FrameJudge
        from benchmarks.measure.perception import Perception

        assert isinstance(evaluation, VideoEvaluationConfig)
        frames = evaluation.context_frames + evaluation.horizon
        seen = Perception(perception, device, frames) if data.encoder.decodable else None
        return FrameJudge(evaluation, data, CopyLast(), device, seen)

    def samples(self, config: RunConfig, shifts: Any, inputs: Inputs) -> "Samples":
        """Clips of the corpus, and of balls that differ from those of training."""
        from benchmarks.domains.video.shifts import prepare_clips

        return prepare_clips(config, shifts, inputs)

    def items(self, data: "VideoData", most: int | None) -> "list[Items]":
        """The clips of the corpus."""
        from benchmarks.domains.labels import labelled
        from data_prep.sources.corpus import SPLITS

        clips = {split: data.clips(split) for split in SPLITS}
        return [labelled(data.name, data.embeddings, clips, most)]

    def views(self, noise_steps: list[int], seed: int) -> "Views":
        """Whole clips."""
        from benchmarks.domains.labels import whole_clips

        return whole_clips()

    def fake_data(self, config: RunConfig) -> "FakeData":
        """Clips as long as those of the corpus."""
        from benchmarks.domains.fake import FakeClips, FakeData
        from data_prep.encoders.shapes import build_or_shape

        options: VideoConfig = config.domain
        encoder = build_or_shape(config.encoder, options.corpus.size)
        clips = FakeClips(options.used_frames, encoder)
        return FakeData(clips, clips, encoder)

    def built_in(self, config: VideoConfig) -> tuple[str, object]:
        """What the built-in corpus is, in words, and its configuration with a number a split."""
        if config.moving_mnist.digits is not None:
            return "sequences of Moving MNIST", config.moving_mnist
        return "videos of bouncing balls", config.balls

    def headline(self, result: "Result", part: str | None) -> "Table":
        """Quality and cost of every model, its `futures` as samples, or the `verdicts`."""
        from benchmarks.domains.video.futures_table import futures_table
        from benchmarks.domains.video.report import PROTOCOLS, headline
        from benchmarks.reporting.verdicts import document_grid

        if part == VERDICTS:
            return document_grid(result, PROTOCOLS)
        return futures_table(result, brief=True) if part == FUTURES else headline(result)

    def report(self, folder: Path, result: "Result") -> "Report":
        """Tables, figures and sentences."""
        from benchmarks.domains.video.report import make_report

        return make_report(folder, result)
