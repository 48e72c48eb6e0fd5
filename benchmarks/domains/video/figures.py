"""The figures of next-frame prediction, from `results.json` and the files that it names."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from benchmarks.domains.video.conditions import FUTURES, ROLLOUT, SAMPLED, TEACHER_FORCED
from benchmarks.domains.video.futures_table import deciding_score, distinct_rows, sampled
from benchmarks.measure.scores import value_name
from benchmarks.record.metrics import AHEAD
from benchmarks.record.model_names import title_of
from benchmarks.record.results import Result
from benchmarks.record.selection_metric import quality_of
from benchmarks.reporting.figures import (
    energy_figure,
    finish,
    model_style,
    plain_numbers,
    risk_figure,
    save_figures,
    thinking_figure,
    training_curves,
)
from benchmarks.reporting.mosaic import mosaic
from benchmarks.reporting.report import Picture
from benchmarks.reporting.tables import rows_under, selected_row
from benchmarks.reporting.values import load_arrays

SPREAD_GROUPS = 8  # of the videos of all training seeds, by the spread of their samples


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
            "spread": ("Spread of samples against error", _spread(folder, result)),
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

    def strip(name: str, clip: int) -> list[np.ndarray | None]:
        shown = list(pictures[name][clip])
        return shown if name == "truth" else [*[None] * context, *shown]

    return mosaic(
        [strip(name, clip) for clip in range(clips) for name in names],
        [
            f"context {frame + 1}" if frame < context else f"+{frame - context + 1}"
            for frame in range(frames)
        ],
        labels=[title_of(name) for name in names] * clips,
        inches=0.75,
    )


def _horizon(result: Result) -> Figure | None:
    """Quality of each frame of a rollout, at the selected settings; None where it was not kept."""
    quality = quality_of(result)
    rows = [selected_row(model, ROLLOUT) for model in result.models]
    ahead_of = [row.series.get(f"{quality.metric}{AHEAD}", []) if row else [] for row in rows]
    if not any(ahead_of):
        return None
    figure, axis = plt.subplots(figsize=(7, 4.5))
    for index, (model, points) in enumerate(zip(result.models, ahead_of, strict=True)):
        if not points:
            continue
        ahead = np.arange(1, len(points) + 1)
        color, line = model_style(model, index)
        means = [p.mean for p in points]
        axis.plot(ahead, means, "o", ms=4, label=model.title, color=color, ls=line)
        low, high = zip(*(p.ends for p in points), strict=True)
        axis.fill_between(ahead, low, high, color=color, alpha=0.1)
    axis.set(xlabel="frames ahead", ylabel=quality.title)
    return finish(figure)


def _spread(folder: Path, result: Result) -> Figure | None:
    """Error of the mean of samples against their spread, in groups of videos of like spread.

    Each model stands at the setting of its best score as samples. None where nothing was sampled.
    """
    found = load_arrays(folder, result, "values") if sampled(result) else {}
    figure, axis = plt.subplots(figsize=(6.5, 5))
    axis.set(xscale="log", yscale="log")
    for index, model in enumerate([*result.models, *result.references]):
        names = [
            value_name(FUTURES, model.name, row.setting.label, "")
            for row in sorted(
                distinct_rows(rows_under(model, SAMPLED)),
                key=lambda row: row.metrics[deciding_score(result)].mean,
            )
        ]
        name = next((name for name in names if f"{name}spread" in found), None)
        if name is None:
            continue
        spread, error = (found[f"{name}{kind}"].flatten() for kind in ("spread", "error"))
        groups = np.array_split(np.argsort(spread), min(SPREAD_GROUPS, len(spread)))
        means = [(spread[group].mean(), error[group].mean()) for group in groups]
        axis.plot(
            *zip(*means, strict=True),
            "o-",
            ms=4,
            label=model.title,
            color=model_style(model, index).color,
        )
    if not axis.lines:
        plt.close(figure)
        return None
    ends = np.array([*axis.get_xlim(), *axis.get_ylim()])
    line = [ends.min(), ends.max()]
    axis.plot(line, line, "k:", lw=1, label="spread = error")
    axis.set(
        xlabel="spread of the samples (scaled embeddings)",
        ylabel="half squared error of their mean",
    )
    for one in (axis.xaxis, axis.yaxis):
        plain_numbers(one)
    return finish(figure)
