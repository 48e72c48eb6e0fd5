"""The figures of denoising, from `results.json` and the files that it names."""

import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from benchmarks.domains.image.verdicts import swept_corruptions, test_sets, under
from benchmarks.record.model_names import title_of
from benchmarks.record.results import Result
from benchmarks.reporting.figures import (
    energy_figure,
    model_style,
    risk_figure,
    save_figures,
    thinking_figure,
    training_curves,
)
from benchmarks.reporting.mosaic import mosaic
from benchmarks.reporting.report import Picture
from benchmarks.reporting.tables import ranked
from benchmarks.reporting.values import load_arrays
from benchmarks.reporting.viewer import psnr

LETTERS = 14  # in a line of a title


def draw_figures(folder: Path, result: Result) -> dict[str, Picture]:
    """Draw all figures into `folder/figures`; gives them by name."""
    first = test_sets(result)[0]
    noisy = next((model for model in result.models if model.name == "identity"), None)
    figures: dict[str, tuple[str, Figure | None]] = {
        "levels": ("Quality against noise level", _levels(result)),
        "energy": ("Energy against error", energy_figure(folder, result)),
        "risk": ("Risk against coverage", risk_figure(folder, result)),
        "training": ("Training curves", training_curves(folder, result)),
    }
    pictures = load_arrays(folder, result, "pictures")
    for corruption in swept_corruptions(result):
        along = thinking_figure(result, under(first, corruption), "psnr", "PSNR (dB)", noisy)
        title = f"Energy and quality along the steps: {first}, {corruption}"
        figures[f"thinking_{corruption}".replace(" ", "_")] = title, along
        for name in test_sets(result):
            panels = _panels(result, pictures, f"{name}/{corruption}")
            file = f"pictures_{name}_{corruption}".replace(" ", "_")
            figures[file] = f"Images: {name}, {corruption}", panels
    return save_figures(folder, figures)


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
            for model, row in ranked(result, under(name, entry["name"])):
                point = (float(entry["level"]), row.metrics["psnr"].mean)
                lines.setdefault(model.name, []).append(point)
        for index, model in enumerate(result.models):
            if model.name in lines:
                places, quality = zip(*lines[model.name], strict=True)
                color, line = model_style(model, index)
                axis.plot(places, quality, "o", ms=4, lw=1, label=model.title, color=color, ls=line)
        axis.set(xlabel="noise level (fraction of 1000 steps)", title=name)
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("PSNR (dB)")
    axes[0, -1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.tight_layout()
    return figure


def _panels(result: Result, pictures: dict[str, np.ndarray], place: str) -> Figure | None:
    """Clean, noisy and every model's output, each with its PSNR against the clean image."""
    if f"{place}/clean" not in pictures:
        return None
    names = ["clean", "noisy", *(m.name for m in result.models if f"{place}/{m.name}" in pictures)]
    clean = pictures[f"{place}/clean"]
    rows = [[pictures[f"{place}/{name}"][line] for name in names] for line in range(len(clean))]
    return mosaic(
        rows,
        [textwrap.fill(title_of(name), LETTERS) for name in names],
        captions=[["", *(f"{psnr(image, row[0]):.1f} dB" for image in row[1:])] for row in rows],
        inches=1.05,
    )
