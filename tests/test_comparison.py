"""Runs beside each other: paired where their data are the same, and warnings where not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from benchmarks.cli.command_line import main
from benchmarks.cli.comparison import compare_runs
from benchmarks.measure.intervals import difference
from benchmarks.record.costs import Cost
from benchmarks.record.results import (
    Metric,
    Model,
    Result,
    Row,
    SettingRecord,
    Training,
    write_result,
)
from benchmarks.reporting.report import Report
from data_prep.errors import InputError

CONDITION = {"split": "test", "protocol": "teacher_forced"}
COST = Cost(1, 0, 1.0, 10, 1.0, 1, 100)


def run(folder: Path, seeds: list[int], quality: dict[str, float], **changes: Any) -> Path:
    """A finished run of models of these qualities, with values of 12 videos."""
    metric = Metric(0.0, 0.0, 0.0, 12, True)
    values, models = {}, []
    for name, psnr in quality.items():
        trained = name != "copy_last"
        videos = np.random.default_rng(0).normal(0, 1, (1, 12))  # shared by all models
        own = np.stack(
            [
                np.random.default_rng([seed, *name.encode()]).normal(0, 0.05, 12)
                for seed in (seeds if trained else [0])
            ]
        )
        setting = SettingRecord("1 step" if name == "ebt_residual" else "–", 0, False, {})
        where = f"next frame/{name}/{setting.label}"
        values[f"{where}/psnr"] = psnr + videos + own
        values[f"{where}/smooth_l1"] = 1 / (psnr + videos + own)
        row = Row(setting, CONDITION, True, True, {"psnr": metric, "smooth_l1": metric}, COST)
        training = Training(5, 1000, 1.0) if trained else None
        models.append(Model(name, "network", 10, training, [row], []))
    data = {
        "corpus": "balls",
        "encoder": {"name": "dct", "dim": 3},
        "places": {"next frame": {"condition": CONDITION, "identity": "same"}},
    }
    config = {
        "training": {"steps": 5, "processes": 1},
        "backbone": {"width": 8},
        "sections": {name: {"learning_rate": 0.1} for name in quality},
    }
    result = Result(
        task="next_frame",
        config=config,
        environment={"commit": "a" * 40, "command": "python benchmarks/run.py"},
        data=data | changes.pop("data", {}),
        seeds=seeds,
        models=models,
        files={"values": "values.safetensors"},
    )
    folder.mkdir(parents=True)
    write_result(folder, replace(result, **changes))
    (folder / "values.safetensors").write_bytes(safetensors.numpy.save(values))
    return folder


def rows_of(report: Report) -> dict[str, dict[str, str]]:
    header, rows = next(part for part in report.opening if isinstance(part, tuple))
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


def said(report: Report) -> str:
    return " ".join(part for part in report.opening if isinstance(part, str))


def test_models_of_two_runs_are_compared_in_pairs(tmp_path: Path) -> None:
    one = run(tmp_path / "one", [0, 1], {"ebt_residual": 30.0, "copy_last": 20.0})
    other = run(tmp_path / "other", [0, 1], {"transformer_pp": 30.5})
    rows = rows_of(compare_runs([one, other], one.parent / "drawn"))
    assert list(rows) == ["Transformer++", "EBT, residual", "Copy of the last frame"]  # best first
    values = [safetensors.numpy.load_file(f / "values.safetensors") for f in (one, other)]
    a = values[1]["next frame/transformer_pp/–/psnr"]
    b = values[0]["next frame/ebt_residual/1 step/psnr"]
    expected = difference(a, b)
    cell = rows["Transformer++"]["Δ"]
    assert cell == f"{expected.mean:+.2f} [{expected.low:+.2f}, {expected.high:+.2f}]"
    assert rows["EBT, residual"]["Δ"] == "–"
    assert rows["Copy of the last frame"]["seeds"] == "–"
    assert rows["Copy of the last frame"]["Δ"].startswith("-")


def test_seeds_of_the_same_model_are_pooled(tmp_path: Path) -> None:
    one = run(tmp_path / "one", [0, 1], {"ebt_residual": 30.0})
    other = run(tmp_path / "other", [1, 2], {"ebt_residual": 30.0})
    third = run(tmp_path / "third", [3, 4], {"ebt_residual": 30.0})
    report = compare_runs([one, other, third], one.parent / "drawn")
    (row,) = rows_of(report).values()
    assert row["seeds"] == "0, 1, 2, 3, 4"
    assert "seed 1 in one already" in said(report)
    longer = run(
        tmp_path / "longer",
        [0, 1],
        {"ebt_residual": 31.0},
        config={
            "training": {"steps": 9, "processes": 4},
            "backbone": {"width": 8},
            "sections": {"ebt_residual": {"learning_rate": 0.1}},
        },
    )
    assert list(rows_of(compare_runs([one, longer], one.parent / "drawn"))) == [
        "longer: EBT, residual",
        "one: EBT, residual",
    ]


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    one = run(tmp_path / "one", [0, 1], {"ebt_residual": 30.0})
    place = {"next frame": {"condition": CONDITION, "identity": "other"}}
    elsewhere = run(tmp_path / "a", [0, 1], {"transformer_pp": 31.0}, data={"places": place})
    report = compare_runs([one, elsewhere], one.parent / "drawn")
    assert rows_of(report)["Transformer++"]["Δ"] == "–"
    assert "judged on other data" in said(report)
    encoder = {"encoder": {"name": "vae", "dim": 4}}
    encoded = run(tmp_path / "b", [0, 1], {"transformer_pp": 31.0}, data=encoder)
    report = compare_runs([one, encoded], one.parent / "drawn")
    assert rows_of(report)["Transformer++"]["Smooth-L1"] == "–"  # never across encoders
    assert rows_of(report)["Transformer++"]["Δ"] != "–"
    assert "another encoder" in said(report)
    seeds = run(tmp_path / "c", [7], {"transformer_pp": 31.0})
    assert "share no training seed" in said(compare_runs([one, seeds], one.parent / "drawn"))
    newer = run(tmp_path / "d", [0, 1], {"x": 31.0}, environment={"commit": "b" * 40})
    assert "made by commit bbbbbbb" in said(compare_runs([one, newer], one.parent / "drawn"))


def test_folders_that_hold_nothing_to_compare_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = run(tmp_path / "one", [0], {"ebt_residual": 30.0})
    old = run(tmp_path / "old", [0], {"ebt_residual": 30.0}, files={})
    with pytest.raises(InputError, match="an earlier version"):
        compare_runs([one, old], one.parent / "drawn")
    other = run(tmp_path / "other", [0], {"ebt_residual": 30.0}, task="denoise")
    with pytest.raises(InputError, match="different tasks"):
        compare_runs([one, other], one.parent / "drawn")
    assert main(["--compare", str(one), str(tmp_path / "none")]) == 2
    assert "so no finished run; give the folder of one" in capsys.readouterr().err


def test_a_comparison_is_a_page_and_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = run(tmp_path / "one", [0, 1], {"ebt_residual": 30.0})
    other = run(tmp_path / "other", [0, 1], {"transformer_pp": 30.5})
    out, files = tmp_path / "out", tmp_path / "files"
    arguments = ["--compare", str(one), str(other), "--out", str(out), "--export", str(files)]
    assert main(arguments) == 0
    assert "Transformer++" in capsys.readouterr().out.replace("\n", "")
    page = (out / "report.md").read_text()
    assert page.startswith("# Comparison of 2 runs")
    assert "| Transformer++ |" in page
    assert any(path.suffix == ".tex" for path in files.iterdir())
