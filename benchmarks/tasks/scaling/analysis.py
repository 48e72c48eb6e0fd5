"""From the points of a sweep to exponents, their intervals and ratios, and what is refused."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.measure.power_law import PowerLaw, fit_power_law, goodness
from benchmarks.record.results import Metric
from benchmarks.tasks.scaling.points import MeasuredPoint
from benchmarks.tasks.scaling.result import PURE, WITH_FLOOR, Contrast, Fit, Found, Ratio

REPLICATES = 500
LEAST_VALUES = {PURE: 4, WITH_FLOOR: 5}
LEAST_CHANGE = 1.5  # of the same; an x that changes less is left out
LEAST_RANGE = 4.0  # of the largest x over the smallest
WIDEST = 3.0  # upper end of the exponent's interval over the lower one, of a fit with a floor
SIGNIFICANT = 0.05
REJECTED = 0.001  # p-value of the lack of fit below which a law is refused
ENDS = (2.5, 97.5)

Key = tuple[str, str]  # variant and model


@dataclass(frozen=True)
class Curve:
    """The points of one model in one sweep: x by name `[V]`, and losses `[V, seeds, videos]`."""

    x: dict[str, np.ndarray]
    losses: np.ndarray

    @property
    def seed_losses(self) -> np.ndarray:
        """Mean losses `[V, seeds]`."""
        means: np.ndarray = self.losses.mean(axis=2)
        return means


@dataclass(frozen=True)
class Fitted:
    """A fit with the laws of all bootstrap replicates."""

    fit: Fit
    law: PowerLaw
    replicates: list[PowerLaw]


def curves_of(points: Sequence[MeasuredPoint]) -> dict[Key, Curve]:
    """The points by variant and model, as far as there are at least two values of one."""
    found: dict[Key, list[MeasuredPoint]] = {}
    for measured in points:
        found.setdefault((measured.point.variant, measured.point.model), []).append(measured)
    return {
        key: Curve(
            {name: np.array([p.point.x[name] for p in own]) for name in own[0].point.x},
            np.stack([p.losses for p in own]),
        )
        for key, own in found.items()
        if len(own) > 1
    }


def resample(curves: Mapping[Key, Curve], generator: np.random.Generator) -> dict[Key, np.ndarray]:
    """Losses `[V, seeds]` of every curve, with videos and training seeds drawn again.

    All curves see the same videos, and so are paired. Seeds are drawn for each value, their
    deviations from the mean enlarged by the root of n / (n - 1): a few of them vary too little.
    """
    found: dict[Key, np.ndarray] = {}
    weights: dict[int, np.ndarray] = {}
    for key, curve in curves.items():
        values, seeds, videos = curve.losses.shape
        if videos not in weights:
            weights[videos] = generator.multinomial(videos, np.full(videos, 1 / videos)) / videos
        logs = np.log(curve.losses @ weights[videos])  # [V, seeds]
        if seeds > 1:
            middle = logs.mean(axis=1, keepdims=True)
            drawn = generator.integers(0, seeds, (values, seeds))
            deviations = np.take_along_axis(logs - middle, drawn, axis=1)
            logs = middle + deviations * np.sqrt(seeds / (seeds - 1))
        found[key] = np.exp(logs)
    return found


def fit_curves(
    curves: Mapping[Key, Curve], axis: str, form: str, replicates: int = REPLICATES
) -> dict[Key, Fitted]:
    """A fit for every curve along one x; none where x hardly changes.

    The same seed draws the same videos for every x and form.
    """
    generator = np.random.default_rng(0)
    changing = {
        key: curve
        for key, curve in curves.items()
        if axis in curve.x and curve.x[axis].max() > LEAST_CHANGE * curve.x[axis].min() > 0
    }
    drawn = [resample(changing, generator) for _ in range(replicates)]
    found = {}
    for key, curve in changing.items():
        x = curve.x[axis]
        law = _law(x, curve.seed_losses, form)
        laws = [_law(x, sample[key], form) for sample in drawn]
        found[key] = Fitted(_fit(key, axis, form, curve, law, laws), law, laws)
    return found


def compare_exponents(fitted: Mapping[Key, Fitted], curves: Mapping[Key, Curve]) -> list[Ratio]:
    """In each variant the exponent of the first model over that of each other."""
    found = []
    for variant in dict.fromkeys(variant for variant, _ in fitted):
        models = [model for of, model in fitted if of == variant]
        for other in models[1:]:
            a, b = (variant, models[0]), (variant, other)
            found.append(_ratio(a, b, fitted, curves))
    return found


def contrast(fitted: Mapping[Key, Fitted]) -> list[Contrast]:
    """The ratio of exponents in the first variant over that in each other one."""
    variants = list(dict.fromkeys(variant for variant, _ in fitted))
    found = []
    for second in variants[1:]:
        shared = [m for v, m in fitted if v == variants[0] and (second, m) in fitted]
        for other in shared[1:]:
            four = [fitted[v, m] for v in (variants[0], second) for m in (shared[0], other)]
            if any(one.fit.refused for one in four):
                continue
            (a, b, c, d) = (_exponents(one) for one in four)
            point = _quotient(four[0], four[1]) / _quotient(four[2], four[3])
            ratio = _metric(point, a / b * d / c, four[0].fit.exponent.n)
            found.append(Contrast(variants[0], second, shared[0], other, four[0].fit.form, ratio))
    return found


def contradicted_fits(found: Found, tolerance: float = 2e-3) -> Iterator[str]:
    """Fits whose exponent is not that of the law through the points that stand beside them.

    Losses and exponents may have been rounded, so they may differ by `tolerance`.
    """
    for fit in found.fits:
        own = [p for p in found.points if (p.variant, p.model) == (fit.variant, fit.model)]
        x = np.array([point.x[fit.axis] for point in own])
        law = _law(x, np.array([point.seed_losses for point in own]), fit.form)
        if abs(law.exponent - fit.exponent.mean) > tolerance * max(1.0, abs(law.exponent)):
            name = " ".join(filter(None, (fit.variant, fit.model, fit.axis, fit.form)))
            yield f"{name}: the exponent is {fit.exponent.mean}, its points give {law.exponent}"


def _law(x: np.ndarray, losses: np.ndarray, form: str) -> PowerLaw:
    repeated = np.repeat(x, losses.shape[1])
    return fit_power_law(repeated, losses.ravel(), with_floor=form == WITH_FLOOR)


def _fit(key: Key, axis: str, form: str, curve: Curve, law: PowerLaw, laws: list[PowerLaw]) -> Fit:
    good = goodness(law, curve.x[axis], curve.seed_losses)
    n = curve.losses.shape[2]
    exponent, scale, floor = (
        _metric(getattr(law, name), np.array([getattr(one, name) for one in laws]), n)
        for name in ("exponent", "scale", "floor")
    )
    return Fit(
        variant=key[0],
        model=key[1],
        axis=axis,
        form=form,
        exponent=exponent,
        scale=scale,
        floor=floor,
        r_squared=good.r_squared,
        rms=good.rms,
        lack_of_fit=good.lack_of_fit,
        refused=_refused(curve.x[axis], form, exponent, floor, good.lack_of_fit),
        doubts=_doubts(curve, good.lack_of_fit),
    )


def _refused(
    x: np.ndarray, form: str, exponent: Metric, floor: Metric, lack_of_fit: float | None
) -> str | None:
    """Why the points do not support the fit, in words; None if they do."""
    if len(x) < LEAST_VALUES[form]:
        return f"{len(x)} values are too few; at least {LEAST_VALUES[form]} are needed"
    if x.max() / x.min() < LEAST_RANGE:
        span = x.max() / x.min()
        return f"x spans a factor of {span:.1f}, and at least {LEAST_RANGE:.0f} is needed"
    low, high = exponent.ends
    if low <= 0:
        return "the loss does not surely fall: the interval of the exponent reaches 0"
    if lack_of_fit is not None and lack_of_fit < REJECTED:
        return f"the points do not follow the curve (lack of fit, p = {lack_of_fit:.2g})"
    if form == WITH_FLOOR and high / low > WIDEST:
        return (
            "the points do not determine a floor: the exponent lies anywhere between "
            f"{low:.2f} and {high:.2f}"
        )
    if form == WITH_FLOOR and floor.mean <= 0:
        return "the best floor is 0: it is the law without one"
    return None


def _doubts(curve: Curve, lack_of_fit: float | None) -> list[str]:
    """What speaks against a fit that is not refused."""
    found = []
    if curve.losses.shape[1] == 1:
        found.append("one training seed: the interval rests on videos alone")
    if lack_of_fit is not None and lack_of_fit < SIGNIFICANT:
        found.append(
            f"the points do not follow the curve (lack of fit, p = {lack_of_fit:.2g}): the "
            "exponent is a mean slope over this range"
        )
    return found


def _ratio(a: Key, b: Key, fitted: Mapping[Key, Fitted], curves: Mapping[Key, Curve]) -> Ratio:
    one, other = fitted[a], fitted[b]
    x = np.concatenate([curves[key].x[one.fit.axis] for key in (a, b)])
    refusals = [f"{f.fit.model}: {f.fit.refused}" for f in (one, other) if f.fit.refused]
    refused = "; ".join(refusals) or None
    found = None
    if refused is None:
        quotients = _exponents(one) / _exponents(other)
        found = _metric(_quotient(one, other), quotients, one.fit.exponent.n)
    return Ratio(
        variant=a[0],
        a=a[1],
        b=b[1],
        axis=one.fit.axis,
        form=one.fit.form,
        ratio=found,
        refused=refused,
        lowest=float(x.min()),
        highest=float(x.max()),
        crossing=None if refused else _crossing(one, other),
    )


def _crossing(one: Fitted, other: Fitted) -> Metric | None:
    """Where two laws without a floor cross; None where it is not sure that they do."""
    if one.fit.form != PURE:
        return None
    differences = _exponents(one) - _exponents(other)
    low, high = np.percentile(differences, ENDS)
    if low <= 0 <= high:
        return None
    pairs = zip([one.law, *one.replicates], [other.law, *other.replicates], strict=True)
    logs = [np.log(p.scale / q.scale) / (p.exponent - q.exponent) for p, q in pairs]
    places = np.exp(np.clip(logs, -300, 300))
    return _metric(float(places[0]), places[1:], one.fit.exponent.n)


def _quotient(one: Fitted, other: Fitted) -> float:
    return one.law.exponent / other.law.exponent


def _exponents(fitted: Fitted) -> np.ndarray:
    return np.array([law.exponent for law in fitted.replicates])


def _metric(point: float, replicates: np.ndarray, n: int) -> Metric:
    """A value with the percentiles of its replicates."""
    low, high = (float(end) for end in np.percentile(replicates, ENDS))
    return Metric(point, low, high, n, None)
