"""Latents of the tiny autoencoders of github.com/madebyollin/taesd, from their own files.

`vae:` reads those that diffusers' AutoencoderTiny can hold. It has no place for a branch of newer
ones (such as TAEF2) that sees the whole image; this file has, and reads both.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from data_prep.config import EncoderConfig
from data_prep.encoders.base import in_batches, resize
from data_prep.encoders.latents import input_size, latents_of, patches_of
from data_prep.encoders.weights import checksum
from data_prep.errors import InputError

WIDTH, POOLED = 64, 256  # channels of the blocks, and of their branch over the whole image
REDUCTION = 8  # pixels of a latent in each direction
BOUND = 3.0  # to which the decoder limits latents, smoothly
LATENTS, POOLS = ("14.weight", "1.weight"), ("11.pool.0.weight", "3.pool.0.weight")


class TinyAutoencoderLatents:
    """Latents of a tiny autoencoder, grouped into patches; they are not scaled."""

    isometric: bool = False
    decodable: bool = True

    def __init__(self, config: EncoderConfig, size: int):
        folder = Path(config.model).expanduser()
        if not folder.is_dir():
            raise InputError(f"encoder.name {config.name}: no such folder")
        files = [_only_file(folder, part) for part in ("encoder", "decoder")]
        encoder, decoder = (_weights(file) for file in files)
        channels = _channels(encoder, LATENTS[0], 0, files[0])
        if _channels(decoder, LATENTS[1], 1, files[1]) != channels:
            raise InputError(f"{files[1]}: decodes other latents than {files[0].name} gives")
        self.name = f"tae:{folder.resolve().name}"
        self.weights: str | None = "-".join(checksum(file)[:32] for file in files)
        self._encoder = _filled(_encoder(channels, POOLS[0] in encoder), encoder, files[0])
        self._decoder = _filled(_decoder(channels, POOLS[1] in decoder), decoder, files[1])
        self.input_size = input_size(config, size, REDUCTION)
        self.size, self.patch_size = size, config.patch_size
        rows = self.input_size // (REDUCTION * config.patch_size)
        self.grid, self.dim = (rows, rows), channels * config.patch_size**2
        self._batch_size = config.batch_size

    def encode(self, frames: Tensor) -> Tensor:
        """Frames `[B, 3, height, width]` in [0, 1] to embeddings `[B, P, D]`."""
        self._encoder.to(frames.device)

        def embed(part: Tensor) -> Tensor:
            latents = self._encoder(resize(part, self.input_size))
            return patches_of(latents.float(), self.patch_size)  # [B, P, D]

        return in_batches(embed, frames, self._batch_size)

    def decode(self, embeddings: Tensor) -> Tensor:
        """Embeddings `[B, P, D]` to frames `[B, 3, height, width]`, not clipped."""
        self._decoder.to(embeddings.device)

        def picture(part: Tensor) -> Tensor:
            decoded = self._decoder(latents_of(part, self.grid, self.patch_size))
            return resize(decoded.float(), self.size)

        return in_batches(picture, embeddings, self._batch_size)


class _Bounded(nn.Module):
    def forward(self, latents: Tensor) -> Tensor:
        return torch.tanh(latents / BOUND) * BOUND


class _Block(nn.Module):
    """Three convolutions beside a shortcut; `pool` adds what the whole image says."""

    def __init__(self, pool: bool = False):
        super().__init__()
        layers = [_conv(), nn.ReLU(), _conv(), nn.ReLU(), _conv()]
        self.conv = nn.Sequential(*layers)
        self.pool = (
            nn.Sequential(
                nn.Conv2d(WIDTH, POOLED, 1, bias=False),
                nn.GroupNorm(4, POOLED),
                nn.ReLU(),
                nn.Conv2d(POOLED, WIDTH, 1, bias=False),
            )
            if pool
            else None
        )

    def forward(self, features: Tensor) -> Tensor:
        if self.pool is not None:
            features = features + self.pool(features)
        return torch.relu(self.conv(features) + features)


def _conv(
    inputs: int = WIDTH, outputs: int = WIDTH, stride: int = 1, bias: bool = True
) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=bias)


def _encoder(channels: int, pool: bool) -> nn.Sequential:
    def halved(pool: bool = False) -> list[nn.Module]:
        return [_conv(stride=2, bias=False), *(_Block(pool) for _ in range(3))]

    layers = [_conv(3), _Block(), *halved(), *halved(), *halved(pool), _conv(WIDTH, channels)]
    return nn.Sequential(*layers)


def _decoder(channels: int, pool: bool) -> nn.Sequential:
    def doubled(blocks: int) -> list[nn.Module]:
        return [nn.Upsample(scale_factor=2), _conv(bias=False), *(_Block() for _ in range(blocks))]

    first = [_Bounded(), _conv(channels), nn.ReLU(), *(_Block(pool) for _ in range(3))]
    return nn.Sequential(*first, *doubled(3), *doubled(3), *doubled(1), _conv(WIDTH, 3))


def _only_file(folder: Path, part: str) -> Path:
    """The file of weights of the encoder or the decoder."""
    found = sorted(folder.glob(f"*{part}*.safetensors"))
    if len(found) != 1:
        other = sorted(path.name for path in folder.glob(f"*{part}*"))
        names = ", ".join(path.name for path in found) or ", ".join(other) or "nothing of that name"
        raise InputError(f"{folder}: needs one *{part}*.safetensors; it holds {names}")
    return found[0]


def _weights(file: Path) -> dict[str, Tensor]:
    try:
        return {name: tensor.float() for name, tensor in load_file(file).items()}
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{file}: no safetensors file ({reason})") from None


def _channels(weights: dict[str, Tensor], name: str, axis: int, file: Path) -> int:
    """The number of channels of the latents, which one convolution tells."""
    if name not in weights or weights[name].ndim != 4:
        raise InputError(f"{file}: no weights of a tiny autoencoder ({name} is missing)")
    return weights[name].shape[axis]


def _filled(model: nn.Sequential, weights: dict[str, Tensor], file: Path) -> nn.Sequential:
    """The model with every weight from the file, frozen."""
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{file}: no weights of a tiny autoencoder ({reason})") from None
    return model.eval().requires_grad_(False)
