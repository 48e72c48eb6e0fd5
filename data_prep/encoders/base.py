"""The protocol of frozen encoders: frames to patch embeddings and, where possible, back."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import interpolate


class Encoder(Protocol):
    """What every encoder offers. Frozen: no gradient, deterministic.

    `grid` is (rows, columns) of patches, `dim` the embedding width; an `isometric` encoder keeps
    distances, so that one global scale fits all its dimensions. `weights` is a checksum of its
    weights, None where it has none. Only a `decodable` one leads back to pixels.
    """

    name: str
    weights: str | None
    decodable: bool
    grid: tuple[int, int]
    dim: int
    isometric: bool

    def encode(self, frames: Tensor) -> Tensor:
        """Frames `[B, 3, height, width]` in [0, 1] to embeddings `[B, P, D]`."""
        ...

    def decode(self, embeddings: Tensor) -> Tensor:
        """Embeddings `[B, P, D]` to frames `[B, 3, height, width]`, not clipped.

        Raises:
            InputError: the encoder is not decodable.
        """
        ...


def in_batches(call: Callable[[Tensor], Tensor], inputs: Tensor, size: int) -> Tensor:
    """The results of `call` on parts of at most `size` frames, without gradient; bf16 on a GPU."""
    with torch.no_grad(), torch.autocast("cuda", torch.bfloat16, enabled=inputs.is_cuda):
        return torch.cat([call(part).float() for part in inputs.split(size)])


def resize(frames: Tensor, size: int) -> Tensor:
    """Frames `[B, 3, height, width]` resized to `size` pixels in height and width."""
    if frames.shape[-2:] == (size, size):
        return frames
    return interpolate(frames, (size, size), mode="bicubic", antialias=True)
