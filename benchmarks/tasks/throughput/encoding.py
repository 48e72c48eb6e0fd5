"""What a run saves whose embeddings are computed once, at the size of the published encoder."""

import warnings
from typing import Any

import diffusers
import numpy as np
import torch
from rich.console import Console

from benchmarks.record.results import Measurement
from benchmarks.tasks.throughput.cases import OptimiserStep, one_thread
from benchmarks.tasks.throughput.config import MeasureConfig
from benchmarks.tasks.throughput.measuring import Series, measurement, spent
from data_prep.shards.format import decode_embeddings, encode_embeddings
from worldmodel.config import SIZES
from worldmodel.predictor import Clips
from worldmodel.published.config import PublishedEBTConfig
from worldmodel.published.model import PublishedEBT

ENCODING_SIZES = ("4xs", "xxs")
CLIPS = 16  # that the published run takes at once
TARGET = 100


def measure_encoding(config: MeasureConfig, console: Console) -> list[Measurement]:
    """Training on stored embeddings, and reading them, against encoding frames in every step.

    A frame's latents are one token, as published. Encoding a clip takes most of a minute, so one is
    encoded and not a whole batch. All is per clip, on one thread.
    """
    console.print("prepared embeddings, against encoding in every step", highlight=False)
    side = config.vae_size
    clip = f"{config.vae_frames} frames of {side}x{side}"
    encoder = "by an SD-VAE-sized AutoencoderKL"
    with one_thread("cpu"):
        stored, encoding = _encoded(config)
        steps = {size: _steps(stored, size, config.repeats) for size in ENCODING_SIZES}
        reading = _readings(stored, config.repeats)
    anew = encoding.median
    found = [
        measurement(
            f"training step of ebt_published ({size}, {CLIPS} clips of {clip}, one token each)",
            "CPU-s a clip",
            step,
            f"the same, its frames encoded {encoder}",
            Series([anew + seconds for seconds in step]),
            target=TARGET,
            less_is_better=True,
        )
        for size, step in steps.items()
    ]
    reads = measurement(
        f"reading the stored embeddings of a clip ({clip}, one token each)",
        "CPU-s",
        reading,
        f"encoding it {encoder}",
        encoding,
        target=TARGET,
        less_is_better=True,
    )
    return [*found, reads]


def _encoded(config: MeasureConfig) -> tuple[bytes, Series]:
    """A clip's embeddings as a shard stores them, and the seconds that encoding it took."""
    vae = _stable_diffusion_vae()
    pixels = torch.rand(config.vae_frames, 3, config.vae_size, config.vae_size)
    _latents(vae, pixels[:1])
    seconds = Series()
    for _ in range(max(1, config.repeats // 2)):
        with spent() as cost:
            latents = _latents(vae, pixels).flatten(1)[:, None]  # [T, 1, D]
        seconds.append(cost.cpu)
    return encode_embeddings(latents.numpy()), seconds


def _steps(stored: bytes, size: str, repeats: int) -> Series:
    """Seconds per clip of reading a batch and of a training step on it."""
    dim = _read(stored).shape[2]
    with warnings.catch_warnings(action="ignore"):  # wider than the model, as published
        step = OptimiserStep(PublishedEBT(PublishedEBTConfig(), SIZES[size], (1, 1), dim))
    seconds = Series()
    for repeat in range(-1, repeats):
        with spent() as cost:
            clips = [_read(stored) for _ in range(CLIPS)]
            step(Clips(torch.stack(clips), [f"clip {number}" for number in range(CLIPS)]))
        if repeat >= 0:
            seconds.append(cost.cpu / CLIPS)
    return seconds


def _readings(stored: bytes, repeats: int) -> Series:
    """Seconds of reading a clip."""
    seconds, many = Series(), 1000
    for _ in range(repeats):
        with spent() as cost:
            for _ in range(many):
                _read(stored)
        seconds.append(cost.cpu / many)
    return seconds


def _stable_diffusion_vae() -> Any:
    """The architecture of stabilityai/sd-vae-ft-mse with random weights."""
    vae: Any = diffusers.AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[128, 256, 512, 512],
        layers_per_block=2,
    )
    return vae.eval().requires_grad_(False)


def _latents(vae: Any, pixels: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        parts = [vae.encode(part * 2 - 1).latent_dist.mode() for part in pixels.split(4)]
    return torch.cat(parts) * vae.config["scaling_factor"]


def _read(stored: bytes) -> torch.Tensor:
    """A clip's embeddings `[T, P, D]` out of their shard."""
    return torch.from_numpy(decode_embeddings(stored, "benchmark").astype(np.float32))
