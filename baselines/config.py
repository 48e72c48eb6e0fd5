"""Configuration of the baselines. Imports nothing heavy."""

from dataclasses import dataclass, field

from data_prep.config import require
from denoise.config import STEPS, TRAINED_LEVEL, require_levels
from worldmodel.config import Anchor


@dataclass
class TransformerPPConfig:
    """The feed-forward transformer.

    Args:
        learning_rate: peak learning rate.
        anchor: what the prediction is a change from; `zero` predicts the frame itself.
    """

    learning_rate: float = 1e-2
    anchor: Anchor = "zero"

    def __post_init__(self) -> None:
        require(self.learning_rate > 0, "transformer_pp.learning_rate must be above 0")


@dataclass
class DirectConfig:
    """The EBT's backbone as a one-pass denoiser.

    Args:
        learning_rate: peak learning rate.
        levels: lowest and highest level of the noise in training.
        passes: numbers of times that it is applied to its own output, a row each.
    """

    learning_rate: float = 1e-2
    levels: list[float] = field(default_factory=lambda: [TRAINED_LEVEL, TRAINED_LEVEL])
    passes: list[int] = field(default_factory=lambda: list(range(1, 11)))

    def __post_init__(self) -> None:
        require(self.learning_rate > 0, "direct: learning_rate must be above 0")
        require_levels(self.levels, "direct: levels")
        require_counts(self.passes, "direct: passes")


@dataclass
class DiTConfig:
    """The diffusion transformer.

    Args:
        learning_rate: peak learning rate.
        levels: lowest and highest level of the noise in training.
        min_snr: gamma of the Min-SNR weights of the loss (null: all steps alike, as published).
        passes: numbers of sampling passes, a row each for DDIM and for DPM-Solver++; one pass is
            the x0 prediction.
        recursions: how often the published protocol applies its 100 DDIM passes, a row each.
    """

    learning_rate: float = 1e-2
    levels: list[float] = field(default_factory=lambda: [1 / STEPS, TRAINED_LEVEL])
    min_snr: float | None = 5.0
    passes: list[int] = field(default_factory=lambda: [1, 2, 5, 10, 20, 50, 100])
    recursions: list[int] = field(default_factory=lambda: [1, 3])

    def __post_init__(self) -> None:
        require(self.learning_rate > 0, "dit: learning_rate must be above 0")
        require_levels(self.levels, "dit: levels")
        require_counts(self.passes, "dit: passes")
        require(self.min_snr is None or self.min_snr > 0, "dit: min_snr must be above 0")
        require(1 in self.passes, "dit: passes must hold 1, the x0 prediction")
        require(not self.recursions or min(self.recursions) >= 1, "dit: recursions start at 1")


def require_counts(counts: list[int], option: str) -> None:
    """Raise InputError unless `counts` are different numbers of at least 1."""
    require(
        len(counts) > 0 and min(counts) >= 1 and len(set(counts)) == len(counts),
        f"{option} must be different numbers of at least 1",
    )
