import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.cli.command_line import main
from benchmarks.record.results import Measurement, read_result
from benchmarks.tasks.throughput.measuring import Series, measurement, memory_samples, spent
from benchmarks.tasks.throughput.seeking import read_by_seeking
from data_prep.config import CorpusConfig
from data_prep.decoding.video import read_clips


@pytest.mark.slow
def test_the_models_part_measures_against_the_naive_and_the_plain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["--task", "throughput", "--part", "model", "--preset", "smoke", "--profile", "true"]
    assert main([*run, "--out", str(tmp_path / "run")]) == 0
    result = read_result(tmp_path / "run")

    def named(start: str) -> list[Measurement]:
        return [found for found in result.measurements if found.name.startswith(start)]

    assert len(named("EBT training step")) == len(named("time over Transformer++")) == 4
    for found in named("time over Transformer++"):  # the counter agrees with 1 + 2 M
        assert float(found.unit.split()[-1]) == pytest.approx(5, rel=0.1)
    (last_only,) = named("FLOPs of a training step with the loss on the last step only")
    assert last_only.value == pytest.approx(3.6, rel=0.1)
    steps, beside = named("memory of a training step")
    assert steps.value == pytest.approx(1, abs=0.1)
    assert beside.value < 1.3
    assert len(named("one frame of a rollout")) == 2
    (best_of,) = named("the best of 8 candidates")
    assert best_of.value < 8
    beside = [found.name for found in named("a prediction of ")]
    assert "a prediction of ebt_residual over a prediction of transformer_pp" in beside
    assert len(beside) == len(named("a training step of ")) == 9
    assert [profile.name.split(",")[0] for profile in result.profiles] == [
        "EBT training step",
        "Transformer++ training step",
        "EBT rollout of a frame",
    ]
    printed = capsys.readouterr().out
    for profile in result.profiles:
        assert profile.top[0].name in printed
        assert 0 < profile.top[0].milliseconds < profile.milliseconds


@pytest.mark.slow
def test_models_of_images_are_measured_beside_their_plain_baseline(tmp_path: Path) -> None:
    run = ["--task", "throughput", "--domain", "image", "--part", "model", "--preset", "smoke"]
    assert main([*run, "--out", str(tmp_path / "run")]) == 0
    result = read_result(tmp_path / "run")
    assert (result.task, result.domain) == ("throughput", "image")
    names = {found.name.split(" over ")[0].rpartition(" ")[2] for found in result.measurements}
    assert names == {"ebt_published", "dit_published", "ebt_residual", "dit", "eqm"}
    assert all(found.value > 0 for found in result.measurements)


@pytest.mark.slow
def test_a_throughput_run_prints_and_writes_every_measurement(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["--task", "throughput", "--part", "data", "--preset", "smoke"]
    folders = ["--out", str(tmp_path / "run"), "--cache-dir", str(tmp_path / "cache")]
    assert main([*run, *folders]) == 0
    result = read_result(tmp_path / "run")
    printed = " ".join(capsys.readouterr().out.split())
    report = (tmp_path / "run" / "report.md").read_text()
    for found in result.measurements:
        assert found.name in report
        if found.reference_value is not None:
            assert found.ratio is not None
            expected = found.value / found.reference_value
            assert found.ratio in (pytest.approx(expected), pytest.approx(1 / expected))
    assert "reading embeddings" in printed
    names = [found.name for found in result.measurements]
    assert len(names) == 8
    (equal,) = [found for found in result.measurements if found.name.startswith("equal sets")]
    assert equal.value == 1
    assert (tmp_path / "run" / "figures" / "ratios.png").is_file()
    (tmp_path / "run" / "report.md").unlink()
    assert main(["--report", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "report.md").read_text() == report


def test_the_seeking_reference_reads_the_same_frames(balls: Path) -> None:
    path = balls / "videos" / "train" / "00000.mp4"
    config = CorpusConfig(size=32)
    cv2.setNumThreads(1)
    ours = list(read_clips(path, config))
    theirs = read_by_seeking(path, config)
    assert len(ours) == len(theirs)
    for clip, frames in zip(ours, theirs, strict=True):
        assert np.abs(clip.frames.astype(int) - frames).mean() < 6


def test_what_is_spent_counts_child_processes() -> None:
    with spent() as idle:
        pass
    with spent() as busy:
        subprocess.run([sys.executable, "-c", "sum(range(10**7))"], check=True)
    assert busy.cpu > idle.cpu + 0.05
    assert busy.wall > 0.05


def test_memory_is_that_of_all_processes() -> None:
    hold = "import sys; b = bytearray(200 * 2**20); print(len(b), flush=True); sys.stdin.read()"
    with memory_samples() as samples:
        before = samples[0]
        with subprocess.Popen(
            [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            while len(samples) < 4:
                os.sched_yield()
            child.communicate()
    assert max(samples) > before + 150 * 2**20


def test_ratios_are_above_one_where_ours_is_better() -> None:
    ours, theirs = Series([1.0, 2.0, 3.0]), Series([8.0, 8.0, 9.0])
    assert measurement("a", "s", ours, "b", theirs, less_is_better=True).ratio == 4
    faster = measurement("a", "1/s", theirs, "b", ours, target=3)
    assert (faster.ratio, faster.low, faster.high, faster.target) == (4, 8, 9, 3)


def test_the_result_is_plain_json_of_a_version(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps({"schema_version": 4, "task": "throughput"}))
    assert main(["--report", str(tmp_path)]) == 2
