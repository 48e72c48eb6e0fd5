"""The one metric by which the models of a run are ranked, compared and selected."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.record.metrics import declared
from benchmarks.record.results import Result, Row

EMBEDDINGS_ONLY = "embeddings"  # what a result says of its truth


@dataclass(frozen=True)
class Quality:
    """A metric that ranks models.

    Args:
        metric: name of the metric in rows; what is declared of it holds here too.
        tolerance: how much worse a cheaper setting may be and still be selected.
        margin: difference below which two models are the same.
        relative: whether tolerance and margin are shares of the better value.
    """

    metric: str
    tolerance: float
    margin: float
    relative: bool = False

    @property
    def title(self) -> str:
        """Title of its column."""
        return declared(self.metric).title

    @property
    def digits(self) -> int:
        """Number of digits of a value."""
        return declared(self.metric).digits

    @property
    def unit(self) -> str:
        """Unit after a value, with a space before it."""
        return declared(self.metric).unit

    @property
    def higher(self) -> bool:
        """Whether higher is better."""
        return bool(declared(self.metric).higher)

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

    def cheapest_near_best(self, values: np.ndarray) -> np.ndarray:
        """Index of the first of the settings, cheapest first, that is within tolerance of the best.

        Args:
            values: value of each setting `[..., settings]`.
        """
        worst = -np.inf if self.higher else np.inf
        values = np.where(np.isnan(values), worst, values)
        best = values.max(-1) if self.higher else values.min(-1)
        allowed = self.tolerance * (abs(best) if self.relative else 1.0)
        good = abs(values - best[..., None]) <= np.asarray(allowed)[..., None]
        return np.asarray(good.argmax(-1))

    def margin_at(self, better: float) -> float:
        """The margin in the unit of the metric, where the better of two models has this value."""
        return self.margin * (abs(better) if self.relative else 1.0)

    def within_margin(self) -> str:
        """The margin in words, such as `within 0.1 dB`."""
        return f"within {self.margin:.1%}" if self.relative else f"within {self.margin}{self.unit}"


PIXELS = Quality("psnr", tolerance=0.02, margin=0.1)
# 0.02 dB are 0.5 % of a squared error, 0.1 dB are 2.3 %.
EMBEDDINGS = Quality("smooth_l1", tolerance=0.005, margin=0.023, relative=True)


def quality_of(result: Result) -> Quality:
    """By what the models of a result are judged: pixels, where its encoder leads back to them."""
    return EMBEDDINGS if result.data.get("truth") == EMBEDDINGS_ONLY else PIXELS
