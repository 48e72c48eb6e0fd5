"""All fits of a sweep: along its axis in both forms, and along every other x without a floor."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.config import RunConfig
from benchmarks.progress import tracked
from benchmarks.tasks.scaling.analysis import (
    REPLICATES,
    compare_exponents,
    contrast,
    curves_of,
    fit_curves,
)
from benchmarks.tasks.scaling.axes import RULE, SEARCHED
from benchmarks.tasks.scaling.config import Axis
from benchmarks.tasks.scaling.omissions import with_omissions
from benchmarks.tasks.scaling.points import (
    FLOPS,
    IN_BLOCKS,
    PARAMETERS,
    SECONDS,
    MeasuredPoint,
    read_points,
)
from benchmarks.tasks.scaling.result import PURE, WITH_FLOOR, Contrast, Fit, Found, Ratio
from benchmarks.tasks.scaling.sweep import Place


def main_x(axis: Axis | str) -> str:
    """The x that an axis stands for."""
    return {"parameters": PARAMETERS, "flops": FLOPS}.get(axis, axis)


def fit_sweep(
    config: RunConfig, places: Sequence[Place], failed: dict[str, str], out: Path
) -> Found:
    """Read the points and fit them."""
    rule = SEARCHED if config.task.search_each else RULE
    axis = config.task.axis
    return fit_points(read_points(places, axis, out), axis, rule, failed)


def fit_points(
    measured: Sequence[MeasuredPoint], axis: Axis | str, rule: str, failed: dict[str, str]
) -> Found:
    """All fits of the points of sweeps along an axis."""
    curves = curves_of(measured)
    main = main_x(axis)
    others = [x for x in (PARAMETERS, IN_BLOCKS, FLOPS, SECONDS) if x != main]
    fits: list[Fit] = []
    ratios: list[Ratio] = []
    contrasts: list[Contrast] = []
    along = [(main, PURE), (main, WITH_FLOOR), *((other, PURE) for other in others)]
    for x, form in tracked(along, "fits"):
        fitted = fit_curves(curves, x, form, REPLICATES)
        fits += [one.fit for one in fitted.values()]
        ratios += compare_exponents(fitted, curves)
        if x == main:
            contrasts += contrast(fitted)
    return with_omissions(
        Found(
            axis=axis,
            rule=rule,
            replicates=REPLICATES,
            points=[point.point for point in measured],
            fits=fits,
            ratios=ratios,
            contrasts=contrasts,
            failed=failed,
        )
    )
