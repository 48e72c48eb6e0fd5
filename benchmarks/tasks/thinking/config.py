"""The configuration of thinking. Imports nothing heavy."""

from dataclasses import dataclass, field

from benchmarks.config import ComparisonConfig, EvaluationConfig
from benchmarks.tasks.thinking.models import DENOISE, NEXT_FRAME
from data_prep.config import (
    BouncingBallsConfig,
    CorpusConfig,
    DeadLeavesConfig,
    ImagesConfig,
    require,
)
from worldmodel.config import require_counts


@dataclass
class ThinkingEvaluationConfig(EvaluationConfig):
    """How thinking is judged.

    Args:
        candidates: numbers of candidates among which a prediction is chosen.
        langevin_noise: standard deviation of the noise that tells candidates apart which descend
            from one start, on scaled embeddings.
        thresholds: number of thresholds that are tried on validation for stopping early.
    """

    counts: list[int] = field(default_factory=lambda: [1, 2, 4, 8, 16, 32])
    candidates: list[int] = field(default_factory=lambda: [1, 2, 4, 8, 16])
    langevin_noise: float = 0.1
    thresholds: int = 40

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self.candidates, "evaluation.candidates")
        require(self.langevin_noise > 0, "evaluation.langevin_noise must be above 0")
        require(self.thresholds >= 2, "evaluation.thresholds must be at least 2")


@dataclass
class BallsLaddersConfig:
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
            _require_degrees(getattr(self, name), least, f"ladders.{name}")
        _require_degrees(self.hues, 0, "ladders.hues")


@dataclass
class CorruptionLaddersConfig:
    """Further corruptions of the test images that lead away from training.

    Args:
        levels: levels of Gaussian noise, as fractions of 1000 diffusion steps.
        photons: numbers of photons of a white pixel, for Poisson noise.
        salt_and_pepper: shares of the pixels that become black or white.
        blurs: standard deviations of a Gaussian blur, in pixels.
    """

    levels: list[float] = field(default_factory=lambda: [0.05, 0.2, 0.3, 0.4])
    photons: list[float] = field(default_factory=lambda: [10.0, 5.0, 2.5])
    salt_and_pepper: list[float] = field(default_factory=lambda: [0.05, 0.1, 0.2])
    blurs: list[float] = field(default_factory=lambda: [0.75, 1.5])

    def __post_init__(self) -> None:
        for name in ("levels", "photons", "salt_and_pepper", "blurs"):
            _require_degrees(getattr(self, name), 0, f"ladders.{name}")
        require(all(level <= 1 for level in self.levels), "ladders.levels must be at most 1")
        require(
            all(share < 1 for share in self.salt_and_pepper),
            "ladders.salt_and_pepper must be below 1",
        )


@dataclass
class NextFrameThinkingConfig(ComparisonConfig):
    """Everything that decides a run of thinking about the next frame."""

    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    balls: BouncingBallsConfig = field(default_factory=BouncingBallsConfig)
    ladders: BallsLaddersConfig = field(default_factory=BallsLaddersConfig)
    evaluation: ThinkingEvaluationConfig = field(default_factory=ThinkingEvaluationConfig)
    models: list[str] = field(default_factory=lambda: [spec.name for spec in NEXT_FRAME])

    def __post_init__(self) -> None:
        super().__post_init__()


@dataclass
class DenoiseThinkingConfig(ComparisonConfig):
    """Everything that decides a run of thinking about clean images."""

    images: ImagesConfig = field(default_factory=ImagesConfig)
    dead_leaves: DeadLeavesConfig = field(default_factory=DeadLeavesConfig)
    ladders: CorruptionLaddersConfig = field(default_factory=CorruptionLaddersConfig)
    evaluation: ThinkingEvaluationConfig = field(default_factory=ThinkingEvaluationConfig)
    models: list[str] = field(default_factory=lambda: [spec.name for spec in DENOISE])

    def __post_init__(self) -> None:
        super().__post_init__()


def _require_degrees(values: list[float] | list[int], least: float, option: str) -> None:
    require(
        all(value > least for value in values) and len(set(values)) == len(values),
        f"{option} must be different numbers above {least}",
    )
