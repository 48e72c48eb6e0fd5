"""Does the energy know the error? Energies beside the half squared errors that they stand for."""

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import intervals
from benchmarks.measure.intervals import rank_correlation, ratio, sparsification_error
from benchmarks.measure.scores import Values, metric
from benchmarks.record.metrics import OVER_ERROR, RANK
from benchmarks.record.results import Metric
from worldmodel.predictor import Trajectory

# Names of metrics.
ENERGY, ERROR = "energy", "error"
PAIR = (ENERGY, ERROR)
PATCH_RANK, FRAME_RANK = "error_rank_patches", "error_rank_frames"
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
    """Mean energy over mean error, 1 where both agree, and how well it orders sources by error."""
    if ENERGY not in values:
        return {}
    return doubt_metrics(OVER_ERROR, values[ENERGY], values[ERROR])


def doubt_metrics(over_error: str, doubt: np.ndarray, error: np.ndarray) -> dict[str, Metric]:
    """The same of any doubt `[seeds, sources]` that stands for half the squared error.

    `over_error` is the name of their ratio.
    """
    found = {
        over_error: ratio(doubt, error),
        RANK: rank_correlation(doubt, error),
        SPARSIFICATION: sparsification_error(doubt, error),
    }
    return {name: metric(name, value) for name, value in found.items() if value is not None}


def rank_correlations(a: Tensor, b: Tensor) -> Tensor:
    """Spearman's rank correlation `[...]` over the last dimension; equal values share a rank."""
    found = intervals.rank_correlations(a.numpy(force=True), b.numpy(force=True))
    return torch.as_tensor(found, device=a.device)
