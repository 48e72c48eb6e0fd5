"""The configuration of images. Imports nothing heavy."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.config import DomainConfig, EvaluationConfig, RunConfig, require_degrees
from data_prep.config import DeadLeavesConfig, ImagesConfig, require
from denoise.config import CorruptionConfig

if TYPE_CHECKING:
    from data_prep.sources.media import Media

MOST_IMAGES = 128  # of a test set that are judged, unless more are asked for


@dataclass
class ImageEvaluationConfig(EvaluationConfig):
    """How denoisers are judged.

    Args:
        few: numbers of steps and passes evaluated where not all are.
        validation_images: number of images on which numbers of steps and passes are selected.
        max_images: largest number of images of a test set that are judged; they are chosen at
            random, always the same, and all crops of an image together (null: all).
        slow_images: number of images of each test set that a slow method denoises, at the swept
            levels only; BM3D takes more than a second for each.
        whole_images: largest number of whole images of a test set that are judged under
            `corruption.sigmas`, the first by name (null: all).
        slow_whole_images: largest such number for a slow method.
        tile_overlap: number of pixels that neighbouring tiles share where a model of crops denoises
            a whole image.
        grey: whether whole images are judged in grey; a set of grey images always is.
    """

    counts: list[int] = field(default_factory=lambda: [1, 2, 3, 5, 10, 20, 50, 100])
    few: list[int] = field(default_factory=lambda: [1, 10])
    validation_images: int = 64
    max_images: int | None = MOST_IMAGES
    slow_images: int = 48
    whole_images: int | None = None
    slow_whole_images: int = 4
    tile_overlap: int = 8
    grey: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(1 in self.few, "evaluation.few must hold 1")
        require(self.tile_overlap >= 0, "evaluation.tile_overlap must be at least 0")
        for name in (
            "validation_images",
            "slow_images",
            "max_images",
            "whole_images",
            "slow_whole_images",
        ):
            value = getattr(self, name)
            require(value is None or value >= 1, f"evaluation.{name} must be at least 1")


@dataclass
class ImageConfig(DomainConfig):
    """The images of a run."""

    images: ImagesConfig = field(default_factory=ImagesConfig)
    dead_leaves: DeadLeavesConfig = field(default_factory=DeadLeavesConfig)
    corruption: CorruptionConfig = field(default_factory=CorruptionConfig)

    def sources(self) -> "tuple[ImagesConfig, Media]":
        """How a folder of the user's is listed, and as what."""
        from data_prep.sources.media import IMAGES

        return self.images, IMAGES

    def require_consistent(self, run: RunConfig) -> None:
        """Raise InputError where the noise of a run would not be the images' alone."""
        require(
            run.training.context_noise == 0,
            "training.context_noise must be 0 for denoising: what is observed is noisy already",
        )
        require(
            run.encoder.frequencies is None,
            "encoder.frequencies must be null for denoising: what the encoder drops is neither "
            "noisy nor restored",
        )
        overlap = getattr(run.evaluation, "tile_overlap", 0)
        require(
            2 * overlap <= self.images.size,
            f"evaluation.tile_overlap is {overlap}: at most half of images.size",
        )
        require(
            self.images.size <= self.dead_leaves.size,
            f"images.size is {self.images.size}: at most dead_leaves.size {self.dead_leaves.size}",
        )


@dataclass
class CorruptionShiftsConfig:
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
            require_degrees(getattr(self, name), 0, f"shifts.{name}")
        require(all(level <= 1 for level in self.levels), "shifts.levels must be at most 1")
        require(
            all(share < 1 for share in self.salt_and_pepper),
            "shifts.salt_and_pepper must be below 1",
        )
