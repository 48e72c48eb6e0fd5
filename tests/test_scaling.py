"""Sweeps: points as ordinary runs, resumed, shared between jobs, and what they become."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from browsing import require_readable
from playwright.sync_api import Browser
from safetensors.numpy import load_file
from sweeping import run_points_here

from benchmarks.cli.command_line import main
from benchmarks.cli.options import parse, to_config
from benchmarks.config import Inputs, RunConfig
from benchmarks.domains.registry import load_domain
from benchmarks.record.results import read_result
from benchmarks.reporting.html import PAGE
from benchmarks.tasks.configuring import options_of, preset_config
from benchmarks.tasks.scaling.axes import planned_points
from benchmarks.tasks.scaling.comparison import compare_sweeps
from benchmarks.tasks.scaling.config import ValuesConfig
from benchmarks.tasks.scaling.result import Found
from benchmarks.tasks.scaling.sweep import Place, Sweep
from data_prep.errors import InputError

SPECS = load_domain("video").declared
TINY = ["--task", "scaling", "--preset", "smoke", "--device", "cpu"]
TINY += ["--training.steps", "4", "--training.validate_every", "2", "--training.processes", "1"]
TINY += ["--values.width", "[16,32]", "--models", "ebt_residual,transformer_pp", "--seeds", "0,1"]
TINY += ["--balls.train", "6", "--balls.validation", "2", "--balls.test", "3"]


def smoke(**changes: object) -> RunConfig:
    return swept(preset_config("scaling", "smoke"), **changes)


def swept(config: RunConfig, **changes: object) -> RunConfig:
    """The sweep with other options of its own."""
    return replace(config, task=replace(config.task, **changes))  # type: ignore[type-var]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return ["--cache-dir", str(tmp_path_factory.mktemp("cache"))]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, cache: list[str]) -> Path:
    """A sweep of two points."""
    out = tmp_path_factory.mktemp("sweep")
    with pytest.MonkeyPatch.context() as patch:
        run_points_here(patch)
        assert main([*TINY, *cache, "--out", str(out)]) == 0
    return out


@pytest.mark.slow
def test_a_sweep_that_is_told_to_end_goes_on(tmp_path: Path, cache: list[str]) -> None:
    first = tmp_path / "points/width-16/results.json"

    def stop() -> None:
        while not first.exists():
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    assert main([*TINY, *cache, "--out", str(tmp_path)]) == 128 + signal.SIGTERM
    assert first.exists()
    assert not (tmp_path / "results.json").exists()
    finished_at = first.stat().st_mtime_ns
    assert main(["--resume", str(tmp_path)]) == 0
    assert first.stat().st_mtime_ns == finished_at  # what was done is not done again
    assert (tmp_path / "results.json").exists()


def test_a_sweep_names_all_points_and_refuses_what_two_cannot_support(finished: Path) -> None:
    result = read_result(finished)
    found = result.found(Found)
    assert [(p.value, p.model) for p in found.points] == [
        (value, model) for value in ("16", "32") for model in ("ebt_residual", "transformer_pp")
    ]
    for point in found.points:
        values = load_file(finished / point.folder / "values.safetensors")
        own = values[f"next frame/{point.model}/{point.setting}/smooth_l1"]
        assert own.shape == (2, 3)  # seeds, videos
        assert point.loss.mean == pytest.approx(own.mean())
        assert point.seed_losses == pytest.approx(own.mean(axis=1).tolist())
        assert point.x["width"] == float(point.value)
        assert 0 < point.x["parameters without embeddings"] < point.x["parameters"]
    assert {ratio.refused is None for ratio in found.ratios} == {False}
    report = (finished / "report.md").read_text()
    assert "2 values are too few" in report
    assert "figures/axis.png" in report
    assert main(["--report", str(finished)]) == 0


@pytest.mark.slow
def test_a_point_is_what_its_run_alone_gives(
    finished: Path, tmp_path: Path, cache: list[str]
) -> None:
    options = str(finished / "points/width-32/point.yaml")
    assert main(["--config", options, "--device", "cpu", *cache, "--out", str(tmp_path)]) == 0
    alone = load_file(tmp_path / "values.safetensors")
    for name, values in load_file(finished / "points/width-32/values.safetensors").items():
        assert values == pytest.approx(alone[name], rel=1e-5)


@pytest.mark.slow
def test_jobs_share_a_sweep_and_the_last_one_reports(
    finished: Path, tmp_path: Path, cache: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    shared = [*TINY, *cache, "--out", str(tmp_path), "--num-jobs", "2", "--jobs", "2"]
    for job in (0, 1):  # both found their share done
        for value in ("16", "32")[job : job + 1]:
            source = finished / f"points/width-{value}"
            (tmp_path / "points").mkdir(exist_ok=True)
            subprocess.run(["cp", "-r", source, tmp_path / f"points/width-{value}"], check=True)
        code = 0
        try:
            code = main([*shared, "--job-index", str(job)])
        except SystemExit as done:
            code = int(str(done.code))
        assert code == 0
        assert (tmp_path / "results.json").exists() == (job == 1)
    assert "the job that ends last makes the report" in capsys.readouterr().out
    one, other = (
        json.loads((folder / "results.json").read_text())["details"]
        for folder in (finished, tmp_path)
    )
    assert one == other
    assert "num_jobs" not in yaml.safe_load((tmp_path / "config.yaml").read_text())


def test_a_point_that_fails_is_named_and_the_others_go_on(
    finished: Path, tmp_path: Path, cache: list[str]
) -> None:
    place = tmp_path / "points"
    place.mkdir()
    subprocess.run(["cp", "-r", finished / "points/width-16", place / "width-16"], check=True)
    (place / "width-32").mkdir()
    (place / "width-32/config.yaml").write_text("task: nonsense\n")  # cannot be resumed
    assert main([*TINY, *cache, "--out", str(tmp_path)]) == 0
    found = read_result(tmp_path).found(Found)
    assert list(found.failed) == ["width-32"]
    assert "exit code 2" in found.failed["width-32"]
    assert "width-32 is missing" in (tmp_path / "report.md").read_text()


def test_a_folder_with_other_options_is_refused(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--resume", str(finished), "--training.steps", "5"]) == 2
    assert "holds a point with other options" in capsys.readouterr().err


def test_one_thing_changes_from_point_to_point(tmp_path: Path) -> None:
    config = smoke()
    for axis in ("width", "depth", "parameters", "data", "batch", "steps", "context", "flops"):
        points = planned_points(swept(config, axis=axis), SPECS)
        assert len(points) >= 4
        assert len({str(point.config) for point in points}) == len(points)
        file = tmp_path / "point.yaml"  # of one point, since parsing takes longest
        file.write_text(yaml.safe_dump(options_of("next_frame", points[0].config)))
        assert to_config(parse(["--config", str(file)])) == points[0].config
    data = [p.config.training.clips for p in planned_points(swept(config, axis="data"), SPECS)]
    assert data == config.task.values.data
    flops = [p.config for p in planned_points(swept(config, axis="flops"), SPECS)]
    assert [c.training.steps for c in flops] == sorted(c.training.steps for c in flops)
    assert flops[-1].training.steps == config.training.steps  # at the size of the options
    seen = [p.config for p in planned_points(swept(config, axis="context"), SPECS)]
    assert [c.domain.clip_frames for c in seen] == [
        context + 1 for context in config.task.values.context
    ]
    assert len({str(c.domain.corpus) for c in seen}) == 1  # the same clips
    steps = [p.config.training for p in planned_points(swept(config, axis="steps"), SPECS)]
    assert all(t.warmup_steps <= t.steps / 4 for t in steps)


def test_options_of_a_sweep_may_be_written_with_dashes_and_without_true() -> None:
    arguments = ["--task", "scaling", "--search-each", "--num-jobs", "3", "--job-index=1"]
    config = to_config(parse(arguments))
    task = config.task
    assert (task.search_each, task.num_jobs, task.job_index) == (True, 3, 1)
    assert not to_config(parse(["--task", "scaling", "--search-each", "false"])).task.search_each


def test_learning_rates_follow_the_stated_rule() -> None:
    config = smoke(values=ValuesConfig(width=[16, 64, 256], batch=[2, 8, 32]))
    rate = config.sections["ebt_residual"].learning_rate
    wide = planned_points(config, SPECS)
    assert [p.config.sections["ebt_residual"].learning_rate for p in wide] == pytest.approx(
        [2 * rate, rate, rate / 2]
    )
    adamw = replace(config, training=replace(config.training, optimizer="adamw"))
    assert [
        p.config.sections["ebt_residual"].learning_rate for p in planned_points(adamw, SPECS)
    ] == pytest.approx([4 * rate, rate, rate / 4])
    batches = planned_points(swept(config, axis="batch"), SPECS)
    assert [p.config.sections["ebt_residual"].learning_rate for p in batches] == pytest.approx(
        [rate / 2, rate, 2 * rate]
    )
    assert [p.config.backbone.heads for p in wide] == [1, 2, 8]


def test_variants_change_options_and_have_folders_of_their_own() -> None:
    config = smoke(variants={"wide": {"encoder.frequencies": 5, "ebt.form": "linear"}, "as_is": {}})
    points = planned_points(config, SPECS)
    assert len(points) == 2 * len(config.task.values.width)
    assert points[0].folder("width") == "points/wide/width-16"
    assert points[0].config.encoder.frequencies == 5
    assert points[0].config.sections["ebt_residual"].form == "linear"  # type: ignore[attr-defined]
    assert points[-1].config.encoder == config.encoder


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--values.width", "[16]"], "values.width"),
        (["--values.parameters", "[1x16,huge]"], "values.parameters: 'huge'"),
        (["--axis", "height"], "--axis"),
        (["--job-index", "2", "--num-jobs", "2"], "job_index 2"),
        (["--variants", "{a: {encoder.colour: 3}}"], "encoder.colour"),
        (["--variants", "{a: {encoder.name: 'own:mine:E'}}"], "own:mine:E is code"),
        (["--values.width", "[20,40]"], "values.width"),
    ],
)
def test_wrong_options_are_named(
    options: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--balls.train", "2", "--balls.validation", "1", "--balls.test", "1"]
    arguments = ["--task", "scaling", "--preset", "smoke", *small, *options]
    assert main([*arguments, "--out", str(tmp_path / "o"), "--cache-dir", str(tmp_path)]) == 2
    assert named in capsys.readouterr().err


def test_a_variant_must_be_named_like_a_folder() -> None:
    with pytest.raises(InputError, match="names a folder"):
        smoke(variants={"a/b": {}})


@pytest.mark.slow
def test_the_page_reads_well_in_a_browser(browser: Browser, finished: Path) -> None:
    require_readable(browser, finished / PAGE)


FAKE = """
import json, pathlib, sys
arguments = sys.argv[1:]
out = pathlib.Path(arguments[arguments.index("--resume") + 1])
made = "search.yaml" if "--search" in arguments else "results.json"
(out / made).write_text('{"ebt_residual": {"optimizer": "adamw", "learning_rate": 0.25}}')
with open(__file__ + ".log", "a") as log:
    log.write(json.dumps(arguments) + chr(10))
"""


def test_a_point_can_search_its_own_rate(
    tmp_path: Path, cache: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "run.py"
    script.write_text(FAKE)
    monkeypatch.setattr("benchmarks.tasks.scaling.sweep.SCRIPT", script)
    config = to_config(parse([*TINY, "--search-each"]))
    place = Place(planned_points(config, SPECS)[0], tmp_path / "points" / "width-16")
    sweep = Sweep(config, load_domain("video"), Inputs(None, {}, Path(cache[1])), "cpu")
    assert sweep.run([place]) == {}
    lines = (tmp_path / "run.py.log").read_text().splitlines()
    search, point = (json.loads(line) for line in lines)
    assert search == ["--resume", str(place.folder / "search"), "--search"]
    assert point == ["--resume", str(place.folder)]
    options = yaml.safe_load((place.folder / "config.yaml").read_text())
    assert (options["ebt_residual"]["optimizer"], options["ebt_residual"]["learning_rate"]) == (
        "adamw",
        0.25,
    )
    assert sweep.run([place]) == {}
    assert (tmp_path / "run.py.log").read_text().splitlines() == lines  # it is done


def changed(sweep: Path, out: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a sweep, its results and those of its points changed."""
    shutil.copytree(sweep, out)
    for file in [out / "results.json", *out.glob("points/*/results.json")]:
        content = json.loads(file.read_text())
        change(content)
        file.write_text(json.dumps(content))
    return out


def test_sweeps_that_differ_in_their_seeds_are_one_and_others_stand_beside(
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.tasks.scaling.fitting.REPLICATES", 20)
    more = changed(finished, tmp_path / "more", lambda content: content.update(seeds=[1, 2]))
    longer = changed(
        finished, tmp_path / "longer", lambda content: content["config"]["corpus"].update(frames=9)
    )
    report = compare_sweeps(
        [(run.name, run, read_result(run)) for run in (finished, more)], tmp_path
    )
    (points,) = (s.content[1] for s in report.sections if s.heading == "Points")
    losses = [row[points[0].index("seeds")].split(", ") for row in points[1]]
    assert [len(of_point) for of_point in losses] == [3] * 4
    assert all(of_point[2] == of_point[1] for of_point in losses)
    assert "its trainings with seed 1 are those of" in str(report.opening)
    arguments = ["--compare", str(finished), str(longer), "--out", str(tmp_path / "both")]
    assert main(arguments) == 0
    text = (tmp_path / "both" / "report.md").read_text()
    assert f"Comparison of 2 sweeps along {read_result(finished).config['axis']}" in text
    assert f"| {finished.name} | 16 | `ebt_residual` |" in text
    assert "| longer | 16 | `ebt_residual` |" in text

    def along_depth(content: dict[str, Any]) -> None:
        if content["details"]:
            content["details"]["axis"] = "depth"

    depth = changed(finished, tmp_path / "depth", along_depth)
    assert main(["--compare", str(finished), str(depth), "--out", str(tmp_path / "no")]) == 2
    assert "sweeps along different axes" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
