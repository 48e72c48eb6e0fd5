"""From values per video or image to what a result says: means, intervals, the chosen setting."""

import numpy as np
from torch import Tensor

from benchmarks.intervals import Bootstrap, Interval
from benchmarks.metrics import higher_is_better
from benchmarks.results import Metric

SELECTION_TOLERANCE = 0.02  # dB; more steps or passes for less are not worth their price

Values = dict[str, np.ndarray]  # metric name to [seeds, sources]


def mean_by_source(values: Tensor, sources: list[str]) -> np.ndarray:
    """Mean over the clips of each source `[sources]`: sources are the independent samples."""
    _, inverse = np.unique(sources, return_inverse=True)
    return np.bincount(inverse, values.double().cpu().numpy()) / np.bincount(inverse)


def cheapest_near_best(psnr: list[float]) -> int:
    """Index of the first PSNR within 0.02 dB of the best, where settings come cheapest first."""
    means = np.array(psnr)
    return int(np.argmax(means >= means.max() - SELECTION_TOLERANCE))


def bootstrap_of(values: Values, samples: int) -> Bootstrap:
    """The resamples for values of this shape."""
    seeds, sources = values["psnr"].shape
    return Bootstrap(seeds, sources, samples)


def means(values: Values, bootstrap: Bootstrap) -> dict[str, Metric]:
    """Each metric's mean with its interval and good direction."""
    return {
        name: metric(bootstrap.mean(value), higher_is_better(name))
        for name, value in values.items()
    }


def metric(interval: Interval, higher_is_better: bool | None) -> Metric:
    """An interval as it stands in a result."""
    return Metric(interval.mean, interval.low, interval.high, interval.n, higher_is_better)
