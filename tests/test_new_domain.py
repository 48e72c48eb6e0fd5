"""A further domain is a folder and a line in the registry; every task works on it."""

from pathlib import Path

import pytest

from benchmarks.cli.command_line import main
from benchmarks.domains.registry import DOMAINS
from benchmarks.record.results import read_result

SMALL = ["--backbone.layers", "1", "--backbone.heads", "2", "--backbone.width", "32"]
SMALL += ["--training.steps", "4", "--training.validate_every", "2", "--training.warmup_steps", "1"]
SMALL += ["--device", "cpu", "--evaluation.latency_repeats", "1", "--evaluation.counts", "[1,2]"]


@pytest.fixture(autouse=True)
def _signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DOMAINS, "signals", "signals:Signals")  # the line


def test_its_models_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "run"), "--cache-dir", str(tmp_path / "cache")]
    assert main(["--task", "forecast", *SMALL, *out]) == 0
    result = read_result(tmp_path / "run")
    assert [model.name for model in result.models] == ["ebt", "plain", "last"]
    (verdict,) = result.verdicts
    assert verdict.compared.metric == "smooth_l1"
    assert verdict.question in capsys.readouterr().out
    rows = [row for row in result.models[0].rows if row.condition == {"split": "test"}]
    assert [row.setting.label for row in rows] == ["1 step", "2 steps"]


def test_its_models_think(tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "run"), "--cache-dir", str(tmp_path / "cache")]
    few = ["--evaluation.candidates", "[1,2]", "--evaluation.thresholds", "3"]
    few += ["--shifts.factors", "[3]"]
    assert main(["--task", "thinking", "--domain", "signals", *SMALL, *few, *out]) == 0
    result = read_result(tmp_path / "run")
    assert list(result.data["sets"]) == ["validation", "in distribution", "speed x3"]
    judged = {row.condition["samples"] for row in result.models[0].rows}
    assert judged == set(result.data["sets"])
    assert (tmp_path / "run" / "report.md").is_file()


def test_its_models_are_probed(tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "run"), "--cache-dir", str(tmp_path / "cache")]
    few = ["--probe.attentive_steps", "2", "--models", "ebt,plain"]
    judged = SMALL[:-4]
    assert main(["--task", "probe", "--domain", "signals", *judged, *few, *out]) == 0
    found = read_result(tmp_path / "run").details["places"]
    assert {"ebt", "plain", "constant"} <= {place["model"] for place in found}
    assert {place["label"] for place in found} == {"frequency"}


def test_its_options_are_those_of_a_domain(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--task", "forecast", "--help"])
    shown = capsys.readouterr().out
    assert "--fastest" in shown
    assert "--domain" in shown
    assert main(["--task", "forecast", "--fastest", "quick"]) == 2
    assert "fastest" in capsys.readouterr().err
