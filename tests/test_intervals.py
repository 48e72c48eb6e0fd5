"""Intervals and verdicts: coverage by simulation, corrections against known values."""

import math

import numpy as np
import pytest
from scipy import special, stats

from benchmarks.measure.intervals import (
    auroc,
    difference,
    half_width,
    holm,
    jackknife,
    mean,
    p_value,
    pooled_psnr,
    rank_correlation,
    ratio,
    risk_coverage,
    skill,
    sparsification_error,
)

REPEATS = 20_000
# Standard deviations of seeds, sources and their interaction.
SPREADS = {
    "seeds": (1.0, 0.2, 0.3),
    "sources": (0.2, 1.0, 0.3),
    "neither": (0.7, 1.0, 0.3),
    "seeds, hardly any interaction": (1.0, 0.2, 0.05),
    "sources, hardly any interaction": (0.2, 1.0, 0.05),
    "neither, hardly any interaction": (0.7, 1.0, 0.05),
    "interaction": (0.1, 0.1, 1.0),
    "interaction alone": (0.0, 0.0, 1.0),
    "interaction, then seeds": (0.5, 0.0, 1.0),
    "interaction, then sources": (0.0, 0.5, 1.0),
}


@pytest.mark.parametrize("sources", [5, 16, 64])
@pytest.mark.parametrize("seeds", [1, 3, 5])
@pytest.mark.parametrize("dominant", SPREADS)
def test_intervals_reach_their_nominal_coverage(dominant: str, seeds: int, sources: int) -> None:
    rng = np.random.default_rng(0)
    of_seeds, of_sources, of_both = SPREADS[dominant]
    of_seeds = of_seeds if seeds > 1 else 0.0
    values = (
        rng.normal(0, of_seeds, (REPEATS, seeds, 1))
        + rng.normal(0, of_sources, (REPEATS, 1, sources))
        + rng.normal(0, of_both, (REPEATS, seeds, sources))
    )
    deviation = math.sqrt(
        of_seeds**2 / seeds + of_sources**2 / sources + of_both**2 / seeds / sources
    )

    def coverage(half: np.ndarray) -> float:
        """How often the mean lies within, which does not depend on how wide the interval is."""
        return float(np.mean(special.erf(half / deviation / math.sqrt(2))))

    simulation = 0.002  # twice its largest standard error
    assert 0.94 - simulation <= coverage(half_width(values)) <= 0.975 + simulation
    # Simultaneous intervals of eight contrasts stand at this level.
    assert coverage(half_width(values, 1 - 0.05 / 8)) >= 0.989


def test_with_one_seed_it_is_the_t_interval_of_the_sources() -> None:
    values = np.random.default_rng(0).normal(0.4, 1, (1, 12))
    test = stats.ttest_1samp(values[0], 0)
    interval, known = mean(values), test.confidence_interval()
    assert (interval.low, interval.high) == (
        pytest.approx(known.low),
        pytest.approx(known.high),
    )
    assert p_value(values) == pytest.approx(test.pvalue)


def test_with_one_spread_alone_several_seeds_give_their_t_interval() -> None:
    per_seed = np.array([[1.0], [1.4], [1.9]])
    test = stats.ttest_1samp(per_seed[:, 0], 0)
    values = per_seed.repeat(8, axis=1)
    assert mean(values).low == pytest.approx(test.confidence_interval().low)
    assert p_value(values) == pytest.approx(test.pvalue)


def test_p_is_below_five_percent_exactly_where_the_interval_leaves_zero_out() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        values = rng.normal(0.5, 1, (3, 8))
        interval = mean(values)
        assert (p_value(values) < 0.05) == (not interval.low <= 0 <= interval.high)


def test_comparisons_are_paired_and_seeds_widen_an_interval() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(20, 5, (1, 50))
    paired = difference(base + 0.5 + rng.normal(0, 0.1, (1, 50)), base)
    assert 0.4 < paired.low < paired.high < 0.6
    wide = difference(base + np.array([[-2.0], [0.0], [2.0]]), base)
    assert wide.low < -1
    assert wide.high > 1


def test_a_single_source_proves_nothing() -> None:
    single = np.array([[3.0]])
    interval = mean(single)
    assert (interval.low, interval.mean, interval.high, p_value(single)) == (None, 3, None, 1)
    assert mean(single.repeat(3, axis=0)).low is None


def test_skill_is_zero_for_the_reference_and_absent_without_error() -> None:
    error = np.random.default_rng(0).random((1, 20))
    same, half = skill(error, error), skill(error / 2, error)
    assert same is not None
    assert half is not None
    assert (same.mean, same.low, same.high) == (0, 0, 0)
    assert (half.low, half.high) == (pytest.approx(0.5), pytest.approx(0.5))
    assert skill(error, np.zeros((1, 20))) is None


def test_ratios_and_logarithms_have_the_intervals_of_a_slow_bootstrap() -> None:
    rng = np.random.default_rng(0)
    error, reference = rng.gamma(4, 0.01, (1, 400)), rng.gamma(4, 0.02, (1, 400))
    draws = rng.integers(0, 400, (4000, 400))
    e, r = error[0][draws].mean(1), reference[0][draws].mean(1)
    found = skill(error, reference)
    assert found is not None
    for interval, slow in ((found, 1 - e / r), (pooled_psnr(error), -10 * np.log10(e))):
        low, high = np.percentile(slow, [2.5, 97.5])
        width = high - low
        assert interval.low == pytest.approx(low, abs=0.1 * width)
        assert interval.high == pytest.approx(high, abs=0.1 * width)


def test_holm_gives_the_values_of_statsmodels() -> None:
    # statsmodels 0.15.0: multipletests(p, method="holm")[1]
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.2, 0.0001, 0.6, 0.02, 0.02]) == pytest.approx([0.4, 0.0005, 0.6, 0.08, 0.08])
    assert holm([]) == []


def test_a_ratio_and_a_rank_correlation_cover_what_they_promise() -> None:
    rng, repeats, sources = np.random.default_rng(0), 400, 32
    truth = stats.norm.rvs(size=(2, 200_000), random_state=1)
    known = stats.spearmanr(truth[0], truth[0] + truth[1]).statistic
    hits = np.zeros(2)
    for _ in range(repeats):
        error = rng.exponential(1, (3, sources))
        found = ratio(0.8 * error + rng.normal(0, 0.1, (3, sources)), error)
        assert found is not None
        hits[0] += found.low <= 0.8 <= found.high
        x, y = rng.normal(size=(2, 1, sources))
        found = rank_correlation(x, x + y)
        assert found is not None
        hits[1] += found.low <= known <= found.high
    assert (hits / repeats >= 0.92).all()


def test_an_auroc_is_that_of_mann_and_whitney() -> None:
    rng = np.random.default_rng(3)
    low, high = rng.normal(0, 1, (1, 15)), rng.normal(1, 1, (1, 15))
    found = auroc(low, high)
    assert found is not None
    assert found.mean == pytest.approx(stats.mannwhitneyu(high[0], low[0]).statistic / 15**2)
    assert 0 <= found.low < found.mean < found.high <= 1
    same = auroc(low, low)
    assert same is not None
    assert same.mean == pytest.approx(0.5)
    assert auroc(low[:, :3], high[:, :3]) is None


@pytest.mark.parametrize("sources", [2, 50, 1200])  # the last one asks more than once
def test_the_jackknife_of_a_mean_is_the_interval_of_the_mean(sources: int) -> None:
    values = np.random.default_rng(0).normal(size=(3, sources))
    found = jackknife(lambda sets: values[:, sets].mean(axis=-1), sources)
    expected = mean(values)
    assert found.mean == pytest.approx(expected.mean)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_the_sparsification_error_is_zero_for_the_ideal_order_only() -> None:
    error = np.array([[1.0, 2.0, 3.0, 6.0]])
    assert risk_coverage(error[0], error[0]).tolist() == [1, 1.5, 2, 3]
    ideal, worst = sparsification_error(error, error), sparsification_error(-error, error)
    assert ideal is not None
    assert ideal.mean == 0
    assert worst is not None
    # Kept from the worst on: 6, 4.5, 11/3 and 3, against 1, 1.5, 2 and 3; the mean error is 3.
    assert worst.mean == pytest.approx((5 + 3 + 5 / 3 + 0) / 4 / 3)
    assert sparsification_error(error, 0 * error) is None


def test_a_rank_correlation_is_spearmans_and_bounded() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 1, 12))
    found = rank_correlation(x, y)
    assert found is not None
    assert found.mean == pytest.approx(stats.spearmanr(x[0], y[0]).statistic)
    perfect = rank_correlation(x, np.exp(x))
    assert perfect is not None
    assert 0.99 < perfect.low <= perfect.high <= 1
    assert rank_correlation(x[:, :3], y[:, :3]) is None
    assert ratio(x, np.zeros_like(x)) is None
