"""Figures that the reports of all tasks share."""

import csv
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from benchmarks.measure.intervals import risk_coverage
from benchmarks.record.metrics import ENERGIES
from benchmarks.record.results import Model, Result, Row
from benchmarks.record.selection_metric import Quality, quality_of
from benchmarks.reporting.tables import Condition, rows_under
from benchmarks.reporting.values import load_arrays

FOLDER = "figures"
# The page shows PNG; an export wants more.
FORMATS: ContextVar[tuple[str, ...]] = ContextVar("formats", default=("png",))
PAIR = ("energy", "error")
SHOWN = 10.0  # dB below the best, unless the best of a model is lower
COST_AXES = (
    ("forward_passes", "forward passes"),
    ("forward_equivalents", "forward-equivalents"),
    ("latency_ms", "latency (ms, batch 1)"),
)


def save_figures(
    folder: Path, figures: Mapping[str, tuple[str, Figure | None]]
) -> list[tuple[str, str]]:
    """Write figures by title and name into `folder/figures`; gives titles and relative paths."""
    (folder / FOLDER).mkdir(exist_ok=True)
    paths = []
    for title, (name, figure) in figures.items():
        if figure is None:
            continue
        path = f"{FOLDER}/{name}.png"
        for suffix in FORMATS.get():
            figure.savefig(folder / FOLDER / f"{name}.{suffix}", dpi=130)
        plt.close(figure)
        paths.append((title, path))
    return paths


def compute_figure(result: Result, condition: Condition, label: str = "PSNR (dB)") -> Figure:
    """Quality against forward passes, forward-equivalents and latency; floors as lines."""
    quality = quality_of(result)
    figure, axes = plt.subplots(1, len(COST_AXES), figsize=(15, 5), sharey=True)
    for axis, (field, title) in zip(axes, COST_AXES, strict=True):
        for index, model in enumerate(result.models):
            rows = rows_under(model, condition)
            _draw_compute(axis, model, rows, field, index, quality)
        logarithmic_cost(axis, title)
    axes[0].set_ylabel(label)
    if quality.higher:  # a few settings far below would hide the others; no model's best is hidden
        judged = [[quality.of(row) for row in rows_under(m, condition)] for m in result.models]
        shown = [value for values in judged for value in values]
        seen = min(max(shown) - SHOWN, *(max(values) for values in judged if values))
        axes[0].set_ylim(max(min(shown), seen) - 0.4, max(shown) + 0.4)
    axes[-1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.tight_layout()
    return figure


def thinking_figure(
    result: Result, condition: Condition, metric: str, label: str, start: Model | None = None
) -> Figure | None:
    """A metric and the energies along the thinking steps.

    `start` is the model that gives the candidates where thinking starts.
    """
    thinkers = [m for m in result.models if m.role == "energy" and rows_under(m, condition)]
    if not thinkers:
        return None
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    before = [(0, r.metrics[metric]) for r in (rows_under(start, condition) if start else [])]
    for model in thinkers:
        rows = [row for row in rows_under(model, condition) if not row.setting.fixed]
        points = before + [(row.setting.options["steps"], row.metrics[metric]) for row in rows]
        steps, quality = zip(*points, strict=True)
        left.plot(steps, [q.mean for q in quality], "-o", label=model.name)
        low, high = zip(*(q.ends for q in quality), strict=True)
        left.fill_between(steps, low, high, alpha=0.15)
        energies = [energy.mean for energy in rows[-1].series[ENERGIES]]
        right.plot([e - energies[0] for e in energies], "-o", label=model.name)
    left.set(xlabel="thinking steps", ylabel=label)
    right.set(xlabel="thinking step", ylabel="energy, change since the start", yscale="symlog")
    return finish(figure)


def energy_figure(folder: Path, result: Result) -> Figure | None:
    """Energy against error, a point for each video or image; only positive energies are drawn."""
    found = load_arrays(folder, result, "energies")
    drawn = [name.removesuffix("/energy") for name, e in found.items() if _positive(name, e)]
    places = sorted({name.rpartition("/")[0] for name in drawn})
    if not places:
        return None
    figure, axes = plt.subplots(1, len(places), figsize=(5.5 * len(places), 4.8), squeeze=False)
    for axis, place in zip(axes[0], places, strict=True):
        for index, model in enumerate(result.models):
            if f"{place}/{model.name}" in drawn:
                energy, error = (found[f"{place}/{model.name}/{kind}"] for kind in PAIR)
                color = model_style(model, index).color
                axis.plot(error, energy, ".", ms=4, alpha=0.6, color=color)
                axis.plot([], [], "o", color=color, label=model.name)
        ends = np.array([*axis.get_xlim(), *axis.get_ylim()])
        line = [max(ends.min(), 1e-3), ends.max()]
        axis.plot(line, line, "k:", lw=1, label="energy = error")
        axis.set(xscale="log", yscale="log", title=place)
        axis.set(xlabel="half squared error (scaled embeddings)", ylabel="energy")
        for one in (axis.xaxis, axis.yaxis):
            plain_numbers(one)
    return finish(figure)


def risk_figure(folder: Path, result: Result) -> Figure | None:
    """Mean error of the samples that are kept when those of highest energy are left out."""
    found = load_arrays(folder, result, "energies")
    places = sorted({name.rsplit("/", 2)[0] for name in found})
    if not places:
        return None
    figure, axes = plt.subplots(1, len(places), figsize=(5.5 * len(places), 4.5), squeeze=False)
    for axis, place in zip(axes[0], places, strict=True):
        for index, model in enumerate(result.models):
            if f"{place}/{model.name}/energy" not in found:
                continue
            energy, error = (found[f"{place}/{model.name}/{kind}"] for kind in PAIR)
            color = model_style(model, index).color
            coverage = np.arange(1, error.shape[1] + 1) / error.shape[1]
            for doubt, line in ((energy, "-"), (error, ":")):
                risks = [risk_coverage(d, e) for d, e in zip(doubt, error, strict=True)]
                label = model.name if line == "-" else None
                axis.plot(coverage, np.mean(risks, axis=0), line, color=color, label=label)
        axis.set(xlabel="share of the samples that is kept", title=f"{place} (dotted: ideal)")
    axes[0, 0].set_ylabel("mean half squared error")
    return finish(figure)


def _positive(name: str, energy: np.ndarray) -> bool:
    return name.endswith("/energy") and bool((energy > 0).all())


class Style(NamedTuple):
    """How a model is drawn: its colour and the kind of its line."""

    color: str
    line: str


def model_style(model: Model, index: int) -> Style:
    """Full lines for trained models, dotted ones for floors; one colour for each of ten models."""
    line = ":" if model.training is None else "-" if index < 10 else "--"
    return Style(f"C{index % 10}", line)


def training_curves(folder: Path, result: Result) -> Figure | None:
    """Training and validation loss of every trained model over the optimiser step."""
    if not result.files["logs"]:
        return None
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    for index, (name, logs) in enumerate(result.files["logs"].items()):
        for seed, log in enumerate(logs):
            label = name if seed == 0 else None
            for axis, column in ((left, "train_loss"), (right, "validation_loss")):
                steps, losses = curve_of_logs(folder / log, column)
                axis.plot(steps, losses, lw=1, color=f"C{index}", label=label)
    for axis, title in ((left, "training loss"), (right, "validation Smooth-L1")):
        axis.set(xlabel="optimiser step", ylabel=title, yscale="log")
    return finish(figure)


def logarithmic_cost(axis: Axes, label: str) -> None:
    """A logarithmic axis of costs with plain numbers."""
    axis.set(xscale="log", xlabel=label)
    plain_numbers(axis.xaxis)
    axis.grid(alpha=0.3)


def plain_numbers(axis: Axis) -> None:
    """Few numbers on a logarithmic axis, written out."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def finish(figure: Figure) -> Figure:
    """Grid, legend and layout."""
    for axis in figure.axes:
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.tight_layout()
    return figure


def _draw_compute(
    axis: Axes, model: Model, rows: list[Row], field: str, index: int, quality: Quality
) -> None:
    style = model_style(model, index)
    if model.training is None:
        for row in rows[:1]:
            best = quality.best([quality.of(row) for row in rows])
            axis.axhline(best, lw=1, label=model.name, color=style.color, ls=style.line)
        return
    for line, (kind, part) in enumerate(_by_kind(rows).items()):
        known = [row for row in part if getattr(row.cost, field) is not None]
        axis.plot(
            [getattr(row.cost, field) for row in known],
            [quality.of(row) for row in known],
            "osD^"[line],
            ms=4,
            lw=1,
            label=f"{model.name}{f' ({kind})' if kind else ''}",
            color=style.color,
            ls="none" if part[0].setting.fixed else style.line,
        )


def _by_kind(rows: list[Row]) -> dict[str, list[Row]]:
    """The rows of a model in groups; each group is a line of the figure.

    A row of no kind, such as a single pass without a sampler, begins every line.
    """
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(_kind(row), []).append(row)
    fixed = {kind: part for kind, part in kinds.items() if part[0].setting.fixed}
    swept = {kind: part for kind, part in kinds.items() if kind not in fixed}
    start = swept.pop("", []) if len(swept) > 1 else []
    return {kind: start + part for kind, part in swept.items()} | fixed


def _kind(row: Row) -> str:
    options = row.setting.options
    if row.setting.fixed:
        if "stop" in options:
            return "stops early"
        return row.setting.label if "sampler" in options else "published"
    samples = options.get("samples", 1)
    return f"mean of {samples}" if samples > 1 else str(options.get("sampler") or "")


def curve_of_logs(log: Path, column: str) -> tuple[list[int], list[float]]:
    """A column of the CSV logs over the step, the parts of a resumed training joined."""
    points: dict[int, float] = {}
    for path in sorted(log.glob("version_*/metrics.csv"), key=lambda p: int(p.parent.name[8:])):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                if row.get(column):
                    points[int(row["step"])] = float(row[column])
    steps = sorted(points)
    return steps, [points[step] for step in steps]
