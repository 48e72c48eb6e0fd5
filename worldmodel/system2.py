"""What the published System 2 training adds (arXiv 2507.02092, section 3.3), each part by itself.

A random number of steps, a random size of each step, Langevin noise in the candidate, and a replay
buffer of candidates from which later batches think on. All of it depends on the seed alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worldmodel.config import EBTConfig
from worldmodel.noise import Stream, keyed_uniform, noise_like, stream_generator


def number_of_steps(config: EBTConfig, seed: int) -> int:
    """The thinking steps of one training step: `training_steps`, and up to `random_steps` more."""
    if not config.random_steps:
        return config.training_steps
    generator = stream_generator(Stream.TRAINING_STEPS, seed)
    more = torch.randint(config.random_steps + 1, (), generator=generator)
    return config.training_steps + int(more)


def step_size_factors(
    like: Tensor, keys: Sequence[str], config: EBTConfig, seed: int, step: int
) -> Tensor | None:
    """Factors of the step size for each element of candidates `[B, C, P, D]`.

    They are uniform in [1 / x, x]; None where x is 1.
    """
    largest = config.random_step_size
    if largest == 1:
        return None
    frames = torch.arange(like.shape[1], device=like.device)
    size = like.shape[2] * like.shape[3]
    share = keyed_uniform(Stream.TRAINING_STEP_SIZE, (seed, step), keys, frames, size)
    share = share.view_as(like).to(like)
    return 1 / largest + share * (largest - 1 / largest)


def langevin_noise(
    like: Tensor, keys: Sequence[str], config: EBTConfig, seed: int, step: int
) -> Tensor | None:
    """Noise that is added to the candidate in a thinking step; None where there is none."""
    if not config.langevin_noise:
        return None
    return config.langevin_noise * noise_like(like, keys, Stream.TRAINING_LANGEVIN, seed, step)


@dataclass(frozen=True)
class Replayed:
    """A batch in which the first rows continue stored candidates.

    `target [B, T, P, D]` and `observed [B, T, P, D]` are the clips, `start [B, T - 1, P, D]` where
    thinking starts and `places [R]` the places in the buffer of what is continued.
    """

    target: Tensor
    observed: Tensor
    start: Tensor
    places: Tensor


class ReplayBuffer:
    """Clips with the candidates that thinking has reached, of which half of each batch goes on.

    Args:
        size: largest number of clips; the oldest ones make room.
    """

    def __init__(self, size: int):
        self.size = size
        self._clips: tuple[Tensor, ...] = ()  # target, observed, candidates
        self._next = 0

    def __len__(self) -> int:
        return len(self._clips[0]) if self._clips else 0

    def mixed(self, target: Tensor, observed: Tensor, start: Tensor, seed: int) -> Replayed:
        """The batch with stored clips in the place of its first half, as far as there are any."""
        count = min(len(target) // 2, len(self))
        generator = stream_generator(Stream.TRAINING_REPLAY, seed)
        places = torch.randperm(len(self), generator=generator)[:count]
        if count == 0:
            return Replayed(target, observed, start, places)
        target, observed, start = (
            torch.cat([stored[places.to(stored.device)], fresh[count:]])
            for stored, fresh in zip(self._clips, (target, observed, start), strict=True)
        )
        return Replayed(target, observed, start, places)

    def keep(self, batch: Replayed, candidate: Tensor) -> None:
        """Store where thinking has come to: what was continued at its place, the rest as new."""
        count = len(batch.places)
        parts = [part.detach() for part in (batch.target, batch.observed, candidate)]
        if count:
            for stored, part in zip(self._clips, parts, strict=True):
                stored[batch.places.to(stored.device)] = part[:count]
        for row in range(count, len(candidate)):
            new = [part[row : row + 1] for part in parts]
            if len(self) < self.size:
                self._clips = tuple(
                    torch.cat([stored, part])
                    for stored, part in zip(self._clips or [p[:0] for p in new], new, strict=True)
                )
            else:
                for stored, part in zip(self._clips, new, strict=True):
                    stored[self._next] = part[0]
                self._next = (self._next + 1) % self.size

    def state(self) -> dict[str, Tensor]:
        """A copy of everything that it holds, for a checkpoint."""
        names = ("target", "observed", "candidates")
        stored = {name: part.clone() for name, part in zip(names, self._clips, strict=False)}
        return stored | {"next": torch.tensor(self._next)}

    def load(self, state: dict[str, Tensor]) -> None:
        """Hold what `state` said."""
        self._next = int(state["next"])
        self._clips = tuple(state[n] for n in ("target", "observed", "candidates") if n in state)
