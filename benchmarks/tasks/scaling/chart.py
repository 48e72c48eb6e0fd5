"""The loss of every point against an x that the reader chooses."""

import altair

from benchmarks.reporting.charts import Chart, finished
from benchmarks.tasks.scaling.result import Found

LEAST = 0.1  # of the mean: an interval that reaches 0 has no end on a logarithmic axis


def loss_chart(found: Found) -> Chart:
    """Losses with their intervals, and those of single seeds, on logarithmic axes, by Vega-Lite."""
    names = list(found.points[0].x)
    fields = [f"x{number}" for number in range(len(names))]  # names have spaces
    points = [
        {
            "model": f"{point.model}, {point.variant}" if point.variant else point.model,
            "loss": point.loss.mean,
            "low": max(point.loss.ends[0], LEAST * point.loss.mean),
            "high": point.loss.ends[1],
            "seeds": point.seed_losses,
            **{field: point.x[name] for field, name in zip(fields, names, strict=True)},
        }
        for point in found.points
    ]
    kinds = altair.binding_select(options=fields, labels=names, name="against ")
    chosen = altair.param(name="x", value=fields[0], bind=kinds)
    base = altair.Chart(altair.Data(values=points)).transform_calculate(at="datum[x]")
    log = altair.Scale(type="log", nice=False, padding=16)
    numbers = altair.Axis(format="~s")
    x, color = altair.X("at:Q", title="x", scale=log, axis=numbers), altair.Color("model:N")
    ends = [altair.Tooltip(f"{name}:Q", format=".4~f") for name in ("loss", "low", "high")]
    amounts = [
        altair.Tooltip(f"{field}:Q", format=".4~s", title=name)
        for field, name in zip(fields, names, strict=True)
    ]
    lines = base.mark_line(point=True).encode(
        x=x,
        y=altair.Y("loss:Q", title="test Smooth-L1", scale=log),
        color=color,
        tooltip=["model:N", *ends, *amounts],
    )
    spread = base.mark_rule().encode(x=x, y=altair.Y("low:Q", scale=log), y2="high:Q", color=color)
    seeds = (
        base.transform_flatten(["seeds"])
        .mark_point(size=14, filled=True, opacity=0.6)
        .encode(x=x, y=altair.Y("seeds:Q", scale=log), color=color)
    )
    return finished(altair.layer(spread, seeds, lines).add_params(chosen).interactive())
