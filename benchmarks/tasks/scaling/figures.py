"""The figures of a sweep, from its result and the folders of its points."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.measure.power_law import PowerLaw
from benchmarks.record.model_names import title_of
from benchmarks.reporting.figures import (
    curve_of_logs,
    finish,
    plain_numbers,
    save_figures,
)
from benchmarks.reporting.report import Picture
from benchmarks.tasks.scaling.result import PURE, WITH_FLOOR, Fit, Found, Point

LINES = {PURE: "-", WITH_FLOOR: "--"}


def draw_figures(folder: Path, found: Found) -> dict[str, Picture]:
    """Draw all figures into `folder/figures`; gives them by name."""
    return save_figures(
        folder,
        {
            "axis": (f"Loss along {found.axis}", _along_axis(found)),
            "training": ("Loss curves of all points", _training(folder, found)),
        },
    )


def _along_axis(found: Found) -> Figure | None:
    """A panel for each variant: points, fits and what no loss is below."""
    if not found.fits:
        return None
    variants = list(dict.fromkeys(point.variant for point in found.points))
    figure, axes = plt.subplots(1, len(variants), figsize=(5.2 * len(variants), 4.2), squeeze=False)
    for axis, variant in zip(axes[0], variants, strict=True):
        _draw(axis, found, variant, found.fits[0].axis)
        axis.set_title(variant.replace("_", " "), fontsize=10)
    axes[0, 0].set_ylabel("test Smooth-L1")
    return finish(figure)


def _draw(axis: Axes, found: Found, variant: str, name: str) -> None:
    models = list(dict.fromkeys(point.model for point in found.points))
    for index, model in enumerate(models):
        own = [p for p in found.points if (p.variant, p.model) == (variant, model) and name in p.x]
        if not own:
            continue
        color = f"C{index}"
        x = [point.x[name] for point in own]
        means = np.array([point.loss.mean for point in own])
        ends = np.array([point.loss.ends for point in own]).T
        spread = np.abs(ends - means)
        axis.errorbar(x, means, spread, fmt="o", ms=4, lw=1, color=color, label=title_of(model))
        for fit in found.fits:
            if (fit.variant, fit.model, fit.axis) == (variant, model, name):
                _draw_fit(axis, fit, own, name, color)
        reached = [(point.x[name], point.unreachable) for point in own if point.unreachable]
        if reached:
            axis.plot(
                *zip(*reached, strict=True),
                ":",
                color=color,
                label=f"no loss of {title_of(model)} is below",
            )
    axis.set(xscale="log", yscale="log", xlabel=name)
    for one in (axis.xaxis, axis.yaxis):
        plain_numbers(one)


def _draw_fit(axis: Axes, fit: Fit, points: list[Point], name: str, color: str) -> None:
    if fit.refused and fit.form == WITH_FLOOR:
        return
    ends = [point.x[name] for point in points]
    x = np.geomspace(min(ends), max(ends), 50)
    law = PowerLaw(fit.scale.mean, fit.exponent.mean, fit.floor.mean)
    faint = 0.35 if fit.refused else 1.0
    axis.plot(x, law(x), LINES[fit.form], lw=1, color=color, alpha=faint)


def _training(folder: Path, found: Found) -> Figure:
    """Validation losses over the steps of every point, a panel for each model and variant."""
    panels = list(dict.fromkeys((point.variant, point.model) for point in found.points))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(4.4 * len(panels), 3.8), sharey=True, squeeze=False
    )
    for axis, (variant, model) in zip(axes[0], panels, strict=True):
        own = [p for p in found.points if (p.variant, p.model) == (variant, model)]
        for index, point in enumerate(own):
            color = plt.get_cmap("viridis")(index / max(1, len(own) - 1))
            seeds = sorted((folder / point.folder / "models" / model).glob("seed*"))
            for number, seed in enumerate(seeds):
                steps, losses = curve_of_logs(seed / "logs", "validation_loss")
                label = f"{found.axis} {point.value}" if number == 0 else None
                axis.plot(steps, losses, lw=1, color=color, label=label)
        title = f"{title_of(model)}, {variant}" if variant else title_of(model)
        axis.set(xlabel="optimiser step", yscale="log", title=title)
    axes[0, 0].set_ylabel("validation Smooth-L1")
    return finish(figure)
