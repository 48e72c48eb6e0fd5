"""Scores of all models for a label that the reader chooses."""

import altair

from benchmarks.record.model_names import title_of
from benchmarks.reporting.charts import COLORS, Chart, finished
from benchmarks.tasks.probe.result import ATTENTIVE, LINEAR, Found


def scores_chart(found: Found) -> Chart | None:
    """Each model at its selected place, with its interval, for both kinds of probe."""
    points = [
        {
            "label": place.title,
            "model": title_of(place.model),
            "probe": place.probe,
            "score": place.score.mean,
            "low": place.score.ends[0],
            "high": place.score.ends[1],
        }
        for place in found.places
        if place.selected
    ]
    if not points:
        return None
    labels = list(dict.fromkeys(point["label"] for point in points))
    models = list(dict.fromkeys(str(point["model"]) for point in points))
    kinds = altair.binding_select(options=labels, name="label ")
    label = altair.param(name="label", value=labels[0], bind=kinds)
    probes = altair.Scale(domain=[LINEAR, ATTENTIVE], range=list(COLORS[:2]))
    base = (
        altair.Chart(altair.Data(values=points))
        .transform_filter("datum.label == label")
        .encode(
            y=altair.Y("model:N", title=None, sort=models).axis(labelLimit=0, grid=True),
            yOffset="probe:N",
            color=altair.Color("probe:N", scale=probes, title="probe"),
        )
    )
    zero = altair.Scale(zero=False)
    title = "accuracy, or R² of a number"
    ends = base.mark_rule().encode(x=altair.X("low:Q", title=title, scale=zero), x2="high:Q")
    numbers = [altair.Tooltip(f"{name}:Q", format=".3f") for name in ("score", "low", "high")]
    dots = base.mark_point(filled=True, size=50, opacity=1).encode(
        x=altair.X("score:Q", title=title, scale=zero), tooltip=["model:N", "probe:N", *numbers]
    )
    drawn = altair.layer(ends, dots).add_params(label).resolve_scale(yOffset="shared")
    return Chart("What the features know", "scores", finished(drawn).to_dict())
