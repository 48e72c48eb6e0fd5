"""How well a surprise tells impossible continuations from possible ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc, binary_roc

from benchmarks.measure.intervals import Interval, jackknife, share

# Of surprise and of whether each continuation is impossible, both `[continuations]`.
Statistic = Callable[[Tensor, Tensor], float]

FALSE_POSITIVES = 0.05  # share of possible continuations that may be called impossible


def paired_scores(impossible: np.ndarray, possible: np.ndarray) -> np.ndarray:
    """1 where the impossible continuation is more surprising than the possible one, a tie 1/2."""
    return (impossible > possible) + (impossible == possible) / 2


@dataclass(frozen=True)
class Surprises:
    """Surprise of continuations `[seeds, continuations]`, all of one model and measure.

    `impossible` says which of them are, and `source` names the video or image of each.
    """

    values: np.ndarray
    impossible: np.ndarray
    source: Sequence[str]

    def auroc(self) -> Interval:
        """Area under the ROC curve, a mean over seeds; its interval is by the jackknife."""
        return share(self._over_sources(_area))

    def true_positives(self) -> Interval:
        """The share of impossible ones that are found at 5 % false alarms."""
        return share(self._over_sources(_found_at_few_alarms))

    def auroc_over(self, other: "Surprises") -> Interval:
        """The area less that of another surprise at the same continuations."""

        def difference(kept: np.ndarray) -> np.ndarray:
            own: np.ndarray = self._of_sets(_area, kept) - other._of_sets(_area, kept)
            return own

        return jackknife(difference, len(set(self.source)))

    def _over_sources(self, statistic: Statistic) -> Interval:
        return jackknife(partial(self._of_sets, statistic), len(set(self.source)))

    def _of_sets(self, statistic: Statistic, kept: np.ndarray) -> np.ndarray:
        """The statistic of each seed `[seeds, sets]`, over sources by number `[sets, sources]`."""
        return np.stack([self._of_seeds(statistic, sources) for sources in kept], axis=1)

    def _of_seeds(self, statistic: Statistic, sources: np.ndarray) -> np.ndarray:
        """The statistic of each seed `[seeds]`, over the sources of these numbers."""
        _, number = np.unique(self.source, return_inverse=True)
        chosen = np.isin(number, sources)
        labels = torch.from_numpy(self.impossible[chosen]).long()
        return np.array([statistic(torch.from_numpy(seed[chosen]), labels) for seed in self.values])


def _area(surprise: Tensor, impossible: Tensor) -> float:
    # The rank of each value: torchmetrics squeezes values outside [0, 1] and may tie them.
    return float(binary_auroc(_ranks(surprise), impossible))


def _found_at_few_alarms(surprise: Tensor, impossible: Tensor) -> float:
    alarms, found, _ = binary_roc(_ranks(surprise), impossible)
    return float(found[alarms <= FALSE_POSITIVES].max())


def _ranks(values: Tensor) -> Tensor:
    """The values as ranks in [0, 1], the same for the same value."""
    _, ranks = torch.unique(values, return_inverse=True)
    return ranks.double() / max(int(ranks.max()), 1)
