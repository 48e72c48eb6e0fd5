"""Fits of power laws, their bootstrap and what they refuse."""

from dataclasses import asdict

import numpy as np
import pytest
from scipy.optimize import differential_evolution

from benchmarks.measure.power_law import HUBER, PowerLaw, fit_power_law, goodness
from benchmarks.record.results import Metric, Result, typed
from benchmarks.tasks.scaling.analysis import (
    Curve,
    compare_exponents,
    contrast,
    curves_of,
    fit_curves,
)
from benchmarks.tasks.scaling.omissions import with_omissions
from benchmarks.tasks.scaling.points import MeasuredPoint, normal_smooth_l1, unreachable_loss
from benchmarks.tasks.scaling.result import PURE, WITH_FLOOR, Fit, Found, Point
from benchmarks.tasks.scaling.verdicts import answers, doubts, to_know

X = np.geomspace(16, 1024, 6)


def noisy(law: PowerLaw, seed: int, noise: float, seeds: int = 3, videos: int = 40) -> np.ndarray:
    """Losses `[V, seeds, videos]` of a law, with noise of seeds and of videos."""
    generator = np.random.default_rng(seed)
    of_seeds = noise * generator.normal(size=(len(X), seeds, 1))
    of_videos = 0.3 * generator.normal(size=(1, 1, videos))  # the same for every point
    own = 0.05 * generator.normal(size=(len(X), seeds, videos))
    return law(X)[:, None, None] * np.exp(of_seeds + of_videos + own)


def curve(law: PowerLaw, seed: int = 0, noise: float = 0.01, **sizes: int) -> Curve:
    return Curve({"width": X}, noisy(law, seed, noise, **sizes))


@pytest.mark.parametrize("exponent", [0.05, 0.4, 1.5])
@pytest.mark.parametrize("floor", [0.0, 0.02, 0.2])
def test_fits_recover_the_law_of_points_without_noise(exponent: float, floor: float) -> None:
    law = PowerLaw(1.7, exponent, floor)
    found = fit_power_law(X, law(X), with_floor=floor > 0)
    assert found.exponent == pytest.approx(exponent, rel=2e-3)
    assert found.floor == pytest.approx(floor, rel=2e-2, abs=1e-9)
    assert found(X) == pytest.approx(law(X), rel=1e-5)


@pytest.mark.parametrize(("floor", "within"), [(0.0, 0.01), (0.1, 0.06)])
def test_fits_recover_an_exponent_from_noisy_points(floor: float, within: float) -> None:
    law = PowerLaw(2.0, 0.4, floor)
    x = np.repeat(X, 3)
    found = []
    for seed in range(30):
        noise = np.random.default_rng(seed).normal(0, 0.01, len(x))
        found.append(fit_power_law(x, law(x) * np.exp(noise), with_floor=floor > 0).exponent)
    assert np.mean(found) == pytest.approx(0.4, abs=within / 2)
    assert np.std(found) < within


def test_a_fit_finds_the_lowest_huber_loss_that_a_global_search_finds() -> None:
    x = np.repeat(X, 2)
    noise = np.random.default_rng(3).normal(0, 0.02, len(x))
    losses = PowerLaw(2.0, 0.4, 0.1)(x) * np.exp(noise)

    def total(law: PowerLaw) -> float:
        size = np.abs(np.log(losses) - np.log(law(x))) / HUBER
        return float(np.where(size <= 1, size**2 / 2, size - 0.5).sum())

    slow = differential_evolution(
        lambda p: total(PowerLaw(np.exp(p[0]), p[1], p[2])),
        [(-3, 3), (0.01, 3), (0, losses.min() * 0.999)],
        seed=0,
        tol=1e-10,
        maxiter=3000,
    )
    assert total(fit_power_law(x, losses, with_floor=True)) <= slow.fun * 1.001


def test_an_outlier_moves_a_fit_little() -> None:
    losses = PowerLaw(2.0, 0.4)(X)
    losses[2] *= 1.5
    assert fit_power_law(X, losses, with_floor=False).exponent == pytest.approx(0.4, abs=0.005)


@pytest.mark.parametrize("x", [[1.0, 1.0], [0.0, 1.0]])
def test_a_power_law_needs_different_x_above_zero(x: list[float]) -> None:
    with pytest.raises(ValueError, match="power law"):
        fit_power_law(np.array(x), np.array([1.0, 2.0]), with_floor=False)


def test_points_that_do_not_follow_a_law_are_found_out() -> None:
    generator = np.random.default_rng(0)
    follows = PowerLaw(2.0, 0.4)(X)[:, None] * np.exp(0.01 * generator.normal(size=(len(X), 3)))
    bends = follows + 0.2
    law = [fit_power_law(np.repeat(X, 3), y.ravel(), with_floor=False) for y in (follows, bends)]
    good, bad = goodness(law[0], X, follows), goodness(law[1], X, bends)
    assert good.lack_of_fit is not None
    assert good.lack_of_fit > 0.05
    assert good.rms == pytest.approx(0.01, rel=0.5)
    assert bad.lack_of_fit is not None
    assert bad.lack_of_fit < 1e-4
    assert good.r_squared > bad.r_squared


def test_intervals_of_exponents_cover() -> None:
    covered = []
    for seed in range(24):
        key = ("", "ebt_residual")
        fits = fit_curves({key: curve(PowerLaw(2.0, 0.4), seed, 0.03)}, "width", PURE, 60)
        exponent = fits[key].fit.exponent
        covered.append(exponent.low <= 0.4 <= exponent.high)
    assert np.mean(covered) >= 0.85


def test_a_ratio_of_exponents_and_a_crossing_are_found() -> None:
    curves = {
        ("", "ebt_residual"): curve(PowerLaw(4.0, 0.5), 1),
        ("", "transformer_pp"): curve(PowerLaw(2.0, 0.4), 2),
    }
    fitted = fit_curves(curves, "width", PURE, 100)
    (ratio,) = compare_exponents(fitted, curves)
    assert ratio.ratio is not None
    assert ratio.ratio.low < 1.25 < ratio.ratio.high
    assert ratio.ratio.low > 1
    assert ratio.crossing is not None
    assert ratio.crossing.low < 2.0**10 < ratio.crossing.high
    same = fit_curves(
        {**curves, ("", "ebt_residual"): curve(PowerLaw(4.0, 0.4), 1)}, "width", PURE, 100
    )
    assert compare_exponents(same, curves)[0].crossing is None


def test_variants_are_contrasted() -> None:
    curves = {
        ("with", "ebt_residual"): curve(PowerLaw(4.0, 0.6), 1),
        ("with", "transformer_pp"): curve(PowerLaw(2.0, 0.4), 2),
        ("without", "ebt_residual"): curve(PowerLaw(4.0, 0.4), 3),
        ("without", "transformer_pp"): curve(PowerLaw(2.0, 0.4), 4),
    }
    (found,) = contrast(fit_curves(curves, "width", PURE, 100))
    assert (found.first, found.second) == ("with", "without")
    assert found.ratio.low < 1.5 < found.ratio.high


def test_points_that_support_no_fit_are_refused_in_words() -> None:
    law = PowerLaw(2.0, 0.4)

    def fit(x: np.ndarray, losses: np.ndarray, form: str = PURE) -> Fit:
        curves = {("", "ebt_residual"): Curve({"width": x}, losses)}
        return fit_curves(curves, "width", form, 60)["", "ebt_residual"].fit

    losses = noisy(law, 0, 0.01)
    assert fit(X, losses).refused is None
    assert "3 values are too few" in str(fit(X[:3], losses[:3]).refused)
    assert "x spans a factor of" in str(fit(np.linspace(10, 20, 6), losses).refused)
    rising = noisy(PowerLaw(1.0, -0.02), 0, 0.05)
    assert "does not surely fall" in str(fit(X, rising).refused)
    unclear = fit(X, noisy(PowerLaw(2.0, 0.1), 0, 0.05), WITH_FLOOR)
    assert "floor" in str(unclear.refused)
    assert "one training seed" in fit(X, noisy(law, 0, 0.01, seeds=1)).doubts[0]
    curves = {("", "ebt_residual"): Curve({"width": X, "parameters": np.full(6, 7.0)}, losses)}
    assert fit_curves(curves, "parameters", PURE, 5) == {}  # nothing changes


def test_points_become_curves_and_survive_json() -> None:
    metric = Metric(1.0, 0.9, 1.1, 4, False)
    points = [
        MeasuredPoint(
            Point(
                "", str(w), "ebt_residual", "p", {"width": w}, metric, [1.0], "1 step", 0.1, "muon"
            ),
            np.full((2, 4), float(w)),
        )
        for w in (1.0, 2.0)
    ]
    found = curves_of(points)["", "ebt_residual"]
    assert found.x["width"].tolist() == [1.0, 2.0]
    assert found.seed_losses.tolist() == [[1.0, 1.0], [2.0, 2.0]]
    assert typed(Point, asdict(points[0].point)) == points[0].point
    assert curves_of(points[:1]) == {}


def test_the_loss_below_which_no_projection_gets_is_that_of_the_noise_outside_it() -> None:
    noise = np.random.default_rng(0).normal(size=2_000_000)
    for std in (0.3, 1.0, 2.0):
        size = np.abs(std * noise)
        slow = np.where(size < 1, size**2 / 2, size - 0.5).mean()
        assert normal_smooth_l1(std) == pytest.approx(slow, rel=5e-3)
    assert normal_smooth_l1(0.0) == 0
    # Noise outside a random subspace of 24 of 96 dimensions costs more than the bound, not less.
    basis, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(96, 24)))
    start = noise[: 96 * 2000].reshape(-1, 96)
    left = np.abs(start - start @ basis @ basis.T)
    bound = unreachable_loss("linear", 1.0, True, 24, 96)
    assert bound is not None
    assert bound < np.where(left < 1, left**2 / 2, left - 0.5).mean() < 1.1 * bound
    assert unreachable_loss("residual", 1.0, True, 24, 96) is None
    assert unreachable_loss("linear", 1.0, True, 96, 96) is None


def swept(curves: dict[tuple[str, str], Curve]) -> Found:
    """What a sweep along the width finds on these curves, without its bootstrap of other x."""
    fitted = fit_curves(curves, "width", PURE, 60)
    points = [
        Point(
            variant,
            f"{x:.0f}",
            model,
            "",
            {"width": float(x)},
            Metric(float(losses.mean()), None, None, 1, False),
            losses.mean(axis=1).tolist(),
            "–",
            0.01,
            "muon",
        )
        for (variant, model), one in curves.items()
        for x, losses in zip(X, one.losses, strict=True)
    ]
    fits, ratios = [one.fit for one in fitted.values()], compare_exponents(fitted, curves)
    failed = {"width-7": "no disk"}
    return with_omissions(
        Found("width", "a rule", 60, points, fits, ratios, contrast(fitted), failed)
    )


def said(found: Found) -> str:
    result = Result("scaling", {}, {}, {}, seeds=[0, 1, 2])
    return " ".join([*answers(found), *doubts(found), *to_know(result, found)])


def test_a_ratio_that_lasts_is_said_with_what_leaving_one_out_does() -> None:
    exponents = {"with": 0.6, "without": 0.4}
    curves = {}
    for number, (variant, exponent) in enumerate(exponents.items()):
        curves[variant, "ebt_residual"] = curve(PowerLaw(4.0, exponent), number + 100, noise=0.05)
        curves[variant, "transformer_pp"] = curve(PowerLaw(2.0, 0.4), number + 200, noise=0.05)
    found = swept(curves)
    assert len(found.contrasts) == 1
    for ratio in found.ratios:
        assert ratio.ratio is not None
        assert set(ratio.without) == {f"{x:.0f}" for x in X}
        low, high = ratio.ratio.ends
        assert all(low <= number <= high for number in ratio.without.values())
        kept = X > 17  # without the first
        alone = [
            fit_power_law(
                np.repeat(X[kept], 3),
                curves[ratio.variant, model].losses.mean(axis=2)[kept].ravel(),
                with_floor=False,
            ).exponent
            for model in (ratio.a, ratio.b)
        ]
        assert ratio.without["16"] == pytest.approx(alone[0] / alone[1])
    text = said(found)
    assert "With one value left out it becomes" in text
    assert all(f"(without {x:.0f})" in text for x in X)
    assert "which lies above 1" in text
    assert "width-7 is missing: no disk" in text


def test_a_fit_that_one_value_decides_does_not_speak() -> None:
    bent = curve(PowerLaw(4.0, 0.4), 1, seeds=1)  # one seed: no test of the lack of fit
    bent.losses[-1] *= 0.8  # the widest alone makes it steep
    curves = {
        ("", "ebt_residual"): bent,
        ("", "transformer_pp"): curve(PowerLaw(2.0, 0.4), 2, seeds=1),
    }
    (ratio,) = swept(curves).ratios
    assert ratio.ratio is None
    assert ratio.refused is not None
    assert "a single value decides it" in ratio.refused
    assert "without 1024" in ratio.refused
    text = said(swept(curves))
    assert "no ratio of exponents" in text
    assert "above 1" not in text


def test_a_law_that_the_points_reject_is_refused_without_a_floor_too() -> None:
    wavy = curve(PowerLaw(4.0, 0.4), 1, noise=0.002, videos=400)
    wavy.losses[1::2] *= 1.3
    fit = fit_curves({("", "ebt_residual"): wavy}, "width", PURE, 60)["", "ebt_residual"].fit
    assert fit.refused is not None
    assert "do not follow the curve" in fit.refused
