"""The contract that every model of a task satisfies, so that one code path runs them all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldmodel.sharing import Shareable
from worldmodel.surprise import Surprise, distance_to_prediction


@dataclass(frozen=True)
class Clips:
    """A batch of clips: scaled embeddings `[B, T, P, D]` and the key of each clip."""

    embeddings: Tensor
    keys: list[str]

    @property
    def observed(self) -> Tensor:
        """The frames `[B, T, P, D]` as a model observes them."""
        return self.embeddings

    def frames(self, start: int, stop: int | None) -> Self:
        """The clips' frames from `start` to before `stop`."""
        return replace(self, embeddings=self.embeddings[:, start:stop])

    def parts(self, count: int) -> Iterator[Self]:
        """The clips in that many equal parts."""
        size = len(self.keys) // count
        for first in range(0, len(self.keys), size):
            own = slice(first, first + size)
            yield replace(self, embeddings=self.embeddings[own], keys=self.keys[own])

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """The clips on another device."""
        return replace(self, embeddings=self.embeddings.to(device, non_blocking=non_blocking))


@dataclass(frozen=True)
class NoisilyObservedClips(Clips):
    """Clips for training, which a model observes as `noisy [B, T, P, D]`."""

    noisy: Tensor

    @property
    def observed(self) -> Tensor:
        """The noisy frames."""
        return self.noisy


@dataclass(frozen=True)
class Trajectory:
    """Candidates `[M + 1, B, T, P, D]` from the start to the last thinking step.

    The energies of patches `[M + 1, B, T, P]` are there only if asked for, since the last ones cost
    a forward pass of their own. Models that do not think have M = 0.
    """

    candidates: Tensor
    patch_energies: Tensor | None = None

    @property
    def energies(self) -> Tensor | None:
        """Energies `[M + 1, B, T]` of the candidates: sums over their patches."""
        return None if self.patch_energies is None else self.patch_energies.sum(-1)

    @property
    def prediction(self) -> Tensor:
        """The last candidates `[B, T, P, D]`."""
        return self.candidates[-1]

    def until(self, step: int) -> "Trajectory":
        """The trajectory as it stood after `step` steps."""
        energies = self.patch_energies[: step + 1] if self.patch_energies is not None else None
        return Trajectory(self.candidates[: step + 1], energies)


@dataclass(frozen=True)
class Setting:
    """One way to run a model. A model that can be run in one way only has this setting.

    A `fixed` setting is reported as it is and never selected on validation.
    """

    fixed: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """The setting in a few words, for tables."""
        return "–"

    @property
    def order(self) -> float:
        """The place of the setting among those of its model, cheapest first."""
        return 0.0

    @property
    def count(self) -> int | None:
        """The number of steps or passes; None for a setting without such a number."""
        return None

    @property
    def averages(self) -> bool:
        """Whether the prediction is a mean of several samples."""
        return False


@dataclass(frozen=True)
class Thinking(Setting):
    """Thinking for a number of steps.

    With `candidates` above 1 as many starts of each frame descend at once, and the one of lowest
    energy is the prediction. With `langevin_noise` all of them have one start, and each gets noise
    of its own, of this standard deviation, after every step but the last.
    """

    steps: int
    candidates: int = 1
    langevin_noise: float = 0.0

    @property
    def label(self) -> str:
        """Such as `2 steps`."""
        steps = counted(self.steps, "step")
        return steps if self.candidates == 1 else f"{steps}, best of {self.candidates}"

    @property
    def order(self) -> float:
        """Steps of all candidates."""
        return self.steps * self.candidates

    @property
    def count(self) -> int:
        """The number of steps."""
        return self.steps


@dataclass(frozen=True)
class Passes(Setting):
    """Application of a model to its own output, so that it runs for a number of passes."""

    passes: int

    @property
    def label(self) -> str:
        """Such as `3 passes`."""
        return counted(self.passes, "pass")

    @property
    def order(self) -> float:
        """The number of passes."""
        return self.passes

    @property
    def count(self) -> int:
        """The number of passes."""
        return self.passes


class Predictor(nn.Module, Shareable):
    """A model that predicts the next frame after each frame of a context.

    The starts of its predictions, and its samples, are drawn from `start_seed`.
    """

    start_seed = 0

    @property
    def backbone(self) -> nn.Module | None:
        """The module of which one call is one forward pass; None for models without one."""
        return None

    @property
    def blocks(self) -> nn.Module | None:
        """The blocks of the backbone, all alike; None for models without."""
        return getattr(self.backbone, "blocks", None)

    def regions(self) -> list[tuple[nn.Module, str]]:
        """The modules, and their methods, that take most of the time; each is compiled whole."""
        return [] if self.backbone is None else [(self.backbone, "forward")]

    def settings(self, counts: Sequence[int]) -> Sequence[Setting]:
        """The ways in which the model is run, with these numbers of steps or passes if it has any.

        The setting that it is trained for is always among them.
        """
        return [Setting()]

    def trained_setting(self) -> Setting:
        """The setting that training optimises."""
        return Setting()

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        """Predict frame t + 1 from frames 0 to t for every t of the context, in parallel."""
        raise NotImplementedError

    def predict_all(
        self, context: Clips, settings: Sequence[Setting], energies: bool = False
    ) -> list[Trajectory]:
        """A trajectory for each setting; models share between settings what they can."""
        return [self.predict(context, setting, energies) for setting in settings]

    def sample(self, context: Clips, setting: Setting, count: int) -> Tensor:
        """Samples `[B, T, N, P, D]` of every next frame, N of them as `count` says.

        A model that knows one answer only gives that one, with N = 1.
        """
        return self.predict(context, setting).prediction[:, :, None]

    def surprises(self, counts: Sequence[int]) -> Sequence[Surprise]:
        """The ways to measure how surprising a frame is that follows a context.

        Every model has the distance to its own prediction, with these numbers of steps or passes.
        """
        settings = [setting for setting in self.settings(counts) if not setting.fixed]
        return [distance_to_prediction(self, setting) for setting in settings]

    def rollout(self, context: Clips, horizon: int, setting: Setting) -> Tensor:
        """Predict `horizon` frames `[B, horizon, P, D]`, each fed back as context for the next."""
        embeddings, frames = context.embeddings, context.embeddings.shape[1]
        for _ in range(horizon):
            seen = replace(context, embeddings=embeddings)
            prediction = self.predict(seen, setting).prediction[:, -1:]
            embeddings = torch.cat([embeddings, prediction], dim=1)
        return embeddings[:, frames:]

    def features(self, context: Clips) -> dict[str, Tensor]:
        """Features `[B, T, P, W]` of the frames of a context, by the name of their place in the
        network; nothing for models without a network."""
        return {}

    @property
    def training_draws(self) -> int:
        """Number of training steps whose mean cost is that of one.

        It is above 1 where steps draw how long they think.
        """
        return 1

    @property
    def added_rows(self) -> float:
        """Rows that a training step adds to its batch, as a share of it."""
        return 0.0

    def seed_starts(self, seed: int) -> None:
        """Draw the starts of predictions from another seed; most models start from no noise."""
        self.start_seed = seed

    def rate_multiples(self) -> list[tuple[nn.Parameter, float]]:
        """Parameters with a learning rate of their own, as a multiple of the model's rate.

        They get no weight decay. Most models have none.
        """
        return []

    @property
    def calibrating_clips(self) -> int:
        """Smallest number of clips that `calibrate` needs; most models are content with any."""
        return 1

    def calibrate(self, batch: Clips) -> None:
        """Calibrate, once before training, on one fixed batch; most models have nothing to set."""

    def training_state(self) -> dict[str, Tensor]:
        """What training goes on from besides weights; most models have nothing of the kind."""
        return {}

    def load_training_state(self, state: dict[str, Tensor]) -> None:
        """Go on from what `training_state` gave."""

    def training_losses(self, batch: Clips, seed: int) -> Iterator[Tensor]:
        """Losses that add up to the training loss; each must be back-propagated before the next.

        The last may be zero and yet carry gradients: those that the others have left behind.
        """
        raise NotImplementedError

    def validation_loss(self, batch: Clips) -> Tensor:
        """What training keeps the weights of lowest value of; a mean over the clips.

        Smooth-L1 at the setting that the predictor is trained for.
        """
        found = self.predict(batch.frames(0, -1), self.trained_setting())
        return F.smooth_l1_loss(found.prediction, batch.embeddings[:, 1:])


Kind = TypeVar("Kind", bound=Setting)


def expect(setting: Setting, kind: type[Kind]) -> Kind:
    """The setting, if it is of the kind that a model can be run in.

    Raises:
        TypeError: it belongs to another model.
    """
    if not isinstance(setting, kind):
        raise TypeError(f"{setting} is no setting of this model; it takes {kind.__name__}")
    return setting


def predict_longest(
    predictor: Predictor, context: Clips, settings: Sequence[Setting], energies: bool
) -> list[Trajectory]:
    """A trajectory for each setting, all of them the beginnings of the longest one."""
    counts = [setting.count or 0 for setting in settings]
    if not counts:
        return []
    longest = settings[counts.index(max(counts))]
    trajectory = predictor.predict(context, longest, energies)
    return [trajectory.until(count) for count in counts]


def counted(count: int, noun: str) -> str:
    """A count with its noun: 1 step, 2 steps, 3 passes."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"
