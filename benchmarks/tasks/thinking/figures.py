"""The figures of thinking, from `results.json` and the files that it names."""

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.domains.samples import IN_DISTRIBUTION
from benchmarks.models import Role
from benchmarks.record.metrics import OVER_ERROR
from benchmarks.record.model_names import title_of
from benchmarks.record.results import Model, Result, Row, SettingRecord
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
from benchmarks.reporting.tables import selected_row
from benchmarks.reporting.thinking import thinkers_shown
from benchmarks.reporting.values import load_arrays
from benchmarks.tasks.thinking.candidates import MODELS
from benchmarks.tasks.thinking.result import Choice, Found, OnSet, Stopping
from benchmarks.tasks.thinking.tables import CHOICES, gain_of_more, thinkers, under
from benchmarks.tasks.thinking.verifying_tables import (
    sampled_choice_figure,
    verification_figure,
)

Arrays = dict[str, np.ndarray]
BINS = 10


def draw_figures(folder: Path, result: Result) -> dict[str, Picture]:
    """Draw all figures into `folder/figures`; gives them by name."""
    shown = load_pictures(folder, result)
    along = thinking_figure(result, under(IN_DISTRIBUTION), "psnr", "PSNR (dB)")
    patches = "Energy against error, patches of the first model"
    landscape = "A slice of the energy, with the way that thinking takes"
    return save_figures(
        folder,
        {
            "steps": ("Quality and energy along the steps", along),
            "distance": ("Gain, and energy over error, away from training", _distance(result)),
            "energy": ("Energy against error", energy_figure(folder, result)),
            "patches": (patches, _patches(shown)),
            "risk": ("Risk against coverage", risk_figure(folder, result)),
            "choice": ("Choice among candidates", _choice(result)),
            "verification": (
                "What cannot happen: scores against forward passes",
                verification_figure(result),
            ),
            "sampled_choice": (
                "Best of the samples: share at a listed future",
                sampled_choice_figure(result),
            ),
            "strip": ("Thinking, step by step", _strip(shown)),
            "map": ("Energy and true error over the frame", _maps(shown, result)),
            "landscape": (landscape, _landscape(shown)),
            "training": ("Training curves", training_curves(folder, result)),
        },
    )


def load_pictures(folder: Path, result: Result) -> Arrays:
    """What is shown of single samples; nothing where no model thinks."""
    return load_arrays(folder, result, "thinking")


def with_stopping(result: Result) -> Result:
    """The result with a row for each rule of stopping, to be drawn beside its settings."""
    rows: dict[str, list[Row]] = {}
    for of in result.found(Found).sets:
        rows.setdefault(of.model, []).extend(_stopped(of, one) for one in of.stopping)
    models = [replace(m, rows=[*m.rows, *rows.get(m.name, [])]) for m in result.models]
    return replace(result, models=models)


def _stopped(of: OnSet, one: Stopping) -> Row:
    setting = SettingRecord(f"stops by {one.rule}", one.steps.mean, True, {"stop": one.rule})
    assert one.cost is not None
    return Row(setting, dict(under(of.samples)), False, False, {"psnr": one.psnr}, one.cost)


def _first_thinker(shown: Arrays) -> str | None:
    """The model whose thinking the figures show; None for runs of earlier versions too."""
    return next(iter(thinkers_shown(shown)), None)


def _distance(result: Result) -> Figure | None:
    """Along every shift: what the most steps gain over the fewest, and energy over error."""
    shifts = result.data["shifts"]
    if not shifts:
        return None
    figure, axes = plt.subplots(
        2, len(shifts), figsize=(4 * len(shifts) + 1, 7.5), squeeze=False, sharey="row"
    )
    for column, (what, degrees_away) in enumerate(shifts.items()):
        for index, model in enumerate(result.models):
            if model.role != Role.FLOOR:
                _draw_shift(axes[:, column], model, model_style(model, index).color, degrees_away)
        axes[0, column].axhline(0, color="k", lw=1, ls=":")
        axes[1, column].axhline(1, color="k", lw=1, ls=":")
        axes[1, column].set(xlabel=what)
    axes[0, 0].set_ylabel("PSNR of the most steps over the fewest (dB)")
    axes[1, 0].set_ylabel("mean energy / mean error")
    return finish(figure)


def _draw_shift(
    axes: np.ndarray, model: Model, color: str, degrees_away: list[tuple[str, float]]
) -> None:
    """The gain of more steps of a model above, energy over error below, with intervals."""
    degrees = [f"{degree:g}" for _, degree in degrees_away]
    rows = [selected_row(model, under(name)) for name, _ in degrees_away]
    gains = [gain_of_more(model, name) for name, _ in degrees_away]
    over = [row.metrics.get(OVER_ERROR) if row else None for row in rows]
    for axis, metrics in zip(axes, (gains, over), strict=True):
        known = [metric for metric in metrics if metric is not None]
        if len(known) == len(degrees_away):
            axis.plot(degrees, [m.mean for m in known], "-o", ms=4, color=color, label=model.title)
            lows, highs = zip(*(m.ends for m in known), strict=True)
            axis.fill_between(degrees, lows, highs, alpha=0.12, color=color)


def _choice(result: Result) -> Figure | None:
    """The error of each rule of choice over the number of candidates; a row for each source."""
    models = thinkers(result)
    found = {m.name: result.found(Found).of(m.name, IN_DISTRIBUTION).choices for m in models}
    choices = [one for of_model in found.values() for one in of_model]
    sources = dict.fromkeys(one.source for one in choices if one.source != MODELS)
    if not sources:
        return None
    figure, axes = plt.subplots(
        len(sources),
        len(models),
        figsize=(4 * len(models) + 1, 3.8 * len(sources)),
        squeeze=False,
        sharey=True,
    )
    for line, source in enumerate(sources):
        for axis, (name, of_model) in zip(axes[line], found.items(), strict=True):
            _draw_choices(axis, name, [one for one in of_model if one.source == source])
        axes[line, 0].set_ylabel(f"half squared error, {source}")
    return finish(figure)


def _draw_choices(axis: Axes, model: str, choices: list[Choice]) -> None:
    for rule in CHOICES:
        points = [(one.candidates, one.error.mean) for one in choices if one.rule == rule]
        if points:
            axis.plot(*zip(*sorted(points), strict=True), "-o", ms=4, label=rule)
    axis.set(xscale="log", xlabel="candidates", title=title_of(model))
    plain_numbers(axis.xaxis)


def _patches(shown: Arrays) -> Figure | None:
    """Energy against error of patches: how many there are, and means of bins of equal size."""
    if not shown:
        return None
    energy, error = shown["patches/energy"], shown["patches/error"]
    if not (energy > 0).all() or not (error > 0).any():
        return None
    error = error.clip(min=max(error[error > 0].min(), 1e-6))
    figure, axis = plt.subplots(figsize=(6, 4.8))
    drawn = axis.hexbin(
        error, energy, xscale="log", yscale="log", gridsize=40, mincnt=1, bins="log", cmap="Blues"
    )
    figure.colorbar(drawn, label="patches")
    parts = np.array_split(np.argsort(energy), BINS)
    means = [(error[part].mean(), energy[part].mean()) for part in parts if len(part)]
    axis.plot(*zip(*means, strict=True), "-o", color="C1", label="means of tenths by energy")
    ends = np.array([min(error.min(), energy.min()), max(error.max(), energy.max())])
    axis.plot(ends, ends, "k:", lw=1, label="energy = error")
    axis.set(xlabel="half squared error of a patch", ylabel="energy of the patch")
    return _with_legend(figure, axis)


def _strip(shown: Arrays) -> Figure | None:
    """What is observed, the candidate after every step, and the truth; a row for each sample."""
    name = _first_thinker(shown)
    if name is None:
        return None
    steps, samples = shown[f"thinking/{name}/steps"], len(shown["truth"])
    titles = ["observed", *(f"step {i}" if i else "start" for i in range(steps.shape[1])), "truth"]
    rows = [[shown["observed"][row], *steps[row], shown["truth"][row]] for row in range(samples)]
    return mosaic(rows, titles, inches=1.4)


def _maps(shown: Arrays, result: Result) -> Figure | None:
    """The energy of every patch as a heat map, beside the true error, on the same scale."""
    name = _first_thinker(shown)
    if name is None:
        return None
    steps, *both = (
        shown[f"thinking/{name}/{kind}"][:, -1] for kind in ("steps", "energy", "error")
    )
    grid, samples = result.data["encoder"]["grid"], len(shown["truth"])
    figure, axes = plt.subplots(samples, 4, figsize=(9, 2.2 * samples + 0.3), squeeze=False)
    for row in range(samples):
        energy, error = (values[row].reshape(grid) for values in both)
        top = max(energy.max(), error.max())
        for axis, picture, title in zip(
            axes[row],
            (steps[row], shown["truth"][row], energy, error),
            ("prediction", "truth", "energy", "half squared error"),
            strict=True,
        ):
            heat = {"cmap": "magma", "vmin": 0, "vmax": top} if picture.ndim == 2 else {}
            axis.imshow(picture, **heat)
            axis.axis("off")
            if row == 0:
                axis.set_title(title, fontsize=9)
    figure.tight_layout()
    return figure


def _landscape(shown: Arrays) -> Figure | None:
    """Contours of the energy on the plane of start, prediction and truth."""
    if not shown:
        return None
    along, across, steps = (shown[f"landscape/{n}"] for n in ("along", "across", "steps"))
    figure, axis = plt.subplots(figsize=(6.5, 5))
    drawn = axis.contourf(along, across, shown["landscape/energy"].T, levels=24, cmap="viridis")
    figure.colorbar(drawn, label="energy")
    axis.plot(*steps.T, "w-o", ms=4, lw=1, label="thinking")
    axis.plot(*steps[-1], "r*", ms=12, ls="none", label="prediction")
    axis.plot(1, 0, "rX", ms=9, ls="none", label="truth")
    axis.set(xlabel="from prediction to truth (1 = distance)", ylabel="towards the start")
    return _with_legend(figure, axis)


def _with_legend(figure: Figure, axis: Axes) -> Figure:
    """Layout and a legend on one axis; a colour bar has none."""
    axis.legend(fontsize=8)
    figure.tight_layout()
    return figure
