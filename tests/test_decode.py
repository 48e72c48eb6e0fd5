from pathlib import Path

import numpy as np
import pytest

from data_prep.bouncing_balls import render_bouncing_balls, write_video
from data_prep.config import BouncingBallsConfig, CorpusConfig
from data_prep.decode import DecodeError, clip_indices, read_clips


def test_a_wanted_time_takes_the_last_frame_at_or_before_it() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        times = np.cumsum(rng.uniform(0.03, 0.3, 60))
        times -= times[0]
        config = CorpusConfig(frames=5, frame_interval=float(rng.uniform(0.1, 0.5)), stride=0.7)
        indices = clip_indices(times, config)
        starts = np.arange(0, times[-1] - 4 * config.frame_interval, 0.7)
        assert len(indices) == len(starts)
        for clip, start in zip(indices, starts, strict=True):
            for k, index in enumerate(clip):
                wanted = start + k * config.frame_interval
                slow = max(i for i, time in enumerate(times) if time <= wanted + 1e-3)
                assert index == slow


def test_constant_rates_hit_their_frames_despite_rounding() -> None:
    for fps in (8, 10, 12, 24, 25, 29.97, 30, 60):
        times = np.round(np.arange(round(6 * fps)) / fps, 3)
        (clip, *_) = clip_indices(times, CorpusConfig(frames=5, frame_interval=5 / fps))
        assert clip.tolist() == [0, 5, 10, 15, 20]


def test_a_video_shorter_than_a_clip_is_refused_not_resampled(tmp_path: Path) -> None:
    config = BouncingBallsConfig(seconds=2.0)
    path = tmp_path / "short.mp4"
    write_video(path, render_bouncing_balls(np.random.default_rng(0), config), config.fps)
    with pytest.raises(DecodeError, match=r"too short: 16 frames over 1\.88 s, a clip needs 2\.75"):
        read_clips(path, CorpusConfig())


def test_written_frames_come_back(tmp_path: Path) -> None:
    config = BouncingBallsConfig(seconds=6.0, size=64)
    frames = render_bouncing_balls(np.random.default_rng(0), config)
    write_video(tmp_path / "balls.mp4", frames, config.fps)
    clips = read_clips(tmp_path / "balls.mp4", CorpusConfig(size=64))
    assert len(clips) == 2
    for start, clip in zip((0, 24), clips, strict=True):
        expected = frames[start : start + 24 : 2].astype(float)
        assert np.abs(clip.frames - expected).mean() < 4
        assert clip.times == pytest.approx([start / 8 + 0.25 * k for k in range(12)])
        assert (clip.repeated, clip.decoder) == (0, "decord")


def test_frames_shown_twice_are_counted(tmp_path: Path) -> None:
    config = BouncingBallsConfig(seconds=8.0, fps=2)
    write_video(tmp_path / "slow.mp4", render_bouncing_balls(np.random.default_rng(0), config), 2)
    (clip, *_) = read_clips(tmp_path / "slow.mp4", CorpusConfig())
    assert clip.repeated == 6


def test_same_seed_same_file(tmp_path: Path) -> None:
    config = BouncingBallsConfig()
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, render_bouncing_balls(np.random.default_rng(3), config), 8)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


SHORT = CorpusConfig(frames=3, frame_interval=0.03, size=32)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("zero_byte.mp4", "empty file"),
        ("text_renamed.mp4", "decord: .*pyav: "),
        ("audio_only.mp4", "no video stream"),
        ("one_frame.mp4", r"too short: 1 frames"),
        ("truncated_index_at_end.mp4", "decord: .*pyav: "),
    ],
)
def test_unusable_real_files_are_rejected_with_a_reason(
    real_data: Path, name: str, reason: str
) -> None:
    with pytest.raises(DecodeError, match=reason):
        read_clips(real_data / "videos" / "broken" / name, SHORT)


@pytest.mark.parametrize(
    "name",
    ["video_0.mov", "video_90.mov", "video_270.mov", "vertical_9x16.mp4", "odd_size_173x131.mp4",
     "odd_size_173x131_vp9.mp4", "variable_frame_rate.mp4", "naïve café – 日本 clip 01.mp4"],
)  # fmt: skip
def test_awkward_real_files_are_read(real_data: Path, name: str) -> None:
    clips = read_clips(real_data / "videos" / "broken" / name, SHORT)
    assert all(clip.frames.shape == (3, 32, 32, 3) for clip in clips)
    assert clips[0].frames.std() > 1


def test_pyav_and_decord_agree_on_a_real_clip(
    real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = real_data / "videos" / "broken" / "video_90.mov"
    (first, *_) = read_clips(path, SHORT)

    def refuse(path: Path) -> None:
        raise DecodeError("refused for this test")

    monkeypatch.setattr("data_prep.decode._open_decord", refuse)
    (second, *_) = read_clips(path, SHORT)
    assert (first.decoder, second.decoder) == ("decord", "pyav")
    assert np.abs(first.frames.astype(int) - second.frames).mean() < 3
