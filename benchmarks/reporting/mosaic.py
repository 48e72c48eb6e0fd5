"""Rows of pictures of one size, in a single plot: a plot for each picture takes seconds."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

GAP = 0.06  # between pictures, of their width
CAPTION = 0.22  # what a line of text below a picture takes, of its width
FONT = 7
LETTER, LINE, MARGIN = 0.062, 0.13, 0.1  # inches: of a letter, a line of text, and around it


def mosaic(
    rows: Sequence[Sequence[np.ndarray | None]],
    titles: Sequence[str],
    *,
    labels: Sequence[str] = (),
    captions: Sequence[Sequence[str]] = (),
    inches: float,
) -> Figure:
    """Pictures `[H, W, 3]` in rows, bytes or numbers from 0 to 1, `inches` wide each.

    All have one size; None leaves a place empty.

    `titles` stand above the columns, `labels` left of the rows, `captions` below each picture.
    """
    height, width = next(one.shape[:2] for row in rows for one in row if one is not None)
    gap = max(1, round(GAP * width))
    below = gap + (round(CAPTION * width) if captions else 0)
    shape = len(rows) * (height + below), len(titles) * (width + gap)
    canvas = np.ones((*shape, 3), np.float32)
    width_of, height_of = inches * shape[1] / width, inches * shape[0] / width
    left_of = LETTER * max(map(len, labels), default=0) + MARGIN
    above = LINE * max(title.count("\n") + 1 for title in titles) + MARGIN
    size = left_of + width_of + MARGIN, above + height_of
    figure = plt.figure(figsize=size)
    axis = figure.add_axes(
        (left_of / size[0], 0, width_of / size[0], height_of / size[1]), frameon=False
    )
    for line, row in enumerate(rows):
        top = line * (height + below)
        for column, (_, picture) in enumerate(zip(titles, row, strict=True)):
            left = column * (width + gap)
            if picture is not None:
                shown = picture / 255 if picture.dtype == np.uint8 else picture
                canvas[top : top + height, left : left + width] = shown
            if captions:
                at = (left + width / 2, top + height)
                axis.text(*at, captions[line][column], ha="center", va="top", fontsize=FONT)
        if labels:
            axis.text(-gap, top + height / 2, labels[line], ha="right", va="center", fontsize=FONT)
    for column, title in enumerate(titles):
        at = (column * (width + gap) + width / 2, -gap)
        axis.text(*at, title, ha="center", va="bottom", fontsize=FONT)
    axis.imshow(canvas.clip(0, 1), interpolation="nearest")
    axis.set_axis_off()
    return figure
