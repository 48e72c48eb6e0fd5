"""Arrays of numpy as videos: `.npy` and `.npz` files of one or many videos.

Each video of `array.npy` is a source of its own, named `array.npy#0`, `array.npy#1` and so on.
"""

import errno
import re
import zipfile
from pathlib import Path

import numpy as np

from data_prep.errors import DecodeError, InputError
from data_prep.sources.media import VIDEOS

NOUN = "arrays"
SUFFIXES = (".npy", ".npz")
ITEM = re.compile(r"(.+\.np[yz])#(\d+)", re.IGNORECASE)
CHANNELS = (1, 3)
# The official test sequences of Moving MNIST.
MOVING_MNIST, MOVING_MNIST_SHAPE = "mnist_test_seq.npy", (20, 10000, 64, 64)


def detect(files: list[str], root: str, axes: str | None) -> dict[str, list[str]]:
    """The videos of each array among `files`, by file.

    Beside video files, an array of which nothing says that it holds videos is none: it is more
    likely of labels or features.

    Raises:
        InputError: an array's shape does not say which axis is which.
    """
    found = {}
    others = any(file.lower().endswith(VIDEOS.suffixes) for file in files)
    for file in files:
        if not file.lower().endswith(SUFFIXES):
            continue
        try:
            shape, dtype = header_of(Path(root, file))
            if others and axes is None and not _surely(shape, dtype, file):
                continue
            order = axes_of(shape, axes, file)
        except DecodeError:  # rejected with its reason where it is read
            found[file] = [f"{file}#0"]
            continue
        count = shape[order.index("N")] if "N" in order else 1
        digits = len(str(max(0, count - 1)))
        found[file] = [f"{file}#{number:0{digits}d}" for number in range(count)]
    return found


def _surely(shape: tuple[int, ...], dtype: np.dtype, file: str) -> bool:
    """Whether an array that nobody described holds videos: bytes in an order that can be told."""
    try:
        axes_of(shape, None, file)
    except InputError:
        return False
    return dtype == np.uint8


def open_array(path: Path) -> np.ndarray:
    """The array of a file; a `.npy` file is mapped, not read into memory.

    Raises:
        DecodeError: it holds none, several, or objects, or memory does not suffice.
    """
    try:
        held = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(held, np.ndarray):
            return held
        with held:
            if len(held.files) != 1:
                raise DecodeError(f"holds {len(held.files)} arrays; keep one in a file")
            return np.asarray(held[held.files[0]])
    except DecodeError:
        raise
    except (MemoryError, OSError) as error:
        if isinstance(error, MemoryError) or error.errno == errno.ENOMEM:
            raise DecodeError("an array larger than the memory limit: raise it") from None
        raise DecodeError(_reason(error)) from None
    except Exception as error:  # numpy and zipfile raise whatever broken bytes lead them to
        raise DecodeError(_reason(error)) from None


def header_of(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of the array of a file, from its header alone.

    Raises:
        DecodeError: there is none.
    """
    if path.suffix.lower() == ".npy":
        array = open_array(path)
        return array.shape, array.dtype
    try:
        with zipfile.ZipFile(path) as packed:
            names = [name for name in packed.namelist() if name.endswith(".npy")]
            if len(names) != 1:
                raise DecodeError(f"holds {len(names)} arrays; keep one in a file")
            with packed.open(names[0]) as stream:
                version = np.lib.format.read_magic(stream)
                read = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = read(stream)
                return shape, dtype
    except DecodeError:
        raise
    except Exception as error:
        raise DecodeError(_reason(error)) from None


def _reason(error: Exception) -> str:
    return f"no readable array: {' '.join(str(error).split())[:200]}"


def axes_of(shape: tuple[int, ...], given: str | None, name: str) -> str:
    """What each axis of an array is: T frames, N videos, H height, W width or C channels.

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
