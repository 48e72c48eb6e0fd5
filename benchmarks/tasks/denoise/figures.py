"""The figures of denoising, from `results.json` and the files that it names."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import safetensors.numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.figures import COST_AXES, finish, logarithmic_cost, save_figures, training_curves
from benchmarks.results import Model, Result, Row
from benchmarks.tasks.denoise.verdicts import ranked, swept_corruptions, test_sets


def draw_figures(folder: Path, result: Result) -> list[tuple[str, str]]:
    """Draw all figures into `folder/figures`; gives their titles and relative paths."""
    first = test_sets(result)[0]
    figures: dict[str, tuple[str, Figure | None]] = {}
    for corruption in swept_corruptions(result):
        place = f"{first}, {corruption}"
        name = corruption.replace(" ", "_")
        figures[f"Quality against compute: {place}"] = (
            f"compute_{name}",
            _compute(result, first, corruption),
        )
        figures[f"Energy and quality along the steps: {place}"] = (
            f"thinking_{name}",
            _thinking(result, first, corruption),
        )
    figures["Quality against noise level"] = ("levels", _levels(result))
    pictures = safetensors.numpy.load_file(folder / result.files["pictures"])
    for name in test_sets(result):
        for corruption in swept_corruptions(result):
            file = f"pictures_{name}_{corruption}".replace(" ", "_")
            figures[f"Images: {name}, {corruption}"] = (
                file,
                _panels(result, pictures, f"{name}/{corruption}"),
            )
    figures["Training curves"] = ("training", training_curves(folder, result))
    return save_figures(folder, figures)


def _compute(result: Result, name: str, corruption: str) -> Figure:
    """PSNR against forward passes, forward-equivalents and latency; floors as lines."""
    figure, axes = plt.subplots(1, 3, figsize=(15, 5), sharey=True)
    for axis, (field, label) in zip(axes, COST_AXES, strict=True):
        for index, model in enumerate(result.models):
            rows = _rows(model, name, corruption)
            if not rows:
                continue
            style = {"color": f"C{index % 10}", "ls": "-" if index < 10 else "--"}
            if model.training is None:
                best = max(row.metrics["psnr"].mean for row in rows)
                axis.axhline(best, lw=1, label=model.name, color=style["color"], ls=":")
                continue
            for line, (sampler, part) in enumerate(_by_sampler(rows).items()):
                part = sorted(part, key=lambda row: row.cost.flops or 0)
                axis.plot(
                    [getattr(row.cost, field) for row in part],
                    [row.metrics["psnr"].mean for row in part],
                    "osD^"[line],
                    ms=4,
                    lw=1,
                    label=f"{model.name}{f' ({sampler})' if sampler else ''}",
                    ls=style["ls"] if sampler != "published" else "none",
                    color=style["color"],
                )
        logarithmic_cost(axis, label)
    axes[0].set_ylabel("PSNR (dB)")
    quality = [r.metrics["psnr"].mean for m in result.models for r in _rows(m, name, corruption)]
    top = max(quality)
    axes[0].set_ylim(max(min(quality), top - 10), top + 0.4)
    axes[2].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.tight_layout()
    return figure


def _by_sampler(rows: list[Row]) -> dict[str, list[Row]]:
    """The rows of a model by sampler; the x0 prediction is where both samplers begin."""
    samplers: dict[str, list[Row]] = {}
    start = [row for row in rows if row.setting.get("sampler") == "x0"]
    for row in rows:
        samplers.setdefault(str(row.setting.get("sampler", "")), []).append(row)
    samplers.pop("x0", None)
    if not samplers:
        return {"x0": start}
    return {
        name: part if name in ("published", "") else start + part for name, part in samplers.items()
    }


def _thinking(result: Result, name: str, corruption: str) -> Figure | None:
    """Energy along the steps beside PSNR along the steps, step 0 being the noisy image."""
    thinkers = [m for m in result.models if m.rows and "steps" in m.rows[0].setting]
    if not thinkers:
        return None
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    noisy = [r for m in result.models if m.name == "identity" for r in _rows(m, name, corruption)]
    for model in thinkers:
        rows = sorted(_rows(model, name, corruption), key=lambda row: row.setting["steps"])
        longest = rows[-1]
        count = int(longest.setting["steps"]) + 1
        energies = [longest.metrics[f"energy_{step}"] for step in range(count)]
        left.plot(
            range(count), [e.mean - energies[0].mean for e in energies], "-o", label=model.name
        )
        points = [(0, noisy[0].metrics["psnr"])] if noisy else []
        points += [(row.setting["steps"], row.metrics["psnr"]) for row in rows]
        steps, quality = zip(*points, strict=True)
        right.plot(steps, [q.mean for q in quality], "-o", label=model.name)
        right.fill_between(steps, [q.low for q in quality], [q.high for q in quality], alpha=0.15)
    left.set(xlabel="thinking steps", ylabel="energy, change since the start", yscale="symlog")
    right.set(xlabel="thinking steps", ylabel="PSNR (dB)")
    return finish(figure)


def _levels(result: Result) -> Figure:
    """PSNR over the level of the noise, each model at its selected setting."""
    names = test_sets(result)
    figure, axes = plt.subplots(
        1, len(names), figsize=(5.2 * len(names) + 2.5, 4.5), sharey=True, squeeze=False
    )
    levels = [e for e in result.data["corruptions"] if e["level"] is not None]
    for axis, name in zip(axes[0], names, strict=True):
        lines: dict[str, list[tuple[float, float]]] = {}
        for entry in sorted(levels, key=lambda entry: float(entry["level"])):
            for model, row in ranked(result, name, entry["name"]):
                point = (float(entry["level"]), row.metrics["psnr"].mean)
                lines.setdefault(model.name, []).append(point)
        for index, model in enumerate(result.models):
            if model.name in lines:
                _draw_line(axis, lines[model.name], model, index)
        axis.set(xlabel="noise level (fraction of 1000 steps)", title=name)
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("PSNR (dB)")
    axes[0, -1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.tight_layout()
    return figure


def _draw_line(axis: Axes, points: list[tuple[float, float]], model: Model, index: int) -> None:
    style = "-o" if model.training and index < 10 else "--o" if model.training else ":."
    levels, quality = zip(*points, strict=True)
    axis.plot(levels, quality, style, ms=4, lw=1, color=f"C{index % 10}", label=model.name)


def _panels(result: Result, pictures: dict[str, np.ndarray], place: str) -> Figure:
    """Clean, noisy and every model's output, each with its PSNR against the clean image."""
    names = ["clean", "noisy", *(m.name for m in result.models if f"{place}/{m.name}" in pictures)]
    count = len(pictures[f"{place}/clean"])
    figure, axes = plt.subplots(
        count, len(names), figsize=(1.15 * len(names), 1.4 * count + 0.7), squeeze=False
    )
    for line in range(count):
        clean = pictures[f"{place}/clean"][line]
        for axis, name in zip(axes[line], names, strict=True):
            image = pictures[f"{place}/{name}"][line]
            axis.imshow(image, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            if line == 0:
                axis.set_title(name.replace("_", "\n"), fontsize=7)
            if name != "clean":
                axis.set_xlabel(f"{_psnr(image, clean):.1f} dB", fontsize=7)
    figure.tight_layout(pad=0.4)
    return figure


def _psnr(image: np.ndarray, clean: np.ndarray) -> float:
    mse = np.mean((image.astype(np.float64) - clean) ** 2) / 255**2
    return float(-10 * np.log10(max(mse, 1e-10)))


def _rows(model: Model, name: str, corruption: str) -> list[Row]:
    return [row for row in model.rows if (row.split, row.protocol) == (name, corruption)]
