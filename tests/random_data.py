"""Random data that looks like that of any task, for tests that train or plan without a corpus."""

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.config import RunConfig
from data_prep.encoders.base import Encoder
from data_prep.encoders.shapes import build_or_shape
from denoise.data import NoisyImages
from worldmodel.data import EmbeddingClips, Scaler
from worldmodel.predictor import Clips


class RandomClips(EmbeddingClips):
    """Clips of random embeddings; noisy images where a clip is a pair of frames."""

    def __init__(self, frames: int, patches: int, dim: int, number: int = 3):
        generator = torch.Generator().manual_seed(0)
        self.clips = torch.randn(number, frames, patches, dim, generator=generator)
        self.scaler = Scaler(torch.zeros(dim), torch.ones(dim))

    def __len__(self) -> int:
        return len(self.clips)

    def stored(self, index: int) -> tuple[str, Tensor]:
        return str(index), self.clips[index]

    def collate(self, samples: list[tuple[str, Tensor]]) -> Clips:
        keys, embeddings = zip(*samples, strict=True)
        clips = torch.stack(embeddings)
        if clips.shape[1] != 2:
            return Clips(clips, list(keys))
        return NoisyImages(clips, list(keys), step=99, signal=0.9, clip=torch.Tensor.clone)


@dataclass(frozen=True)
class RandomData:
    train: RandomClips
    validation: RandomClips
    encoder: Encoder
    fingerprint: str = "random"

    @classmethod
    def of(cls, config: RunConfig, frames: int, number: int = 3) -> "RandomData":
        """As the configuration of a task wants it."""
        images = hasattr(config.domain, "images")
        encoder = build_or_shape(config.encoder, config.domain.sources()[0].size)
        patches = encoder.grid[0] * encoder.grid[1]
        return cls(
            RandomClips(1 if images else frames, patches, encoder.dim, number),
            RandomClips(2 if images else frames, patches, encoder.dim),
            encoder,
        )
