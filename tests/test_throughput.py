import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.command_line import main
from benchmarks.results import ThroughputResult, read_result
from benchmarks.tasks.throughput.measuring import Series, measurement, memory_samples, spent
from benchmarks.tasks.throughput.seeking import read_by_seeking
from data_prep.config import CorpusConfig
from data_prep.decode import read_clips


@pytest.mark.slow
def test_the_models_part_measures_against_the_naive_and_the_plain(tmp_path: Path) -> None:
    run = ["--task", "throughput", "--part", "model", "--preset", "smoke"]
    assert main([*run, "--out", str(tmp_path / "run")]) == 0
    result = read_result(tmp_path / "run")
    assert isinstance(result, ThroughputResult)
    names = [found.name for found in result.measurements]
    assert [name.split(",")[0] for name in names[:2]] == [
        "EBT training step",
        "time over Transformer++ by FLOPs over Transformer++",
    ]
    assert len(names) == 3 * 2 + 2 * 2 + 1
    for found in result.measurements:
        assert 0 < found.low <= found.value <= found.high
    for found in result.measurements[1:6:2]:  # the counter agrees with 1 + 2 M
        assert float(found.unit.split()[-1]) == pytest.approx(5, rel=0.1)
    memory = result.measurements[-1]
    assert memory.value == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_a_throughput_run_prints_and_writes_every_measurement(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["--task", "throughput", "--part", "data", "--preset", "smoke"]
    folders = ["--out", str(tmp_path / "run"), "--cache-dir", str(tmp_path / "cache")]
    assert main([*run, *folders]) == 0
    result = read_result(tmp_path / "run")
    assert isinstance(result, ThroughputResult)
    printed = " ".join(capsys.readouterr().out.split())
    report = (tmp_path / "run" / "report.md").read_text()
    for found in result.measurements:
        assert 0 <= found.low <= found.value <= found.high or "growth" in found.name
        assert found.name in report
        if found.reference_value is not None:
            assert found.ratio is not None
            expected = found.value / found.reference_value
            assert found.ratio in (pytest.approx(expected), pytest.approx(1 / expected))
    assert "reading embeddings" in printed
    names = [found.name for found in result.measurements]
    assert len(names) == 7
    (equal,) = [found for found in result.measurements if found.name.startswith("equal sets")]
    assert equal.value == 1
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
    (tmp_path / "results.json").write_text(json.dumps({"schema_version": 2, "task": "throughput"}))
    assert main(["--report", str(tmp_path)]) == 2
