"""Clips of videos that are no video files: arrays, folders of frames, animated images.

Their frames have no times. Neighbours are taken to be `config.frame_interval` apart, so that a clip
holds neighbouring frames. An animated WebP has times of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageSequence

from data_prep.config import CorpusConfig
from data_prep.decoding.clip import DecodedClip, clip_indices, motion_of
from data_prep.decoding.images import read_image
from data_prep.errors import DecodeError
from data_prep.sources.arrays import axes_of, open_array
from data_prep.sources.frame_folders import numbered

Frame = Callable[[], np.ndarray]  # uint8 `[height, width, 3]`


def read_array_clips(path: Path, item: int, config: CorpusConfig) -> Iterator[DecodedClip]:
    """The clips of one video of an array.

    Raises:
        DecodeError: its values are no pixels, it is shorter than one clip, or nothing moves.
    """
    array = _opened(str(path))
    axes = axes_of(array.shape, config.axes, path.name)
    if "N" in axes:
        array = np.take(array, item, axis=axes.index("N"))
        axes = axes.replace("N", "")
    order = [axes.index(axis) for axis in "THWC" if axis in axes]
    video = array.transpose(order)  # [T, height, width] or [T, height, width, C]
    if video.ndim == 3:
        video = video[..., None]
    pixels = _pixels(np.asarray(video))
    frames = [
        lambda image=image: image for image in np.broadcast_to(pixels, (*pixels.shape[:3], 3))
    ]
    times = np.arange(len(pixels)) * config.frame_interval
    yield from _clips(frames, times, config, "numpy", np.__version__)


def read_folder_clips(path: Path, config: CorpusConfig) -> Iterator[DecodedClip]:
    """The clips of a folder of numbered frames; one across a missing number is left out.

    Raises:
        DecodeError: a frame cannot be read, or it is too short, or nothing moves.
    """
    shown = [file.name for file in path.iterdir() if not file.name.startswith(".")]
    found = numbered(shown)
    if not found:
        raise DecodeError("no folder of numbered images of one kind any more")
    numbers = np.array([number for number, _ in found])
    unit = int(np.diff(numbers).min()) if len(numbers) > 1 else 1
    times = (numbers - numbers[0]) / unit * config.frame_interval
    frames = [lambda name=name: read_image(path / name, None) for _, name in found]
    whole = False
    for clip in _clips(frames, times, config, "pillow", PIL.__version__):
        if clip.repeated == 0:
            whole = True
            yield clip
    if not whole:
        raise DecodeError("every clip goes across a missing number")


def read_animation_clips(path: Path, config: CorpusConfig) -> Iterator[DecodedClip]:
    """The clips of an animated image, whose frames last as long as it says.

    Raises:
        DecodeError: it cannot be read, or it is too short, or nothing moves.
    """
    try:
        with Image.open(path) as file:
            frames, times, now = [], [], 0.0
            for frame in ImageSequence.Iterator(file):
                image = Image.new("RGBA", frame.size, "white")
                image.alpha_composite(frame.convert("RGBA"))
                picture = np.asarray(image.convert("RGB"))
                frames.append(lambda picture=picture: picture)
                times.append(now)
                now += frame.info.get("duration", 100) / 1000
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise DecodeError(f"no readable animation: {error}") from None
    yield from _clips(frames, np.array(times), config, "pillow", PIL.__version__)


@lru_cache(maxsize=1)
def _opened(path: str) -> np.ndarray:
    """An array, kept open for the next of its videos."""
    return open_array(Path(path))


def _pixels(values: np.ndarray) -> np.ndarray:
    """Values as uint8: those of 8 bits as they are, floats of [0, 1] and booleans as shares.

    Raises:
        DecodeError: the range of the values is not known.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype == bool:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind == "f":
        low, high = float(values.min()), float(values.max())
        if np.isfinite([low, high]).all() and low >= 0 and high <= 1:
            return (values * 255 + 0.5).astype(np.uint8)
        raise DecodeError(f"floats from {low:g} to {high:g}; save them in [0, 1], or as uint8")
    raise DecodeError(f"values of type {values.dtype}; save them as uint8, or as floats in [0, 1]")


def _clips(
    frames: Sequence[Frame], times: np.ndarray, config: CorpusConfig, decoder: str, version: str
) -> Iterator[DecodedClip]:
    indices = clip_indices(times, config)
    if len(indices) == 0:
        raise DecodeError(
            f"too short: {len(frames)} frames over {times[-1] if len(times) else 0:.2f} s, a clip "
            f"needs {(config.frames - 1) * config.frame_interval:.2f} s"
        )
    moving = 0
    for wanted in indices:
        pictures = np.stack([_square(frames[index](), config) for index in wanted])
        motion = motion_of(pictures)
        if motion == 0:
            continue
        moving += 1
        yield DecodedClip(
            frames=pictures,
            times=[round(float(times[index]), 6) for index in wanted],
            repeated=len(wanted) - len(set(wanted.tolist())),
            decoder=decoder,
            decoder_version=version,
            motion=motion,
        )
    if not moving:
        raise DecodeError("no motion: every frame shows the same")


def _square(frame: np.ndarray, config: CorpusConfig) -> np.ndarray:
    """A frame as a square of `config.size`: resized, and cropped around its centre or squeezed."""
    height, width = frame.shape[:2]
    size = config.size
    if (height, width) == (size, size):
        return np.ascontiguousarray(frame)
    scale = size / min(height, width)
    wanted = (
        (max(size, round(width * scale)), max(size, round(height * scale)))
        if config.crop
        else (size, size)
    )
    image = Image.fromarray(np.ascontiguousarray(frame))
    resized = np.asarray(image.resize(wanted, Image.Resampling.BICUBIC))
    top, left = (resized.shape[0] - size) // 2, (resized.shape[1] - size) // 2
    return resized[top : top + size, left : left + size]
