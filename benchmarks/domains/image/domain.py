"""Images: the clean image behind a noisy one."""

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from benchmarks.config import Inputs, PerceptionConfig, RunConfig
from benchmarks.domains.contract import VERDICTS, Domain
from benchmarks.domains.image.config import (
    CorruptionShiftsConfig,
    ImageConfig,
    ImageEvaluationConfig,
)
from benchmarks.domains.image.contrasts import CONTRASTS
from benchmarks.domains.image.models import MODELS

if TYPE_CHECKING:
    from benchmarks.domains.fake import FakeData
    from benchmarks.domains.image.data import ImageData
    from benchmarks.domains.image.judge import ImageJudge
    from benchmarks.domains.labels import Items, Views
    from benchmarks.domains.samples import Samples
    from benchmarks.record.results import Result
    from benchmarks.reporting.report import Report
    from benchmarks.reporting.tables import Table


WHOLE = "whole "  # before the name of a set, as the part of a result that a document shows


class Image(Domain):
    """Remove noise from images."""

    name = "image"
    compares = "denoise"
    config = ImageConfig
    evaluation = ImageEvaluationConfig
    shifts = CorruptionShiftsConfig
    declared = MODELS
    plain = "direct"
    contrasts = CONTRASTS
    reserved_test_sets = ("validation", "dead_leaves", "photographs")
    entry_points = "ebt_bench.denoisers"
    files_of_others = MappingProxyType({"dncnn": "baselines.dncnn:DnCNN"})

    def prepare(self, config: RunConfig, inputs: Inputs) -> "ImageData":
        """Make or reuse the shards of a folder of images, a shard set, or the built-in corpus."""
        from benchmarks.domains.image.data import prepare_data

        return prepare_data(config, inputs)

    def judge(
        self,
        evaluation: Any,
        perception: PerceptionConfig,
        data: "ImageData",
        device: str,
    ) -> "ImageJudge":
        """On every test set under every corruption."""
        from benchmarks.domains.image.judge import ImageJudge
        from benchmarks.measure.perception import Perception

        assert isinstance(evaluation, ImageEvaluationConfig)
        return ImageJudge(evaluation, data, device, Perception(perception, device))

    def samples(self, config: RunConfig, shifts: Any, inputs: Inputs) -> "Samples":
        """Images of the corpus, under the noise of training and under every other."""
        from benchmarks.domains.image.shifts import prepare_noisy_images

        return prepare_noisy_images(config, shifts, inputs)

    def items(self, data: "ImageData", most: int | None) -> "list[Items]":
        """The images of the corpus, and digits."""
        from benchmarks.domains.labels import digits, labelled
        from data_prep.sources.corpus import SPLITS
        from denoise.data import CleanImages

        clips = {split: CleanImages(data.embeddings, split) for split in SPLITS}
        size = int(data.frames.manifest["arguments"]["size"])
        own = labelled(data.name, data.embeddings, clips, most)
        return [own, digits(data.encoder, size, most)]

    def views(self, noise_steps: list[int], seed: int) -> "Views":
        """Images with noise of each step."""
        from benchmarks.domains.labels import noisy_images

        return noisy_images(noise_steps, seed)

    def fake_data(self, config: RunConfig) -> "FakeData":
        """Single images, and pairs of noisy and clean ones."""
        from benchmarks.domains.fake import FakeClips, FakeData, FakePairs
        from data_prep.encoders.shapes import build_or_shape

        encoder = build_or_shape(config.encoder, config.domain.images.size)
        return FakeData(FakeClips(1, encoder), FakePairs(2, encoder), encoder)

    def built_in(self, config: ImageConfig) -> tuple[str, object]:
        """What the built-in corpus is, in words, and its configuration with a number a split."""
        return "canvases of dead leaves", config.dead_leaves

    def headline(self, result: "Result", part: str | None) -> "Table":
        """Quality and cost of every model, at the trained level or another, or the `verdicts`.

        `whole NAME` is the table of the whole images of a set.
        """
        from benchmarks.domains.image.report import headline
        from benchmarks.domains.image.verdicts import TRAINED, contrasted
        from benchmarks.domains.image.yardstick import yardstick_of
        from benchmarks.reporting.verdicts import document_grid

        if part == VERDICTS:
            return document_grid(result, contrasted(result))
        if part and part.startswith(WHOLE):
            return yardstick_of(result, part.removeprefix(WHOLE))
        return headline(result, part or TRAINED)

    def report(self, folder: Path, result: "Result") -> "Report":
        """Tables, figures and sentences."""
        from benchmarks.domains.image.report import make_report

        return make_report(folder, result)
