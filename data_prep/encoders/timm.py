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
FORMATS = (".safetensors", ".pth", ".pt", ".bin")
ANCHOR = "patch_embed.proj.weight"  # every ViT of timm has it
# Of several networks in one file, the one that its training is for.
WANTED = ("teacher", "ema", "target")
# What a file may hold besides, since it gives no patch tokens.
BESIDES = ("head", "decoder", "lm_head", "fc_norm", "attn_pool", "pre_logits")


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
        outline = _outline(config.model)
        patch = int(outline.patch_embed.patch_size[0])
        self.input_size = config.input_size or max(1, round(size / patch)) * patch
        if self.input_size % patch:
            raise InputError(
                f"encoder.input_size {self.input_size}: {config.model} has patches of {patch} "
                f"pixels; give a multiple, such as {round(self.input_size / patch) * patch}"
            )
        self.model = _timm_model(config.model, self.input_size, outline, weights)
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
    architecture, _, tag = config.model.partition(".")
    if not timm.is_model(architecture):
        close = timm.list_models(f"*{architecture[:12]}*")[:3]
        hint = f" (near: {', '.join(close)})" if close else ""
        raise InputError(f"encoder.name {config.name}: timm has no such model{hint}")
    tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        known = f"give one of {', '.join(tags)}" if tags else "it has none"
        raise InputError(
            f"encoder.name {config.name}: timm knows no weights {tag} of {architecture}; {known}"
        )
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


def _outline(name: str) -> Any:
    """The model without memory for its weights."""
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=0)
    embed = getattr(model, "patch_embed", None)
    if getattr(embed, "patch_size", None) is None or not hasattr(model, "num_prefix_tokens"):
        raise InputError(f"encoder.name timm:{name}: gives no patch tokens; take a ViT")
    return model


def _timm_model(name: str, size: int, outline: Any, weights: Path) -> Any:
    """The model with every weight from the file, its position embeddings resampled to `size`.

    Nothing in the file runs.
    """
    if weights.suffix not in FORMATS:
        raise InputError(f"{weights}: give weights as .safetensors or .pth")
    needed = list(outline.state_dict())
    others = tuple(part for part in BESIDES if not any(key.startswith(part) for key in needed))
    patch = outline.patch_embed.patch_size[0]
    try:
        found = _one_network(timm.models.load_state_dict(str(weights), weights_only=True))
        state = {key: value for key, value in found.items() if not key.startswith(others)}
        if not state:  # timm would ask the hub
            raise ValueError("it holds no tensors")
        kernel = state[ANCHOR].shape if ANCHOR in state else ()
        # timm would resample the filters, which only FlexiViT is trained for.
        if len(kernel) == 4 and kernel[-1] != patch and "flexi" not in name:
            raise ValueError(f"its patches are of {kernel[-1]} pixels, not {patch}")
        missing = [key for key in needed if key not in state]
        if "siglip" in name and missing:  # timm does without some of its weights
            raise ValueError(f"missing: {missing[0]}")
        # Without classes here and in the file, timm wants every weight and none besides.
        overlay = {"state_dict": state, "custom_load": False, "num_classes": 0}
        return timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0, img_size=size
        )
    except Exception as error:  # unpicklers and models raise whatever they like
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{weights}: no weights of {name} ({reason})") from None


def _one_network(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """The weights of the ViT in a checkpoint, by the names that its own makers gave them.

    Whatever stands before them, such as `module.` or `teacher.backbone.`, is taken off.

    Raises:
        ValueError: it holds several networks, or names of Transformers.
    """
    state = _flat(checkpoint)
    if any("encoder.layer." in name for name in state):
        raise ValueError("its names are those of Transformers; give the weights of timm's hub")
    places = [name.removesuffix(ANCHOR) for name in state if name.endswith(ANCHOR)]
    for word in WANTED:
        places = [place for place in places if word in place] or places
    if len(places) > 1:
        raise ValueError(f"it holds several networks: {', '.join(places)}")
    place = places[0] if places else ""
    return {name.removeprefix(place): v for name, v in state.items() if name.startswith(place)}


def _flat(nested: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors in nested dictionaries, by their path with dots."""
    found: dict[str, Tensor] = {}
    for name, value in nested.items():
        if isinstance(value, Tensor):
            found[str(name)] = value
        elif isinstance(value, dict):
            found |= {f"{name}.{below}": tensor for below, tensor in _flat(value).items()}
    return found
