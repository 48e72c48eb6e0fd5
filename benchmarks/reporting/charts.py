"""Charts of the page that answer to the reader, by Vega-Lite, whose JavaScript it holds."""

from functools import cache
from typing import Any, Literal

import altair
import vl_convert

from benchmarks.record.results import Result
from benchmarks.record.selection_metric import Quality, quality_of
from benchmarks.reporting.figures import SHOWN
from benchmarks.reporting.tables import Condition, rows_under

COSTS = {
    "forward_passes": "forward passes",
    "forward_equivalents": "forward-equivalents",
    "flops": "FLOPs",
    "latency_ms": "latency in ms, batch 1",
}

Chart = dict[str, Any]


def compute_chart(result: Result, condition: Condition) -> Chart | None:
    """Quality of every setting against its cost, whose kind the reader chooses; None without."""
    quality = quality_of(result)
    points: list[dict[str, Any]] = []
    for model in result.models:
        for row in rows_under(model, condition):
            found = row.metrics[quality.metric]
            costs = {name: getattr(row.cost, name) for name in COSTS}
            if model.training is None or any(cost is None for cost in costs.values()):
                continue
            points.append(
                {
                    "model": model.name,
                    "setting": row.setting.label + (", selected" if row.selected else ""),
                    "quality": found.mean,
                    "low": found.ends[0],
                    "high": found.ends[1],
                    **costs,
                }
            )
    if not points:
        return None
    names = list(COSTS)
    kinds = altair.binding_select(options=names, labels=list(COSTS.values()), name="against ")
    cost = altair.param(name="cost", value=names[1], bind=kinds)
    legend = altair.selection_point(fields=["model"], bind="legend")
    x = altair.X("cost:Q", title="cost").scale(type="log", padding=16)
    models = list(dict.fromkeys(point["model"] for point in points))
    scheme: Literal["tableau10", "tableau20"] = "tableau20" if len(models) > 10 else "tableau10"
    color = altair.Color("model:N", sort=models, scale=altair.Scale(scheme=scheme))
    shown = altair.condition(legend, altair.value(1), altair.value(0.1))
    base = (
        altair.Chart(altair.Data(values=points))
        .transform_calculate(cost="datum[cost]")
        .encode(x=x, color=color, opacity=shown)
    )
    scale = altair.Scale(**_shown(points, quality))
    y = altair.Y("quality:Q", title=quality.title, scale=scale)
    ends = [altair.Tooltip(f"{name}:Q", format=".4~f") for name in ("quality", "low", "high")]
    cost_of = [altair.Tooltip(f"{n}:Q", format=".4~s", title=said) for n, said in COSTS.items()]
    lines = base.mark_line(point=True, clip=True).encode(
        y=y, tooltip=["model:N", "setting:N", *ends, *cost_of]
    )
    spread = base.mark_rule(clip=True).encode(y=altair.Y("low:Q", scale=scale), y2="high:Q")
    drawn = altair.layer(spread, lines).add_params(cost, legend).interactive()
    return finished(drawn)


def finished(drawn: altair.LayerChart | altair.FacetChart) -> Chart:
    """The chart as wide as the page, in the colours of its theme."""
    drawn = drawn.properties(
        width="container", height=420, autosize="fit-x", background="transparent"
    )
    drawn = drawn.configure_axis(gridOpacity=0.3)
    found: Chart = drawn.configure_legend(orient="bottom", labelLimit=0).to_dict()
    return found


def _shown(points: list[dict[str, Any]], quality: Quality) -> dict[str, Any]:
    """The part of the axis that is seen at first: settings far below would hide the others.

    The best setting of every model is seen.
    """
    if not quality.higher:
        return {"zero": False}
    best = max(point["high"] for point in points)
    lowest = min(point["low"] for point in points)
    tops: dict[str, float] = {}
    for point in sorted(points, key=lambda point: point["quality"]):
        tops[point["model"]] = point["low"]
    seen = min(best - SHOWN, *tops.values())
    return {"domain": [max(lowest, seen) - 0.4, best + 0.4], "nice": False}


@cache
def chart_script() -> str:
    """The JavaScript of Vega, Vega-Lite and Vega-Embed, 0.9 MB."""
    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    return bundle.replace("</script", "<\\/script")
