"""Predictions of the published model: descent through its landscapes, without a graph.

Letters in shapes: B batch, C candidate frames, N candidates per prediction, F width of a flattened
frame, M thinking steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from worldmodel.backbone import EncodedContext, Visible
from worldmodel.noise import Stream
from worldmodel.predictor import Thinking
from worldmodel.published.energy import PublishedEnergy
from worldmodel.published.noise import Noise
from worldmodel.thinking import require_finite

Landscapes = Mapping[int, EncodedContext]  # the context in each landscape that is needed


@dataclass(frozen=True)
class PublishedThinking(Thinking):
    """Thinking by the published inference, with a step size and a noise of its own.

    `step_size` and `projected_noise` are None where they are as in training.
    """

    fixed: ClassVar[bool] = True

    step_size: float | None = None
    projected_noise: float | None = None

    @property
    def label(self) -> str:
        """Such as `published, 4 steps, best of 4`."""
        return f"published, {super().label}"


@dataclass(frozen=True)
class Draws:
    """The random numbers of one prediction: N candidates of each frame, which lie side by side."""

    noise: Noise
    seed: int
    keys: Sequence[str]
    frames: Tensor  # [C], their numbers
    candidates: int

    def normal(self, stream: Stream, size: int, *key: int) -> Tensor:
        """Standard normal numbers `[B, C * N, size]`."""
        drawn = [
            self.noise.normal(stream, (self.seed, *key, number), self.keys, self.frames, size)
            for number in range(self.candidates)
        ]
        return torch.stack(drawn, dim=2).flatten(1, 2)


def needed_landscapes(energy: PublishedEnergy, steps: int, energies: bool) -> list[int]:
    """The landscapes in which a prediction takes steps, and the last where energies are read."""
    stepped = set(range(min(steps, energy.landscapes)))
    return sorted(stepped | ({energy.landscapes - 1} if energies else set()))


def think(
    energy: PublishedEnergy,
    start: Tensor,
    landscapes: Landscapes,
    visible: Visible,
    setting: Thinking,
    projected_noise: float,
    draws: Draws,
    energies: bool,
) -> tuple[Tensor, Tensor | None]:
    """Descend from `start [B, C * N, F]` as `setting` says, once in each landscape in turn.

    All further steps are in the last landscape, as in published validation. In it all candidates
    are judged where `energies` are asked for, and the last ones where several compete.
    `projected_noise` is the standard deviation of noise on the projected candidates; that of the
    setting moves candidates between steps.

    Returns candidates `[M + 1, B, C * N, F]` and energies `[M + 1, B, C * N]`, or
    `[1, B, C * N]` of the last ones.

    Raises:
        NonFiniteError: an energy or candidate is not finite.
    """
    last = energy.landscapes - 1
    first = 0 if energies else setting.steps + (setting.candidates == 1)
    size: Tensor | float = energy.step_size
    if isinstance(setting, PublishedThinking):
        size = size if setting.step_size is None else setting.step_size
    candidates, stepped = [start], []
    for step in range(setting.steps):
        added = None
        if projected_noise:
            drawn = draws.normal(Stream.PROJECTED_LANGEVIN, energy.width, step)
            added = projected_noise * drawn.to(start)
        gradient, value = energy.input_gradient(
            candidates[-1], landscapes[min(step, last)], visible, added
        )
        moved = candidates[-1] - size * gradient
        if setting.langevin_noise and step < setting.steps - 1:
            drawn = draws.normal(Stream.LANGEVIN, start.shape[2], step)
            moved = moved + setting.langevin_noise * drawn.to(start)
        candidates.append(moved)
        stepped.append(value)
    judged = [energy(each, landscapes[last], visible) for each in candidates[first:]]
    require_finite(candidates[1:], [*stepped, *judged], draws.keys)
    return torch.stack(candidates), torch.stack(judged) if judged else None
