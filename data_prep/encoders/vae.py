"""Latents of diffusers autoencoders, from weights on this machine."""

import json
from pathlib import Path

import diffusers
from torch import Tensor

from data_prep.config import EncoderConfig
from data_prep.encoders.base import in_batches, resize
from data_prep.encoders.weights import cached_weights, checksum
from data_prep.errors import InputError

AUTOENCODERS = ("AutoencoderKL", "AutoencoderTiny")
VAE_WEIGHTS = "diffusion_pytorch_model.safetensors"


class AutoencoderLatents:
    """Scaled latents of a diffusers autoencoder (the mean, not a sample), grouped into patches.

    An embedding lists the channels of each latent of its patch, row by row. With `patch_size`
    as large as the latents, a frame is one token, as in the EBT paper (arXiv 2507.02092).
    """

    isometric: bool = False
    decodable: bool = True

    def __init__(self, config: EncoderConfig, size: int):
        folder = _vae_folder(config)
        kind = _vae_kind(folder)
        weights = folder / VAE_WEIGHTS
        if not weights.is_file():
            raise InputError(
                f"encoder {config.name}: no {VAE_WEIGHTS} in {folder}; weights in other formats "
                "are not read, as they may run code"
            )
        self.name = f"vae:{_vae_name(config)}"
        self.weights: str | None = checksum(weights)
        self.model = getattr(diffusers, kind).from_pretrained(
            folder, local_files_only=True, use_safetensors=True
        )
        self.model.eval().requires_grad_(False)
        settings = self.model.config
        self._scale = float(settings.get("scaling_factor") or 1.0)
        self._shift = float(settings.get("shift_factor") or 0.0)
        reduction = 2 ** (len(settings["block_out_channels"]) - 1)
        if kind == "AutoencoderTiny":
            reduction = 2 ** (sum(n > 0 for n in settings["num_encoder_blocks"]) - 1)
        step = reduction * config.patch_size
        self.input_size = config.input_size or max(1, round(size / step)) * step
        if self.input_size % step:
            raise InputError(
                f"encoder.input_size {self.input_size}: patches of {config.patch_size} latents of "
                f"{reduction} pixels need a multiple of {step}"
            )
        self.size, self.patch_size = size, config.patch_size
        rows = self.input_size // step
        channels = int(settings["latent_channels"])
        self.grid, self.dim = (rows, rows), channels * config.patch_size**2
        self._batch_size = config.batch_size

    def encode(self, frames: Tensor) -> Tensor:
        """Frames `[B, 3, height, width]` in [0, 1] to embeddings `[B, P, D]`."""
        self.model.to(frames.device)
        (rows, columns), side = self.grid, self.patch_size

        def embed(part: Tensor) -> Tensor:
            encoded = self.model.encode(resize(part, self.input_size) * 2 - 1)
            tiny = isinstance(self.model, diffusers.AutoencoderTiny)
            latents = encoded.latents if tiny else encoded.latent_dist.mode()
            latents = (latents.float() - self._shift) * self._scale
            patches = latents.unflatten(3, (columns, side)).unflatten(2, (rows, side))
            # [B, channels, rows, side, columns, side]
            return patches.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)  # [B, P, D]

        return in_batches(embed, frames, self._batch_size)

    def decode(self, embeddings: Tensor) -> Tensor:
        """Embeddings `[B, P, D]` to frames `[B, 3, height, width]`, not clipped."""
        self.model.to(embeddings.device)
        (rows, columns), side = self.grid, self.patch_size

        def picture(part: Tensor) -> Tensor:
            patches = part.unflatten(2, (side, side, -1)).unflatten(1, (rows, columns))
            # [B, rows, columns, side, side, channels]
            latents = patches.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)
            decoded = self.model.decode(latents / self._scale + self._shift).sample
            return resize((decoded.float() + 1) / 2, self.size)

        return in_batches(picture, embeddings, self._batch_size)


def _vae_folder(config: EncoderConfig) -> Path:
    path = Path(config.model).expanduser()
    if path.is_dir():
        return path
    looks_like_path = config.model.startswith((".", "/", "~")) or config.model.count("/") != 1
    if looks_like_path:
        raise InputError(f"encoder.name {config.name}: no such folder")
    cached_weights(config.model, ("config.json",), config.name)
    return cached_weights(config.model, (VAE_WEIGHTS,), config.name).parent


def _vae_name(config: EncoderConfig) -> str:
    """The hub's name, or the folder's own: its path belongs to this machine."""
    path = Path(config.model).expanduser()
    return path.resolve().name if path.is_dir() else config.model


def _vae_kind(folder: Path) -> str:
    try:
        kind = json.loads((folder / "config.json").read_text())["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder}/config.json: no config of a diffusers model ({error})"
        ) from None
    if kind not in AUTOENCODERS:
        raise InputError(f"{folder}: holds a {kind}; encoders are {' and '.join(AUTOENCODERS)}")
    return str(kind)
