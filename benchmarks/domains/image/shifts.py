"""Noisy images to think about, and noise that differs from that of training."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor

from benchmarks.config import JSON, Inputs, RunConfig
from benchmarks.domains.image.config import CorruptionShiftsConfig
from benchmarks.domains.image.data import ImageData, ImageSet, prepare_data
from benchmarks.domains.samples import (
    BLURS,
    IN_DISTRIBUTION,
    VALIDATION,
    Case,
    Degree,
    Samples,
    SampleSet,
    Shifts,
    of_another,
)
from benchmarks.domains.trials import TRUE, Kind, Standing, Trials
from data_prep.encoders.base import Encoder
from denoise.config import TRAINED_LEVEL, CorruptionConfig
from denoise.corruption import Corruption, corruptions

LEVELS = "level of Gaussian noise"
SMOOTHED = "over-smoothed"  # by a standard deviation in pixels


@dataclass(frozen=True)
class NoisySet:
    """Images of one set under the corruption of a name, among those of a configuration."""

    images: ImageSet
    corruption: str
    options: CorruptionConfig
    encoder: Encoder

    @property
    def sources(self) -> list[str]:
        """The image that each crop is of."""
        return self.images.sources

    @cached_property
    def applied(self) -> Corruption:
        """The corruption."""
        found = corruptions(self.options)
        return next(corruption for corruption in found if corruption.name == self.corruption)

    @cached_property
    def told_step(self) -> int:
        """The diffusion step that models may be told."""
        return self.images.told_step(self.applied, self.options.seed)

    def cases(self, batch_size: int, device: str) -> Iterator[Case]:
        """The images in batches: the clean one is to be predicted from the noisy one."""
        for batch in self.images.batches(batch_size):
            truth, seed = batch.frames(device), self.options.seed
            noisy = batch.noisy(self.applied, self.encoder, seed, self.told_step, device)
            target = self.encoder.encode(truth)[:, None]  # [B, 1, P, D]
            yield Case(noisy, target, truth[:, None], None)


@dataclass(frozen=True)
class ImageSamples(Samples):
    """Images to train on, and sets of noisy images to judge on."""

    scored = slice(None)
    corpus: ImageData
    sets: dict[str, SampleSet]
    shifts: Shifts

    def decode(self, embeddings: Tensor) -> Tensor:
        """Embeddings `[B, 1, P, D]` to frames `[B, 1, 3, height, width]`, not clipped."""
        return self.corpus.decode(embeddings)[:, None]

    def embed(self, frames: Tensor) -> Tensor:
        """Frames `[N, 3, height, width]` in [0, 1] to embeddings `[N, P, D]`."""
        return self.encoder.encode(frames)

    def foreign(self, case: Case) -> dict[str, Tensor]:
        """The noisy image itself, blurred, half denoised and foreign images."""
        noisy, target = case.context.embeddings, case.target
        return {
            "noisy image": noisy,
            "blurred truth": self.blurred_truth(case),
            "between truth and noisy image": target.lerp(noisy, 0.5),
        } | of_another(target)

    def trials(self, name: str, batch_size: int, device: str) -> Iterator[Trials]:
        """The noisy images of a set, each with its clean image and with others that it is not of.

        Blurs are among these: a clean image is wanted, and an average of many is none.
        """
        for case in self.sets[name].cases(batch_size, device):
            others = {
                Kind(SMOOTHED, Standing.IMPOSSIBLE, width): self.blurred(case.target, width)
                for width in BLURS
            }
            for kind, image in of_another(case.target).items():
                others[Kind(kind, Standing.IMPOSSIBLE)] = image
            every = {TRUE: case.target} | others  # [B, 1, P, D] each
            yield Trials.of(
                case.context,
                [
                    {kind: image[number, 0] for kind, image in every.items()}
                    for number in range(len(case.target))
                ],
            )

    def describe(self) -> JSON:
        """What the data is, for the result."""
        return self.corpus.describe() | self.describe_sets()


def prepare_noisy_images(
    config: RunConfig, shifts: CorruptionShiftsConfig, inputs: Inputs
) -> ImageSamples:
    """Make or reuse the shards of the corpus; its test images get every corruption.

    Raises:
        InputError: the data cannot be used.
    """
    corpus = prepare_data(config, inputs)
    plain, encoder = corpus.corruption, corpus.encoder
    trained = corpus.trained_corruption.name
    test, *others = corpus.test_sets.items()
    sets: dict[str, SampleSet] = {
        VALIDATION: NoisySet(corpus.validation_set, trained, plain, encoder),
        IN_DISTRIBUTION: NoisySet(test[1], trained, plain, encoder),
    }
    found: Shifts = {LEVELS: [Degree(IN_DISTRIBUTION, TRAINED_LEVEL)]}
    for what, degree, corruption, changes in _degrees(shifts):
        name = corruption if corruption.startswith("level") else f"{corruption} {degree:g}"
        sets[name] = NoisySet(test[1], corruption, replace(plain, **changes), encoder)
        found.setdefault(what, []).append(Degree(name, degree))
    found[LEVELS].sort(key=lambda one: one.degree)
    for name, images in others:
        sets[name] = NoisySet(images, trained, plain, encoder)
    return ImageSamples(corpus, sets, found)


def _degrees(
    config: CorruptionShiftsConfig,
) -> Iterator[tuple[str, float, str, JSON]]:
    """By what grows from set to set: the degree, the corruption and the options it needs."""
    for level in config.levels:
        levels = sorted({TRAINED_LEVEL, level})
        yield LEVELS, level, f"level {level:g}", {"levels": levels, "swept_levels": [TRAINED_LEVEL]}
    for photons in config.photons:
        what = "Poisson noise (photons of a white pixel)"
        yield what, photons, "poisson", {"poisson_peak": photons}
    for share in config.salt_and_pepper:
        what = "salt and pepper (share of pixels)"
        yield what, share, "salt and pepper", {"salt_and_pepper": share}
    for width in config.blurs:
        yield "blur (pixels)", width, "blur", {"blur": width}
