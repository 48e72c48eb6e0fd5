"""Data of the right shapes without values that mean anything, for a dry run."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from data_prep.encoders.base import Encoder
from denoise.data import NoisyImages
from worldmodel.data import EmbeddingClips, Scaler
from worldmodel.predictor import Clips


class FakeClips(EmbeddingClips):
    """One clip `[T, P, D]` of a shape."""

    def __init__(self, frames: int, encoder: Encoder):
        self._clip = torch.zeros(frames, encoder.grid[0] * encoder.grid[1], encoder.dim)
        self.scaler = Scaler(torch.zeros(encoder.dim), torch.ones(encoder.dim))

    def __len__(self) -> int:
        return 1

    def stored(self, index: int) -> tuple[str, Tensor]:
        """The clip."""
        return str(index), self._clip

    def collate(self, samples: list[tuple[str, Tensor]]) -> Clips:
        """A batch."""
        keys, clips = zip(*samples, strict=True)
        return Clips(torch.stack(clips), list(keys))


class FakePairs(FakeClips):
    """One pair `[2, P, D]` of a noisy image and the clean one."""

    def collate(self, samples: list[tuple[str, Tensor]]) -> Clips:
        """A batch of pairs that knows its noise."""
        batch = super().collate(samples)
        return NoisyImages(batch.embeddings, batch.keys, 99, 0.95, clip=torch.Tensor.clone)


@dataclass(frozen=True)
class FakeData:
    """Data of the shapes that a configuration asks for."""

    train: FakeClips
    validation: FakeClips
    encoder: Encoder
    fingerprint: str = "fake"

    @property
    def mean_frame(self) -> Tensor:
        """A frame `[P, D]`."""
        clip: Tensor = self.train.stored(0)[1]
        return clip[0]


def repeated(clip: Clips, size: int) -> Clips:
    """A batch of that many clips like one."""
    embeddings = clip.embeddings.expand(size, -1, -1, -1)
    return replace(clip, embeddings=embeddings, keys=[str(number) for number in range(size)])
