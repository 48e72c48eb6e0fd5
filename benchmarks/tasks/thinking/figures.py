"""The figures of thinking, from `results.json` and the files that it names."""

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from benchmarks.models import Role
from benchmarks.reporting.figures import (
    compute_figure,
    energy_figure,
    finish,
    model_style,
    plain_numbers,
    risk_figure,
    save_figures,
    thinking_figure,
    training_curves,
)
from benchmarks.reporting.results import Result
from benchmarks.reporting.tables import rows_under, selected_row
from benchmarks.tasks.thinking.conditions import IN_DISTRIBUTION, VALIDATION

RULES = ("energy", "random", "mean", "bayes", "oracle")


def draw_figures(folder: Path, result: Result) -> list[tuple[str, str]]:
    """Draw all figures into `folder/figures`; gives their titles and relative paths."""
    condition = {"clips": IN_DISTRIBUTION}
    return save_figures(
        folder,
        {
            "Quality and energy along the steps": (
                "steps",
                thinking_figure(result, condition, "psnr", "PSNR (dB)"),
            ),
            "Quality against compute, with predictions that stop": (
                "compute",
                compute_figure(_without_choices(result), condition),
            ),
            "Gain and honesty with distance from training": ("distance", _distance(result)),
            "Energy against error": ("energy", energy_figure(folder, result)),
            "Risk against coverage": ("risk", risk_figure(folder, result)),
            "Choice among candidates": ("choice", _choice(result)),
            "Training curves": ("training", training_curves(folder, result)),
        },
    )


def _distance(result: Result) -> Figure:
    """Over the sets: what the selected steps gain over one, and energy over error."""
    names = [name for name in result.data["sets"] if name != VALIDATION]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    for index, model in enumerate(result.models):
        if model.role != Role.ENERGY:
            continue
        gains, honest = [], []
        for name in names:
            rows = [r for r in rows_under(model, {"clips": name}) if not r.setting.fixed]
            gains.append(rows[-1].metrics["psnr"].mean - rows[0].metrics["psnr"].mean)
            row = selected_row(model, {"clips": name})
            assert row is not None
            honest.append(row.metrics["calibration"].mean)
        color = model_style(model, index).color
        left.plot(names, gains, "-o", color=color, label=model.name)
        right.plot(names, honest, "-o", color=color, label=model.name)
    left.set(ylabel="PSNR of the most steps over one step (dB)")
    right.axhline(1, color="k", lw=1, ls=":")
    right.set(ylabel="mean energy / mean error")
    return finish(figure)


def _choice(result: Result) -> Figure:
    """The error of each rule of choice over the number of candidates."""
    thinkers = [model for model in result.models if model.role == Role.ENERGY]
    figure, axes = plt.subplots(
        1, len(thinkers), figsize=(4 * len(thinkers) + 1, 4.2), squeeze=False, sharey=True
    )
    for axis, model in zip(axes[0], thinkers, strict=True):
        rows = rows_under(model, {"clips": IN_DISTRIBUTION})
        for rule in RULES:
            points = [
                (row.setting.options["candidates"], row.metrics["error"].mean)
                for row in rows
                if row.setting.options.get("choice") == rule
            ]
            if points:
                axis.plot(*zip(*sorted(points), strict=True), "-o", ms=4, label=rule)
        axis.set(xscale="log", xlabel="candidates", title=model.name)
        plain_numbers(axis.xaxis)
    axes[0, 0].set_ylabel("half squared error (scaled embeddings)")
    return finish(figure)


def _without_choices(result: Result) -> Result:
    """The result without the rows that have no PSNR."""
    models = [
        replace(model, rows=[row for row in model.rows if "psnr" in row.metrics])
        for model in result.models
    ]
    return replace(result, models=models)
