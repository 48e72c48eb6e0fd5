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
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from benchmarks.measure.intervals import risk_coverage
from benchmarks.record.metrics import ENERGIES
from benchmarks.record.model_names import title_of
from benchmarks.record.results import Model, Result
from benchmarks.reporting.charts import FOLDER
from benchmarks.reporting.report import Picture
from benchmarks.reporting.tables import Condition, rows_under
from benchmarks.reporting.values import load_arrays

# The page shows PNG; an export wants more.
FORMATS: ContextVar[tuple[str, ...]] = ContextVar("formats", default=("png",))
PAIR = ("energy", "error")


def save_figures(
    folder: Path, figures: Mapping[str, tuple[str, Figure | None]]
) -> dict[str, Picture]:
    """Write figures by name, with their titles, into `folder/figures`; gives those there are."""
    (folder / FOLDER).mkdir(exist_ok=True)
    pictures = {}
    for name, (title, figure) in figures.items():
        if figure is None:
            continue
        for suffix in FORMATS.get():
            figure.savefig(folder / FOLDER / f"{name}.{suffix}", dpi=130)
        plt.close(figure)
        pictures[name] = Picture(title, f"{FOLDER}/{name}.png")
    return pictures


def chosen(pictures: Mapping[str, Picture], *names: str) -> list[Picture]:
    """The pictures of these names that there are."""
    return [pictures[name] for name in names if name in pictures]


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
        left.plot(steps, [q.mean for q in quality], "-o", label=model.title)
        low, high = zip(*(q.ends for q in quality), strict=True)
        left.fill_between(steps, low, high, alpha=0.15)
        energies = [energy.mean for energy in rows[-1].series[ENERGIES]]
        right.plot([e - energies[0] for e in energies], "-o", label=model.title)
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
                axis.plot([], [], "o", color=color, label=model.title)
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
                label = model.title if line == "-" else None
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
    if not result.files.get("logs"):
        return None
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    for index, (name, logs) in enumerate(result.files["logs"].items()):
        for seed, log in enumerate(logs):
            label = title_of(name) if seed == 0 else None
            for axis, column in ((left, "train_loss"), (right, "validation_loss")):
                steps, losses = curve_of_logs(folder / log, column)
                axis.plot(steps, losses, lw=1, color=f"C{index}", label=label)
    for axis, title in ((left, "training loss"), (right, "validation Smooth-L1")):
        axis.set(xlabel="optimiser step", ylabel=title, yscale="log")
    return finish(figure)


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
