"""The configuration of next-frame prediction. Imports nothing heavy."""

from dataclasses import dataclass, field

from benchmarks.config import ComparisonConfig, EvaluationConfig, PerceptionConfig
from benchmarks.tasks.next_frame.models import MODELS
from data_prep.config import BouncingBallsConfig, CorpusConfig, require


@dataclass
class NextFrameEvaluationConfig(EvaluationConfig):
    """How next-frame prediction is judged.

    Args:
        context_frames: number of observed frames before a rollout.
        horizon: number of frames that a rollout predicts.
        max_clips: largest number of clips of a split that are judged, chosen at random but always
            the same (null: all).
    """

    context_frames: int = 4
    horizon: int = 8
    max_clips: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.context_frames >= 2, "evaluation.context_frames must be at least 2")
        require(self.horizon >= 1, "evaluation.horizon must be at least 1")
        require(
            self.max_clips is None or self.max_clips >= 1, "evaluation.max_clips must be at least 1"
        )


@dataclass
class NextFrameConfig(ComparisonConfig):
    """Everything that decides a next-frame run.

    Args:
        clip_frames: number of frames of each clip that are used, from its first on (null: all).
    """

    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    balls: BouncingBallsConfig = field(default_factory=BouncingBallsConfig)
    evaluation: NextFrameEvaluationConfig = field(default_factory=NextFrameEvaluationConfig)
    perception: PerceptionConfig = field(default_factory=PerceptionConfig)
    models: list[str] = field(default_factory=lambda: [spec.name for spec in MODELS])
    clip_frames: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        used = self.clip_frames or self.corpus.frames
        require(
            3 <= used <= self.corpus.frames,
            f"clip_frames must be between 3 and corpus.frames = {self.corpus.frames}",
        )
        wanted = self.evaluation.context_frames + self.evaluation.horizon
        require(
            wanted <= used,
            f"{'clip_frames' if self.clip_frames else 'corpus.frames'} is {used}, but "
            f"evaluation.context_frames + horizon need {wanted}: raise the first or lower one of "
            "the others",
        )
