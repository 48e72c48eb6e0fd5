"""What is said of an energy beside its error."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from scipy import stats

from benchmarks.domains.video.conditions import JUDGED
from benchmarks.measure.energies import PAIR, energy_metrics, energy_scores
from benchmarks.measure.scores import Scores, write_selected_values
from worldmodel.predictor import Setting, Trajectory


def test_energies_are_compared_with_half_the_squared_error() -> None:
    generator = torch.Generator().manual_seed(0)
    candidates = torch.randn(3, 2, 5, 4, 6, generator=generator)  # [M + 1, B, T, P, D]
    energies = torch.rand(3, 2, 5, 4, generator=generator)
    energies[-1, 1, 3, 0] = energies[-1, 1, 3, 1]  # equal values share a rank
    target = torch.randn(2, 5, 4, 6, generator=generator)
    scores = energy_scores(Trajectory(candidates, energies), target)
    errors = (candidates[-1] - target).square().sum(3) / 2
    assert torch.allclose(scores["error"], errors.sum(2))
    assert torch.equal(scores["energy"], energies[-1].sum(2))
    expected = stats.spearmanr(energies[-1, 1, 3], errors[1, 3]).statistic
    assert float(scores["error_rank_patches"][1, 3]) == pytest.approx(expected)
    assert energy_scores(Trajectory(candidates), target) == {}


def test_an_energy_that_is_the_error_has_a_ratio_and_a_rank_of_one() -> None:
    error = np.random.default_rng(0).exponential(1, (2, 16))
    found = energy_metrics({"energy": error, "error": error, "psnr": error})
    assert found["energy_over_error"].mean == pytest.approx(1)
    assert found["energy_over_error"].higher_is_better is None
    assert found["error_rank"].mean == pytest.approx(1)
    assert found["error_rank"].higher_is_better
    assert energy_metrics({"psnr": error}) == {}


def test_energies_of_selected_settings_are_kept_for_the_figure(tmp_path: Path) -> None:
    condition, values = JUDGED[0], np.arange(8.0).reshape(2, 4)
    thinks = Scores([Setting()], lambda _: condition)
    thinks.values[0, condition] = {"psnr": values, "energy": values, "error": values + 1}
    floor = Scores([Setting()], lambda _: condition)
    floor.values[0, condition] = {"psnr": values}
    scores = {"ebt_residual": thinks, "copy_last": floor}
    name = write_selected_values(tmp_path, "energies", scores, [("next frame", condition)], PAIR)
    found = safetensors.numpy.load_file(tmp_path / name)
    assert sorted(found) == ["next frame/ebt_residual/energy", "next frame/ebt_residual/error"]
    assert (found["next frame/ebt_residual/error"] == values + 1).all()
