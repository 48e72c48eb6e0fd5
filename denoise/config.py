"""Configuration of noise and denoisers. Imports nothing heavy."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

from data_prep.config import require
from worldmodel.config import Anchor, EBTConfig, ModelConfig, Optimizer

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
class PublishedEBTDenoiserConfig(ModelConfig):
    """The published EBT on images, with the settings of its System 1 training as defaults.

    (arXiv 2507.02092, section 4.3, and its public implementation.)

    Args:
        levels: lowest and highest level of the noise in training.
        step_size: step size.
        learn_step_size: whether the step size is learned; else it stays as it began.
        step_size_rate: learning rate of the step size, as a multiple of `learning_rate` times the
            step size that training starts from.
        calibrate: whether the step size is set once before training, so that the first update has
            an RMS of 0.3 of the noise; `step_size` has no effect then.
        least_steps: smallest number of thinking steps of a training step.
        most_steps: largest such number; between them each training step draws its own. Predictions
            that judge training take so many.
        detach: whether the input of a thinking step is cut from the graph of the steps before it.
        truncate: whether only the last thinking step is judged and back-propagated through.
        random_step_size: largest factor by which the step size of each image is multiplied or
            divided in training, at random (1: by none).
        langevin_noise: standard deviation of noise that is added to the candidate before each
            thinking step, in training and predictions.
        inference_steps: number of thinking steps of the published inference, which is judged as a
            row of its own (null: no such row).
        inference_samples: number of candidates of which it takes the one of lowest energy.
        inference_step_size: its step size (null: the trained one).
        inference_langevin_noise: its Langevin noise (null: as in training).
    """

    start_noise: ClassVar[float] = 0.0  # candidates start from the noisy image

    learning_rate: float = 1e-4
    optimizer: Optimizer | None = "adamw"
    levels: list[float] = field(default_factory=lambda: [TRAINED_LEVEL, TRAINED_LEVEL])
    step_size: float = 3000.0
    learn_step_size: bool = True
    step_size_rate: float = 3.0
    calibrate: bool = False
    least_steps: int = 1
    most_steps: int = 1
    detach: bool = True
    truncate: bool = False
    random_step_size: float = 1.0
    langevin_noise: float = 0.0
    inference_steps: int | None = 2
    inference_samples: int = 1
    inference_step_size: float | None = None
    inference_langevin_noise: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_levels(self.levels, "levels")
        for name in ("step_size", "step_size_rate"):
            require(getattr(self, name) > 0, f"{name} must be above 0")
        require(
            1 <= self.least_steps <= self.most_steps,
            "least_steps must be at least 1 and at most most_steps",
        )
        require(self.random_step_size >= 1, "random_step_size must be at least 1")
        require(self.langevin_noise >= 0, "langevin_noise must be at least 0")
        for name in ("inference_steps", "inference_step_size"):
            value = getattr(self, name)
            require(value is None or value > 0, f"{name} must be above 0")
        noise = self.inference_langevin_noise
        require(noise is None or noise >= 0, "inference_langevin_noise must be at least 0")
        noise = self.langevin_noise if noise is None else noise
        require(self.inference_samples >= 1, "inference_samples must be at least 1")
        require(
            self.inference_samples == 1 or noise > 0,
            "inference_samples above 1 need inference_langevin_noise: all would be the same",
        )

    @property
    def training_steps(self) -> int:
        """The thinking steps of a prediction by which training is judged."""
        return self.most_steps


Kind = Literal["poisson", "salt and pepper", "jpeg", "blur"]


@dataclass
class CorruptionConfig:
    """How test images are corrupted.

    Args:
        levels: levels of Gaussian noise by forward diffusion, as fractions of 1000 steps.
        sigmas: standard deviations of Gaussian noise on pixels, of 255, neither clipped nor
            rounded, on whole images; 15, 25 and 50 are the field's.
        others: names of the other kinds of corruption, on pixels.
        swept_levels: levels at which every number of steps and passes is evaluated.
        poisson_peak: number of photons of a white pixel, for Poisson noise.
        salt_and_pepper: share of the pixels that become black or white.
        jpeg_quality: quality of JPEG compression, 1 to 100.
        blur: standard deviation of a Gaussian blur, in pixels.
        seed: seed of the noise on test images.
    """

    levels: list[float] = field(default_factory=lambda: [0.05, 0.1, 0.2, 0.3])
    sigmas: list[float] = field(default_factory=list)
    others: list[Kind] = field(default_factory=lambda: list(get_args(Kind)))
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
        for sigma in self.sigmas:
            require(0 < sigma <= 255, f"corruption.sigmas: {sigma} is not in (0, 255]")
        require(self.poisson_peak > 0, "corruption.poisson_peak must be above 0")
        require(0 < self.salt_and_pepper < 1, "corruption.salt_and_pepper must be in (0, 1)")
        require(1 <= self.jpeg_quality <= 100, "corruption.jpeg_quality must be 1 to 100")
        require(self.blur > 0, "corruption.blur must be above 0")
