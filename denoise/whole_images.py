"""Whole images: denoisers of crops run in tiles that overlap, those of pixels run at once."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from data_prep.encoders.base import Encoder
from denoise.corruption import of_pixels
from denoise.data import NoisyImages
from denoise.diffusion import signal_and_noise, step_of_sigma
from denoise.model import Denoiser
from worldmodel.predictor import Clips, Setting, Trajectory


class PixelDenoiser(Denoiser, ABC):
    """A denoiser of pixels, for images of any size."""

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        """Denoise the images, their clean part brought back to full contrast."""
        assert isinstance(context, NoisyImages)
        noisy = self.encoder.decode(
            context.embeddings[:, 0] / context.signal
        )  # [B, 3, height, width]
        signal, noise = signal_and_noise(context.step)
        clean = self.denoise(noisy, noise / signal / 2, setting)  # pixels span 1, not 2
        prediction = self.encoder.encode(clean.to(noisy))[:, None]
        return Trajectory(torch.stack([context.embeddings, prediction]))

    @abstractmethod
    def denoise(self, images: Tensor, noise: float, setting: Setting) -> Tensor:
        """Images `[B, 3, height, width]` in [0, 1] with noise of this standard deviation."""


@dataclass(frozen=True)
class Tiling:
    """Square tiles of `size` pixels; neighbours share at least `overlap` pixels.

    Where tiles overlap, their predictions are averaged by windows that fall smoothly to their
    edges. `batch` tiles are denoised at once.
    """

    size: int
    overlap: int
    batch: int

    def starts(self, length: int) -> list[int]:
        """The first pixel of each tile along a side; the last tile ends where the side does."""
        last = max(0, length - self.size)
        return [*range(0, last, self.size - self.overlap), last]

    def count(self, height: int, width: int) -> int:
        """The number of tiles of an image."""
        return len(self.starts(height)) * len(self.starts(width))

    def window(self) -> Tensor:
        """The weights `[size, size]` of a tile's pixels, above 0."""
        rise = torch.arange(1, self.size + 1) / (self.overlap + 1)
        side = torch.minimum(rise, rise.flip(0)).clamp(max=1)
        side = side**2 * (3 - 2 * side)  # smooth at both ends
        return side[:, None] * side


def denoise_whole(
    denoiser: Denoiser,
    noisy: Tensor,
    sigma: float,
    setting: Setting,
    encoder: Encoder,
    tiling: Tiling,
    name: str,
) -> Tensor:
    """Remove Gaussian noise of `sigma` of 255 from an image `[3, height, width]` of [0, 1].

    Gives the image, not clipped. Besides the image only one batch of tiles is held at once; `name`
    is that of the image, from which denoisers draw their starts.
    """
    if isinstance(denoiser, PixelDenoiser):
        return denoiser.denoise(noisy[None], sigma / 255, setting)[0]
    height, width = noisy.shape[1:]
    missing = [max(0, tiling.size - side) for side in (width, height)]
    image = F.pad(noisy[None], (0, missing[0], 0, missing[1]), mode="replicate")[0]
    total, weights = torch.zeros_like(image), torch.zeros_like(image[:1])
    window = tiling.window().to(image)
    places = list(product(tiling.starts(image.shape[1]), tiling.starts(image.shape[2])))
    for first in range(0, len(places), tiling.batch):
        part = places[first : first + tiling.batch]
        clean = _denoise_tiles(denoiser, image, part, sigma, setting, encoder, tiling.size, name)
        for tile, (top, left) in zip(clean, part, strict=True):
            here = slice(None), slice(top, top + tiling.size), slice(left, left + tiling.size)
            total[here] += tile * window
            weights[here] += window
    return (total / weights)[:, :height, :width]


def _denoise_tiles(
    denoiser: Denoiser,
    image: Tensor,
    places: Sequence[tuple[int, int]],
    sigma: float,
    setting: Setting,
    encoder: Encoder,
    size: int,
    name: str,
) -> Tensor:
    """The tiles `[B, 3, size, size]` of an image whose first pixels are given, denoised."""
    tiles = [image[:, top : top + size, left : left + size] for top, left in places]
    keys = [f"{name} {top} {left}" for top, left in places]
    noisy = of_pixels(torch.stack(tiles), keys, encoder, step_of_sigma(sigma))
    return encoder.decode(denoiser.predict(noisy, setting).prediction[:, 0])
