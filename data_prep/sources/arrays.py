"""Arrays of numpy as videos: `.npy` and `.npz` files of one or many videos.

Each video of `array.npy` is a source of its own, named `array.npy#0`, `array.npy#1` and so on.
"""

import re
import zipfile
from pathlib import Path

import numpy as np

from data_prep.errors import DecodeError, InputError

NOUN = "arrays"
SUFFIXES = (".npy", ".npz")
ITEM = re.compile(r"(.+\.np[yz])#(\d+)", re.IGNORECASE)
AXES = "TNHWC"  # frames, videos, height, width, channels
CHANNELS = (1, 3)
# The official test sequences of Moving MNIST.
MOVING_MNIST, MOVING_MNIST_SHAPE = "mnist_test_seq.npy", (20, 10000, 64, 64)


def detect(files: list[str], root: str, axes: str | None) -> dict[str, list[str]]:
    """The videos of each array among `files`, by file.

    Raises:
        InputError: an array's shape does not say which axis is which.
    """
    found = {}
    for file in files:
        if file.lower().endswith(SUFFIXES):
            path = Path(root, file)
            try:
                shape = open_array(path).shape
            except DecodeError:
                found[file] = [f"{file}#0"]  # rejected with its reason where it is read
                continue
            order = axes_of(shape, axes, file)
            count = shape[order.index("N")] if "N" in order else 1
            digits = len(str(max(0, count - 1)))
            found[file] = [f"{file}#{number:0{digits}d}" for number in range(count)]
    return found


def open_array(path: Path) -> np.ndarray:
    """The array of a file; a `.npy` file is not read into memory.

    Raises:
        DecodeError: it holds none, several, or objects.
    """
    try:
        if path.suffix.lower() == ".npy":
            array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
            return array
        with np.load(path, allow_pickle=False) as held:
            if len(held.files) != 1:
                raise DecodeError(f"holds {len(held.files)} arrays; keep one in a file")
            return np.asarray(held[held.files[0]])
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DecodeError(f"no readable array: {' '.join(str(error).split())[:200]}") from None


def axes_of(shape: tuple[int, ...], given: str | None, name: str) -> str:
    """What each axis of an array is, one letter of AXES each.

    Without `given` axes only what a shape cannot mean otherwise is taken: `THW`, `THWC`, `TCHW`,
    and the official Moving MNIST.

    Raises:
        InputError: the shape does not say, or does not fit what is given.
    """
    if given is not None:
        channels = shape[given.index("C")] if "C" in given and len(given) == len(shape) else 1
        if len(given) == len(shape) and channels in CHANNELS:
            return given
        raise InputError(f"{name}: axes {given} do not fit its shape {list(shape)}")
    if Path(name).name == MOVING_MNIST and shape == MOVING_MNIST_SHAPE:
        return "TNHW"
    if len(shape) == 3:
        return "THW"
    last, second = (len(shape) == 4 and shape[axis] in CHANNELS for axis in (-1, 1))
    if last != second:
        return "THWC" if last else "TCHW"
    raise InputError(
        f"{name}: its shape {list(shape)} does not say which axis is which; give corpus.axes, a "
        "letter for each: T frames, N videos, H height, W width, C channels, such as TNHW"
    )


def item_of(path: str) -> tuple[str, int | None]:
    """The file of a source, and which of its videos it is; None for a file that is one video."""
    match = ITEM.fullmatch(path)
    return (match.group(1), int(match.group(2))) if match else (path, None)
