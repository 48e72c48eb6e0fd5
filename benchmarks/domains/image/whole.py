"""Sets of whole images, as the field reports denoising."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image as PillowImage
from torch import Tensor

from data_prep.decoding.images import image_size, read_image
from data_prep.errors import DecodeError
from data_prep.shards.storage import sha256_of
from data_prep.sources.corpus import Corpus
from denoise.corruption import Corruption

LEAST, MOST = 16, 25_000_000  # pixels of a side, and of an image


@dataclass(frozen=True)
class WholeImages:
    """Images of any size, read when they are used; `grey` ones have three equal channels.

    `sizes` are (height, width) of each.
    """

    root: Path
    sources: list[str]
    sizes: list[tuple[int, int]]
    grey: bool

    def clean(self, source: str) -> Tensor:
        """The image `[3, height, width]` in [0, 1]."""
        image = read_image(self.root / source, None)
        if self.grey:
            image = np.asarray(PillowImage.fromarray(image).convert("L").convert("RGB"))
        return torch.from_numpy(image.copy()).permute(2, 0, 1) / 255

    def noisy(self, clean: Tensor, source: str, corruption: Corruption, seed: int) -> Tensor:
        """The image after a corruption; a grey image has one noise in its three channels."""
        channels = clean[:1] if self.grey else clean
        return corruption.on_pixels(channels[None], [source], seed)[0].expand_as(clean)

    def read_as(self, image: Tensor) -> Tensor:
        """An image `[3, height, width]` that was made; grey ones are the mean of its channels."""
        return image.mean(0, keepdim=True).expand_as(image) if self.grey else image

    def first(self, most: int | None) -> "WholeImages":
        """At most so many images."""
        return WholeImages(self.root, self.sources[:most], self.sizes[:most], self.grey)

    @cached_property
    def checksums(self) -> list[str]:
        """What tells these images from others."""
        found = []
        for source in self.sources:
            with (self.root / source).open("rb") as file:
                found.append(sha256_of(file))
        return found


def whole_images(
    corpus: Corpus, grey: bool, most: int | None
) -> tuple[WholeImages | None, list[dict[str, str]]]:
    """The images of a corpus, at most so many, and those that cannot be used, with the reason.

    A set all of whose images are grey is grey, and so is any set of which `grey` asks it.
    """
    kept: list[str] = []
    sizes: list[tuple[int, int]] = []
    rejected, colours = [], False
    root = Path(corpus.root)
    for source in corpus.sources:
        if most is not None and len(kept) == most:
            break
        try:
            _require_usable(root / source.path)
            image = read_image(root / source.path, None)
        except DecodeError as error:
            rejected.append({"source": source.path, "reason": str(error)})
            continue
        colours = colours or not _is_grey(image)
        kept.append(source.path)
        sizes.append((image.shape[0], image.shape[1]))
    if not kept:
        return None, rejected
    return WholeImages(root, kept, sizes, grey or not colours), rejected


def _require_usable(path: Path) -> None:
    """Raise DecodeError unless an image is large enough and not too large; decodes nothing."""
    height, width = image_size(path)
    if min(height, width) < LEAST:
        raise DecodeError(f"{width}x{height} pixels; sides below {LEAST} are not judged")
    if height * width > MOST:
        raise DecodeError(f"{width}x{height} pixels; more than {MOST:,} do not fit in memory")


def _is_grey(image: np.ndarray) -> bool:
    return bool((image == image[..., :1]).all())
