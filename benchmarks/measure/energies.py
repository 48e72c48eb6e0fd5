"""Does the energy know the error? Energies beside the half squared errors that they stand for."""

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure.intervals import rank_correlation, ratio, sparsification_error
from benchmarks.measure.metrics import higher_is_better
from benchmarks.measure.scores import Values, metric
from benchmarks.record.results import Metric
from worldmodel.predictor import Trajectory

# Names of metrics; `energy_0`, `energy_1`, ... are the energies along the steps.
ENERGY, ERROR = "energy", "error"
PAIR = (ENERGY, ERROR)
CALIBRATION, RANK, PATCH_RANK = "calibration", "error_rank", "error_rank_patches"
FRAME_RANK = "error_rank_frames"
SPARSIFICATION = "sparsification_error"


def energy_scores(trajectory: Trajectory, target: Tensor) -> dict[str, Tensor]:
    """Of the last candidates, one value `[B, T]` each; nothing where there are no energies.

    `energy`, `error` (half the squared error to `target [B, T, P, D]`), and the rank correlation of
    both over the patches of a frame, where there are at least three and they differ.
    """
    if trajectory.patch_energies is None:
        return {}
    energies = trajectory.patch_energies[-1]  # [B, T, P]
    errors = (trajectory.prediction - target).square().sum(-1) / 2  # [B, T, P]
    found = {ENERGY: energies.sum(-1), ERROR: errors.sum(-1)}
    if energies.shape[-1] > 2 and bool((energies != energies[..., :1]).any()):
        found[PATCH_RANK] = rank_correlations(energies, errors)
    return found


def half_squared_error(candidate: Tensor, target: Tensor) -> Tensor:
    """Half the squared error `[...]` of candidates `[..., P, D]`: what their energy stands for."""
    return (candidate - target).square().sum((-2, -1)) / 2


def energy_metrics(values: Values) -> dict[str, Metric]:
    """Mean energy over mean error, 1 for an honest one, and how well it orders sources by error."""
    return doubt_metrics(values[ENERGY], values[ERROR]) if ENERGY in values else {}


def doubt_metrics(doubt: np.ndarray, error: np.ndarray) -> dict[str, Metric]:
    """The same of any doubt `[seeds, sources]` that stands for half the squared error."""
    found = {
        CALIBRATION: ratio(doubt, error),
        RANK: rank_correlation(doubt, error),
        SPARSIFICATION: sparsification_error(doubt, error),
    }
    return {
        name: metric(value, higher_is_better(name))
        for name, value in found.items()
        if value is not None
    }


def rank_correlations(a: Tensor, b: Tensor) -> Tensor:
    """Spearman's rank correlation `[...]` over the last dimension; ties are rare and ignored."""
    ranks = [x.argsort(-1).argsort(-1).double() for x in (a, b)]
    a, b = (rank - rank.mean(-1, keepdim=True) for rank in ranks)
    return (a * b).sum(-1) / torch.sqrt(a.square().sum(-1) * b.square().sum(-1))
