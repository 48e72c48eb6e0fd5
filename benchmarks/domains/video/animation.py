"""Rollouts beside the truth as an animation."""

import textwrap
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.record.model_names import title_of
from benchmarks.record.results import Result
from benchmarks.reporting.charts import FOLDER
from benchmarks.reporting.report import Picture
from benchmarks.reporting.values import load_arrays

NAME = "rollouts.gif"
TILE, GAP, LABEL = 112, 6, 42  # pixels
LETTERS = 18  # in a line of a label
MILLISECONDS = 250  # of a frame
BACKGROUND, INK, WAITING = (255, 255, 255), (20, 20, 20), (215, 215, 215)


def write_animation(folder: Path, result: Result) -> list[Picture]:
    """Write a GIF of all clips and models into `folder/figures`, for where no page is.

    A model's tile is grey while it observes. Nothing is written where there are no pixels.
    """
    pictures = load_arrays(folder, result, "pictures")
    if not pictures:
        return []
    names = ["truth", *[model.name for model in result.models]]
    context = result.config["evaluation"]["context_frames"]
    frames = [_frame(pictures, names, time, context) for time in range(pictures["truth"].shape[1])]
    path = f"{FOLDER}/{NAME}"
    frames[0].save(
        folder / path, save_all=True, append_images=frames[1:], duration=MILLISECONDS, loop=0
    )
    return [Picture("Rollouts", path, on_page=False)]


def _frame(
    pictures: dict[str, np.ndarray], names: list[str], time: int, context: int
) -> Image.Image:
    """All clips, one below the other, at one time; a column for the truth and for each model."""
    clips = len(pictures["truth"])
    size = (len(names) * (TILE + GAP) + GAP, clips * (TILE + GAP) + GAP + LABEL)
    canvas = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for column, name in enumerate(names):
        left = GAP + column * (TILE + GAP)
        draw.text((left, 0), textwrap.fill(title_of(name), LETTERS), fill=INK)
        shown = time if name == "truth" else time - context
        for clip in range(clips):
            place = (left, GAP + LABEL + clip * (TILE + GAP))
            if shown < 0:
                draw.rectangle((*place, place[0] + TILE - 1, place[1] + TILE - 1), fill=WAITING)
                continue
            tile = Image.fromarray(pictures[name][clip, shown])
            canvas.paste(tile.resize((TILE, TILE), Image.Resampling.NEAREST), place)
    return canvas
