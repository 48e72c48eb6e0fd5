"""Images to square crops: any image file as RGB, cropped at places that its name decides."""

import hashlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from data_prep.config import ImagesConfig
from data_prep.decoding.clip import DecodedClip
from data_prep.decoding.values import upright_rgb
from data_prep.errors import DecodeError
from data_prep.sources.source import Source


def read_crops(path: Path, source: Source, config: ImagesConfig) -> Iterator[DecodedClip]:
    """Crops of the image in `path`, each as a clip of one frame; `source` decides the places.

    Raises:
        DecodeError: the file is no image, is damaged, or is smaller than a crop.
    """
    image = read_image(path, config.resize)
    count = config.crops if source.split == "train" else config.held_out_crops
    seed = None if config.centre else source.path
    for crop in crops_of(image, count, config.size, seed):
        yield DecodedClip(crop[None], [0.0], 0, "pillow", PIL.__version__)


def read_image(path: Path, resize: int | None) -> np.ndarray:
    """An upright RGB image, uint8 `[height, width, 3]`.

    Greyscale, palette, CMYK and 16-bit images are converted; what is transparent lies on white.
    With `resize` the shorter side is resized to that many pixels.

    Raises:
        DecodeError: the file is no image or damaged, or the range of its values is not known.
    """
    try:
        with warnings.catch_warnings(), Image.open(path) as file:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = upright_rgb(file)
    except (
        OSError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombWarning,
        Image.DecompressionBombError,
    ) as error:
        raise DecodeError(_unreadable(path, error)) from None
    if resize is not None:
        scale = resize / min(image.size)
        width, height = (max(resize, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of an image as its header gives them; an upright one may have them swapped.

    Raises:
        DecodeError: the file is no image.
    """
    try:
        with warnings.catch_warnings(), Image.open(path) as file:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return file.height, file.width
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DecodeError(_unreadable(path, error)) from None


def crops_of(image: np.ndarray, count: int, size: int, seed: str | None) -> list[np.ndarray]:
    """`count` square crops of `size` pixels of an image `[height, width, 3]`.

    Their places are drawn from `seed`; without one they lie in the centre.

    Raises:
        DecodeError: the image is smaller than a crop.
    """
    height, width = image.shape[:2]
    if min(height, width) < size:
        raise DecodeError(f"{width}x{height} pixels, smaller than a crop of {size}x{size}")
    entropy = hashlib.blake2b((seed or "").encode(), digest_size=8).digest()
    rng = np.random.default_rng(int.from_bytes(entropy))
    crops = []
    for _ in range(count):
        top, left = (height - size) // 2, (width - size) // 2
        if seed is not None:
            top, left = rng.integers(height - size + 1), rng.integers(width - size + 1)
        crops.append(np.ascontiguousarray(image[top : top + size, left : left + size]))
    return crops


def _unreadable(path: Path, error: Exception) -> str:
    return f"no readable image: {str(error).replace(repr(str(path)), 'the file')}"
