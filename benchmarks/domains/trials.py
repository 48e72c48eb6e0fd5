"""Continuations that a model is asked to tell apart: possible, impossible and degraded ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from worldmodel.predictor import Clips

TRUTH = "truth"  # the name of what came indeed


class Standing(StrEnum):
    """What the world says of a continuation."""

    POSSIBLE = "possible"
    IMPOSSIBLE = "impossible"
    DEGRADED = "degraded"  # the true one in a worse picture


@dataclass(frozen=True, order=True)
class Kind:
    """A kind of continuations; `degree` is in the unit of the kind, 0 for kinds without degrees."""

    name: str
    standing: Standing
    degree: float = 0.0


TRUE = Kind(TRUTH, Standing.POSSIBLE)


@dataclass(frozen=True)
class Trials:
    """A batch of contexts, each with continuations of its last frame.

    `candidates [B, N, P, D]` are on scaled embeddings, the first of them the truth. Not every kind
    exists for every context: where `kinds[b][n]` is None the candidate is a copy of the truth and
    not to be judged.
    """

    context: Clips
    candidates: Tensor
    kinds: list[list[Kind | None]]

    @classmethod
    def of(cls, context: Clips, continuations: Sequence[Mapping[Kind, Tensor]]) -> "Trials":
        """Trials from the continuations `[P, D]` of each context, by kind.

        Several of one kind are told apart by their degree.

        Raises:
            ValueError: one of the contexts has no true continuation.
        """
        if any(TRUE not in found for found in continuations):
            raise ValueError("every context needs its true continuation")
        most = max(len(found) for found in continuations)
        candidates, kinds = [], []
        for found in continuations:
            others = [kind for kind in found if kind != TRUE]
            missing = most - 1 - len(others)
            chosen = [TRUE, *others, *[TRUE] * missing]
            candidates.append(torch.stack([found[kind] for kind in chosen]))
            kinds.append([TRUE, *others, *[None] * missing])
        return cls(context, torch.stack(candidates), kinds)
