"""95 % intervals over videos or images, and over training seeds where there are several.

Values are `[seeds, sources]`: every seed is judged on the same sources, and both are a sample. The
mean then varies by the seeds, by the sources and by their interaction, which stands in the spread
of both and is counted once. With few seeds, percentiles of a bootstrap are far too narrow; this
interval covers 0.94 to 0.975 whether seeds, sources or their interaction dominate
(tests/test_intervals.py).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit
from scipy.stats import mannwhitneyu, rankdata

LEVEL = 0.95
LARGEST_CORRELATION = 1 - 1e-9  # Fisher's transform of 1 is infinite
SMALLEST_P = 1e-12
LEAST_SOURCES = 4  # of a statistic over pairs or ranks of sources
FEW_SOURCES = 5  # below this an interval deserves a warning
AT_ONCE = 10**5  # values of a seed in the sets that a jackknife asks for at once


@dataclass(frozen=True)
class Interval:
    """A mean with its interval over `n` sources; a single source has no spread and no ends."""

    mean: float
    low: float | None
    high: float | None
    n: int


def mean(values: np.ndarray, level: float = LEVEL) -> Interval:
    """Mean of `values [seeds, sources]`; a model without seeds gives `[1, sources]`."""
    return _interval(float(values.mean()), values, level)


def share(found: Interval) -> Interval:
    """The interval of a share, which ends at 0 and 1."""
    return _mapped(found, lambda value: np.clip(value, 0, 1))


def difference(a: np.ndarray, b: np.ndarray, level: float = LEVEL) -> Interval:
    """mean(a) - mean(b), paired by source and seed."""
    return mean(a - b, level)


def half_width(values: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """Half of the interval of the mean over the last two axes of `values [..., seeds, sources]`.

    The sum of the squared t-intervals of seeds and sources is too wide where both matter, and
    Welch's is too narrow with few seeds: this is a mean of the two, less the interaction that both
    hold, and never below a share of the interaction alone. The weights are those whose coverage in
    simulations stays nearest to the level.
    """

    def quantile(df: np.ndarray | int) -> np.ndarray:
        return np.asarray(stdtrit(df, (1 + level) / 2))

    seeds, sources = values.shape[-2:]
    by_seed, by_source = values.mean(axis=-1), values.mean(axis=-2)
    if seeds == 1:
        return quantile(sources - 1) * np.sqrt(by_source.var(axis=-1, ddof=1) / sources)
    # Squared standard errors of the mean.
    a, b = by_seed.var(axis=-1, ddof=1) / seeds, by_source.var(axis=-1, ddof=1) / sources
    centre = values.mean(axis=(-2, -1))[..., None, None]
    rest = values - by_seed[..., None] - by_source[..., None, :] + centre
    df = (seeds - 1) * (sources - 1)
    shared = quantile(df) ** 2 * (rest**2).sum(axis=(-2, -1)) / df / (seeds * sources)
    total = np.maximum(a + b, np.finfo(float).tiny)
    added = quantile(seeds - 1) ** 2 * a + quantile(sources - 1) ** 2 * b
    welch_df = total**2 / np.maximum(a**2 / (seeds - 1) + b**2 / (sources - 1), 1e-300)
    welch = quantile(np.maximum(welch_df, 1)) ** 2 * total
    both = quantile(seeds - 1) * quantile(sources - 1) * a * b / total
    square = 0.65 * added + 0.35 * welch - 0.8 * shared - 0.3 * both
    return np.sqrt(np.maximum(square, 0.3 * shared))


def p_value(values: np.ndarray) -> float:
    """The two-sided p-value of a mean of zero of `values [seeds, sources]`; 1 for one source.

    It is the p at which the interval of level 1 - p just reaches zero, by bisection of log p.
    """
    distance = abs(float(values.mean()))
    if values.shape[1] == 1 or distance == 0 or not np.isfinite(distance):
        return 1.0
    low, high = np.log(SMALLEST_P), 0.0
    for _ in range(50):
        middle = (low + high) / 2
        wider = half_width(values, 1 - float(np.exp(middle))) > distance
        low, high = (middle, high) if wider else (low, middle)
    return float(np.exp(high))


def skill(error: np.ndarray, reference: np.ndarray) -> Interval | None:
    """1 - mean(error) / mean(reference); None where the reference makes no error at all.

    The interval is that of the ratio's first-order expansion (the delta method).
    """
    if not reference.mean() > 0:
        return None
    ratio = error.mean() / reference.mean()
    return _interval(float(1 - ratio), (ratio * reference - error) / reference.mean())


def ratio(a: np.ndarray, b: np.ndarray) -> Interval | None:
    """mean(a) / mean(b); None where b is zero. The interval is by the delta method."""
    if not b.mean() > 0:
        return None
    point = float(a.mean() / b.mean())
    return _interval(point, (a - point * b) / b.mean())


def rank_correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation over the last dimension; equal values share a rank.

    0 where all values of `a` or of `b` are the same.
    """
    ranks = (rankdata(of, axis=-1) for of in (a, b))
    x, y = (of - of.mean(axis=-1, keepdims=True) for of in ranks)
    spread = np.sqrt((x**2).sum(axis=-1) * (y**2).sum(axis=-1))
    correlations: np.ndarray = (x * y).sum(axis=-1) / np.where(spread > 0, spread, 1)
    return correlations


def rank_correlation(a: np.ndarray, b: np.ndarray) -> Interval | None:
    """Spearman's rank correlation over sources, a mean over seeds; None for under four sources.

    The interval is of Fisher's transform of it, by the jackknife over sources.
    """
    if a.shape[1] < LEAST_SOURCES:
        return None

    def transformed(kept: np.ndarray) -> np.ndarray:
        """Fisher's transform of each seed's correlation `[seeds, sets]`."""
        correlation = rank_correlations(a[:, kept], b[:, kept])
        return np.arctanh(np.clip(correlation, -LARGEST_CORRELATION, LARGEST_CORRELATION))

    return _mapped(jackknife(transformed, a.shape[1]), np.tanh)


def auroc(low: np.ndarray, high: np.ndarray) -> Interval | None:
    """How often a value of `low` is below one of `high`, over all pairs of sources; ties are half.

    A mean over seeds, with an interval by the jackknife over sources; None for under four sources.
    """
    if low.shape[1] < LEAST_SOURCES:
        return None

    def area(kept: np.ndarray) -> np.ndarray:
        """The share of each seed `[seeds, sets]`."""
        u = mannwhitneyu(high[:, kept], low[:, kept], axis=-1, method="asymptotic")
        shares: np.ndarray = u.statistic / kept.shape[-1] ** 2
        return shares

    return share(jackknife(area, low.shape[1]))


def pooled_psnr(mse: np.ndarray) -> Interval:
    """PSNR in dB of the mean of squared errors in [0, 1], pooled over all images.

    The interval is that of the logarithm's first-order expansion (the delta method).
    """
    pooled = max(float(mse.mean()), 1e-10)
    return _interval(-10 * float(np.log10(pooled)), -10 / np.log(10) * mse / pooled)


def holm(p_values: list[float]) -> list[float]:
    """P-values of a family of comparisons after Holm's correction (Holm, 1979), in their order."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.maximum.accumulate(factors * np.array(p_values)[order]).clip(max=1)
    found = np.empty(len(p_values))
    found[order] = corrected
    return [float(value) for value in found]


def risk_coverage(doubt: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Mean error of the sources `[..., sources]` that are kept, from the least doubtful to all."""
    kept = np.take_along_axis(error, np.argsort(doubt, axis=-1, kind="stable"), axis=-1)
    risks: np.ndarray = kept.cumsum(axis=-1) / np.arange(1, kept.shape[-1] + 1)
    return risks


def sparsification_error(doubt: np.ndarray, error: np.ndarray) -> Interval | None:
    """Area between the risk-coverage curve and the ideal one, in units of the mean error (AUSE).

    0 where the doubt `[seeds, sources]` orders the sources as their errors do (Ilg et al., 2018). A
    mean over seeds, with an interval by the jackknife; None for under four sources or no error.
    """
    if error.shape[1] < LEAST_SOURCES or not error.mean() > 0:
        return None

    def area(kept: np.ndarray) -> np.ndarray:
        """The area of each seed `[seeds, sets]`."""
        d, e = doubt[:, kept], error[:, kept]
        areas: np.ndarray = (risk_coverage(d, e) - risk_coverage(e, e)).mean(-1) / e.mean(-1)
        return areas

    return _mapped(jackknife(area, error.shape[1]), lambda value: np.clip(value, 0, None))


def jackknife(statistic: Callable[[np.ndarray], np.ndarray], sources: int) -> Interval:
    """The interval of a statistic `[seeds, sets]` of sets of sources, given by number.

    The statistic is given the sets `[sets, sources of each]`, some at once.
    """
    every = np.arange(sources)
    whole = statistic(every[None])
    without = [
        statistic(np.stack([np.delete(every, source) for source in chosen]))
        for chosen in np.array_split(every, max(1, sources**2 // AT_ONCE))
    ]
    pseudo_values = sources * whole - (sources - 1) * np.concatenate(without, axis=1)
    return _interval(float(whole.mean()), pseudo_values)


def _mapped(found: Interval, monotone: Callable[[float], float]) -> Interval:
    """An interval whose ends went through a monotone map."""
    ends = [None if end is None else float(monotone(end)) for end in (found.low, found.high)]
    return Interval(float(monotone(found.mean)), ends[0], ends[1], found.n)


def _interval(point: float, values: np.ndarray, level: float = LEVEL) -> Interval:
    """The interval around `point`, whose values vary as `values [seeds, sources]` do."""
    sources = values.shape[1]
    if sources == 1:
        return Interval(point, None, None, sources)
    half = float(half_width(values, level))
    return Interval(point, point - half, point + half, sources)
