"""Frames at wanted times from a video file: decord first, PyAV where decord cannot."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import decord
import numpy as np

from data_prep.config import CorpusConfig
from data_prep.errors import DecodeError

# Both print to the terminal what they also raise.
decord.logging.set_level(decord.logging.QUIET)
av.logging.set_level(av.logging.PANIC)

# A wanted time may differ from a frame's own by rounding; real frames lie 4 ms apart at the least.
TIME_TOLERANCE = 1e-3


@dataclass(frozen=True)
class DecodedClip:
    """Frames uint8 `[T, H, W, 3]` with the times in seconds at which they were shown."""

    frames: np.ndarray
    times: list[float]
    repeated: int
    decoder: str


@dataclass(frozen=True)
class _Video:
    """What a decoder offers: times of all frames and a sequential reader of resized frames."""

    times: np.ndarray
    height: int
    width: int
    read: Callable[[int, int], Iterator[np.ndarray]]


def read_clips(path: Path, config: CorpusConfig) -> list[DecodedClip]:
    """All clips of a video, in order of time, resized and centre-cropped to `config.size`.

    Raises:
        DecodeError: no decoder reads the file, or it is shorter than one clip.
    """
    if path.stat().st_size == 0:
        raise DecodeError("empty file")
    reasons = []
    for name, open_video in (("decord", _open_decord), ("pyav", _open_pyav)):
        try:
            video = open_video(path)
            _check_times(video.times)
            indices = clip_indices(video.times, config)
            if len(indices):
                return _decode(video, indices, name, config.size)
        except DecodeError as error:
            reasons.append(f"{name}: {error}")
        except Exception as error:  # decoders raise whatever their bindings give
            reasons.append(f"{name}: {_reason(error, path)}")
        else:
            needed = (config.frames - 1) * config.frame_interval
            raise DecodeError(
                f"too short: {len(video.times)} frames over {video.times[-1]:.2f} s, "
                f"a clip needs {needed:.2f} s"
            )
    raise DecodeError("; ".join(reasons))


def _reason(error: Exception, path: Path) -> str:
    """A decoder's message in one short line, without this machine's paths and times."""
    message = getattr(error, "strerror", None) or str(error).strip().splitlines()[-1]
    message = re.sub(r"^\[[\d:]+\] \S+ ", "", message).replace(str(path), path.name).strip()
    return message.split("Check failed: ")[-1][:160] or type(error).__name__


def clip_indices(times: np.ndarray, config: CorpusConfig) -> np.ndarray:
    """For each clip of the video the frame shown at each wanted time `[clips, T]`.

    `times` are the frames' times in seconds, ascending from 0. A frame is shown from its time
    on, so a wanted time takes the last frame at or before it; a clip must end by the last frame.
    """
    offsets = np.arange(config.frames) * config.frame_interval
    stride = config.stride or config.frames * config.frame_interval
    last_start = times[-1] - offsets[-1] + TIME_TOLERANCE
    starts = np.arange(0.0, last_start, stride) if last_start > 0 else np.zeros(0)
    wanted = starts[:, None] + offsets[None, :]
    return np.searchsorted(times, wanted + TIME_TOLERANCE, side="right") - 1


def _check_times(times: np.ndarray) -> None:
    if len(times) == 0:
        raise DecodeError("no frames")
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise DecodeError("time stamps are not ascending")


def _decode(video: _Video, indices: np.ndarray, decoder: str, size: int) -> list[DecodedClip]:
    scale = size / min(video.height, video.width)
    height, width = max(size, round(video.height * scale)), max(size, round(video.width * scale))
    top, left = (height - size) // 2, (width - size) // 2
    wanted = set(indices.flat)
    frames: dict[int, np.ndarray] = {}
    # Sequential on purpose: decord's random access gives wrong frames in open-GOP HEVC.
    for index, frame in enumerate(video.read(height, width)):
        if index in wanted:
            frames[index] = frame[top : top + size, left : left + size].copy()
        if len(frames) == len(wanted):
            break
    else:
        raise DecodeError(f"damaged: frame {max(wanted)} of {len(video.times)} cannot be read")
    return [
        DecodedClip(
            frames=np.stack([frames[index] for index in clip]),
            times=[round(float(video.times[index]), 6) for index in clip],
            repeated=len(clip) - len(set(clip)),
            decoder=decoder,
        )
        for clip in indices
    ]


def _open_decord(path: Path) -> _Video:
    probe = decord.VideoReader(str(path), num_threads=1)
    times = probe.get_frame_timestamp(range(len(probe)))[:, 0].astype(np.float64)
    height, width = probe.next().shape[:2]

    def read(height: int, width: int) -> Iterator[np.ndarray]:
        reader = decord.VideoReader(str(path), width=width, height=height, num_threads=1)
        for _ in range(len(reader)):
            yield reader.next().asnumpy()

    return _Video(times - times[0], height, width, read)


def _open_pyav(path: Path) -> _Video:
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        if stream is None:
            raise DecodeError("no video stream")
        stamps = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)
        time_base = float(stream.time_base or 0)
    with av.open(str(path)) as container:
        first = next(_pictures(container))
        turns = round(first.rotation / 90) % 4
        height, width = (first.height, first.width)[:: -1 if turns % 2 else 1]

    def read(height: int, width: int) -> Iterator[np.ndarray]:
        stored_height, stored_width = (height, width)[:: -1 if turns % 2 else 1]
        with av.open(str(path)) as container:
            for frame in _pictures(container):
                if frame.is_corrupt:
                    raise DecodeError("damaged frame")
                # A format given here is 12 times faster than the one in to_ndarray.
                picture = frame.reformat(stored_width, stored_height, format="rgb24", threads=1)
                yield np.rot90(picture.to_ndarray(), turns)

    return _Video((np.array(stamps) - stamps[0]) * time_base, height, width, read)


def _pictures(container: av.container.InputContainer) -> Iterator[av.VideoFrame]:
    for frame in container.decode(container.streams.best("video")):
        assert isinstance(frame, av.VideoFrame)
        yield frame
