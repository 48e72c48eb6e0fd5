"""Patches of raw pixels: an encoder without weights."""

import torch.nn.functional as F
from torch import Tensor

from data_prep.config import EncoderConfig
from data_prep.errors import InputError


class PixelPatches:
    """Pixels scaled to [-1, 1], as the published image models see them.

    Invertible and isometric: white noise on pixels is the same white noise on embeddings.
    An embedding lists the pixels of its patch channel by channel, row by row.
    """

    name: str = "pixels"
    weights: str | None = None
    decodable: bool = True
    isometric: bool = True

    def __init__(self, config: EncoderConfig, size: int):
        self.patch_size = config.patch_size
        if size % self.patch_size:
            raise InputError(
                f"encoder.patch_size {self.patch_size} does not divide corpus.size {size}: "
                "change one"
            )
        self.grid = (size // self.patch_size, size // self.patch_size)
        self.dim = 3 * self.patch_size**2

    def encode(self, frames: Tensor) -> Tensor:
        """Frames `[B, 3, height, width]` in [0, 1] to embeddings `[B, P, D]`."""
        patches = F.pixel_unshuffle(frames * 2 - 1, self.patch_size)  # [B, D, rows, columns]
        return patches.flatten(2).transpose(1, 2)

    def decode(self, embeddings: Tensor) -> Tensor:
        """Embeddings `[B, P, D]` to frames `[B, 3, height, width]`, not clipped."""
        patches = embeddings.transpose(1, 2).unflatten(2, self.grid)
        return (F.pixel_shuffle(patches, self.patch_size) + 1) / 2
