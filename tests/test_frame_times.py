"""Each wanted time shows the frame that was drawn for it, in every container and codec."""

import functools
import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from data_prep.config import CorpusConfig
from data_prep.decoding.clip import DecodedClip
from data_prep.decoding.video import read_clips
from data_prep.errors import DecodeError
from data_prep.sources.media import VIDEOS

FPS = 30
SIZE = 64
EVERY = CorpusConfig(frames=3, frame_interval=0.1, stride=0.1, size=SIZE)
CODECS = {
    "h264": ("libx264", {"bf": "0"}),
    "h264 with B-frames": ("libx264", {"bf": "3"}),
    "h264 with open B-frames": ("libx264", {"bf": "2", "x264-params": "open-gop=1"}),
    "hevc": ("libx265", {"x265-params": "keyint=12:min-keyint=12:log-level=none"}),
    "vp8": ("libvpx", {"deadline": "realtime", "b": "2M"}),
    "vp8 alternate": ("libvpx", {"auto-alt-ref": "1", "lag-in-frames": "10", "b": "2M"}),
    "vp9": (
        "libvpx-vp9",
        {"deadline": "realtime", "cpu-used": "8", "b": "2M", "lag-in-frames": "0"},
    ),
    "mpeg4": ("mpeg4", {"b": "4M"}),
    "mpeg4 with B-frames": ("mpeg4", {"bf": "2", "b": "4M"}),
    "mpeg2 with B-frames": ("mpeg2video", {"bf": "2", "b": "4M"}),
    "mjpeg": ("mjpeg", {}),
}
CONTAINERS = ("mp4", "mov", "mkv", "webm", "avi", "ts")
TICKS = {
    "plain": tuple(range(48)),
    "dropped": (*range(20), *range(30, 48)),
    "variable": tuple(int(tick) for tick in np.cumsum(np.tile([1, 2, 1, 3], 10)) - 1),
}


def draw(number: int) -> np.ndarray:
    """A picture whose top shows a number, a bit in each of eight columns."""
    frame = np.full((SIZE, SIZE, 3), 60, np.uint8)
    for bit in range(8):
        frame[: SIZE // 4, bit * SIZE // 8 : (bit + 1) * SIZE // 8] = (
            235 if number >> bit & 1 else 20
        )
    return frame


def number_in(frame: np.ndarray) -> int:
    height, width = frame.shape[:2]
    columns = [frame[height // 8, int((bit + 0.5) * width / 8)].mean() for bit in range(8)]
    return sum(1 << bit for bit, level in enumerate(columns) if level > 128)


@functools.cache
def sent(codec: str, ticks: tuple[int, ...]) -> list[tuple[bytes, int, int, bool]]:
    """Packets of a video with a picture of its number at each tick: bytes, pts, dts, key."""
    name, options = CODECS[codec]
    encoder = av.CodecContext.create(name, "w")
    encoder.width = encoder.height = SIZE
    encoder.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, FPS), Fraction(FPS)
    encoder.options, encoder.thread_count, encoder.gop_size = options, 1, 12
    packets = []
    for tick in (*ticks, None):
        picture = None
        if tick is not None:
            picture = av.VideoFrame.from_ndarray(draw(tick), "rgb24").reformat(
                format=encoder.pix_fmt
            )
            picture.pts, picture.time_base = tick, encoder.time_base
        packets += [(bytes(p), p.pts, p.dts, p.is_keyframe) for p in encoder.encode(picture)]
    return packets


def write(path: Path, codec: str, ticks: tuple[int, ...], start: int = 0, skip: int = 0) -> None:
    """A file of the packets, without the first `skip`, that begins `start` ticks late."""
    name, options = CODECS[codec]
    packets = sent(codec, ticks)[skip:]
    if path.suffix == ".avi":  # it counts from its first frame
        start = -packets[0][2]
    muxing = {"avoid_negative_ts": "disabled"} if start < 0 else {}
    with av.open(str(path), "w", options=muxing) as container:
        stream = container.add_stream(name, rate=FPS, options=options)
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.thread_count = 1
        stream.time_base = Fraction(1, FPS)
        container.start_encoding()
        for content, pts, dts, key in packets:
            packet = av.Packet(content)
            packet.stream, packet.time_base = stream, Fraction(1, FPS)
            packet.pts, packet.dts, packet.is_keyframe = pts + start, dts + start, key
            container.mux(packet)


def read(path: Path) -> list[DecodedClip]:
    return list(read_clips(path, EVERY))


def require_true_times(clips: list[DecodedClip], ticks: tuple[int, ...], name: str) -> None:
    """Every wanted time shows the last frame drawn at or before it, up to the end."""
    first = number_in(clips[0].frames[0])
    span = ticks[-1] - first
    starts = [3 * k for k in range(100) if 3 * k + 6 <= span]
    moving = []
    for start in starts:
        wanted = [max(t for t in ticks if t <= first + start + 3 * k) for k in range(3)]
        if len(set(wanted)) > 1:
            moving.append(wanted)
    found = [[number_in(frame) for frame in clip.frames] for clip in clips]
    assert found == moving, name
    for clip, numbers in zip(clips, moving, strict=True):
        expected = [(number - first) / FPS for number in numbers]
        assert clip.times == pytest.approx(expected, abs=0.4 / FPS), name


@pytest.fixture(scope="module", params=[True, False], ids=["decord", "pyav"])
def with_decord(request: pytest.FixtureRequest) -> bool:
    """Whether decord may decode."""
    if request.param:
        pytest.importorskip("decord")
    return bool(request.param)


@pytest.mark.parametrize("codec", CODECS)
def test_every_time_shows_its_frame(
    codec: str, with_decord: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_decord:
        monkeypatch.setattr("data_prep.decoding.by_decord.VERSION", None)
    kinds = [(ticks, 0, 0) for ticks in TICKS]
    kinds += [("plain", 5 * FPS, 0), ("plain", -FPS, 0), ("plain", 0, 1), ("plain", 0, 5)]
    written, decoders = set(), set()
    for suffix, (ticks, start, skip) in itertools.product(CONTAINERS, kinds):
        if suffix == "avi" and ticks == "variable" and "B-frames" in codec:
            continue  # an AVI says when packets are sent, which is not when they are shown
        name = f"{codec} {ticks} start {start} skip {skip}.{suffix}"
        try:
            write(tmp_path / name, codec, TICKS[ticks], start, skip)
        except (av.error.FFmpegError, ValueError):  # this container does not hold it
            continue
        if suffix == "ts" and codec.startswith(("vp", "mjpeg")):  # nor does MPEG-TS
            with pytest.raises(DecodeError, match="no video stream"):
                read(tmp_path / name)
            continue
        clips = read(tmp_path / name)
        written.add(suffix)
        require_true_times(clips, TICKS[ticks], name)
        whole = not skip and start >= 0  # an edit list leaves out what precedes 0
        assert not whole or number_in(clips[0].frames[0]) == 0, name
        decoders |= {clip.decoder for clip in clips}
    assert written
    assert with_decord or decoders == {"pyav"}


@pytest.mark.parametrize("name", ["m2_ts.mp4", "vp8_drop10.webm", "longnob_drop1.mp4",
                                  "start5.mkv", "trimCopyTs.mkv", "stall_mjpeg.avi"])  # fmt: skip
def test_real_cases_show_each_frame_at_its_time(
    real_data: Path, name: str, with_decord: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_decord:
        monkeypatch.setattr("data_prep.decoding.by_decord.VERSION", None)
    ticks = {"start5.mkv": range(90), "trimCopyTs.mkv": range(90)}.get(name, range(240))
    if name == "stall_mjpeg.avi":
        ticks = [tick for tick in ticks if not 60 <= tick < 80]
    clips = read(real_data / "cases" / "videos" / name)
    require_true_times(clips, tuple(ticks), name)


def test_a_whole_file_whose_sound_starts_late_is_read(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "late.mkv"), "w") as container:
        video = container.add_stream("libx264", rate=FPS)
        video.width = video.height = SIZE
        video.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=16000, layout="mono")
        for tick in range(30):
            picture = av.VideoFrame.from_ndarray(draw(tick), "rgb24")
            container.mux(video.encode(picture))
        container.mux(video.encode())
        for place in range(48):  # from 2 to 5 s
            samples = np.zeros((1, 1000), np.float32)
            silence = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
            silence.sample_rate, silence.pts = 16000, 32000 + 1000 * place
            silence.time_base = Fraction(1, 16000)
            container.mux(sound.encode(silence))
        container.mux(sound.encode())
    require_true_times(read(tmp_path / "late.mkv"), tuple(range(30)), "late")


def test_what_an_edit_list_leaves_out_is_not_missing(tmp_path: Path) -> None:
    """Key frames too, that no decoder needs: the file is whole all the same."""
    write(tmp_path / "cut.mp4", "h264", TICKS["plain"], start=-30)
    clips = read(tmp_path / "cut.mp4")
    assert number_in(clips[0].frames[0]) == 30
    require_true_times(clips, tuple(range(30, 48)), "cut")


def test_time_stamps_that_wrap_around_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "wrapped.flv", "h264", TICKS["plain"], start=-30)
    with pytest.raises(DecodeError, match="its time stamps jump by"):
        read(tmp_path / "wrapped.flv")


def test_every_suffix_of_a_video_can_be_read(tmp_path: Path) -> None:
    codecs = {".wmv": "mpeg4", ".ogv": "vp8", ".webm": "vp8"}
    codecs |= dict.fromkeys((".mpg", ".mpeg"), "mpeg2 with B-frames")
    for suffix in set(VIDEOS.suffixes) - {".gif"}:
        path = tmp_path / f"a{suffix}"
        write(path, codecs.get(suffix, "h264"), TICKS["plain"])
        frames = [number_in(frame) for clip in read(path) for frame in clip.frames]
        assert frames[:6] == [0, 3, 6, 3, 6, 9], suffix


def test_an_animated_gif_is_a_video(tmp_path: Path) -> None:
    pictures = [Image.fromarray(draw(number)) for number in range(1, 21)]
    path = tmp_path / "a.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100)
    clips = read(path)
    assert [number_in(frame) for frame in clips[0].frames] == [1, 2, 3]
    assert clips[-1].times[-1] == pytest.approx(1.9)
