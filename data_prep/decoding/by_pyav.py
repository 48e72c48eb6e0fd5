"""Frames of a video by PyAV, which decides what a file holds and when it is shown."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.codec.context import Flags

if TYPE_CHECKING:
    from data_prep.decoding.probe import Video

av.logging.set_level(av.logging.PANIC)  # PyAV raises what it prints

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,flv,mpegts,mpeg,ogg,mxf,gif"


def open_video(path: Path, **options: str) -> Any:
    """A container that holds its video itself: no playlist leads to another file or address."""
    options |= {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    return av.open(str(path), options=options)


def pictures(container: Any) -> Iterator[Any]:
    """Frames in the order shown, and None for what is damaged or builds on damage.

    What precedes the first key frame builds on frames that are not in the file. A frame's `dts` is
    that of the packet with which it came, its `opaque` that of its own packet.
    """
    stream = container.streams.best("video")
    if stream is None:
        return
    stream.codec_context.thread_count = 1
    stream.codec_context.flags |= Flags.copy_opaque
    packets = container.demux(stream)
    whole = False
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            packet.opaque = packet.dts
            frames = packet.decode()
        except av.error.FFmpegError:
            whole = False
            yield None
            if packet is None:  # no more packets come
                return
            continue
        whole = whole or (packet.is_discard and packet.is_keyframe)  # decoded, but not shown
        for frame in frames:
            whole = not frame.is_corrupt and (whole or frame.key_frame)
            yield frame if whole else None


def frames_by_pyav(
    video: "Video", size: tuple[int, int]
) -> Iterator[tuple[int, Callable[[], np.ndarray]]]:
    """Good frames by their number, each with a function that gives its pixels in a size."""
    number = {stamp: index for index, stamp in enumerate(video.stamps.tolist())}
    height, width = size[:: -1 if video.quarter_turns % 2 else 1]  # as stored
    last = -1
    with open_video(video.path) as container:
        for frame in pictures(container):
            if frame is None:
                continue
            index = last + 1
            if video.delay is None:
                index = number.get(frame.pts, last)
            elif frame.dts is not None:  # with no packet come those that the decoder still held
                index = number.get(frame.dts - video.delay, last)
            if index <= last:  # no time of its own
                continue
            last = index

            def picture(frame: Any = frame) -> np.ndarray:
                # A format given here is 12 times faster than the one in to_ndarray.
                small = frame.reformat(width, height, format="rgb24", threads=1)
                return np.rot90(small.to_ndarray(), video.quarter_turns)

            yield index, picture
