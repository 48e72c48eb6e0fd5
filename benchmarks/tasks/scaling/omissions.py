"""What becomes of a fit when each value of the axis is left out in turn.

A fit that a single value decides says nothing: it is refused where the exponent, or the ratio of
two, leaves the interval of the whole without one of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.measure.power_law import fit_power_law
from benchmarks.record.results import Metric
from benchmarks.tasks.scaling.result import WITH_FLOOR, Fit, Found, Point, Ratio

LEAST_LEFT = 3  # values without which no law is fitted


def with_omissions(found: Found) -> Found:
    """The fits and ratios with their exponents without each value, those that do not last refused.

    They are made from the losses of the training seeds. A contrast of two variants goes where one
    of its ratios does.
    """
    fits = [_fit(fit, found.points) for fit in found.fits]
    whole = replace(found, fits=fits)
    ratios = [_ratio(ratio, whole) for ratio in found.ratios]
    main = found.fits[0].axis if found.fits else found.axis  # contrasts are along it alone
    lasting = {
        (r.variant, r.a, r.b, r.form) for r in ratios if r.refused is None and r.axis == main
    }
    contrasts = [
        contrast
        for contrast in found.contrasts
        if all(
            (variant, contrast.a, contrast.b, contrast.form) in lasting
            for variant in (contrast.first, contrast.second)
        )
    ]
    return replace(whole, ratios=ratios, contrasts=contrasts)


def _fit(fit: Fit, points: Sequence[Point]) -> Fit:
    own = [
        p for p in points if (p.variant, p.model) == (fit.variant, fit.model) and fit.axis in p.x
    ]
    without = {}
    for left_out in own if len(own) > LEAST_LEFT else []:
        kept = [point for point in own if point is not left_out]
        x = np.repeat([p.x[fit.axis] for p in kept], [len(p.seed_losses) for p in kept])
        if np.unique(x).size > 1:
            losses = np.concatenate([p.seed_losses for p in kept])
            law = fit_power_law(x, losses, with_floor=fit.form == WITH_FLOOR)
            without[left_out.value] = law.exponent
    refused = fit.refused or _decided(fit.exponent, without)
    return replace(fit, without=without, refused=refused)


def _ratio(ratio: Ratio, found: Found) -> Ratio:
    a, b = (found.fit_of(ratio, model) for model in (ratio.a, ratio.b))
    without = {
        value: a.without[value] / b.without[value]
        for value in a.without
        if value in b.without and b.without[value] != 0
    }
    refusals = [f"{fit.model}: {fit.refused}" for fit in (a, b) if fit.refused]
    refused = ratio.refused or "; ".join(refusals) or None
    if refused is None and ratio.ratio is not None:
        refused = _decided(ratio.ratio, without)
    if refused is None:
        return replace(ratio, without=without)
    return replace(ratio, without=without, ratio=None, refused=refused, crossing=None)


def _decided(whole: Metric, without: Mapping[str, float]) -> str | None:
    """Which single value decides a number, in words; None where none does."""
    low, high = whole.ends
    farthest = [(value, number) for value, number in without.items() if not low <= number <= high]
    if not farthest:
        return None
    value, number = max(farthest, key=lambda entry: abs(entry[1] - whole.mean))
    return (
        f"a single value decides it: {whole.mean:.2f} with all, {number:.2f} without {value}, "
        f"outside the interval of the whole, {low:.2f} to {high:.2f}"
    )
