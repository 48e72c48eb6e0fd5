"""The figures of next-frame prediction, from `results.json` and the files that it names."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import safetensors.numpy
from matplotlib.figure import Figure

from benchmarks.figures import (
    COST_AXES,
    finish,
    logarithmic_cost,
    save_figures,
    training_curves,
)
from benchmarks.results import Model, Result, Row


def draw_figures(folder: Path, result: Result) -> list[tuple[str, str]]:
    """Draw all figures into `folder/figures`; gives their titles and relative paths."""
    return save_figures(
        folder,
        {
            "Predictions against truth": ("predictions", _predictions(folder, result)),
            "PSNR against horizon": ("horizon", _horizon(result)),
            "Quality against compute": ("compute", _compute(result)),
            "Error against thinking steps": ("thinking", _thinking(result)),
            "Training curves": ("training", training_curves(folder, result)),
        },
    )


def _predictions(folder: Path, result: Result) -> Figure:
    """Film strips: each clip's truth and every model's rollout below it."""
    pictures = safetensors.numpy.load_file(folder / result.files["predictions"])
    names = ["truth", *[model.name for model in result.models]]
    context = result.config["evaluation"]["context_frames"]
    clips, frames = pictures["truth"].shape[:2]
    figure, axes = plt.subplots(
        clips * len(names),
        frames,
        figsize=(0.75 * frames + 2.2, 0.75 * clips * len(names) + 0.6),
        squeeze=False,
    )
    for clip in range(clips):
        for line, name in enumerate(names):
            row = axes[clip * len(names) + line]
            for frame, axis in enumerate(row):
                axis.set_axis_off()
                shown = frame if name == "truth" else frame - context
                if shown >= 0:
                    axis.imshow(pictures[name][clip, shown], interpolation="nearest")
            row[0].set_axis_on()
            row[0].set(xticks=[], yticks=[])
            row[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
            for spine in row[0].spines.values():
                spine.set_visible(False)
    for frame, axis in enumerate(axes[0]):
        title = f"context {frame + 1}" if frame < context else f"+{frame - context + 1}"
        axis.set_title(title, fontsize=7)
    figure.tight_layout(pad=0.3)
    return figure


def _horizon(result: Result) -> Figure:
    figure, axis = plt.subplots(figsize=(7, 4.5))
    for model in result.models:
        row = _selected(model, "rollout")
        points = [m for name, m in row.metrics.items() if name.startswith("psnr_")]
        ahead = np.arange(1, len(points) + 1)
        style = "-o" if model.training else "--"
        (line,) = axis.plot(ahead, [p.mean for p in points], style, label=model.name, markersize=4)
        axis.fill_between(
            ahead,
            [p.low for p in points],
            [p.high for p in points],
            color=line.get_color(),
            alpha=0.1,
        )
    axis.set(xlabel="frames ahead", ylabel="PSNR (dB)")
    return finish(figure)


def _compute(result: Result) -> Figure:
    """Quality against forward passes, forward-equivalents and latency; floors as lines."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), sharey=True)
    for axis, (field, label) in zip(axes, COST_AXES, strict=True):
        for index, model in enumerate(result.models):
            rows = _rows(model, "teacher_forced")
            quality = [row.metrics["psnr"].mean for row in rows]
            colour = f"C{index}"
            if model.training is None:
                axis.axhline(quality[0], ls="--", lw=1, color=colour, label=model.name)
            else:
                cost = [getattr(row.cost, field) for row in rows]
                axis.plot(cost, quality, "-o", ms=4, color=colour, label=model.name)
        logarithmic_cost(axis, label)
    axes[0].set_ylabel("teacher-forced PSNR (dB)")
    axes[2].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.tight_layout()
    return figure


def _thinking(result: Result) -> Figure | None:
    """Error and energy against the number of thinking steps."""
    thinkers = [m for m in result.models if "steps" in m.rows[0].setting]
    if not thinkers:
        return None
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    for model in thinkers:
        rows = sorted(_rows(model, "teacher_forced"), key=lambda row: row.setting["steps"])
        steps = [row.setting["steps"] for row in rows]
        errors = [row.metrics["smooth_l1"] for row in rows]
        left.plot(steps, [e.mean for e in errors], "-o", label=model.name)
        left.fill_between(steps, [e.low for e in errors], [e.high for e in errors], alpha=0.15)
        longest = rows[-1]
        energies = [
            longest.metrics[f"energy_{step}"] for step in range(longest.setting["steps"] + 1)
        ]
        right.plot(range(len(energies)), [e.mean for e in energies], "-o", label=model.name)
    left.set(xlabel="thinking steps", ylabel="Smooth-L1 (scaled embeddings)")
    right.set(xlabel="thinking step", ylabel="energy of a candidate frame")
    return finish(figure)


def _rows(model: Model, protocol: str) -> list[Row]:
    return [row for row in model.rows if row.split == "test" and row.protocol == protocol]


def _selected(model: Model, protocol: str) -> Row:
    return next(row for row in _rows(model, protocol) if row.selected)
