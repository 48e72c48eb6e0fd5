"""The values of an opened image as RGB in 8 bits, each mode by its own range."""

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin

from data_prep.errors import DecodeError

WITH_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")
BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339
SIGNED, WHITE_IS_ZERO = 2, 0


def upright_rgb(file: Image.Image) -> Image.Image:
    """An opened image, turned upright, in mode RGB; what is transparent lies on white.

    Raises:
        DecodeError: it has further pages, values whose range is not known, or shows nothing.
    """
    pages = getattr(file, "n_frames", 1)
    if pages > 1 and file.format != "MPO":  # the further images of an MPO are views of the first
        raise DecodeError(f"{pages} pages or frames in one file; give a file for each")
    tags = dict(file.tag_v2) if isinstance(file, TiffImagePlugin.TiffImageFile) else {}
    if SIGNED in tags.get(SAMPLE_FORMAT, ()):
        raise DecodeError("signed integers, whose range is not known; save them as 8 or 16 bits")
    deep = any(
        ";16" in str(tile) for tile in getattr(file, "tile", ())
    )  # Pillow keeps 8 of 16 bits of colours
    image = ImageOps.exif_transpose(file)
    if image.mode == "F":
        return _of_share(_inverted(np.asarray(image), tags, 1.0))
    if image.mode == "I" and tags:
        raise DecodeError("32-bit integers, whose range is not known; save them as 8 or 16 bits")
    if image.mode.startswith("I"):
        most = 2 ** int(tags.get(BITS_PER_SAMPLE, (16,))[0]) - 1
        values = np.asarray(image)
        if most == 65535:
            _require_full_range(int(values.max()) / most)
        return _of_share(_inverted(values, tags, most) / most)
    if image.mode in WITH_ALPHA or "transparency" in image.info:
        image = _on_white(image.convert("RGBA"))
    image = image.convert("RGB")
    if deep:
        _require_full_range(np.asarray(image).max() / 255)
    return image


def _inverted(values: np.ndarray, tags: dict, most: float) -> np.ndarray:
    """The values with white as the most; Pillow leaves this to the reader above 8 bits."""
    return most - values if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else values


def _of_share(values: np.ndarray) -> Image.Image:
    """An image of values in [0, 1], black to white."""
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise DecodeError(
            f"floating-point values from {values.min():g} to {values.max():g}; "
            "save them in the range from 0 to 1, or as 8 or 16 bits"
        )
    return Image.fromarray((values * 255 + 0.5).astype(np.uint8)).convert("RGB")


def _require_full_range(share: float) -> None:
    """Raise DecodeError where 16 bits seem to hold values of 10, 12 or 14."""
    if share < 0.25:
        raise DecodeError(
            "16 bits with values below a quarter of their range, as of 10, 12 or 14 bits; "
            "save them in their full range"
        )


def _on_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    alpha, shown = np.asarray(image.getchannel("A")), np.asarray(white)
    if np.ptp(alpha) > 0 and not np.ptp(shown, axis=(0, 1)).any():
        raise DecodeError("what it shows stands in its transparency alone and vanishes on white")
    return white
