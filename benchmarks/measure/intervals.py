"""95 % bootstrap intervals over videos, and over training seeds where there are several.

Values are `[seeds, videos]`; a resample draws seeds and videos with replacement, each on its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LEVEL = (2.5, 97.5)


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval over `n` videos."""

    mean: float
    low: float
    high: float
    n: int


class Bootstrap:
    """Resamples shared by all quantities of a run, so that comparisons are paired.

    Args:
        seeds: training seeds.
        videos: videos of the split.
        samples: number of resamples.
    """

    def __init__(self, seeds: int, videos: int, samples: int):
        rng = np.random.default_rng(0)
        self.videos = videos
        self._weights = _draws(rng, samples, videos)  # [samples, videos]
        self._seed_weights = _draws(rng, samples, seeds)

    def mean(self, values: np.ndarray) -> Interval:
        """Of `values [seeds, videos]`; a model without seeds gives `[1, videos]`."""
        return self._interval(lambda mean: mean(values))

    def skill(self, error: np.ndarray, reference: np.ndarray) -> Interval | None:
        """1 - mean(error) / mean(reference); None where the reference makes no error at all."""
        if not reference.mean() > 0:
            return None
        return self._interval(lambda mean: 1 - mean(error) / np.maximum(mean(reference), 1e-12))

    def pooled_psnr(self, mse: np.ndarray) -> Interval:
        """PSNR in dB of the mean of squared errors in [0, 1]: pooled over all images."""
        return self._interval(lambda mean: -10 * np.log10(np.maximum(mean(mse), 1e-10)))

    def difference(self, a: np.ndarray, b: np.ndarray) -> Interval:
        """mean(a) - mean(b), paired by video and seed."""
        return self._interval(lambda mean: mean(a) - mean(b))

    def _interval(
        self, statistic: Callable[[Callable[[np.ndarray], np.ndarray]], np.ndarray]
    ) -> Interval:
        def resampled(values: np.ndarray) -> np.ndarray:
            per_seed = values @ self._weights.T  # [seeds, samples]
            if len(values) == 1:
                return per_seed[0]
            return (per_seed * self._seed_weights.T).sum(0)

        point = float(statistic(lambda values: values.mean()))
        low, high = np.percentile(statistic(resampled), LEVEL)
        return Interval(point, float(low), float(high), self.videos)


def _draws(rng: np.random.Generator, samples: int, items: int) -> np.ndarray:
    """How often each item is drawn, as weights that sum to 1 `[samples, items]`."""
    return rng.multinomial(items, np.full(items, 1 / items), size=samples) / items
