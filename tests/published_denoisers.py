"""Published image models at toy size, and images for them."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from baselines.config import PublishedDiTConfig
from baselines.dit_published import PublishedDiTDenoiser
from data_prep.config import EncoderConfig
from data_prep.encoders.pixels import PixelPatches
from denoise.config import PublishedEBTDenoiserConfig
from denoise.data import NoisyImages, clip_pixels
from denoise.diffusion import diffuse, signal_and_noise
from denoise.model import TrainedDenoiser
from denoise.published import PublishedEBTDenoiser
from worldmodel.config import BackboneConfig
from worldmodel.predictor import Clips

BACKBONE = BackboneConfig(layers=2, heads=2, width=48)
ENCODER = PixelPatches(EncoderConfig("pixels", patch_size=4), 16)
SHAPE = (BACKBONE, ENCODER.grid, ENCODER.dim)
PLAIN = PublishedEBTDenoiserConfig(calibrate=True)
NOISY = replace(PLAIN, langevin_noise=0.1)


def clean(count: int = 3) -> Clips:
    """Smooth images, and their keys."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    images = torch.nn.functional.interpolate(coarse, (16, 16), mode="bicubic").clamp(0, 1)
    return Clips(ENCODER.encode(images)[:, None], [f"image {n}" for n in range(count)])


def noisy(count: int = 3, step: int = 99) -> NoisyImages:
    images, generator = clean(count), torch.Generator().manual_seed(1)
    noise = torch.randn(images.embeddings.shape, generator=generator)
    made = diffuse(images.embeddings, torch.full((count,), step), noise)

    def clip(embeddings: Tensor) -> Tensor:
        return clip_pixels(ENCODER, embeddings)

    return NoisyImages(made, images.keys, step, signal_and_noise(step)[0], clip)


def ebt(config: PublishedEBTDenoiserConfig = PLAIN, awake: bool = True) -> PublishedEBTDenoiser:
    """A calibrated energy; `awake` with weights in the layers that start at zero."""
    torch.manual_seed(0)
    model = PublishedEBTDenoiser(config, *SHAPE)
    model.calibrate(clean())
    return awakened(model) if awake else model


def dit(awake: bool = True) -> PublishedDiTDenoiser:
    torch.manual_seed(0)
    model = PublishedDiTDenoiser(PublishedDiTConfig(), *SHAPE)
    return awakened(model) if awake else model


def awakened(model: Any) -> Any:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return model


def learned(model: TrainedDenoiser, losses: Iterable[Tensor]) -> dict[str, Tensor]:
    """The sum of losses, and what they teach."""
    model.zero_grad()
    total = torch.zeros(())
    for loss in losses:
        loss.backward()
        total += loss.detach()
    found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return {name: gradient.clone() for name, gradient in found.items()} | {"loss": total}


def gradients(model: TrainedDenoiser) -> dict[str, Tensor]:
    """What a training step teaches, and its loss."""
    return learned(model, model.training_losses(clean(), seed=3))


def require_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert torch.allclose(value, b[name], rtol=1e-4, atol=1e-7), name
