"""Patch tokens of any timm ViT, from weights on this machine."""

from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from data_prep.config import EncoderConfig
from data_prep.encoders.base import in_batches, resize
from data_prep.encoders.weights import cached_weights, checksum
from data_prep.errors import InputError

TIMM_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


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
        self.weights: str | None = checksum(weights)
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
        """Frames `[B, 3, height, width]` in [0, 1] to embeddings `[B, P, D]`."""
        self.model.to(frames.device)
        mean, std = self._mean.to(frames.device), self._std.to(frames.device)
        prefix = self.model.num_prefix_tokens

        def embed(part: Tensor) -> Tensor:
            part = (resize(part, self.input_size).clamp(0, 1) - mean) / std
            return self.model.forward_features(part)[:, prefix:]  # [B, P, D]

        return in_batches(embed, frames, self._batch_size)

    def decode(self, embeddings: Tensor) -> Tensor:
        """Not possible: tokens do not hold the pixels.

        Raises:
            InputError: always.
        """
        raise InputError(f"{self.name} cannot be decoded to frames; use dct or a vae: encoder")


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
    return cached_weights(hub, TIMM_WEIGHTS, config.name)


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
