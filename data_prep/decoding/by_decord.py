"""Frames of a video by decord, where what it delivers can be checked.

decord takes its n-th frame for the n-th time stamp. What it cannot decode at the start of a file
shifts all that follows, and the end is filled with copies of its last frame. Such files are told
by how they begin and by how decord's frames end.
"""

import functools
import importlib.metadata
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from data_prep.errors import DecodeError

if TYPE_CHECKING:
    from data_prep.decoding.probe import Video

VERSION: str | None = None
try:
    import decord
except Exception:  # no package for this system, or one whose libraries do not load here
    pass
else:
    VERSION = importlib.metadata.version("decord")
    # decord's FFmpeg reports what is wrong in a file in its log alone.
    decord.logging.set_level(decord.logging.ERROR)

TIME_DIFFERENCE = 1e-3  # seconds by which two readers of one time stamp may differ


def frames_by_decord(
    video: "Video", size: tuple[int, int]
) -> Iterator[tuple[int, Callable[[], np.ndarray]]]:
    """Frames of a height and width by their number, all in sequence.

    Random access is wrong in open-GOP HEVC.

    They hold only if the last can be read too.

    Raises:
        DecodeError: decord does not deliver the frames that the container names.
    """
    height, width = size
    ends: list[np.ndarray] = []
    with _captured_log() as log:
        reader = decord.VideoReader(str(video.path), width=width, height=height, num_threads=1)
        try:
            times = reader.get_frame_timestamp(range(len(reader)))[:, 0].astype(np.float64)
            if len(times) != len(video.times) or not np.allclose(
                times - times[0], video.times, rtol=0, atol=TIME_DIFFERENCE
            ):
                raise DecodeError("its time stamps are not the container's")
            for index in range(len(times)):
                frame = reader.next()
                if os.fstat(log.fileno()).st_size:
                    raise DecodeError("damaged")
                if index >= len(times) - 2:
                    ends.append(frame.asnumpy())
                yield index, functools.partial(_rgb, frame)
            if len(ends) == 2 and np.array_equal(ends[0], ends[1]):
                raise DecodeError("its last frame may be a copy that stands for one left out")
        finally:
            del reader  # its threads write to the log until they end


def _rgb(frame: Any) -> np.ndarray:
    """The pixels `[height, width, 3]` of decord's frame.

    It takes the padding of rows for more channels (dmlc/decord 93, 336).
    """
    rows: np.ndarray = frame.asnumpy()
    height, width = rows.shape[:2]
    return rows.reshape(height, -1)[:, : 3 * width].reshape(height, width, 3)


@contextmanager
def _captured_log() -> Iterator[BinaryIO]:
    """Everything written to standard error meanwhile, which is where decord's FFmpeg complains."""
    with tempfile.TemporaryFile() as log:
        kept = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            yield log
        finally:
            os.dup2(kept, 2)
            os.close(kept)
