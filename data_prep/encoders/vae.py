"""Latents of diffusers autoencoders, from weights at hand."""

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

    An embedding lists latent row by latent row, column by column, the channels. With `patch_size`
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
        """Frames `[N, 3, H, W]` in [0, 1] to embeddings `[N, P, D]`."""
        self.model.to(frames.device)
        (h, w), p = self.grid, self.patch_size

        def embed(part: Tensor) -> Tensor:
            encoded = self.model.encode(resize(part, self.input_size) * 2 - 1)
            tiny = isinstance(self.model, diffusers.AutoencoderTiny)
            latents = encoded.latents if tiny else encoded.latent_dist.mode()  # [N, C, h*p, w*p]
            latents = (latents.float() - self._shift) * self._scale
            patches = latents.unflatten(3, (w, p)).unflatten(2, (h, p))  # [N, C, h, p, w, p]
            return patches.permute(0, 2, 4, 3, 5, 1).reshape(len(part), h * w, self.dim)

        return in_batches(embed, frames, self._batch_size)

    def decode(self, embeddings: Tensor) -> Tensor:
        """Embeddings `[N, P, D]` to frames `[N, 3, H, W]`, not clipped."""
        self.model.to(embeddings.device)
        (h, w), p = self.grid, self.patch_size

        def picture(part: Tensor) -> Tensor:
            patches = part.reshape(len(part), h, w, p, p, -1).permute(0, 5, 1, 3, 2, 4)
            latents = patches.reshape(len(part), -1, h * p, w * p)  # [N, C, h*p, w*p]
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
