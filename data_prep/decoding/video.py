"""Clips of a video file: PyAV says what it holds and decodes it, or decord where it can be checked.

PyAV decides, because it says of each frame which time it has and whether it is damaged. decord
says neither, so it decodes only files in which it cannot go wrong unseen.
"""

import importlib.metadata
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from data_prep.config import CorpusConfig
from data_prep.decoding import by_decord
from data_prep.decoding.by_pyav import frames_by_pyav
from data_prep.decoding.clip import DecodedClip, clip_indices, motion_of
from data_prep.decoding.probe import Video, reason_of
from data_prep.errors import DecodeError

VERSIONS = {"decord": by_decord.VERSION or "", "pyav": importlib.metadata.version("av")}
# Of a file that decord decodes the clips are held until its last frame is checked.
MOST_FRAMES = 1000
MOST_BYTES = 2**26


def read_clips(path: Path, config: CorpusConfig) -> Iterator[DecodedClip]:
    """All clips of a video, in order of time, upright, resized and cropped or squeezed to a square.

    Clips come as soon as their last frame is decoded. A later DecodeError makes the earlier
    clips void: the file is not what it seemed.

    Raises:
        DecodeError: no video, damaged beyond `config.damage_limit`, shorter than one clip, or
            the same picture throughout.
    """
    if path.stat().st_size == 0:
        raise DecodeError("empty file")
    video = Video.probe(path, config.damage_limit)
    indices = clip_indices(video.times, config)
    if len(indices) == 0:
        raise DecodeError(
            f"too short: {len(video.times)} frames over {video.times[-1]:.2f} s, "
            f"a clip needs {(config.frames - 1) * config.frame_interval:.2f} s"
        )
    moving = 0
    for clip in _decode(video, indices, config):
        if clip.motion != 0:
            moving += 1
            yield clip
    if not moving:
        raise DecodeError("no motion: every frame shows the same")


def _decode(video: Video, indices: np.ndarray, config: CorpusConfig) -> Iterator[DecodedClip]:
    """The clips by decord where it suits the file and delivers all of it, else by PyAV."""
    if _suits_decord(video, indices, config):
        try:
            yield from _checked_clips(video, indices, config)
            return
        except MemoryError:
            raise
        except Exception:  # whatever its bindings give
            pass
    try:
        frames = frames_by_pyav(video, video.scaled_size(config.size, config.crop))
        yield from _assemble(frames, video, indices, config, "pyav")
    except (MemoryError, DecodeError):
        raise
    except Exception as error:
        raise DecodeError(f"pyav: {reason_of(error)}") from None


def _suits_decord(video: Video, indices: np.ndarray, config: CorpusConfig) -> bool:
    """Whether decord is here, and can be held to what the container names."""
    held = indices.size * config.size**2 * 3
    small = len(video.stamps) <= MOST_FRAMES and held <= MOST_BYTES
    return by_decord.VERSION is not None and video.plain and small


def _checked_clips(video: Video, indices: np.ndarray, config: CorpusConfig) -> list[DecodedClip]:
    """The clips by decord, which are given out only when the whole file was read."""
    frames = by_decord.frames_by_decord(video, video.scaled_size(config.size, config.crop))
    clips = list(_assemble(frames, video, indices, config, "decord"))
    for _ in frames:
        pass
    return clips


def _assemble(
    frames: Iterator[tuple[int, Callable[[], np.ndarray]]],
    video: Video,
    indices: np.ndarray,
    config: CorpusConfig,
    decoder: str,
) -> Iterator[DecodedClip]:
    """Clips from frames in order, each frame held only as long as a clip may need it.

    Raises:
        DecodeError: more than `config.damage_limit` of the frames up to the last clip never came.
    """
    size = config.size
    top, left = ((side - size) // 2 for side in video.scaled_size(size, config.crop))
    wanted, held = set(indices.flat), dict[int, np.ndarray]()
    finished, good = 0, 0
    for index, picture in frames:
        good += 1
        while finished < len(indices) and index > indices[finished, -1]:
            yield from _clip(held, indices[finished], video, decoder)
            finished += 1
            first = indices[finished, 0] if finished < len(indices) else np.inf
            held = {i: frame for i, frame in held.items() if i >= first}
        if index in wanted:
            held[index] = picture()[top : top + size, left : left + size].copy()
        if index >= indices[-1, -1]:
            break
    else:
        index = len(video.times) - 1
    if good < (index + 1) * (1 - config.damage_limit):
        raise DecodeError(f"damaged: {good} of {index + 1} frames can be read")
    for clip in indices[finished:]:
        yield from _clip(held, clip, video, decoder)


def _clip(
    held: dict[int, np.ndarray], indices: np.ndarray, video: Video, decoder: str
) -> Iterator[DecodedClip]:
    """The clip of the frames `indices`, or none if one of them never came."""
    if any(index not in held for index in indices):
        return
    frames = np.stack([held[index] for index in indices])
    yield DecodedClip(
        frames=frames,
        times=[round(float(video.times[index]), 6) for index in indices],
        repeated=len(indices) - len(set(indices)),
        decoder=decoder,
        decoder_version=VERSIONS[decoder],
        motion=motion_of(frames),
    )
