"""The published replay buffer: clips, each with the candidates that thinking reached on it.

Letters in shapes: B fresh clips, R replayed clips, T frames, F width of a flattened frame.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """What a training step thinks about: fresh clips, and after them replayed ones.

    `keys` are those of B + R clips; `context` and `target [B + R, T - 1, F]` are observed and next
    frames; `continued [R, T - 1, F]` are the candidates from which the replayed clips go on.
    """

    keys: list[str]
    context: Tensor
    target: Tensor
    continued: Tensor


class PublishedReplay:
    """Clips and their final candidates, first in, first out.

    Clips are drawn without being taken out, and what is made of them is not stored again: a clip
    goes on from the same candidates however often it is drawn.

    Args:
        size: largest number of clips.
    """

    def __init__(self, size: int):
        self.size = size
        self._clips: Tensor | None = None  # [number, T, F]
        self._candidates: Tensor | None = None  # [number, T - 1, F]

    def __len__(self) -> int:
        return 0 if self._clips is None else len(self._clips)

    def read(self, keys: list[str], context: Tensor, target: Tensor, places: Tensor) -> Rows:
        """Fresh clips, `context` and `target [B, T - 1, F]`, and stored ones at `places [R]`.

        A replayed clip gets a key for this step, and is observed without noise.
        """
        if self._clips is None or self._candidates is None:
            return Rows(keys, context, target, target[:0])
        places = places.to(self._clips.device)
        clips, continued = self._clips[places].to(target), self._candidates[places].to(target)
        return Rows(
            [*keys, *(f"replayed/{number}" for number in range(len(places)))],
            torch.cat([context, clips[:, :-1]]),
            torch.cat([target, clips[:, 1:]]),
            continued,
        )

    def keep(self, clips: Tensor, candidates: Tensor) -> None:
        """Store fresh clips `[B, T, F]` with their final candidates `[B, T - 1, F]`."""
        new = clips.detach(), candidates.detach()
        if self._clips is not None and self._candidates is not None:
            stored = self._clips.to(clips), self._candidates.to(clips)
            new = torch.cat([stored[0], new[0]]), torch.cat([stored[1], new[1]])
        self._clips, self._candidates = (part[-self.size :].clone() for part in new)

    def state(self) -> dict[str, Tensor]:
        """Everything that it holds, for a checkpoint."""
        if self._clips is None or self._candidates is None:
            return {}
        return {"clips": self._clips, "candidates": self._candidates}

    def load(self, state: dict[str, Tensor]) -> None:
        """Hold what `state` said."""
        self._clips, self._candidates = state.get("clips"), state.get("candidates")
