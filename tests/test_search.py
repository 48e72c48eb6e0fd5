"""The search of rates: what it tries next, and that all models get as many trials."""

import json
import math
import shutil
from pathlib import Path

import pytest

from benchmarks.cli.command_line import main
from benchmarks.cli.options import parse, to_config
from benchmarks.tasks.search import (
    Trial,
    at_edge,
    best_first,
    finalists_of,
    first_trials,
    further_trial,
)

TINY = ["--task", "next_frame", "--preset", "smoke", "--device", "cpu"]
TINY += ["--training.steps", "6", "--training.validate_every", "3", "--backbone.width", "64"]
TINY += ["--evaluation.counts", "[1,2]", "--evaluation.samples", "2", "--flow.samples", "2"]


def losses(best: float, optimizer: str = "muon") -> dict[Trial, float]:
    """Losses of the first grid, lowest near a rate of one optimiser."""
    return {trial: loss(trial, best, optimizer) for trial in first_trials()}


def loss(trial: Trial, best: float, optimizer: str) -> float:
    return abs(math.log(trial.learning_rate / best)) + (trial.optimizer != optimizer)


def test_the_grid_has_every_rate_for_every_optimiser() -> None:
    rates = {
        name: [trial.learning_rate for trial in first_trials() if trial.optimizer == name]
        for name in ("muon", "adamw")
    }
    assert rates["muon"] == rates["adamw"] == pytest.approx([5e-3, 1e-2, 2e-2, 4e-2])


@pytest.mark.parametrize(("best", "next_rate"), [(0.5, 8e-2), (1e-4, 2.5e-3)])
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_best_at_an_edge_extends_the_grid(best: float, next_rate: float, optimizer: str) -> None:
    found = losses(best, optimizer)
    assert at_edge(found)
    trial = further_trial(found)
    assert trial.optimizer == optimizer
    assert trial.learning_rate == pytest.approx(next_rate)
    found[trial] = loss(trial, best, optimizer)
    assert at_edge(found)  # and again, until the best lies inside
    assert further_trial(found).learning_rate == pytest.approx(
        next_rate * (2 if best > 0.1 else 0.5)
    )


def test_a_best_inside_gets_its_further_trial_beside_it() -> None:
    found = losses(1.3e-2)
    assert not at_edge(found)
    trial = further_trial(found)
    assert (trial.optimizer, trial.learning_rate) == ("muon", pytest.approx(math.sqrt(2e-4)))
    assert trial not in found


def test_what_diverged_is_worst() -> None:
    found = losses(1.3e-2)
    diverged = Trial("muon", 1e-2)
    found[diverged] = math.inf
    assert best_first(found)[-1] == diverged
    assert further_trial(found) not in found


def test_finalists_are_of_both_optimisers() -> None:
    for leading, other in (("muon", "adamw"), ("adamw", "muon")):
        found = finalists_of(losses(1.3e-2, leading))
        assert [trial.optimizer for trial in found] == [leading, leading, other]
        assert [trial.learning_rate for trial in found] == pytest.approx([1e-2, 2e-2, 1e-2])


def test_a_search_is_resumed_as_a_search(
    balls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(
        "benchmarks.tasks.search.search", lambda task, config, data, out, *_: asked.append(out)
    )
    out = tmp_path / "out"
    arguments = ["--data", str(balls), "--out", str(out), "--cache-dir", str(tmp_path)]
    assert main([*TINY, *arguments, "--models", "copy_last", "--search"]) == 0
    assert main(["--resume", str(out)]) == 0
    assert asked == [out, out]
    # A sweep keeps the search of a point in the point's own folder, and then runs the point.
    point = tmp_path / "point"
    shutil.copytree(out, point / "search")
    shutil.copy(out / "config.yaml", point)
    (point / "command.txt").write_text("python benchmarks/run.py --config point.yaml")
    assert main(["--resume", str(point)]) == 0
    assert (point / "results.json").is_file()
    assert asked == [out, out]


@pytest.mark.slow
def test_a_search_gives_a_file_for_config(balls: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(balls), "--out", str(tmp_path / "out"), "--cache-dir", str(tmp_path)]
    arguments += [
        "--models",
        "transformer_pp,transformer_pp_equal_training,flow,dit,conv_lstm,copy_last",
    ]
    assert main([*TINY, *arguments, "--search"]) == 0
    record = tmp_path / "out" / "search.json"
    found = json.loads(record.read_text())
    record.unlink()
    assert main(["--resume", str(tmp_path / "out")]) == 0
    assert json.loads(record.read_text()) == found
    assert {*found, "copy_last"} == set(arguments[-1].split(","))
    assert len({len(trials) for trials in found.values()}) == 1
    config = to_config(parse([*TINY, "--config", str(tmp_path / "out" / "search.yaml")]))
    for name, trials in found.items():
        losses = [trial["short"] for trial in trials]
        assert losses == sorted(losses)
        finalists = [trial for trial in trials if trial["full"] is not None]
        of_optimisers = [trial["trial"].partition("-")[0] for trial in finalists]
        assert sorted(map(of_optimisers.count, set(of_optimisers))) == [1, 2]
        assert finalists[0] == trials[0]
        best = min(finalists, key=lambda trial: trial["full"])["trial"]
        section = config.sections[name]
        optimizer, _, rate = best.partition("-")
        assert section.optimizer == optimizer
        assert section.learning_rate == pytest.approx(float(rate), rel=0.03)  # it is rounded
    plans = (tmp_path / "out" / "search").glob("*/*/*/plan.json")
    steps = {
        tuple(json.loads(path.read_text())[k] for k in ("model", "training.steps"))
        for path in plans
    }
    assert ("transformer_pp", 2) in steps
    assert ("transformer_pp", 6) in steps
    own_length = [n for model, n in steps if model == "transformer_pp_equal_training"]
    assert min(own_length) > 6
