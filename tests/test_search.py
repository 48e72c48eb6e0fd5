"""The search of rates: what it tries next, and that all models get as many trials."""

import math

import pytest

from benchmarks.tasks.search import (
    Trial,
    at_edge,
    best_first,
    finalists_of,
    first_trials,
    further_trial,
)


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
