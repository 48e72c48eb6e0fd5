"""The contract that every model of a task satisfies, so that one code path runs them all."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor, nn

Setting = Mapping[str, int | str]


@dataclass(frozen=True)
class Clips:
    """A batch of clips: scaled embeddings `[B, T, P, D]` and the key of each clip."""

    embeddings: Tensor
    keys: list[str]

    def frames(self, start: int, stop: int | None) -> Self:
        """The clips' frames from `start` to before `stop`."""
        return replace(self, embeddings=self.embeddings[:, start:stop])

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """The clips on another device."""
        return replace(self, embeddings=self.embeddings.to(device, non_blocking=non_blocking))


@dataclass(frozen=True)
class Trajectory:
    """Candidates `[M + 1, B, T, P, D]` from the start to the last thinking step.

    The energies `[M + 1, B, T]` are there only if asked for, since the last one costs a forward
    pass of its own. Models that do not think have M = 0.
    """

    candidates: Tensor
    energies: Tensor | None = None

    @property
    def prediction(self) -> Tensor:
        """The last candidates `[B, T, P, D]`."""
        return self.candidates[-1]


class Predictor(nn.Module):
    """A model that predicts the next frame after each frame of a context.

    `told_noise` says whether it reads how strong the noise of an image is; `iterative` whether a
    setting is a number of steps and a shorter run the beginning of a longer one.
    """

    told_noise = False
    iterative = False

    @property
    def backbone(self) -> nn.Module | None:
        """The module of which one call is one forward pass; None for models without one."""
        return None

    def regions(self) -> list[tuple[nn.Module, str]]:
        """Modules and the methods of theirs in which the time is spent, to be compiled whole."""
        return [] if self.backbone is None else [(self.backbone, "forward")]

    def settings(self) -> list[Setting]:
        """The ways in which the model can be run."""
        return [{}]

    def trained_setting(self) -> Setting:
        """The setting that training optimises."""
        return {}

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        """Predict frame t + 1 from frames 0 to t for every t of the context, in parallel."""
        raise NotImplementedError

    def rollout(self, context: Clips, horizon: int, setting: Setting) -> Tensor:
        """Predict `horizon` frames `[B, horizon, P, D]`, each fed back as context for the next."""
        embeddings, frames = context.embeddings, context.embeddings.shape[1]
        for _ in range(horizon):
            seen = replace(context, embeddings=embeddings)
            prediction = self.predict(seen, setting).prediction[:, -1:]
            embeddings = torch.cat([embeddings, prediction], dim=1)
        return embeddings[:, frames:]

    def calibrate(self, batch: Clips) -> None:
        """Set what is set once before training, from one fixed batch."""

    def training_losses(self, batch: Clips, seed: int) -> Iterator[Tensor]:
        """Losses that add up to the training loss; each must be back-propagated before the next.

        The last step of the generator may back-propagate on its own, so it must be exhausted.
        """
        raise NotImplementedError
