"""Latents of an autoencoder as patch embeddings, and back."""

from torch import Tensor

from data_prep.config import EncoderConfig
from data_prep.errors import InputError


def input_size(config: EncoderConfig, size: int, reduction: int) -> int:
    """Height and width in pixels to which frames of `size` pixels are resized before encoding.

    `reduction` is the number of pixels of a latent in each direction.

    Raises:
        InputError: patches of `config` do not fill the size that it asks for.
    """
    step = reduction * config.patch_size
    wanted = config.input_size or max(1, round(size / step)) * step
    if wanted % step:
        raise InputError(
            f"encoder.input_size {wanted}: patches of {config.patch_size} latents of "
            f"{reduction} pixels need a multiple of {step}"
        )
    return wanted


def patches_of(latents: Tensor, side: int) -> Tensor:
    """Latents `[B, channels, height, width]` as embeddings `[B, P, D]` of patches of side x side.

    An embedding lists the channels of each latent of its patch, row by row.
    """
    patches = latents.unflatten(3, (-1, side)).unflatten(2, (-1, side))
    # [B, channels, rows, side, columns, side]
    return patches.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def latents_of(embeddings: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """The latents `[B, channels, height, width]` of embeddings `[B, P, D]`."""
    patches = embeddings.unflatten(2, (side, side, -1)).unflatten(1, grid)
    # [B, rows, columns, side, side, channels]
    return patches.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)
