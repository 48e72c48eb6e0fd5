"""Every random draw of the published model, behind one small interface.

So another source, such as recorded draws, can stand in its place.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from worldmodel.noise import Stream, keyed_noise, keyed_uniform, stream_generator


class Noise(Protocol):
    """A source of random draws; `stream` and `seeds` say what a draw is for.

    Letters in shapes: B batch, one clip for each of the `keys`; C frames, one for each number in
    `frames [C]`.
    """

    def normal(
        self, stream: Stream, seeds: Sequence[int], keys: Sequence[str], frames: Tensor, size: int
    ) -> Tensor:
        """Standard normal numbers `[B, C, size]`."""
        ...

    def uniform(
        self, stream: Stream, seeds: Sequence[int], keys: Sequence[str], frames: Tensor
    ) -> Tensor:
        """Uniform numbers in [0, 1), `[B, C, 1]`."""
        ...

    def whole(self, stream: Stream, seeds: Sequence[int], least: int, most: int) -> int:
        """A whole number from `least` to `most`, both included."""
        ...

    def chosen(self, stream: Stream, seeds: Sequence[int], total: int, count: int) -> Tensor:
        """`count` different numbers below `total`, `[count]`."""
        ...


class KeyedNoise:
    """Draws that depend on stream, seeds, clip and frame alone, in any batch and on any device."""

    def normal(
        self, stream: Stream, seeds: Sequence[int], keys: Sequence[str], frames: Tensor, size: int
    ) -> Tensor:
        """Standard normal numbers `[B, C, size]`."""
        return keyed_noise(stream, seeds, keys, frames, 1, size).squeeze(2)

    def uniform(
        self, stream: Stream, seeds: Sequence[int], keys: Sequence[str], frames: Tensor
    ) -> Tensor:
        """Uniform numbers in [0, 1), `[B, C, 1]`."""
        return keyed_uniform(stream, seeds, keys, frames)

    def whole(self, stream: Stream, seeds: Sequence[int], least: int, most: int) -> int:
        """A whole number from `least` to `most`, both included."""
        generator = stream_generator(stream, *seeds)
        return least + int(torch.randint(most - least + 1, (), generator=generator))

    def chosen(self, stream: Stream, seeds: Sequence[int], total: int, count: int) -> Tensor:
        """`count` different numbers below `total`, `[count]`."""
        return torch.randperm(total, generator=stream_generator(stream, *seeds))[:count]
