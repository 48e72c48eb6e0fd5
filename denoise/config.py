"""Configuration of noise and denoisers. Imports nothing heavy."""

from dataclasses import dataclass, field
from typing import Literal

from data_prep.config import require
from worldmodel.config import Anchor, EBTConfig, FormName

STEPS = 1000  # of the diffusion schedule; a level is a fraction of them
TRAINED_LEVEL, WIDE_LEVEL = 0.1, 0.3


def step_of(level: float) -> int:
    """The diffusion step of a level: 0.1 is t = 99 of 0 to 999."""
    return round(level * STEPS) - 1


def require_levels(levels: list[float], option: str) -> None:
    """Raise InputError unless `levels` are the lowest and the highest level of a range."""
    require(
        len(levels) == 2 and 1 / STEPS <= levels[0] <= levels[1] <= 1,
        f"{option} must be a lowest and a highest level between {1 / STEPS} and 1",
    )


@dataclass
class EBTDenoiserConfig(EBTConfig):
    """The EBT as a denoiser: the noisy image is the frame before the clean one.

    So the anchor `last_frame` is the noisy image, and `start_noise` 0 starts from it.

    Args:
        levels: lowest and highest level of the noise in training.
    """

    start_noise: float = 0.0
    levels: list[float] = field(default_factory=lambda: [TRAINED_LEVEL, TRAINED_LEVEL])

    def __post_init__(self) -> None:
        super().__post_init__()
        require_levels(self.levels, "levels")

    @property
    def default_anchor(self) -> Anchor:
        """The noisy image."""
        return "last_frame"


@dataclass
class BlindEBTDenoiserConfig(EBTDenoiserConfig):
    """The EBT whose features do not see the candidate: a regressor in the shape of an energy."""

    candidate_in_features: bool = False


@dataclass
class UnsupervisedEBTDenoiserConfig(EBTDenoiserConfig):
    """The EBT whose energy is never compared with the error."""

    energy_loss_weight: float | None = 0.0


@dataclass
class System2EBTDenoiserConfig(EBTDenoiserConfig):
    """The EBT trained by the published System 2 recipe (arXiv 2507.02092, section 3.3)."""

    loss_at: Literal["each", "last"] = "last"
    detach: bool = False
    random_steps: int = 1
    random_step_size: float = 1.5
    learn_step_size: bool = False
    langevin_noise: float = 0.05
    replay: int = 64


@dataclass
class MultiLevelEBTDenoiserConfig(EBTDenoiserConfig):
    """The EBT, trained on all levels of the noise up to 0.3."""

    levels: list[float] = field(default_factory=lambda: [1 / STEPS, WIDE_LEVEL])


@dataclass
class EBTWithoutContextConfig(EBTDenoiserConfig):
    """The EBT whose energy judges an image alone, without seeing the noisy one."""

    context: bool = False
    form: FormName = "linear"


@dataclass
class PublishedEBTConfig(EBTWithoutContextConfig):
    """The published EBT (arXiv 2507.02092, section 4.3): linear, with one step in training."""

    training_steps: int = 1


@dataclass
class CorruptionConfig:
    """How test images are corrupted.

    Args:
        levels: levels of Gaussian noise by forward diffusion, as fractions of 1000 steps.
        swept_levels: levels at which every number of steps and passes is evaluated.
        poisson_peak: number of photons of a white pixel, for Poisson noise.
        salt_and_pepper: share of the pixels that become black or white.
        jpeg_quality: quality of JPEG compression, 1 to 100.
        blur: standard deviation of a Gaussian blur, in pixels.
        seed: seed of the noise on test images.
    """

    levels: list[float] = field(default_factory=lambda: [0.05, 0.1, 0.2, 0.3])
    swept_levels: list[float] = field(default_factory=lambda: [0.1, 0.2])
    poisson_peak: float = 10.0
    salt_and_pepper: float = 0.1
    jpeg_quality: int = 10
    blur: float = 1.5
    seed: int = 0

    def __post_init__(self) -> None:
        for level in self.levels:
            require(1 / STEPS <= level <= 1, f"corruption.levels: {level} is not in [0.001, 1]")
        require(TRAINED_LEVEL in self.levels, f"corruption.levels must hold {TRAINED_LEVEL}")
        require(
            TRAINED_LEVEL in self.swept_levels and set(self.swept_levels) <= set(self.levels),
            f"corruption.swept_levels must be among corruption.levels and hold {TRAINED_LEVEL}",
        )
        require(self.poisson_peak > 0, "corruption.poisson_peak must be above 0")
        require(0 < self.salt_and_pepper < 1, "corruption.salt_and_pepper must be in (0, 1)")
        require(1 <= self.jpeg_quality <= 100, "corruption.jpeg_quality must be 1 to 100")
        require(self.blur > 0, "corruption.blur must be above 0")
