"""Shapes of encoders whose weights are not on this machine: enough for a dry run."""

from dataclasses import dataclass

from torch import Tensor

from data_prep.config import EncoderConfig
from data_prep.encoders.base import Encoder
from data_prep.encoders.registry import build_encoder
from data_prep.errors import InputError

# How many pixels a latent stands for in height and width, and its channels.
LATENTS = {
    "stabilityai/sd-vae-ft-mse": (8, 4),
    "stabilityai/sd-vae-ft-ema": (8, 4),
    "madebyollin/taesd": (8, 4),
}


@dataclass
class ShapeOfEncoder:
    """An encoder of which only the shape of its embeddings is known."""

    name: str
    grid: tuple[int, int]
    dim: int
    weights: str | None = None
    decodable: bool = True
    isometric: bool = False

    def encode(self, frames: Tensor) -> Tensor:
        """It encodes nothing."""
        raise NotImplementedError

    def decode(self, embeddings: Tensor) -> Tensor:
        """It decodes nothing."""
        raise NotImplementedError


def build_or_shape(config: EncoderConfig, size: int) -> Encoder:
    """The encoder of `config`; where the weights of a known one are not here, its shape.

    Raises:
        InputError: its weights are not on this machine, and its shape is not known.
    """
    try:
        return build_encoder(config, size)
    except InputError:
        if config.model not in LATENTS:
            raise
    pixels, channels = LATENTS[config.model]
    step = pixels * config.patch_size
    rows = (config.input_size or max(1, round(size / step)) * step) // step
    return ShapeOfEncoder(config.name, (rows, rows), channels * config.patch_size**2)
