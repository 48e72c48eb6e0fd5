"""The loss of every point, and the fitted laws, against an x that the reader chooses."""

import numpy as np

from benchmarks.config import JSON
from benchmarks.measure.power_law import PowerLaw
from benchmarks.record.model_names import title_of
from benchmarks.reporting.charts import Chart, Curves
from benchmarks.tasks.scaling.result import PURE, Found, Point

MARGIN = 1.1  # by which the axis of losses goes beyond them
SAMPLES = 30  # of a law


def loss_chart(found: Found) -> Chart:
    """Losses and power laws on logarithmic axes, a curve for each model and variant."""
    names = list(found.points[0].x)
    fields = {name: f"x{number}" for number, name in enumerate(names)}  # names have spaces
    losses = [point.loss.mean for point in found.points]
    curves = Curves(
        [_point(point, fields) for point in found.points],
        {field: name for name, field in fields.items()},
        "test Smooth-L1",
        (min(losses) / MARGIN, max(losses) * MARGIN),
        logarithmic=True,
        laws=_laws(found, fields),
    )
    return Chart("Loss against size and cost", "loss", curves.spec())


def _curve(variant: str, model: str) -> str:
    return f"{title_of(model)}, {variant.replace('_', ' ')}" if variant else title_of(model)


def _point(point: Point, fields: dict[str, str]) -> JSON:
    curve, (low, high) = _curve(point.variant, point.model), point.loss.ends
    seeds = ", ".join(f"{loss:.4f}" for loss in point.seed_losses)
    return {
        "curve": curve,
        "line": curve,
        "setting": f"{point.setting}; seeds {seeds}",
        "value": point.loss.mean,
        "low": low,
        "high": high,
        "order": point.x[next(iter(fields))],
        "anchor": point.x[next(iter(fields))],
        "single": False,
        **{field: point.x[name] for name, field in fields.items()},
    }


def _laws(found: Found, fields: dict[str, str]) -> list[JSON]:
    """Samples of every pure law that was not refused, over the range of its points."""
    laws = []
    for fit in found.fits:
        own = [p for p in found.points if (p.variant, p.model) == (fit.variant, fit.model)]
        if fit.form != PURE or fit.refused or not own:
            continue
        ends = [point.x[fit.axis] for point in own]
        law = PowerLaw(fit.scale.mean, fit.exponent.mean, fit.floor.mean)
        for x in np.geomspace(min(ends), max(ends), SAMPLES):
            of_curve = {"curve": _curve(fit.variant, fit.model), "of": fields[fit.axis]}
            laws.append(of_curve | {"at": float(x), "value": float(law(x))})
    return laws
