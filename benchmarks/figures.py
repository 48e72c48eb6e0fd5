"""What the figures of all tasks share."""

import csv
from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from benchmarks.results import Result

FOLDER = "figures"
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
        figure.savefig(folder / path, dpi=130)
        plt.close(figure)
        paths.append((title, path))
    return paths


def training_curves(folder: Path, result: Result) -> Figure | None:
    """Training and validation loss of every trained model over the optimiser step."""
    if not result.files["logs"]:
        return None
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    for index, (name, logs) in enumerate(result.files["logs"].items()):
        for seed, log in enumerate(logs):
            label = name if seed == 0 else None
            for axis, column in ((left, "train_loss"), (right, "validation_loss")):
                steps, losses = _curve(folder / log, column)
                axis.plot(steps, losses, lw=1, color=f"C{index}", label=label)
    for axis, title in ((left, "training loss"), (right, "validation Smooth-L1")):
        axis.set(xlabel="optimiser step", ylabel=title, yscale="log")
    return finish(figure)


def logarithmic_cost(axis: Axes, label: str) -> None:
    """A logarithmic axis of costs with plain numbers."""
    axis.set(xscale="log", xlabel=label)
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.grid(alpha=0.3)


def finish(figure: Figure) -> Figure:
    """Grid, legend and layout."""
    for axis in figure.axes:
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.tight_layout()
    return figure


def _curve(log: Path, column: str) -> tuple[list[int], list[float]]:
    """A column of the CSV logs over the step, the parts of a resumed training joined."""
    points: dict[int, float] = {}
    for path in sorted(log.glob("version_*/metrics.csv"), key=lambda p: int(p.parent.name[8:])):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                if row.get(column):
                    points[int(row["step"])] = float(row[column])
    steps = sorted(points)
    return steps, [points[step] for step in steps]
