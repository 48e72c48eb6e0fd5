"""A clip of a source, and the choice of the frames that it is made of."""

from dataclasses import dataclass

import numpy as np

from data_prep.config import CorpusConfig

# A wanted time may differ from a frame's own by rounding; real frames lie 4 ms apart at the least.
TIME_TOLERANCE = 1e-3


@dataclass(frozen=True)
class DecodedClip:
    """Frames uint8 `[T, height, width, 3]` with the times in seconds at which they were shown.

    `repeated` counts frames that stand for more than one wanted time; `motion` is the mean
    absolute difference of neighbouring frames in grey levels (None for a single frame).
    """

    frames: np.ndarray
    times: list[float]
    repeated: int
    decoder: str
    decoder_version: str
    motion: float | None = None


def clip_indices(times: np.ndarray, config: CorpusConfig) -> np.ndarray:
    """The index of the frame shown at each wanted time of each clip of a video, `[clips, T]`.

    `times` are the frames' times in seconds, ascending from 0. A frame is shown from its time
    on, so a wanted time takes the last frame at or before it; a clip must end by the last frame.
    """
    offsets = np.arange(config.frames) * config.frame_interval
    stride = config.stride or config.frames * config.frame_interval
    last_start = times[-1] - offsets[-1] + TIME_TOLERANCE
    starts = np.arange(0.0, last_start, stride) if last_start > 0 else np.zeros(0)
    wanted = starts[:, None] + offsets[None, :]
    return np.searchsorted(times, wanted + TIME_TOLERANCE, side="right") - 1


def motion_of(frames: np.ndarray) -> float | None:
    """Mean absolute difference, in grey levels, of neighbouring frames of a clip.

    `frames` is uint8 `[T, height, width, 3]`; None for a single frame.
    """
    if len(frames) < 2:
        return None
    return round(float(np.abs(np.diff(frames.astype(np.int16), axis=0)).mean()), 4)
