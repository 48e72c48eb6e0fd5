"""The one metric by which the models of a run are ranked, compared and selected."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.reporting.results import Result, Row

EMBEDDINGS_ONLY = "embeddings"  # what a result says of its truth


@dataclass(frozen=True)
class Quality:
    """A metric that ranks models.

    Args:
        metric: name of the metric in rows.
        title: title of its column.
        unit: unit after a value, with a space before it.
        digits: number of digits of a value.
        higher: whether higher is better.
        tolerance: how much worse a cheaper setting may be and still be selected.
        relative: whether the tolerance is a share of the best value.
    """

    metric: str
    title: str
    unit: str
    digits: int
    higher: bool
    tolerance: float
    relative: bool = False

    def of(self, row: Row) -> float:
        """The value of a row."""
        return row.metrics[self.metric].mean

    def rank(self, row: Row) -> float:
        """A number that is lower for a better row."""
        return -self.of(row) if self.higher else self.of(row)

    def best(self, values: Sequence[float]) -> float:
        """The best of some values."""
        return max(values) if self.higher else min(values)

    def text(self, value: float) -> str:
        """A value with its unit."""
        return f"{value:.{self.digits}f}{self.unit}"

    def cheapest_near_best(self, values: Sequence[float], orders: Sequence[float]) -> int:
        """Index of the lowest order whose value is within the tolerance of the best."""
        best = self.best(values)
        allowed = self.tolerance * (abs(best) if self.relative else 1.0)
        good = [i for i, value in enumerate(values) if abs(value - best) <= allowed]
        return min(good, key=lambda index: orders[index])


PIXELS = Quality("psnr", "PSNR dB", " dB", 2, True, 0.02)
# 0.02 dB are 0.5 % of a squared error.
EMBEDDINGS = Quality("smooth_l1", "Smooth-L1", "", 4, False, 0.005, relative=True)


def quality_of(result: Result) -> Quality:
    """By what the models of a result are judged: pixels, where its encoder leads back to them."""
    return EMBEDDINGS if result.data.get("truth") == EMBEDDINGS_ONLY else PIXELS
