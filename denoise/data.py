"""Images as clips of one frame: clean ones to train on, noisy and clean pairs to validate on."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from data_prep.encoders.base import Encoder
from data_prep.shards.format import ShardSet
from denoise.diffusion import diffuse, signal_and_noise
from worldmodel.data import EmbeddingClips, Scaler
from worldmodel.noise import Stream, noise_like
from worldmodel.predictor import Clips

Clip = Callable[[Tensor], Tensor]


def clip_pixels(encoder: Encoder, embeddings: Tensor) -> Tensor:
    """Embeddings `[B, 1, P, D]` of the images that they lead to, clipped to pixels in [0, 1]."""
    return encoder.encode(encoder.decode(embeddings[:, 0]).clamp(0, 1))[:, None]


@dataclass(frozen=True)
class NoisyImages(Clips):
    """Noisy images `[B, 1, P, D]`, or pairs `[B, 2, P, D]` of noisy and clean.

    `step` is the diffusion step of the noise and `signal` what the clean image was multiplied by:
    known to the models that are told the level, ignored by the others. `clip` clips embeddings
    `[B, 1, P, D]` to those of pixels in [0, 1]; None where nothing leads back to pixels.
    """

    step: int
    signal: float
    clip: Clip | None = None


class CleanImages(EmbeddingClips):
    """The first frames of the clips of a split, `[1, P, D]`; not scaled.

    Diffusion is defined on pixels in [-1, 1] and on an isometric transform of them alike.
    """

    def __init__(self, embeddings: ShardSet, split: str):
        dim = int(embeddings.manifest["encoder"]["dim"])
        super().__init__(embeddings, split, Scaler(torch.zeros(dim), torch.ones(dim)))

    def stored(self, index: int) -> tuple[str, Tensor]:
        """Key and embeddings `[1, P, D]` of an image as it is stored, in float16."""
        key, embeddings = super().stored(index)
        return key, embeddings[:1]


class NoisyPairs(CleanImages):
    """Noisy and clean frames `[2, P, D]` of a split, at one diffusion step, as batches."""

    def __init__(self, embeddings: ShardSet, split: str, step: int, seed: int, clip: Clip | None):
        super().__init__(embeddings, split)
        self.step, self.seed, self.clip = step, seed, clip

    def stored(self, index: int) -> tuple[str, Tensor]:
        """Key and embeddings `[2, P, D]` of a noisy image and the clean one, in float32."""
        key, stored = super().stored(index)
        clean = stored.float()[None]  # [1, 1, P, D]
        noise = noise_like(clean, [key], Stream.CORRUPTION, self.seed)
        noisy = diffuse(clean, torch.tensor([self.step]), noise)
        return key, torch.cat([noisy[0], clean[0]])

    def collate(self, samples: list[tuple[str, Tensor]]) -> Clips:
        """Make a batch of pairs that knows its noise."""
        keys, pairs = zip(*samples, strict=True)
        signal = signal_and_noise(self.step)[0]
        return NoisyImages(torch.stack(pairs), list(keys), self.step, signal, self.clip)
