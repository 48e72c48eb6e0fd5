"""Corruption of clean images: forward diffusion on the published schedule, and other kinds.

The same image, seed and corruption give the same noisy image for every model and in any batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg
from torchvision.transforms.functional import gaussian_blur

from data_prep.encoders.base import Encoder
from denoise.config import STEPS, CorruptionConfig, step_of
from denoise.data import NoisyImages
from worldmodel.noise import Stream, noise_like, stream_generator

FIRST_BETA, LAST_BETA = 1e-4, 2e-2


@cache
def cumulative_alphas() -> Tensor:
    """The linear schedule's products of 1 - beta `[1000]` (Ho et al., 2020, section 4)."""
    betas = torch.linspace(FIRST_BETA, LAST_BETA, STEPS, dtype=torch.float64)
    return (1 - betas).cumprod(0).float()


def signal_and_noise(step: int) -> tuple[float, float]:
    """The factors of the clean image and of standard noise at a diffusion step."""
    alpha = float(cumulative_alphas()[step])
    return alpha**0.5, (1 - alpha) ** 0.5


def diffuse(clean: Tensor, step: Tensor, noise: Tensor) -> Tensor:
    """Noisy `[B, 1, P, D]` at diffusion steps `[B]`: sqrt(a) clean + sqrt(1 - a) noise."""
    alpha = cumulative_alphas().to(clean)[step].view(-1, 1, 1, 1)
    return alpha.sqrt() * clean + (1 - alpha).sqrt() * noise


def matching_step(noise_to_signal: float) -> int:
    """The diffusion step at which noise over signal is nearest to the given ratio."""
    alphas = cumulative_alphas()
    ratios = ((1 - alphas) / alphas).sqrt()
    return int((ratios - noise_to_signal).abs().argmin())


@dataclass(frozen=True)
class Corruption:
    """A named corruption; `level` where it is forward diffusion, else a `kind` on pixels."""

    name: str
    level: float | None = None
    kind: Callable[[Tensor, torch.Generator], Tensor] | None = None

    def apply(
        self, frames: Tensor, keys: Sequence[str], encoder: Encoder, seed: int
    ) -> NoisyImages:
        """Noisy images of clean ones `[B, 3, height, width]` in [0, 1].

        Diffusion acts on the embeddings; under an isometric encoder that is noise on pixels in
        [-1, 1]. The other kinds act on pixels; for them the step that a model may be told is the
        one whose noise is as strong, by the root mean square over these images.
        """
        clean = encoder.encode(frames)[:, None]  # [B, 1, P, D]
        if self.level is not None:
            step = step_of(self.level)
            noise = noise_like(clean, keys, Stream.CORRUPTION, seed)
            steps = torch.full((len(keys),), step, device=clean.device)
            return NoisyImages(
                diffuse(clean, steps, noise), list(keys), step, signal_and_noise(step)[0]
            )
        assert self.kind is not None
        noisy = torch.stack(
            [
                self.kind(frame.cpu(), stream_generator(Stream.CORRUPTION, seed, key, self.name))
                for frame, key in zip(frames, keys, strict=True)
            ]
        ).to(frames)
        strength = 2 * float((noisy - frames).square().mean().sqrt())  # on [-1, 1]
        embeddings = encoder.encode(noisy)[:, None]
        return NoisyImages(embeddings, list(keys), matching_step(strength), signal=1.0)


def corruptions(config: CorruptionConfig) -> list[Corruption]:
    """Everything that `config` asks for: the levels of diffusion, then the other kinds."""

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
        *(Corruption(name, kind=kind) for name, kind in kinds.items()),
    ]


def blurred(frames: Tensor, width: float) -> Tensor:
    """Frames `[..., 3, height, width]` blurred by a Gaussian of `width` pixels' deviation."""
    return gaussian_blur(frames, kernel_size=2 * int(3 * width + 1) + 1, sigma=width)
