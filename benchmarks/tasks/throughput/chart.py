"""Ratios against references beside their targets."""

from collections.abc import Sequence

import altair

from benchmarks.record.results import Measurement
from benchmarks.reporting.charts import COLORS, Chart, finished

LINE = 20  # pixels of a measurement
REACHED, MISSED, NO_TARGET = KINDS = ("reached", "missed", "no target")


def ratios_chart(measurements: Sequence[Measurement]) -> Chart | None:
    """Each ratio that was measured, its target as a tick; None where there is none."""
    compared = [one for one in measurements if one.ratio is not None and one.ratio > 0]
    if not compared:
        return None
    names = list(dict.fromkeys(one.name for one in compared))
    points = [
        {"kind": kind_of(one)}
        | {key: getattr(one, key) for key in ("name", "ratio", "reference", "target")}
        for one in compared
    ]
    colors = altair.Scale(domain=list(KINDS), range=[COLORS[3], COLORS[2], COLORS[9]])
    numbers = altair.Axis(format="~s", tickCount=6, labelOverlap=True)
    scale = altair.Scale(type="log", padding=16, nice=False)
    title = "ratio to the reference of the same run; a tick is the target"
    base = altair.Chart(altair.Data(values=points)).encode(
        y=altair.Y("name:N", title=None, sort=names).axis(labelLimit=0, grid=True)
    )
    dots = base.mark_point(filled=True, size=60, opacity=1).encode(
        x=altair.X("ratio:Q", title=title, scale=scale, axis=numbers),
        color=altair.Color("kind:N", scale=colors, title="target"),
        tooltip=[
            altair.Tooltip("name:N", title="measured"),
            altair.Tooltip("reference:N"),
            altair.Tooltip("ratio:Q", format=".3g"),
            altair.Tooltip("target:Q", format=".3g"),
        ],
    )
    ticks = (
        base.transform_filter("isValid(datum.target)")
        .mark_tick(thickness=2, size=LINE - 4, color=COLORS[9])
        .encode(x=altair.X("target:Q", title=title, scale=scale, axis=numbers))
    )
    spec = finished(altair.layer(ticks, dots)).to_dict()
    return Chart("Ratios beside their targets", "ratios", spec | {"height": LINE * len(names)})


def kind_of(one: Measurement) -> str:
    """Whether a measurement reached its target, in a word."""
    if one.target is None:
        return NO_TARGET
    value = one.value if one.ratio is None else one.ratio
    reached = value <= one.target if one.at_most else value >= one.target
    return REACHED if reached else MISSED
