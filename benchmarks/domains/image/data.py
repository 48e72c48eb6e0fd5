"""The data of a denoising run: images to train on, and the sets that the models are tested on."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import accumulate
from pathlib import Path

import numpy as np
import skimage.data
import torch
from torch import Tensor

from benchmarks.config import JSON, Inputs, RunConfig
from benchmarks.domains.image.config import ImageConfig, ImageEvaluationConfig
from benchmarks.domains.image.whole import WholeImages, whole_images
from data_prep.config import ImagesConfig
from data_prep.embed import encoder_of, prepare_embeddings
from data_prep.encoders.base import Encoder
from data_prep.errors import InputError
from data_prep.frames import prepare_images
from data_prep.shards.format import MANIFEST, SampleReference, ShardSet
from data_prep.shards.plan import digest
from data_prep.sources.corpus import SPLITS, Corpus
from data_prep.sources.folder import corpus_name
from data_prep.sources.layouts import list_test_sources
from data_prep.sources.media import IMAGES
from data_prep.sources.source import Source
from data_prep.synthetic.dead_leaves import prepare_dead_leaves
from data_prep.verify import require_whole
from denoise.config import TRAINED_LEVEL, CorruptionConfig, step_of
from denoise.corruption import Corruption, corruptions
from denoise.data import CleanImages, NoisyImages, NoisyPairs, clip_pixels

PHOTOGRAPHS_SET = "photographs"
# The photographs that scikit-image carries; its drawings, test patterns and scans are left out.
PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)

READ_AT_ONCE = 256  # images


@dataclass(frozen=True)
class ImageSet:
    """Clean images, each with its key and its source; their frames are read when they are used.

    Images of one source follow one another, sources in name order.
    """

    shards: ShardSet
    samples: list[SampleReference]

    @classmethod
    def of(cls, shards: ShardSet, split: str, most: int | None = None) -> "ImageSet":
        """The first frame of every clip of a split.

        With `most`, of at most so many clips: all of each source that is kept, at least one source,
        chosen at random but always the same.
        """
        samples = sorted(shards.samples(split), key=lambda sample: (sample.source, sample.key))
        if most is not None:
            clips = Counter(sample.source for sample in samples)
            order = np.random.default_rng(0).permutation(list(clips)).tolist()
            sums = list(accumulate(clips[source] for source in order))
            kept = set(order[: max(1, sum(total <= most for total in sums))])
            samples = [sample for sample in samples if sample.source in kept]
        return cls(shards, samples)

    @property
    def keys(self) -> list[str]:
        """The key of each image."""
        return [sample.key for sample in self.samples]

    @property
    def sources(self) -> list[str]:
        """The source of each image."""
        return [sample.source for sample in self.samples]

    def frames(self, device: str = "cpu") -> Tensor:
        """Clean frames `[B, 3, height, width]` in [0, 1]; they travel to the device as bytes."""
        pixels = [torch.from_numpy(self.shards.read_frames(s)[0]) for s in self.samples]
        return torch.stack(pixels).to(device).permute(0, 3, 1, 2) / 255

    def batches(self, size: int) -> Iterator["ImageSet"]:
        """The images in sets of at most `size`."""
        for first in range(0, len(self.samples), size):
            yield self.at(range(first, min(first + size, len(self.samples))))

    def at(self, indices: Sequence[int]) -> "ImageSet":
        """Some of the images."""
        return ImageSet(self.shards, [self.samples[index] for index in indices])

    def noisy(
        self, corruption: Corruption, encoder: Encoder, seed: int, step: int, device: str = "cpu"
    ) -> NoisyImages:
        """The images after a corruption, the same in any batch; `step` is what models are told."""
        return corruption.apply(self.frames(device), self.keys, encoder, seed, step)

    def told_step(self, corruption: Corruption, seed: int) -> int:
        """The diffusion step that models are told of the images after a corruption."""
        parts = ((part.frames(), part.keys) for part in self.batches(READ_AT_ONCE))
        return corruption.step(parts, seed)

    def first(self, count: int) -> "ImageSet":
        """At most `count` images, all of each source that is kept; at least one source."""
        of_source = list(Counter(self.sources).values())
        sums = list(accumulate(of_source))
        count = max([total for total in sums if total <= count], default=sums[0])
        return self.at(range(count))


@dataclass(frozen=True)
class ImageData:
    """Clean images to train on, and the sets on which the models are judged, by name.

    The first test set is the held-out part of the training corpus. `images_of_sets` are the numbers
    of images from which those of large test sets were chosen. `whole_sets` are the whole images of
    the other test sets, where noise on whole images is asked for.
    """

    name: str
    frames: ShardSet
    embeddings: ShardSet
    encoder: Encoder
    corruption: CorruptionConfig
    test_sets: dict[str, ImageSet]
    images_of_sets: dict[str, int]
    whole_sets: dict[str, WholeImages]
    rejected: list[dict[str, str]]

    @property
    def train(self) -> CleanImages:
        """Clean training images."""
        return CleanImages(self.embeddings, "train")

    @property
    def validation(self) -> NoisyPairs:
        """Validation images with noise of the trained level."""
        step = step_of(TRAINED_LEVEL)
        return NoisyPairs(
            self.embeddings,
            "validation",
            step,
            self.corruption.seed,
            partial(clip_pixels, self.encoder) if self.encoder.decodable else None,
        )

    @cached_property
    def validation_set(self) -> ImageSet:
        """Validation images as a set."""
        return ImageSet.of(self.frames, "validation")

    @property
    def corruptions(self) -> list[Corruption]:
        """What is done to the images of every set."""
        return corruptions(self.corruption)

    @property
    def trained_corruption(self) -> Corruption:
        """Noise of the trained level."""
        return next(c for c in self.corruptions if c.level == TRAINED_LEVEL)

    @property
    def fingerprint(self) -> str:
        """Name of the embeddings: the same data, the same name."""
        return digest(self.embeddings.manifest["shards"])

    def decode(self, embeddings: Tensor) -> Tensor:
        """Embeddings `[B, 1, P, D]` to frames `[B, 3, height, width]`, not clipped."""
        return self.encoder.decode(embeddings[:, 0])

    def describe(self) -> JSON:
        """What the data is, for the result."""
        return {
            "corpus": self.name,
            "clips": {split: len(self.embeddings.samples(split)) for split in SPLITS},
            "test_sets": {
                name: {
                    "images": len(images.keys),
                    "sources": len(set(images.sources)),
                    "images_of_set": self.images_of_sets[name],
                }
                for name, images in self.test_sets.items()
            },
            "whole_sets": {
                name: {"images": len(images.sources), "grey": images.grey}
                for name, images in self.whole_sets.items()
            },
            "rejected": self.rejected,
            "encoder": self.embeddings.manifest["encoder"],
            "arguments": self.frames.manifest["arguments"],
        }


def prepare_data(config: RunConfig, inputs: Inputs) -> ImageData:
    """Make or reuse the shards of a folder of images, a shard set, or the built-in corpus.

    Raises:
        InputError: a folder holds nothing that can be used.
    """
    cache, options = inputs.cache, config.domain
    assert isinstance(options, ImageConfig)
    evaluation = config.evaluation
    if not isinstance(evaluation, ImageEvaluationConfig):
        evaluation = ImageEvaluationConfig()
    if inputs.data is None:
        name, frames = (
            "dead_leaves",
            prepare_dead_leaves(cache, options.dead_leaves, options.images),
        )
    elif (inputs.data / MANIFEST).is_file():
        name, frames = corpus_name(inputs.data), _frames_of(inputs.data, options.images)
    else:
        name = corpus_name(inputs.data)
        frames = prepare_images(inputs.data, cache, options.images)
    if name == PHOTOGRAPHS_SET:
        name = "corpus"  # not to be mistaken for the bundled ones
    photographs = [
        Source(file, "test", file)
        for file in PHOTOGRAPHS
        if (Path(skimage.data.data_dir) / file).is_file()
    ]
    corpora = {PHOTOGRAPHS_SET: Corpus(skimage.data.data_dir, IMAGES, photographs)}
    shards = {
        name: frames,
        PHOTOGRAPHS_SET: prepare_images(
            Path(skimage.data.data_dir), cache, options.images, corpora[PHOTOGRAPHS_SET]
        ),
    }
    for test_name, folder in inputs.test_sets.items():
        if test_name in shards:
            raise InputError(f"--test {test_name}={folder}: the name is taken; give another")
        if (folder / MANIFEST).is_file():
            shards[test_name] = _frames_of(folder, options.images)
            continue
        corpus = list_test_sources(folder, IMAGES, f"--test {test_name}={folder}")
        corpora[test_name] = corpus
        shards[test_name] = prepare_images(folder, cache, options.images, corpus)
    whole, unused = _whole_sets(corpora, options.corruption, evaluation)
    embeddings = prepare_embeddings(frames, cache, config.encoder)
    return ImageData(
        name,
        frames,
        embeddings,
        encoder_of(embeddings, config.encoder),
        options.corruption,
        {
            test_name: ImageSet.of(part, "test", evaluation.max_images)
            for test_name, part in shards.items()
        },
        {test_name: len(part.samples("test")) for test_name, part in shards.items()},
        whole,
        _distinct([e for part in shards.values() for e in part.manifest["rejected"]] + unused),
    )


def _distinct(rejected: list[dict[str, str]]) -> list[dict[str, str]]:
    """Each file that cannot be used, once for each reason."""
    return [entry for number, entry in enumerate(rejected) if entry not in rejected[:number]]


def _whole_sets(
    corpora: dict[str, Corpus], corruption: CorruptionConfig, evaluation: ImageEvaluationConfig
) -> tuple[dict[str, WholeImages], list[dict[str, str]]]:
    """The whole images of test sets, and those that cannot be used, if noise is asked for.

    The photographs stand in where no other set is given.
    """
    given = {name: corpus for name, corpus in corpora.items() if name != PHOTOGRAPHS_SET}
    corpora = given or corpora
    found: dict[str, WholeImages] = {}
    rejected: list[dict[str, str]] = []
    for name, corpus in corpora.items() if corruption.sigmas else ():
        images, unused = whole_images(corpus, evaluation.grey, evaluation.whole_images)
        rejected += unused
        if images is not None:
            found[name] = images
    return found, rejected


def _frames_of(folder: Path, config: ImagesConfig) -> ShardSet:
    """A shard set given by the user: frames, of the size asked for."""
    shards = ShardSet(folder)
    require_whole(shards)
    if shards.kind != "frames":
        raise InputError(f"{folder}: holds {shards.kind}; denoising needs a shard set of frames")
    size = int(shards.manifest["arguments"]["size"])
    if size != config.size:
        raise InputError(f"{folder}: frames of {size} pixels; give --images.size {size}")
    return shards
