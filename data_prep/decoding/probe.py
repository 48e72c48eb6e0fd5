"""What a video file promises: size, time stamps, and whether all of it is there."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import numpy as np

from data_prep.decoding.by_pyav import open_video, pictures
from data_prep.errors import DecodeError

LONGEST_GAP = 3600.0  # seconds without a frame; more comes from time stamps that wrapped around


@dataclass(frozen=True)
class Video:
    """What the container says: the size as shown, and the times at which frames should appear.

    `stamps` are the ascending presentation times, in units of the time base, of the packets from
    the first frame on that can be shown. AVI stores no presentation times: there a frame is shown
    `delay` places before the packet with which it leaves the decoder (None for other containers);
    frames that a recorder dropped leave places empty. `plain` is a file whose every packet has a
    time of its own and that begins with a key frame.
    """

    path: Path
    height: int
    width: int
    quarter_turns: int
    stamps: np.ndarray
    time_base: float
    delay: int | None
    plain: bool

    @classmethod
    def probe(cls, path: Path, damage_limit: float) -> "Video":
        """Read the header, all packets, and frames up to the first good one.

        Raises:
            DecodeError: it cannot be opened, holds no video, or lacks more than a share
                `damage_limit` of what its header promises.
        """
        try:
            with open_video(path) as container:
                stream: Any = container.streams.best("video")
                if stream is None:
                    raise DecodeError("no video stream")
                contents = _Contents.read(container, stream)
                base = float(stream.time_base or 0)
                aspect = float(stream.sample_aspect_ratio or 1) or 1.0
        except av.error.FFmpegError as error:
            raise DecodeError(f"not a video, or damaged at the start: {reason_of(error)}") from None
        contents.require_whole(damage_limit, path)
        first = _first_picture(path)
        if first is None:
            raise DecodeError("no frame can be decoded")
        height, width = first.height, round(first.width * aspect)  # as shown: pixels made square
        turns = round(first.rotation / 90) % 4
        if min(height, width) < 1:
            raise DecodeError("no frame can be decoded")
        packets = contents.packets
        stamps = [packet.pts for packet in packets if packet.pts is not None]
        delay, plain = None, False
        if contents.counted:
            delay, stamps = _shown_places(first, contents.places)
        elif len(set(stamps)) < len(packets) or first.pts is None:
            stamps = _decoded_stamps(path)
        else:
            plain = packets[0].is_keyframe and packets[0].pts == min(stamps) == first.pts
            plain = plain and not contents.discarded and not contents.flagged
            stamps = [stamp for stamp in stamps if stamp >= first.pts]
        if not stamps:
            raise DecodeError("no frame can be decoded")
        gap = float(np.diff(sorted(stamps)).max(initial=0)) * base
        if gap > LONGEST_GAP:
            raise DecodeError(f"its time stamps jump by {gap:.0f} s")
        return cls(
            path,
            *((width, height) if turns % 2 else (height, width)),
            turns,
            np.array(sorted(set(stamps))),
            base,
            delay,
            plain,
        )

    @cached_property
    def times(self) -> np.ndarray:
        """Seconds from the first frame on, ascending."""
        times: np.ndarray = (self.stamps - self.stamps[0]) * self.time_base
        return times

    def scaled_size(self, size: int, crop: bool) -> tuple[int, int]:
        """Height and width with the shorter side resized to `size`; without `crop` both sides."""
        if not crop:
            return size, size
        scale = size / min(self.height, self.width)
        return max(size, round(self.height * scale)), max(size, round(self.width * scale))


@dataclass(frozen=True)
class _Contents:
    """The packets of a video stream that are to be shown, beside what the header promises.

    `discarded` packets are left out by an edit list, `flagged` ones marked as corrupt. `promised`
    are the frames and `seconds` the duration that the header names (0 if it does not); `end` is
    the time at which the last packet of any stream ends, counted from zero or an earlier start.
    """

    packets: list[Any]
    discarded: int
    flagged: int
    promised: int
    seconds: float
    end: float
    counted: bool

    @classmethod
    def read(cls, container: Any, stream: Any) -> "_Contents":
        packets, discarded = [], 0
        # Some containers count their duration from zero (Matroska), some from their start.
        starts, ends = [0.0], [0.0]
        try:
            for packet in container.demux():
                if packet.pts is not None:
                    starts.append(float(packet.pts * packet.time_base))
                    ends.append(float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if packet.stream_index == stream.index and packet.size:
                    discarded += packet.is_discard
                    if not packet.is_discard:
                        packets.append(packet)
        except av.error.FFmpegError:
            pass  # what was read counts; it is compared with the promise
        return cls(
            packets,
            discarded,
            sum(packet.is_corrupt for packet in packets),
            stream.frames,
            (container.duration or 0) / av.time_base,
            max(ends) - min(starts),
            container.format.name == "avi",
        )

    @property
    def places(self) -> list[int]:
        """The places of the packets in the order of decoding; empty ones have none."""
        return [packet.dts for packet in self.packets if packet.dts is not None]

    def require_whole(self, limit: float, path: Path) -> None:
        """Raise DecodeError if more than a share `limit` of what the header promises is missing."""
        frames = len(self.packets)
        if self.counted:  # dropped frames are promised too
            frames = max(self.places, default=-1) + 1
        if frames < self.promised * (1 - limit):  # what an edit list leaves out is promised too
            with open_video(path, ignore_editlist="1") as container:
                frames = len(_Contents.read(container, container.streams.best("video")).packets)
        if frames < self.promised * (1 - limit):
            raise DecodeError(f"truncated: {frames} of {self.promised} frames are there")
        if self.end < self.seconds * (1 - limit):
            raise DecodeError(f"truncated: ends after {self.end:.2f} of {self.seconds:.2f} s")


def _shown_places(first: Any, sent: list[int]) -> tuple[int, list[int]]:
    """How many places frames are shown before the packets that they come with, and the places.

    `first` is the first good frame, `sent` the places of all packets.
    """
    came = first.opaque if first.dts is None else first.dts
    delay = sum(first.opaque < place <= came for place in sent)
    held = range(sent[-1] - delay + 1, sent[-1] + 1)  # they come after the last packet
    return delay, [place - delay for place in sent if place >= came] + list(held)


def _first_picture(path: Path) -> Any:
    with open_video(path) as container:
        return next((frame for frame in pictures(container) if frame is not None), None)


def _decoded_stamps(path: Path) -> list[int]:
    """Presentation times of the good frames, for containers whose packets have none."""
    with open_video(path) as container:
        return [f.pts for f in pictures(container) if f is not None and f.pts is not None]


def reason_of(error: Exception) -> str:
    """A decoder's message in one short line, without this machine's paths and times."""
    message = getattr(error, "strerror", None) or (str(error).strip().splitlines() or [""])[-1]
    message = re.sub(r"^\[[\d:]+\] \S+ ", "", message).split("Check failed: ")[-1]
    message = re.sub(r"\S*/\S*", "the file", message)
    return message[:160].strip() or type(error).__name__
