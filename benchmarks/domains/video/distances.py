"""Frechet distances between true and predicted frames of rollouts, gathered batch by batch."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from benchmarks.domains.video.conditions import FRECHET, FVD
from benchmarks.measure.frechet import WIDEST, Moments, by_source, groups_of
from benchmarks.measure.perception import I3D, I3D_FEATURES


class RolloutDistances:
    """Distances in embeddings, and in I3D's features where there is one, for several settings.

    Args:
        sources: the source of each clip.
        dim: width of the embeddings; none wider than 512 are compared.
        settings: number of settings.
        i3d: network of FVD, or None.
    """

    def __init__(self, sources: list[str], dim: int, settings: int, i3d: I3D | None):
        self.sources, self.i3d, self.groups = sources, i3d, groups_of(sources)
        sizes = {} if dim > WIDEST else {FRECHET: dim}
        sizes |= {} if i3d is None else {FVD: I3D_FEATURES}
        count = int(self.groups.max()) + 1
        self.truth = {name: Moments(count, size) for name, size in sizes.items()}
        self.predicted = [
            {name: Moments(count, size) for name, size in sizes.items()} for _ in range(settings)
        ]

    def add_truth(self, places: Sequence[int], target: Tensor, videos: Tensor | None) -> None:
        """Add true frames `[B, T, P, D]` of the clips at some places, and their whole videos."""
        self._add(self.truth, places, target, videos)

    def add(
        self, setting: int, places: Sequence[int], rollouts: Tensor, videos: Tensor | None
    ) -> None:
        """Add rollouts `[B, T, N, P, D]`, and videos `[B, T, 3, height, width]` with the first."""
        self._add(self.predicted[setting], places, rollouts.flatten(2, 3), videos)

    def values(self, setting: int) -> dict[str, np.ndarray]:
        """The distances of a setting as values `[sources]`."""
        return {
            name: by_source(truth, self.predicted[setting][name], self.sources, name == FRECHET)
            for name, truth in self.truth.items()
        }

    def _add(
        self,
        moments: dict[str, Moments],
        places: Sequence[int],
        frames: Tensor,
        videos: Tensor | None,
    ) -> None:
        groups = self.groups[list(places)]
        if FRECHET in moments:
            moments[FRECHET].add(frames.flatten(1, 2), groups)
        if self.i3d is not None and videos is not None:
            moments[FVD].add(self.i3d(videos)[:, None], groups)
