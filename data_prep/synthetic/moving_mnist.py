"""Moving MNIST: digits that move straight and bounce at the edges (Srivastava et al., 2015).

Sequences are made from an idx file of digits by the rules of OpenSTL: a start anywhere, one of all
directions, a tenth of the way across a frame, and the brighter digit where two overlap.
"""

import gzip
import json
import math
import os
import zlib
from dataclasses import asdict
from pathlib import Path

import numpy as np

from data_prep.config import MovingMNISTConfig
from data_prep.errors import DecodeError, InputError
from data_prep.shards.storage import sha256_of
from data_prep.sources.arrays import MOVING_MNIST, open_array

MAGIC = b"\x00\x00\x08\x03"  # idx: bytes, three axes
OPTION = "moving_mnist.digits"
LEAST = 20  # digits, so that each split has some
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}  # of the digits


def write_moving_mnist(folder: Path, config: MovingMNISTConfig) -> Path:
    """Write the corpus into `folder` and return it; a finished one of the same config is kept.

    Each split is an array `{split}/sequences.npy`, uint8 `[N, T, size, size]`, of digits that no
    other split has. With `config.official` that file holds the test sequences instead, as it is.

    Raises:
        InputError: a file is missing or holds something else.
    """
    digits = read_digits(config.digits)
    height, width = digits.shape[1:]
    if max(height, width) >= config.size:
        raise InputError(
            f"{OPTION} {config.digits}: digits of {width}x{height} pixels do not fit frames of "
            f"moving_mnist.size {config.size}"
        )
    checksums = {name: _checksum(getattr(config, name)) for name in ("digits", "official")}
    wanted = json.dumps(asdict(config) | checksums, sort_keys=True)
    finished = folder / "corpus.json"
    if finished.is_file() and finished.read_text() == wanted:
        return folder
    finished.unlink(missing_ok=True)
    first = 0
    for number, (split, share) in enumerate(SHARES.items()):
        last = first + round(share * len(digits))
        own, first = digits[first:last], last
        rng = np.random.default_rng([config.seed, number])
        count = getattr(config, split)
        if split == "test" and config.official is not None:
            sequences = _official(config)
        else:
            sequences = np.stack([sequence(own, config, rng) for _ in range(count)])
        _save(folder / split / "sequences.npy", sequences)
    finished.write_text(wanted)
    return folder


def sequence(digits: np.ndarray, config: MovingMNISTConfig, rng: np.random.Generator) -> np.ndarray:
    """One sequence, uint8 `[T, size, size]`, of digits uint8 `[N, height, width]`."""
    frames = np.zeros((config.frames, config.size, config.size), np.uint8)
    for _ in range(config.count):
        digit = digits[rng.integers(len(digits))]
        height, width = digit.shape
        room = config.size - np.array([height, width])  # of the upper left corner
        place, angle = rng.random(2), rng.random() * 2 * math.pi
        velocity = config.speed * np.array([math.sin(angle), math.cos(angle)])
        for frame in frames:
            place = place + velocity
            outside = (place <= 0) | (place >= 1)
            velocity = np.where(outside, -velocity, velocity)
            place = place.clip(0, 1)
            top, left = (room * place).astype(int)
            here = frame[top : top + height, left : left + width]
            np.maximum(here, digit, out=here)
    return frames


def read_digits(file: str | None) -> np.ndarray:
    """The digits uint8 `[N, height, width]` of an idx file, which may be packed by gzip.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    if file is None:
        raise InputError(f"{OPTION}: give an idx file of digits, such as t10k-images-idx3-ubyte.gz")
    path = Path(file).expanduser()
    if not path.is_file():
        raise InputError(f"{OPTION} {file}: no such file; give an idx file of digits")
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{OPTION} {file}: cannot be read ({error})") from None
    if content[:4] != MAGIC:
        raise InputError(f"{OPTION} {file}: no idx file of images; labels are not needed")
    count, height, width = (int.from_bytes(content[at : at + 4]) for at in (4, 8, 12))
    if len(content) != 16 + count * height * width:
        raise InputError(f"{OPTION} {file}: {len(content)} bytes are not {count} images")
    if count < LEAST:
        raise InputError(f"{OPTION} {file}: {count} images; at least {LEAST} are needed")
    return np.frombuffer(content, np.uint8, offset=16).reshape(count, height, width)


def _official(config: MovingMNISTConfig) -> np.ndarray:
    """The first `config.test` official sequences `[N, T, height, width]`."""
    option = f"moving_mnist.official {config.official}"
    path = Path(str(config.official)).expanduser()
    if not path.is_file():
        raise InputError(f"{option}: no such file; give the file {MOVING_MNIST}")
    try:
        array = open_array(path)
    except DecodeError as error:
        raise InputError(f"{option}: {error}") from None
    frames, side = config.frames, config.size
    if array.ndim != 4 or array.shape[0] != frames or array.shape[2:] != (side, side):
        raise InputError(
            f"{option}: its shape is {list(array.shape)}; the official one is [20, 10000, 64, 64], "
            f"frames first, and moving_mnist asks for {frames} frames of {side} pixels"
        )
    return np.ascontiguousarray(array[:, : config.test].swapaxes(0, 1))


def _checksum(file: str | None) -> str | None:
    path = Path(file).expanduser() if file is not None else None
    if path is None or not path.is_file():
        return None
    with path.open("rb") as opened:
        return sha256_of(opened)


def _save(path: Path, sequences: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial.npy")
    np.save(temporary, sequences)
    os.replace(temporary, path)
