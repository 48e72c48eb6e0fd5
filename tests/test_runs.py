"""All runs on one page, the list of what there is, and the suite from Python."""

import json
from pathlib import Path

import pytest
import torch
from browsing import opened, require_readable
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Browser
from test_comparison import run as written

from baselines.trivial import CopyLast
from benchmarks import Result, evaluate, load_result, run
from benchmarks.cli.console import main
from benchmarks.reporting.runs import INDEX, runs_table, write_index
from benchmarks.tasks.registry import task_names
from data_prep.errors import InputError
from worldmodel.predictor import Clips, Setting, Trajectory


def some_runs(folder: Path) -> Path:
    """Two runs on the same data, and one on other data."""
    place = {"condition": {"split": "test", "protocol": "teacher_forced"}, "identity": "other"}
    main_place = {"main_place": "next frame"}
    other = main_place | {"places": {"next frame": place}, "corpus": "<b>clips</b>"}
    written(folder / "first", [0], {"copy_last": 20.0, "flow": 25.0}, data=dict(main_place))
    written(folder / "second", [0, 1], {"dit": 24.0}, data=dict(main_place))
    written(folder / "third", [0], {"dit": 24.0}, data=other)
    for name, psnr in {"first": [20.0, 25.0], "second": [24.0]}.items():
        found = json.loads((folder / name / "results.json").read_text())
        for model, mean in zip(found["models"], psnr, strict=True):
            model["rows"][0]["metrics"]["psnr"]["mean"] = mean
        (folder / name / "results.json").write_text(json.dumps(found))
    (folder / "broken").mkdir()
    (folder / "broken" / "results.json").write_text("{")
    return folder


def test_the_index_names_every_run_and_what_is_broken(tmp_path: Path) -> None:
    runs, unread = write_index(some_runs(tmp_path))
    header, rows = runs_table(runs)
    assert {row[0] for row in rows} == {"first", "second", "third"}
    assert {row[0]: row[header.index("seeds")] for row in rows}["second"] == "0, 1"
    (line,) = unread
    assert "broken" in line
    page = (tmp_path / INDEX).read_text()
    assert "<b>clips" not in page
    assert "&lt;b&gt;clips&lt;/b&gt;" in page


def test_the_index_filters_and_ranks(tmp_path: Path, browser: Browser) -> None:
    write_index(some_runs(tmp_path))
    require_readable(browser, tmp_path / INDEX)
    with opened(browser, tmp_path / INDEX) as tab:
        shown = "#runs tbody tr:visible"
        assert tab.locator(shown).count() == 3
        tab.get_by_role("searchbox").fill("second")
        assert tab.locator(shown).count() == 1
        boards = tab.locator(".leaderboard")
        assert boards.count() == 2
        both = boards.filter(has_text="first")
        assert both.locator("tbody tr").count() == 3
        assert both.locator("tbody tr td:first-child").all_text_contents() == [
            *("Flow", "DiT", "Copy of the last frame"),
        ]
        assert both.locator("th:visible", has_text="Smooth-L1").count() == 0
        both.get_by_role("combobox").select_option("Smooth-L1")
        assert both.locator("th:visible", has_text="Smooth-L1").count() == 1
        assert both.locator("th:visible", has_text="PSNR").count() == 0


def test_another_page_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / INDEX
    page.write_text("my own site")
    assert main(["runs", str(some_runs(tmp_path))]) == 2
    assert "is no index of runs" in capsys.readouterr().err
    assert page.read_text() == "my own site"


def test_the_runs_of_a_folder_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs", str(some_runs(tmp_path))]) == 0
    printed = capsys.readouterr().out
    assert "second" in printed
    assert str(tmp_path / INDEX) in printed
    assert main(["--index", str(tmp_path)]) == 0
    assert main(["runs", str(tmp_path / "nowhere")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_all_that_can_be_run_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    for name in (*task_names(), "published_video", "ebt_residual", "dct", "ucf101"):
        assert f" {name} " in printed
    assert main(["list", "everything"]) == 2


class Noise(CopyLast):
    """A predictor that nobody has trained."""

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        return Trajectory(torch.zeros_like(context.embeddings)[None])


@pytest.fixture(scope="module")
def judged(balls: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    folder = tmp_path_factory.mktemp("held in memory")
    options = {"cache-dir": str(folder / "cache"), "evaluation.latency_repeats": 1}
    return evaluate(
        Noise(), "next_frame", balls, preset="smoke", out=folder / "run", options=options
    ), folder


def test_a_predictor_in_memory_is_judged_beside_the_floors(judged: tuple[Result, Path]) -> None:
    result, folder = judged
    psnr = {
        model.name: row.metrics["psnr"].mean
        for model in result.models
        for row in model.rows
        if row.condition == {"split": "test", "protocol": "teacher_forced"}
    }
    assert set(psnr) == {"model", "copy_last", "linear_extrapolation", "mean_frame"}
    assert psnr["model"] < psnr["copy_last"]
    assert load_result(folder / "run") == result
    assert "| `model` |" in result._repr_markdown_()


@pytest.mark.slow
def test_a_run_in_a_notebook_shows_its_table_and_is_that_of_the_command_line(
    judged: tuple[Result, Path], balls: Path
) -> None:
    before, folder = judged
    given = {
        "models": ["copy_last"],
        "data": str(balls),
        "preset": "smoke",
        "out": str(folder / "again"),
        "options": {"cache-dir": str(folder / "cache"), "evaluation.latency_repeats": 1},
    }
    cells = ["from benchmarks import run", f"result = run('next_frame', **{given})", "result"]
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    done = NotebookClient(notebook, resources={"metadata": {"path": folder}}).execute()
    assert "| `copy_last` |" in done.cells[-1].outputs[0]["data"]["text/markdown"]
    (model,) = load_result(folder / "again").models
    (same,) = (m for m in before.models if m.name == "copy_last")
    assert len(model.rows) == len(same.rows) > 2
    for here, there in zip(model.rows, same.rows, strict=True):
        assert {n: m.mean for n, m in here.metrics.items()} == {
            n: m.mean for n, m in there.metrics.items()
        }


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no results"):
        load_result(tmp_path)
    with pytest.raises(InputError, match="ebt_residul"):
        run("next_frame", models=["ebt_residul"], out=tmp_path / "run")
    with pytest.raises(ValueError, match="taken"):
        evaluate(CopyLast(), "next_frame", name="copy_last")
