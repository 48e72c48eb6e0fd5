"""Charts by Vega-Lite: on the page they answer to the reader, elsewhere they are still pictures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import altair
import numpy as np
import vl_convert

from benchmarks.config import JSON

FOLDER = "figures"
WIDTH, HEIGHT = 900, 380  # pixels; the page has its own width
LABELS = 290  # pixels of the longest name of a curve
# Readable on white and on black.
COLORS = (
    *("#3f6fd8", "#cc6116", "#c23b3b", "#25875a", "#8a5fd0"),
    *("#13859b", "#b5478d", "#8a7024", "#6b7d2a", "#6e7a88"),
)
LETTERS = 14  # pixels from one name to the next
AWAY = 26  # pixels from the curves to their names
SCALE = 2  # pixels of a file for one of the chart

Spec = JSON


@dataclass(frozen=True)
class Chart:
    """A chart with its title, the name of its file, and what Vega-Lite draws."""

    title: str
    name: str
    spec: Spec

    @property
    def path(self) -> str:
        """Where its still picture stands, relative to the folder of the run."""
        return f"{FOLDER}/{self.name}.png"

    def save(self, file: Path) -> None:
        """Write it as a still picture, PNG or SVG by the ending of the file."""
        spec = self.spec | {"width": WIDTH, "background": "white"}
        if file.suffix == ".svg":
            file.write_text(vl_convert.vegalite_to_svg(spec), encoding="utf-8")
        else:
            file.write_bytes(vl_convert.vegalite_to_png(spec, scale=SCALE))


@dataclass(frozen=True)
class Curves:
    """Curves with their names beside them, over an axis that the reader chooses.

    Args:
        points: what is drawn: for each its `curve`, `line` (a curve may have several), `value`,
            `low`, `high`, `order` along its line, `setting`, whether it is `single`, a number for
            each axis, and an `anchor`: the name of a curve stands beside its point that has most.
        axes: fields of the points that may be the axis, and what they are called; the first is
            shown at first.
        value: title of the axis of values.
        domain: ends of the axis of values.
        logarithmic: whether the values are.
        laws: samples of fitted curves, which take the place of lines from point to point: for each
            its `curve`, the axis that it is `of`, `at` and `value`.
    """

    points: Sequence[Spec]
    axes: dict[str, str]
    value: str
    domain: tuple[float, float]
    logarithmic: bool = False
    laws: Sequence[Spec] = ()

    def spec(self) -> Spec:
        """What Vega-Lite draws."""
        names = list(self.axes)
        kinds = altair.binding_select(
            options=names, labels=list(self.axes.values()), name="against "
        )
        axis = altair.param(name="axis", value=names[0], bind=kinds)
        curves = list(dict.fromkeys(point["curve"] for point in self.points))
        colors = altair.Scale(domain=curves, range=list(COLORS))
        color = altair.Color("curve:N", scale=colors, legend=None)
        numbers = altair.Axis(title=None, format="~s", tickCount=6, labelOverlap=True)
        x = altair.X("at:Q", scale=altair.Scale(type="log", padding=16, nice=False), axis=numbers)
        base = (
            altair.Chart(altair.Data(values=self._labelled()))
            .transform_calculate(at="datum[axis]")
            .transform_filter("isValid(datum.at) && datum.at > 0")
            .encode(x=x, color=color)
        )
        lines = base.transform_filter("!datum.single").encode(detail="line:N", order="order:Q")
        if self.laws:
            lines = altair.Chart(altair.Data(values=[*self.laws])).encode(x=x, color=color)
            lines = lines.transform_filter("datum.of == axis")
        lines = lines.mark_line(clip=True).encode(y=self._y("value"))
        ends = base.mark_rule(clip=True, opacity=0.45).encode(y=self._y("low"), y2="high:Q")
        dots = base.mark_point(filled=True, size=45, clip=True, opacity=1).encode(
            y=self._y("value"),
            shape=altair.condition("datum.single", altair.value("diamond"), altair.value("circle")),
            tooltip=self._tooltip(),
        )
        drawn = altair.layer(lines, ends, dots, *self._names(base), self._axis_title())
        found: Spec = finished(drawn.add_params(axis)).to_dict()
        return found

    def _y(self, field: str) -> altair.Y:
        kind: Literal["log", "linear"] = "log" if self.logarithmic else "linear"
        scale = altair.Scale(type=kind, domain=list(self.domain), nice=False)
        return altair.Y(f"{field}:Q", title=self.value, scale=scale)

    def _tooltip(self) -> list[altair.Tooltip]:
        numbers = [
            altair.Tooltip(f"{name}:Q", format=".4~f", title=name)
            for name in ("value", "low", "high")
        ]
        costs = [
            altair.Tooltip(f"{name}:Q", format=".4~s", title=said)
            for name, said in self.axes.items()
        ]
        named = [altair.Tooltip("curve:N", title="model"), altair.Tooltip("setting:N")]
        return [*named, *numbers, *costs]

    def _names(self, base: altair.Chart) -> list[altair.Chart]:
        """The name of each curve to the right of all, and the way to it from its anchor.

        Where there is no room to the right, the page draws a legend for these layers.
        """
        best = altair.AggregatedFieldDef(op="argmax", field="anchor", **{"as": "anchored"})
        own = base.transform_filter("isValid(datum.label)")
        own = own.transform_aggregate([best], groupby=["curve"])
        own = own.transform_calculate(
            at="datum.anchored[axis]", value="datum.anchored.value", label="datum.anchored.label"
        )
        edge, text = (altair.value(altair.ExprRef(e)) for e in ("width", f"width + {AWAY}"))
        level = own.mark_rule(strokeDash=[1, 3], opacity=0.6).encode(x2=edge, y=self._y("value"))
        way = own.mark_rule(opacity=0.6).encode(x=edge, x2=text, y=self._y("value"), y2="label:Q")
        name = own.mark_text(align="left", dx=4, fontSize=12, limit=LABELS).encode(
            x=text, y=self._y("label"), text="curve:N"
        )
        return [layer.properties(name=f"names{n}") for n, layer in enumerate([level, way, name])]

    def _labelled(self) -> list[Spec]:
        """The points, those at which the name of their curve may stand with its place."""
        lowest, highest = self._of_domain(self.domain)
        named: dict[str, list[int]] = {}
        for index, point in enumerate(self.points):
            inside = lowest <= self._of_domain([point["value"]])[0] <= highest
            if inside and not point["single"]:
                named.setdefault(point["curve"], []).append(index)
        best = [max(of, key=lambda i: self.points[i]["anchor"]) for of in named.values()]
        places = self._of_domain([self.points[index]["value"] for index in best])
        shown = spread_out(places, (highest - lowest) * LETTERS / HEIGHT, (lowest, highest))
        labels = 10.0**shown if self.logarithmic else shown
        points = [dict(point) for point in self.points]
        for indices, label in zip(named.values(), labels, strict=True):
            for index in indices:
                points[index]["label"] = float(label)
        return points

    def _of_domain(self, values: Sequence[float]) -> np.ndarray:
        """Values as they lie along the axis."""
        found = np.asarray(values, float)
        return np.log10(found) if self.logarithmic else found

    def _axis_title(self) -> altair.Chart:
        """What the axis that the reader chose is called."""
        title = altair.Chart(altair.Data(values=[{}])).mark_text(
            text=altair.ExprRef(f"({json.dumps(self.axes)})[axis]"), style="guide-title"
        )
        middle, below = (altair.ExprRef(e) for e in ("width / 2", "height + 32"))
        return title.encode(x=altair.value(middle), y=altair.value(below))


def spread_out(
    places: Sequence[float] | np.ndarray, apart: float, ends: tuple[float, float]
) -> np.ndarray:
    """Places near the wanted ones that lie `apart` from one another, within the ends if they fit.

    Their order is kept.
    """
    order = np.argsort(places, kind="stable")
    wanted = np.asarray(places, float)[order]
    steps = apart * np.arange(len(wanted))
    up = np.maximum.accumulate(wanted - steps) + steps
    down = np.minimum.accumulate((wanted - steps)[::-1])[::-1] + steps
    low, high = ends
    found = np.maximum((up + down) / 2, low + steps)
    found = np.minimum(found, high - steps[::-1])
    back = np.empty_like(found)
    back[order] = found
    return back


def finished(drawn: altair.LayerChart | altair.FacetChart) -> Any:
    """The chart with the looks that all share, in the colours of the page's theme."""
    fit = altair.AutoSizeParams(type="fit-x", contains="padding")
    drawn = drawn.properties(
        width="container", height=HEIGHT, autosize=fit, background="transparent"
    )
    return drawn.configure_axis(gridOpacity=0.3).configure_view(stroke=None)


@cache
def chart_script() -> str:
    """The JavaScript of Vega, Vega-Lite and Vega-Embed, 0.9 MB."""
    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    return bundle.replace("</script", "<\\/script")
