"""The configuration of video. Imports nothing heavy."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from benchmarks.config import DomainConfig, EvaluationConfig, RunConfig, require_degrees
from data_prep.config import BouncingBallsConfig, CorpusConfig, MovingMNISTConfig, require
from worldmodel.config import Scaling

if TYPE_CHECKING:
    from data_prep.sources.media import Media


@dataclass
class VideoEvaluationConfig(EvaluationConfig):
    """How next-frame prediction is judged.

    Args:
        context_frames: number of observed frames before a rollout.
        horizon: number of frames that a rollout predicts.
        max_clips: largest number of clips of a split that are judged, chosen at random but always
            the same (null: all).
        samples: number of samples of every next frame, and of rollouts, by which models that sample
            are judged; a model with one answer is judged by that (0: futures are not judged).
    """

    context_frames: int = 4
    horizon: int = 8
    max_clips: int | None = None
    samples: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.context_frames >= 2, "evaluation.context_frames must be at least 2")
        require(self.horizon >= 1, "evaluation.horizon must be at least 1")
        require(
            self.max_clips is None or self.max_clips >= 1, "evaluation.max_clips must be at least 1"
        )
        require(self.samples >= 0, "evaluation.samples must be 0 or more")


@dataclass
class VideoConfig(DomainConfig):
    """The videos of a run.

    Args:
        clip_frames: number of frames of each clip that are used, from its first on (null: all).
        scaling: how embeddings are scaled for models: `standardised` by the statistics of the
            training split, `encoded` as the encoder gives them, or `raw` without the encoder's own
            factor either (0.18215 of a Stable Diffusion VAE).
    """

    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    balls: BouncingBallsConfig = field(default_factory=BouncingBallsConfig)
    moving_mnist: MovingMNISTConfig = field(default_factory=MovingMNISTConfig)
    clip_frames: int | None = None
    scaling: Scaling = "standardised"

    @property
    def used_frames(self) -> int:
        """The number of frames of a clip that are used."""
        return self.clip_frames or self.corpus.frames

    def sources(self) -> "tuple[CorpusConfig, Media]":
        """How a folder of the user's is listed, and as what."""
        from data_prep.sources.media import VIDEOS

        return self.corpus, VIDEOS

    def with_context(self, run: RunConfig, context: int, most: int) -> RunConfig:
        """A run on the first frames of the same clips, one more than the context."""
        evaluation = run.evaluation
        assert isinstance(evaluation, VideoEvaluationConfig)
        seen = min(evaluation.context_frames, context)
        horizon = min(evaluation.horizon, context + 1 - seen)
        evaluation = replace(evaluation, context_frames=seen, horizon=horizon)
        corpus = replace(self.corpus, frames=max(self.corpus.frames, most + 1))
        domain = replace(self, corpus=corpus, clip_frames=context + 1)
        return replace(run, domain=domain, task=replace(run.task, evaluation=evaluation))

    def require_consistent(self, run: RunConfig) -> None:
        """Raise InputError where clips are too short for their use."""
        require(
            3 <= self.used_frames <= self.corpus.frames,
            f"clip_frames must be between 3 and corpus.frames = {self.corpus.frames}",
        )
        wanted = frames_needed(run)
        require(
            wanted <= self.used_frames,
            f"{'clip_frames' if self.clip_frames else 'corpus.frames'} is {self.used_frames}, but "
            f"evaluation.context_frames + horizon need {wanted}: raise the first or lower one of "
            "the others",
        )


@dataclass
class BallsShiftsConfig:
    """Further test sets of balls that lead away from training; with `--data` there are none.

    Args:
        speeds: factors by which all balls are faster than the fastest of training.
        numbers: numbers of balls, above the most of training.
        sizes: factors by which all balls are larger than the largest of training.
        gravities: downward accelerations, in box widths per second squared.
        hues: angles in degrees by which the hues of the balls are turned.
    """

    speeds: list[float] = field(default_factory=lambda: [1.5, 3.0])
    numbers: list[int] = field(default_factory=lambda: [3, 4])
    sizes: list[float] = field(default_factory=lambda: [1.2, 1.4])
    gravities: list[float] = field(default_factory=lambda: [0.25, 1.0])
    hues: list[float] = field(default_factory=lambda: [45.0, 120.0])

    def __post_init__(self) -> None:
        for name, least in (("speeds", 1), ("numbers", 0), ("sizes", 1), ("gravities", 0)):
            require_degrees(getattr(self, name), least, f"shifts.{name}")
        require_degrees(self.hues, 0, "shifts.hues")


def frames_needed(run: RunConfig) -> int:
    """The number of frames that a clip must have for the evaluation of a run."""
    evaluation = run.evaluation
    if isinstance(evaluation, VideoEvaluationConfig):
        return evaluation.context_frames + evaluation.horizon
    return 3
