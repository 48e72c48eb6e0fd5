"""Corruption of clean images: forward diffusion on the published schedule, and other kinds.

The same image, seed and corruption give the same noisy image for every model and in any batch.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg
from torchvision.transforms.functional import gaussian_blur

from data_prep.encoders.base import Encoder
from denoise.config import CorruptionConfig, step_of
from denoise.data import NoisyImages, clip_pixels
from denoise.diffusion import diffuse, matching_step, signal_and_noise, step_of_sigma
from worldmodel.noise import Stream, noise_like, stream_generator


@dataclass(frozen=True)
class Corruption:
    """A named corruption; `level` where it is forward diffusion, else a `kind` on pixels.

    `sigma` is the standard deviation of 255 where the kind is Gaussian noise.
    """

    name: str
    level: float | None = None
    sigma: float | None = None
    kind: Callable[[Tensor, torch.Generator], Tensor] | None = None

    def step(self, batches: Iterable[tuple[Tensor, Sequence[str]]], seed: int) -> int:
        """The diffusion step that a model may be told, for images and their keys in batches.

        That of its level; for the other kinds the one whose noise is as strong, by the root mean
        square over all images.
        """
        if self.level is not None:
            return step_of(self.level)
        if self.sigma is not None:
            return step_of_sigma(self.sigma)
        total, count = 0.0, 0
        for frames, keys in batches:
            total += float((self.on_pixels(frames, keys, seed) - frames).square().sum())
            count += frames.numel()
        return matching_step(2 * (total / count) ** 0.5)  # on [-1, 1]

    def apply(
        self, frames: Tensor, keys: Sequence[str], encoder: Encoder, seed: int, step: int
    ) -> NoisyImages:
        """Noisy images of clean ones `[B, 3, height, width]` in [0, 1]; `step` is what is told.

        Diffusion acts on the embeddings; under an isometric encoder that is noise on pixels in
        [-1, 1]. The other kinds act on pixels.
        """
        clip = partial(clip_pixels, encoder) if encoder.decodable else None
        if self.level is not None:
            clean = encoder.encode(frames)[:, None]  # [B, 1, P, D]
            noise = noise_like(clean, keys, Stream.CORRUPTION, seed)
            steps = torch.full((len(keys),), step, device=clean.device)
            return NoisyImages(
                diffuse(clean, steps, noise), list(keys), step, signal_and_noise(step)[0], clip
            )
        noisy = self.on_pixels(frames, keys, seed)
        if self.sigma is not None:
            return of_pixels(noisy, keys, encoder, step)
        return NoisyImages(encoder.encode(noisy)[:, None], list(keys), step, 1.0, clip)

    def on_pixels(self, frames: Tensor, keys: Sequence[str], seed: int) -> Tensor:
        """Frames `[B, channels, height, width]` in [0, 1] after what the kind does."""
        assert self.kind is not None
        noisy = [
            self.kind(frame.cpu(), stream_generator(Stream.CORRUPTION, seed, key, self.name))
            for frame, key in zip(frames, keys, strict=True)
        ]
        return torch.stack(noisy).to(frames)


def of_pixels(noisy: Tensor, keys: Sequence[str], encoder: Encoder, step: int) -> NoisyImages:
    """Images `[B, 3, height, width]` with noise on their pixels as models get them.

    Under an isometric encoder they are as diffusion makes them at the step, whose signal is below
    1; an encoder that is not gets the noisy pixels themselves.
    """
    signal = signal_and_noise(step)[0] if encoder.isometric else 1.0
    clip = partial(clip_pixels, encoder) if encoder.decodable else None
    embeddings = encoder.encode(noisy)[:, None] * signal  # [B, 1, P, D]
    return NoisyImages(embeddings, list(keys), step, signal, clip)


def corruptions(config: CorruptionConfig) -> list[Corruption]:
    """Everything that `config` asks for: levels of diffusion, noise on pixels, other kinds."""

    def gaussian(frame: Tensor, generator: torch.Generator, sigma: float) -> Tensor:
        return frame + sigma / 255 * torch.randn(frame.shape, generator=generator)

    def poisson(frame: Tensor, generator: torch.Generator) -> Tensor:
        return torch.poisson(frame * config.poisson_peak, generator) / config.poisson_peak

    def salt_and_pepper(frame: Tensor, generator: torch.Generator) -> Tensor:
        drawn = torch.rand(frame.shape[1:], generator=generator)
        grains = (torch.rand(drawn.shape, generator=generator) < 0.5).to(frame)
        return torch.where(drawn < config.salt_and_pepper, grains, frame)

    def jpeg(frame: Tensor, generator: torch.Generator) -> Tensor:
        encoded = encode_jpeg((frame * 255).round().byte(), config.jpeg_quality)
        return decode_jpeg(encoded, ImageReadMode.RGB).to(frame) / 255

    def blur(frame: Tensor, generator: torch.Generator) -> Tensor:
        return blurred(frame, config.blur)

    kinds = {"poisson": poisson, "salt and pepper": salt_and_pepper, "jpeg": jpeg, "blur": blur}
    return [
        *(Corruption(f"level {level:g}", level) for level in config.levels),
        *(
            Corruption(f"sigma {sigma:g}", sigma=sigma, kind=partial(gaussian, sigma=sigma))
            for sigma in config.sigmas
        ),
        *(Corruption(name, kind=kinds[name]) for name in config.others),
    ]


def blurred(frames: Tensor, width: float) -> Tensor:
    """Frames `[..., 3, height, width]` blurred by a Gaussian of `width` pixels' deviation."""
    return gaussian_blur(frames, kernel_size=2 * int(3 * width + 1) + 1, sigma=width)
