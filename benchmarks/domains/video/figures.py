"""The figures of next-frame prediction, from `results.json` and the files that it names."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from benchmarks.domains.video.conditions import ROLLOUT, TEACHER_FORCED
from benchmarks.record.metrics import AHEAD
from benchmarks.record.model_names import title_of
from benchmarks.record.results import Result
from benchmarks.record.selection_metric import quality_of
from benchmarks.reporting.figures import (
    energy_figure,
    finish,
    model_style,
    risk_figure,
    save_figures,
    thinking_figure,
    training_curves,
)
from benchmarks.reporting.report import Picture
from benchmarks.reporting.tables import selected_row
from benchmarks.reporting.values import load_arrays


def draw_figures(folder: Path, result: Result) -> dict[str, Picture]:
    """Draw all figures into `folder/figures`; gives them by name."""
    quality = quality_of(result)
    losses = "Smooth-L1 (scaled embeddings)"
    return save_figures(
        folder,
        {
            "predictions": ("Predictions against truth", _predictions(folder, result)),
            "horizon": (f"{quality.title} against horizon", _horizon(result)),
            "thinking": (
                "Error and energy against thinking steps",
                thinking_figure(result, TEACHER_FORCED, "smooth_l1", losses),
            ),
            "energy": ("Energy against error", energy_figure(folder, result)),
            "risk": ("Risk against coverage", risk_figure(folder, result)),
            "training": ("Training curves", training_curves(folder, result)),
        },
    )


def _predictions(folder: Path, result: Result) -> Figure | None:
    """Film strips: each clip's truth and every model's rollout below it; None without pixels."""
    pictures = load_arrays(folder, result, "pictures")
    if not pictures:
        return None
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
            row[0].set_ylabel(title_of(name), rotation=0, ha="right", va="center", fontsize=8)
            for spine in row[0].spines.values():
                spine.set_visible(False)
    for frame, axis in enumerate(axes[0]):
        title = f"context {frame + 1}" if frame < context else f"+{frame - context + 1}"
        axis.set_title(title, fontsize=7)
    figure.tight_layout(pad=0.3)
    return figure


def _horizon(result: Result) -> Figure:
    """Quality of each frame of a rollout, at the selected settings."""
    quality = quality_of(result)
    figure, axis = plt.subplots(figsize=(7, 4.5))
    for index, model in enumerate(result.models):
        row = selected_row(model, ROLLOUT)
        assert row is not None
        points = row.series[f"{quality.metric}{AHEAD}"]
        ahead = np.arange(1, len(points) + 1)
        color, line = model_style(model, index)
        means = [p.mean for p in points]
        axis.plot(ahead, means, "o", ms=4, label=model.title, color=color, ls=line)
        low, high = zip(*(p.ends for p in points), strict=True)
        axis.fill_between(ahead, low, high, color=color, alpha=0.1)
    axis.set(xlabel="frames ahead", ylabel=quality.title)
    return finish(figure)
