"""Clips of a video file: PyAV reads its packets, then decord decodes it, or PyAV where it cannot.

decord decodes files that hold what their header says. A file with which it has any trouble, be it
an error or a line in its log, is decoded by PyAV, which reports every damaged frame.
"""

import functools
import importlib.metadata
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import av
import decord
import numpy as np

from data_prep.config import CorpusConfig
from data_prep.decoding.clip import DecodedClip, clip_indices, motion_of
from data_prep.errors import DecodeError

# decord's FFmpeg reports what is wrong in a file in its log alone.
decord.logging.set_level(decord.logging.ERROR)
av.logging.set_level(av.logging.PANIC)  # PyAV raises what it prints

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,flv,mpegts,mpeg,ogg,mxf,gif"
TIME_DIFFERENCE = 1e-3  # seconds by which two readers of one time stamp may differ
VERSIONS = {
    name: importlib.metadata.version(p) for name, p in (("decord", "decord"), ("pyav", "av"))
}


def read_clips(path: Path, config: CorpusConfig) -> Iterator[DecodedClip]:
    """All clips of a video, in order of time, upright, resized and centre-cropped to a square.

    Clips come as soon as their last frame is decoded. A later DecodeError makes the earlier
    clips void: the file is not what it seemed.

    Raises:
        DecodeError: no video, damaged beyond `config.damage_limit`, shorter than one clip, or
            the same picture throughout.
    """
    if path.stat().st_size == 0:
        raise DecodeError("empty file")
    video = _Video.probe(path)
    video.require_whole(config.damage_limit)
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


@dataclass(frozen=True)
class _Video:
    """What the container says: the size as shown, and the times at which frames should appear.

    `stamps` are the ascending presentation times of the packets in units of the time base,
    `promised` the frames that the header counts (0 if it does not), `seconds` its duration,
    `end` the time at which the last packet of any stream ends, `flagged` the packets marked as
    corrupt. AVI stores no presentation times: its frames are `counted`, in order, at equal steps.
    """

    path: Path
    height: int
    width: int
    quarter_turns: int
    stamps: np.ndarray
    time_base: float
    promised: int
    seconds: float
    end: float
    flagged: int
    counted: bool

    @classmethod
    def probe(cls, path: Path) -> "_Video":
        """Read the header, all packets and the first frame.

        Raises:
            DecodeError: it cannot be opened or holds no video.
        """
        try:
            with _open(path) as container:
                stream: Any = container.streams.best("video")
                if stream is None:
                    raise DecodeError("no video stream")
                packets, discarded, end = _packets(container, stream)
                base = float(stream.time_base or 0)
                promised, seconds = stream.frames, (container.duration or 0) / av.time_base
                size = stream.codec_context.height, stream.codec_context.width
                aspect = float(stream.sample_aspect_ratio or 1) or 1.0
                counted = container.format.name == "avi"
        except av.error.FFmpegError as error:
            raise DecodeError(f"not a video, or damaged at the start: {_reason(error)}") from None
        first = _first_picture(path)
        size = (first.height, first.width) if first is not None else size
        height, width = size[0], round(size[1] * aspect)  # as shown: pixels made square
        turns = round(first.rotation / 90) % 4 if first is not None else 0
        if min(height, width) < 1:
            raise DecodeError("no frame can be decoded")
        stamps = [packet.pts for packet in packets if packet.pts is not None]
        if counted:
            stamps = list(range(len(packets)))
        elif len(set(stamps)) < len(packets):
            stamps = _decoded_stamps(path)
        if not stamps:
            raise DecodeError("no frame can be decoded")
        return cls(
            path,
            *((width, height) if turns % 2 else (height, width)),
            turns,
            np.array(sorted(set(stamps))),
            base,
            promised - discarded,  # an edit list leaves out what precedes its start
            seconds,
            end,
            sum(packet.is_corrupt for packet in packets),
            counted,
        )

    @cached_property
    def times(self) -> np.ndarray:
        """Seconds from the first frame on, ascending."""
        times: np.ndarray = (self.stamps - self.stamps[0]) * self.time_base
        return times

    def require_whole(self, limit: float) -> None:
        """Raise DecodeError if more than a share `limit` of what the header promises is missing."""
        frames = len(self.stamps)
        if frames < self.promised * (1 - limit):
            raise DecodeError(f"truncated: {frames} of {self.promised} frames are there")
        if self.end < self.seconds * (1 - limit):
            raise DecodeError(f"truncated: ends after {self.end:.2f} of {self.seconds:.2f} s")

    def scaled_size(self, size: int) -> tuple[int, int]:
        """Height and width with the shorter side resized to `size`."""
        scale = size / min(self.height, self.width)
        return max(size, round(self.height * scale)), max(size, round(self.width * scale))


def _decode(video: _Video, indices: np.ndarray, config: CorpusConfig) -> Iterator[DecodedClip]:
    """The clips by decord; from the first trouble on by PyAV."""
    done, reasons = 0, []
    readers: tuple[tuple[str, Callable], ...] = (("decord", _by_decord), ("pyav", _by_pyav))
    for decoder, read in readers:
        try:
            for clip in _assemble(read(video, config.size), video, indices[done:], config, decoder):
                if clip is not None:
                    yield clip
                done += 1
            return
        except MemoryError:
            raise
        except DecodeError as error:
            reasons.append(str(error))
        except Exception as error:  # decoders raise whatever their bindings give
            reasons.append(f"{decoder}: {_reason(error)}")
    raise DecodeError(reasons[-1])


def _assemble(
    frames: Iterator[tuple[int, Callable[[], np.ndarray]]],
    video: _Video,
    indices: np.ndarray,
    config: CorpusConfig,
    decoder: str,
) -> Iterator[DecodedClip | None]:
    """Clips from frames in order, each frame held only as long as a clip may need it.

    A clip with a frame that never came is None.

    Raises:
        DecodeError: more than `config.damage_limit` of the frames up to the last clip never came.
    """
    size = config.size
    top, left = ((side - size) // 2 for side in video.scaled_size(size))
    wanted, held = set(indices.flat), dict[int, np.ndarray]()
    finished, good = 0, 0
    for index, picture in frames:
        good += 1
        while finished < len(indices) and index > indices[finished, -1]:
            yield _clip(held, indices[finished], video, decoder)
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
        yield _clip(held, clip, video, decoder)


def _clip(
    held: dict[int, np.ndarray], indices: np.ndarray, video: _Video, decoder: str
) -> DecodedClip | None:
    if any(index not in held for index in indices):
        return None
    frames = np.stack([held[index] for index in indices])
    return DecodedClip(
        frames=frames,
        times=[round(float(video.times[index]), 6) for index in indices],
        repeated=len(indices) - len(set(indices)),
        decoder=decoder,
        decoder_version=VERSIONS[decoder],
        motion=motion_of(frames),
    )


def _by_decord(video: _Video, size: int) -> Iterator[tuple[int, Callable[[], np.ndarray]]]:
    """Frames by their number, all in sequence: random access is wrong in open-GOP HEVC."""
    height, width = video.scaled_size(size)
    if video.flagged:
        raise DecodeError("the container flags damage")
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
                yield index, functools.partial(_rgb, frame)
        finally:
            del reader  # its threads write to the log until they end


def _rgb(frame: Any) -> np.ndarray:
    """The pixels `[height, width, 3]` of decord's frame.

    It takes the padding of rows for more channels (dmlc/decord 93, 336).
    """
    rows: np.ndarray = frame.asnumpy()
    height, width = rows.shape[:2]
    return rows.reshape(height, -1)[:, : 3 * width].reshape(height, width, 3)


def _by_pyav(video: _Video, size: int) -> Iterator[tuple[int, Callable[[], np.ndarray]]]:
    """Good frames by their number; what follows damage is dropped up to the next key frame."""
    number = {stamp: index for index, stamp in enumerate(video.stamps.tolist())}
    height, width = video.scaled_size(size)[:: -1 if video.quarter_turns % 2 else 1]  # as stored
    whole = True
    with _open(video.path) as container:
        for count, frame in enumerate(_pictures(container)):
            whole = frame is not None and not frame.is_corrupt and (whole or frame.key_frame)
            if not whole:
                continue
            index = count if video.counted else number.get(frame.pts)
            if index is None:
                continue

            def picture(frame: Any = frame) -> np.ndarray:
                # A format given here is 12 times faster than the one in to_ndarray.
                small = frame.reformat(width, height, format="rgb24", threads=1)
                return np.rot90(small.to_ndarray(), video.quarter_turns)

            yield index, picture


def _open(path: Path) -> Any:
    """A container that holds its video itself: no playlist leads to another file or address."""
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    return av.open(str(path), options=options)


def _packets(container: Any, stream: Any) -> tuple[list[Any], int, float]:
    """The packets of a video stream to be shown, how many are not, and when any stream ends."""
    packets, discarded, end = [], 0, 0.0
    try:
        for packet in container.demux():
            if packet.pts is not None:
                start = (packet.stream.start_time or 0) if packet.stream.start_time else 0
                last = packet.pts - start + (packet.duration or 0)
                end = max(end, float(last * packet.time_base))
            if packet.stream_index == stream.index and packet.size:
                discarded += packet.is_discard
                if not packet.is_discard:
                    packets.append(packet)
    except av.error.FFmpegError:
        pass  # what was read counts; the caller compares it with the promise
    return packets, discarded, end


def _pictures(container: Any) -> Iterator[Any]:
    """Decoded frames, and None for each packet that cannot be decoded."""
    stream = container.streams.best("video")
    stream.codec_context.thread_count = 1
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.FFmpegError:
            yield None
            return
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            yield None


def _first_picture(path: Path) -> Any:
    with _open(path) as container:
        return next((frame for frame in _pictures(container) if frame is not None), None)


def _decoded_stamps(path: Path) -> list[int]:
    """Presentation times of the decoded frames, for containers whose packets have none (AVI)."""
    with _open(path) as container:
        return [f.pts for f in _pictures(container) if f is not None and f.pts is not None]


def _reason(error: Exception) -> str:
    """A decoder's message in one short line, without this machine's paths and times."""
    message = getattr(error, "strerror", None) or (str(error).strip().splitlines() or [""])[-1]
    message = re.sub(r"^\[[\d:]+\] \S+ ", "", message).split("Check failed: ")[-1]
    message = re.sub(r"\S*/\S*", "the file", message)
    return message[:160].strip() or type(error).__name__


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
