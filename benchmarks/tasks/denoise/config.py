"""The configuration of denoising. Imports nothing heavy."""

from dataclasses import dataclass, field

from benchmarks.config import ComparisonConfig, EvaluationConfig, PerceptionConfig
from benchmarks.tasks.denoise.models import MODELS
from data_prep.config import DeadLeavesConfig, ImagesConfig, require
from denoise.config import CorruptionConfig


@dataclass
class DenoiseEvaluationConfig(EvaluationConfig):
    """How denoisers are judged.

    Args:
        few: numbers of steps and passes evaluated where not all are.
        validation_images: number of images on which numbers of steps and passes are selected.
        max_images: largest number of images of a test set that are judged; they are chosen at
            random, always the same, and all crops of an image together (null: all).
        slow_images: number of images of each test set that a slow method denoises, at the swept
            levels only; BM3D takes more than a second for each.
    """

    counts: list[int] = field(default_factory=lambda: [1, 2, 3, 5, 10, 20, 50, 100])
    few: list[int] = field(default_factory=lambda: [1, 10])
    validation_images: int = 64
    max_images: int | None = 128
    slow_images: int = 48

    def __post_init__(self) -> None:
        super().__post_init__()
        require(1 in self.few, "evaluation.few must hold 1")
        for name in ("validation_images", "slow_images", "max_images"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"evaluation.{name} must be at least 1")


@dataclass
class DenoiseConfig(ComparisonConfig):
    """Everything that decides a denoising run."""

    images: ImagesConfig = field(default_factory=ImagesConfig)
    dead_leaves: DeadLeavesConfig = field(default_factory=DeadLeavesConfig)
    corruption: CorruptionConfig = field(default_factory=CorruptionConfig)
    evaluation: DenoiseEvaluationConfig = field(default_factory=DenoiseEvaluationConfig)
    perception: PerceptionConfig = field(default_factory=PerceptionConfig)
    models: list[str] = field(default_factory=lambda: [spec.name for spec in MODELS])

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.training.context_noise == 0,
            "training.context_noise must be 0 for denoising: what is observed is noisy already",
        )
        require(
            self.encoder.frequencies is None,
            "encoder.frequencies must be null for denoising: what the encoder drops is neither "
            "noisy nor restored",
        )
        require(
            self.images.size <= self.dead_leaves.size,
            f"images.size is {self.images.size}: at most dead_leaves.size {self.dead_leaves.size}",
        )
