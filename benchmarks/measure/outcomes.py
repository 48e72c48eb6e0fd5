"""All that may follow a frame, where that is known, and what samples make of it."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.measure.sampling import energy_score

SAME = 1e-5  # of the norm of an outcome: outcomes that differ by less span nothing
AT = 2.0  # times the coding error of the truth: a sample this near shows a listed future


@dataclass(frozen=True)
class Outcomes:
    """What may follow each frame: embeddings `[B, T, K, P, D]` and probabilities `[B, T, K]`.

    A frame with fewer than K outcomes repeats one of them with probability 0.
    """

    embeddings: Tensor
    probabilities: Tensor

    def since(self, frame: int) -> "Outcomes":
        """What may follow the frames from a number on."""
        return Outcomes(self.embeddings[:, frame:], self.probabilities[:, frame:])

    def to(self, device: torch.device | str) -> "Outcomes":
        """The same on another device."""
        return Outcomes(self.embeddings.to(device), self.probabilities.to(device))

    @property
    def mean(self) -> Tensor:
        """The conditional mean `[B, T, P, D]`."""
        return torch.einsum("btk,btkpd->btpd", self.probabilities, self.embeddings)

    @property
    def spread(self) -> Tensor:
        """Half the conditional variance `[B, T, P]` of each patch."""
        apart = (self.embeddings - self.mean[:, :, None]).square().sum(-1)
        return torch.einsum("btk,btkp->btp", self.probabilities, apart) / 2

    @cached_property
    def basis(self) -> Tensor:
        """Orthonormal directions `[B, T, R, P * D]` in which outcomes differ; zeros fill up R."""
        outcomes = self.embeddings.flatten(3)
        apart = outcomes - outcomes.mean(2, keepdim=True)
        _, sizes, directions = torch.linalg.svd(apart, full_matrices=False)
        least = SAME * outcomes.norm(dim=-1).amax(-1, keepdim=True)
        return directions * (sizes > least)[..., None]

    def projected(self, frames: Tensor) -> Tensor:
        """Coordinates `[B, T, N, R]` of frames `[B, T, N, P, D]` in the span of the outcomes."""
        return frames.flatten(3) @ self.basis.mT

    def distances(self, frames: Tensor) -> Tensor:
        """Distances `[B, T, N, K]` of frames `[B, T, N, P, D]` to the outcomes that can happen."""
        apart = torch.cdist(
            frames.flatten(3),
            self.embeddings.flatten(3),
            compute_mode="donot_use_mm_for_euclid_dist",
        )
        return apart.masked_fill((self.probabilities == 0)[:, :, None], torch.inf)


class Nearest(NamedTuple):
    """The outcome nearest to each sample `[B, T, N]`: its number and distance.

    `at` says whether the sample is so near that it shows the outcome.
    """

    nearest: Tensor
    distance: Tensor
    at: Tensor


def at_outcomes(samples: Tensor, truth: Tensor, outcomes: Outcomes) -> Nearest:
    """Which outcome each of the samples `[B, T, N, P, D]` shows.

    It is there within twice the distance of the true frame `truth [B, T, P, D]`, as it was decoded,
    to the outcome that it shows.
    """
    allowed = AT * outcomes.distances(truth[:, :, None]).amin((2, 3))
    distance, nearest = outcomes.distances(samples).min(-1)
    return Nearest(nearest, distance, distance <= allowed[..., None])


def outcome_scores(samples: Tensor, truth: Tensor, outcomes: Outcomes) -> dict[str, Tensor]:
    """Samples `[B, T, N, P, D]` beside all that could have followed, one value `[B, T]` each.

    `energy_score_span` is the energy score on the span of the outcomes alone: noise across it,
    which no future shows, neither helps nor hurts. It is 0 where one future only is possible.
    `at_future` is the share of samples that show an outcome, beside the true frame `truth
    [B, T, P, D]`, and `coverage` the probability of the outcomes at which there is a sample.
    `odds_error` is the squared distance between the shares of samples that are nearest to each
    outcome and the probabilities, unbiased in N: 0 is expected of samples of the true odds.
    """
    found = at_outcomes(samples, truth, outcomes)
    chosen = torch.nn.functional.one_hot(found.nearest, outcomes.probabilities.shape[2])
    reached = (chosen * found.at[..., None]).amax(2)  # [B, T, K]
    span = [outcomes.projected(frames) for frames in (samples, truth[:, :, None])]
    return {
        "energy_score_span": energy_score(span[0], span[1][:, :, 0]),
        "at_future": found.at.float().mean(-1),
        "coverage": (reached * outcomes.probabilities).sum(-1),
        "odds_error": _odds_error(chosen.float(), outcomes.probabilities),
    }


def _odds_error(chosen: Tensor, probabilities: Tensor) -> Tensor:
    """Squared distance `[B, T]` between shares of `chosen [B, T, N, K]` and probabilities."""
    count, shares = chosen.shape[2], chosen.mean(2)
    by_chance = (shares * (1 - shares)).sum(-1) / (count - 1) if count > 1 else 0.0
    return (shares - probabilities).square().sum(-1) - by_chance
