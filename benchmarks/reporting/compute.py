"""Quality against what it costs, as a chart whose axis the reader chooses."""

from collections.abc import Collection, Sequence

from benchmarks.config import JSON
from benchmarks.record.results import Model, Result, Row
from benchmarks.record.selection_metric import Quality, quality_of
from benchmarks.reporting.charts import Chart, Curves
from benchmarks.reporting.tables import Condition, rows_under

COSTS = {
    "forward_passes": "forward passes",
    "forward_equivalents": "forward-equivalents",
    "flops": "FLOPs",
    "latency_ms": "latency in ms, batch 1",
}
BELOW = 0.5  # of the span of the models' best settings, which the axis shows below it
MARGIN = 0.04  # of what is shown, above and below


def compute_chart(
    result: Result,
    condition: Condition,
    title: str,
    name: str,
    models: Collection[str] | None = None,
    quality: Quality | None = None,
) -> Chart | None:
    """Every setting of the trained models, or of those named, against its cost; None without.

    `quality` is the metric that is drawn, without one that by which models are ranked.
    """
    quality = quality or quality_of(result)
    points = []
    for model in result.models:
        if model.training is not None and (models is None or model.name in models):
            points += _points(model, rows_under(model, condition), quality)
    if not points:
        return None
    curves = Curves(points, COSTS, quality.title, _shown(points, quality))
    return Chart(title, name, curves.spec())


def _points(model: Model, rows: Sequence[Row], quality: Quality) -> list[JSON]:
    points = []
    for line, of_line in _by_kind(rows).items():
        for row in of_line:
            if row.cost.forward_passes is None:
                continue
            found = row.metrics[quality.metric]
            low, high = found.ends
            points.append(
                {
                    "curve": model.title,
                    "line": f"{model.name} {line}",
                    "setting": row.setting.label + (", selected" if row.selected else ""),
                    "value": found.mean,
                    "low": low,
                    "high": high,
                    "order": row.setting.order,
                    "anchor": -quality.rank(row),
                    "single": row.setting.fixed,
                    **{cost: getattr(row.cost, cost) for cost in COSTS},
                }
            )
    return points


def _by_kind(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of a model in groups, each of which is a line: its samplers, and fixed settings.

    A row of no kind, such as a single pass without a sampler, begins every line.
    """
    swept: dict[str, list[Row]] = {}
    fixed = [row for row in rows if row.setting.fixed]
    for row in rows:
        if not row.setting.fixed:
            swept.setdefault(_kind(row), []).append(row)
    start = swept.pop("", []) if len(swept) > 1 else []
    return {kind: start + part for kind, part in swept.items()} | {"fixed": fixed}


def _kind(row: Row) -> str:
    samples = row.setting.options.get("samples", 1)
    return f"mean of {samples}" if samples > 1 else str(row.setting.options.get("sampler") or "")


def _shown(points: Sequence[JSON], quality: Quality) -> tuple[float, float]:
    """The ends of the axis: the best setting of every model is seen, far worse ones are not."""
    sign = 1 if quality.higher else -1
    tops: dict[str, float] = {}
    for point in points:
        tops[point["curve"]] = max(tops.get(point["curve"], -float("inf")), sign * point["value"])
    least = min(tops.values())
    best = max(sign * end for point in points for end in (point["low"], point["high"]))
    worst = min(sign * point["value"] for point in points)
    bottom = min(least, max(worst, least - BELOW * (best - least)))
    margin = MARGIN * (best - bottom) or 0.1 * abs(best) or 1.0
    low, high = sorted((sign * (bottom - margin), sign * (best + margin)))
    return low, high
