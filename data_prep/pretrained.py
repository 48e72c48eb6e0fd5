"""Frozen networks as encoders: timm ViTs and diffusers autoencoders, from weights at hand.

Weights are looked for in files and in the hub's cache, never fetched: what is missing is said at
once, with the command that gets it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import huggingface_hub
import timm
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from data_prep.config import EncoderConfig
from data_prep.encoders import Encoder
from data_prep.errors import InputError
from data_prep.storage import sha256_of

AUTOENCODERS = ("AutoencoderKL", "AutoencoderTiny")
VAE_WEIGHTS = "diffusion_pytorch_model.safetensors"
TIMM_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def build_pretrained(config: EncoderConfig, size: int) -> Encoder:
    """The timm or vae encoder of `config` for square frames of `size` pixels.

    Raises:
        InputError: the model is not known, its weights are not here, or sizes do not fit.
    """
    return TimmPatches(config, size) if config.kind == "timm" else AutoencoderLatents(config, size)


class TimmPatches:
    """Patch tokens of a timm ViT after its last norm, without class and register tokens.

    Frames are resized (bicubic, antialiased) to `input_size` and normalised as the model was
    trained. Per-dimension scales are needed: not isometric.
    """

    isometric: bool = False
    decodable: bool = False

    def __init__(self, config: EncoderConfig, size: int):
        weights = _timm_weights(config)
        self.name = config.name
        self.weights: str | None = _checksum(weights)
        patch = _timm_patch(config.model)
        self.input_size = config.input_size or max(1, round(size / patch)) * patch
        if self.input_size % patch:
            raise InputError(
                f"encoder.input_size {self.input_size}: {config.model} has patches of {patch} "
                f"pixels; give a multiple, such as {round(self.input_size / patch) * patch}"
            )
        self.model = _timm_model(config.model, self.input_size, weights)
        self.model.eval().requires_grad_(False)
        rows = self.input_size // patch
        self.grid, self.dim = (rows, rows), int(self.model.num_features)
        data = timm.data.resolve_model_data_config(self.model)
        self._mean = torch.tensor(data["mean"])[:, None, None]
        self._std = torch.tensor(data["std"])[:, None, None]
        self._batch_size = config.batch_size

    def encode(self, frames: Tensor) -> Tensor:
        """Frames `[N, 3, H, W]` in [0, 1] to embeddings `[N, P, D]`."""
        self.model.to(frames.device)
        mean, std = self._mean.to(frames.device), self._std.to(frames.device)
        prefix = self.model.num_prefix_tokens

        def embed(part: Tensor) -> Tensor:
            part = (_resize(part, self.input_size).clamp(0, 1) - mean) / std
            return self.model.forward_features(part)[:, prefix:]  # [N, P, D]

        return _in_batches(embed, frames, self._batch_size)

    def decode(self, embeddings: Tensor) -> Tensor:
        """There is no way back.

        Raises:
            InputError: always.
        """
        raise InputError(f"{self.name} cannot be decoded to frames; use dct or a vae: encoder")


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
        self.weights: str | None = _checksum(weights)
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
            encoded = self.model.encode(_resize(part, self.input_size) * 2 - 1)
            tiny = isinstance(self.model, diffusers.AutoencoderTiny)
            latents = encoded.latents if tiny else encoded.latent_dist.mode()  # [N, C, h*p, w*p]
            latents = (latents.float() - self._shift) * self._scale
            patches = latents.unflatten(3, (w, p)).unflatten(2, (h, p))  # [N, C, h, p, w, p]
            return patches.permute(0, 2, 4, 3, 5, 1).reshape(len(part), h * w, self.dim)

        return _in_batches(embed, frames, self._batch_size)

    def decode(self, embeddings: Tensor) -> Tensor:
        """Embeddings `[N, P, D]` to frames `[N, 3, H, W]`, not clipped."""
        self.model.to(embeddings.device)
        (h, w), p = self.grid, self.patch_size

        def picture(part: Tensor) -> Tensor:
            patches = part.reshape(len(part), h, w, p, p, -1).permute(0, 5, 1, 3, 2, 4)
            latents = patches.reshape(len(part), -1, h * p, w * p)  # [N, C, h*p, w*p]
            decoded = self.model.decode(latents / self._scale + self._shift).sample
            return _resize((decoded.float() + 1) / 2, self.size)

        return _in_batches(picture, embeddings, self._batch_size)


def _in_batches(call: Callable[[Tensor], Tensor], inputs: Tensor, size: int) -> Tensor:
    """`call` on parts of at most `size`, without gradient; in bf16 on a GPU."""
    with torch.no_grad(), torch.autocast("cuda", torch.bfloat16, enabled=inputs.is_cuda):
        return torch.cat([call(part).float() for part in inputs.split(size)])


def _resize(frames: Tensor, size: int) -> Tensor:
    if frames.shape[-2:] == (size, size):
        return frames
    return interpolate(frames, (size, size), mode="bicubic", antialias=True)


def _timm_weights(config: EncoderConfig) -> Path:
    if not timm.is_model(config.model.split(".")[0]):
        close = timm.list_models(f"*{config.model.split('.')[0][:12]}*")[:3]
        hint = f" (near: {', '.join(close)})" if close else ""
        raise InputError(f"encoder.name {config.name}: timm has no such model{hint}")
    if config.weights is not None:
        path = Path(config.weights).expanduser()
        if not path.is_file():
            raise InputError(f"encoder.weights {config.weights}: no such file")
        return path
    cfg = timm.get_pretrained_cfg(config.model)
    hub = cfg.hf_hub_id if cfg is not None else None
    if not hub:
        raise InputError(
            f"encoder.name {config.name}: the hub has no weights of it; give encoder.weights FILE"
        )
    return _cached(hub, TIMM_WEIGHTS, config.name)


def _timm_patch(name: str) -> int:
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=0)
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    if patch is None or not hasattr(model, "num_prefix_tokens"):
        raise InputError(f"encoder.name timm:{name}: gives no patch tokens; take a ViT")
    return int(patch[0])


def _timm_model(name: str, size: int, weights: Path) -> Any:
    """The model with its position embeddings resampled to `size`; nothing in the file runs."""
    if weights.suffix not in (".safetensors", ".pth", ".pt", ".bin"):
        raise InputError(f"{weights}: give weights as .safetensors or .pth")
    try:
        state = timm.models.load_state_dict(str(weights), weights_only=True)
        overlay = {"state_dict": state, "custom_load": False}
        return timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0, img_size=size
        )
    except Exception as error:  # unpicklers and models raise whatever they like
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{weights}: no weights of {name} ({reason})") from None


def _vae_folder(config: EncoderConfig) -> Path:
    path = Path(config.model).expanduser()
    if path.is_dir():
        return path
    looks_like_path = config.model.startswith((".", "/", "~")) or config.model.count("/") != 1
    if looks_like_path:
        raise InputError(f"encoder.name {config.name}: no such folder")
    _cached(config.model, ("config.json",), config.name)
    return _cached(config.model, (VAE_WEIGHTS,), config.name).parent


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


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return sha256_of(file)


def _cached(hub: str, names: tuple[str, ...], encoder: str) -> Path:
    """The first of `names` in the hub's cache."""
    for name in names:
        found = huggingface_hub.try_to_load_from_cache(hub, name)
        if isinstance(found, str):
            return Path(found)
    raise InputError(
        f"encoder {encoder}: {names[0]} of {hub} is not on this machine; get it with: "
        f"hf download {hub} (or give a local file or folder)"
    )
