"""Rows of pictures in one plot."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from benchmarks.reporting.mosaic import mosaic

RED, GREEN, WHITE = [1, 0, 0], [0, 1, 0], [1, 1, 1]


def plain(color: list[int]) -> np.ndarray:
    """A picture of one colour, numbers from 0 to 1."""
    return np.tile(np.array(color, np.float32), (20, 10, 1))


@pytest.mark.parametrize("captions", [(), [["a", "b"], ["", "c"]]])
def test_pictures_stand_in_their_rows_and_columns(captions: list[list[str]]) -> None:
    as_bytes = (255 * plain(RED)).astype(np.uint8)
    rows = [[as_bytes, plain(GREEN)], [None, plain(RED)]]
    figure = mosaic(rows, ["one", "two"], labels=["x", "y"], captions=captions, inches=1)
    (axis,) = figure.axes
    (image,) = axis.images
    shown = np.asarray(image.get_array())
    height = len(shown) // 2
    found = [shown[line * height + 10, column].tolist() for line in range(2) for column in (5, 16)]
    assert found == [RED, GREEN, WHITE, RED]
    assert {text.get_text() for text in axis.texts} >= {"one", "two", "x", "y"}
    plt.close(figure)


def test_a_row_that_is_too_short_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        mosaic([[plain(RED)]], ["one", "two"], inches=1)
    plt.close("all")
