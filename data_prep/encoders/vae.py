"""Latents of diffusers autoencoders, from weights on this machine."""

import json
from pathlib import Path
from typing import Any

import diffusers
from diffusers.utils import logging
from torch import Tensor

from data_prep.config import EncoderConfig
from data_prep.encoders.base import in_batches, resize
from data_prep.encoders.latents import input_size, latents_of, patches_of
from data_prep.encoders.weights import cached_folder, checksum, not_here
from data_prep.errors import InputError

AUTOENCODERS = ("AutoencoderKL", "AutoencoderTiny")
CONFIG, SUBFOLDER = "config.json", "vae"  # a pipeline keeps its autoencoder there
WEIGHTS, VARIANTS = "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.*.safetensors"
OTHER_WEIGHTS = (".safetensors", ".bin", ".ckpt", ".pt", ".pth", ".msgpack", ".h5")


class AutoencoderLatents:
    """Scaled latents of a diffusers autoencoder (the mean, not a sample), grouped into patches.

    An embedding lists the channels of each latent of its patch, row by row. With `patch_size`
    as large as the latents, a frame is one token, as in the EBT paper (arXiv 2507.02092).
    """

    isometric: bool = False
    decodable: bool = True

    def __init__(self, config: EncoderConfig, size: int):
        folder, kind = _vae_folder(config)
        weights = _vae_weights(folder, config)
        self.name = f"vae:{_vae_name(config)}"
        self.weights: str | None = checksum(weights)
        self.model = _vae_model(kind, folder, weights)
        self.model.eval().requires_grad_(False)
        settings = self.model.config
        self.factor = float(settings.get("scaling_factor") or 1.0)
        self._shift = float(settings.get("shift_factor") or 0.0)
        reduction = 2 ** (len(settings["block_out_channels"]) - 1)
        if kind == "AutoencoderTiny":
            reduction = 2 ** (sum(n > 0 for n in settings["num_encoder_blocks"]) - 1)
        self.input_size = input_size(config, size, reduction)
        self.size, self.patch_size = size, config.patch_size
        rows = self.input_size // (reduction * config.patch_size)
        channels = int(settings["latent_channels"])
        self.grid, self.dim = (rows, rows), channels * config.patch_size**2
        self._batch_size = config.batch_size

    def encode(self, frames: Tensor) -> Tensor:
        """Frames `[B, 3, height, width]` in [0, 1] to embeddings `[B, P, D]`."""
        self.model.to(frames.device)

        def embed(part: Tensor) -> Tensor:
            encoded = self.model.encode(resize(part, self.input_size) * 2 - 1)
            tiny = isinstance(self.model, diffusers.AutoencoderTiny)
            latents = encoded.latents if tiny else encoded.latent_dist.mode()
            latents = (latents.float() - self._shift) * self.factor
            return patches_of(latents, self.patch_size)  # [B, P, D]

        return in_batches(embed, frames, self._batch_size)

    def decode(self, embeddings: Tensor) -> Tensor:
        """Embeddings `[B, P, D]` to frames `[B, 3, height, width]`, not clipped."""
        self.model.to(embeddings.device)

        def picture(part: Tensor) -> Tensor:
            latents = latents_of(part, self.grid, self.patch_size)
            decoded = self.model.decode(latents / self.factor + self._shift).sample
            return resize((decoded.float() + 1) / 2, self.size)

        return in_batches(picture, embeddings, self._batch_size)


def _vae_folder(config: EncoderConfig) -> tuple[Path, str]:
    """The folder of the autoencoder, which in a pipeline lies in its own, and its class."""
    place = Path(config.model).expanduser()
    if place.is_file():
        raise InputError(f"encoder.name {config.name}: is a file; give the folder of a model")
    if not place.is_dir():
        if config.model.startswith((".", "/", "~")) or config.model.count("/") != 1:
            raise InputError(f"encoder.name {config.name}: no such folder")
        place = cached_folder(config.model, config.name)
    kinds = {folder: _class_name(folder / CONFIG) for folder in (place, place / SUBFOLDER)}
    for folder, kind in kinds.items():
        if kind in AUTOENCODERS:
            return folder, str(kind)
    wanted = " or ".join(AUTOENCODERS)
    for folder, kind in kinds.items():
        if kind is not None:
            raise InputError(f"{folder}: holds a {kind}; give the folder of an {wanted}")
    raise InputError(
        f"encoder.name {config.name}: no config of a diffusers model at {CONFIG} or {SUBFOLDER}/"
        f"{CONFIG} in {place}; give the folder or repository of an {wanted}"
    )


def _class_name(config: Path) -> str | None:
    """The class of a model of diffusers; None where the file says nothing of one."""
    try:
        return str(json.loads(config.read_text())["_class_name"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _vae_weights(folder: Path, config: EncoderConfig) -> Path:
    """The file of weights: those of full precision, else another variant, such as fp16."""
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    variants = sorted(folder.glob(VARIANTS), key=lambda path: ("fp16" not in path.name, path))
    if variants:
        return variants[0]
    others = sorted(p.name for p in folder.iterdir() if p.suffix in OTHER_WEIGHTS)
    if others:
        raise InputError(
            f"encoder.name {config.name}: no {WEIGHTS} in {folder} but {others[0]}; weights in "
            "other formats are not read, as they may run code"
        )
    if Path(config.model).expanduser().is_dir():
        raise InputError(f"encoder.name {config.name}: no {WEIGHTS} in {folder}")
    raise not_here(WEIGHTS, config.model, config.name)


def _vae_model(kind: str, folder: Path, weights: Path) -> Any:
    """The autoencoder with every weight from the file."""
    variant = weights.name.removeprefix("diffusion_pytorch_model").removesuffix(".safetensors")
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # what it warns of is an error here
    try:
        model, said = getattr(diffusers, kind).from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            variant=variant.removeprefix(".") or None,
            low_cpu_mem_usage=False,  # or it asks for accelerate
            output_loading_info=True,
        )
        for trouble in ("missing", "unexpected"):
            keys = sorted(said[f"{trouble}_keys"])
            if keys:
                raise ValueError(f"{len(keys)} weights are {trouble}, the first {keys[0]}")
    except Exception as error:  # diffusers and safetensors raise whatever they like
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{weights}: no weights of the {kind} of {CONFIG} ({reason})") from None
    finally:
        logging.set_verbosity(verbosity)
    return model


def _vae_name(config: EncoderConfig) -> str:
    """The hub's name, or the folder's own: its path belongs to this machine."""
    path = Path(config.model).expanduser()
    return path.resolve().name if path.is_dir() else config.model
