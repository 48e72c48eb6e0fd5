"""The Frechet distance between Gaussians of features (Heusel et al., 2017), by group of sources.

Groups are what the jackknife leaves out: it removes the bias that grows as one over the count, and
gives the distance an interval.
"""

import numpy as np
import torch
from torch import Tensor

MOST_GROUPS = 100
WIDEST = 512  # features; wider covariances cost too much for a jackknife


def groups_of(sources: list[str]) -> np.ndarray:
    """The group of each item: that of its source; with many sources several share a group."""
    _, number = np.unique(sources, return_inverse=True)
    found: np.ndarray = number % MOST_GROUPS
    return found


class Moments:
    """Counts, sums and products of features `[N, D]`, by group."""

    def __init__(self, groups: int, dim: int):
        self.count = torch.zeros(groups, dtype=torch.float64)
        self.sum = torch.zeros(groups, dim, dtype=torch.float64)
        self.product = torch.zeros(groups, dim, dim, dtype=torch.float64)

    def add(self, features: Tensor, groups: np.ndarray) -> None:
        """Add the features `[B, L, D]` of items of groups `[B]`."""
        features, place = features.double().cpu(), torch.from_numpy(groups)
        length = torch.full((len(place),), float(features.shape[1]), dtype=torch.float64)
        self.count.index_add_(0, place, length)
        self.sum.index_add_(0, place, features.sum(1))
        self.product.index_add_(0, place, features.transpose(1, 2) @ features)

    def gaussian(self, without: int | None = None) -> tuple[Tensor, Tensor]:
        """Mean `[D]` and covariance `[D, D]` of all features, or without those of a group."""
        count, total, product = self.count.sum(), self.sum.sum(0), self.product.sum(0)
        if without is not None:
            count = count - self.count[without]
            total, product = total - self.sum[without], product - self.product[without]
        mean = total / count
        return mean, (product - count * torch.outer(mean, mean)) / (count - 1)


def frechet_distance(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> float:
    """|m - n|^2 + tr(S + T - 2 (S T)^(1/2)) of Gaussians with mean `[D]`, covariance `[D, D]`."""
    (mean, covariance), (other_mean, other) = a, b
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    both = torch.linalg.eigvalsh(root @ other @ root).clamp_min(0).sqrt().sum()
    distance = (mean - other_mean).square().sum() + covariance.trace() + other.trace() - 2 * both
    return max(float(distance), 0.0)


def by_source(
    truth: Moments, prediction: Moments, sources: list[str], extrapolated: bool
) -> np.ndarray:
    """The distance as values `[sources]`, in name order, whose mean it is and whose spread is its
    interval: pseudo-values of the jackknife over groups.

    The mean is the distance without the bias of a small count where it is `extrapolated`, and else
    the plain distance.
    """
    names, first = np.unique(sources, return_index=True)
    groups = groups_of(sources)[first]
    used = np.unique(groups)
    plain = frechet_distance(truth.gaussian(), prediction.gaussian())
    if len(used) < 2:
        return np.full(len(names), plain)
    left_out = np.array(
        [frechet_distance(truth.gaussian(g), prediction.gaussian(g)) for g in used.tolist()]
    )
    # Groups may differ in size (Busing et al., 1999, "Delete-m jackknife for unequal m").
    sizes = np.bincount(groups)[used]
    share = len(names) / sizes
    pseudo = share * plain - (share - 1) * left_out
    middle = np.average(pseudo, weights=sizes)
    # Sources of one group share a value: their spread must count once.
    spread = (pseudo - middle) * np.sqrt(len(names) / len(used))
    found = (middle if extrapolated else plain) + spread
    values = dict(zip(used.tolist(), found.tolist(), strict=True))
    return np.array([values[group] for group in groups.tolist()])
