"""How surprising a continuation is: what a model can say of a frame that it has not made."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from worldmodel.predictor import Clips, Predictor, Setting

# Surprise [B, N] of candidates [B, N, P, D] for the frame that follows all of a context.
Measure = Callable[["Clips", Tensor], Tensor]

DISTANCE, NEAREST, ENERGY = "distance to own prediction", "distance to nearest sample", "energy"
LIKELIHOOD, DENOISING = "negative log-likelihood", "denoising loss"


@dataclass(frozen=True)
class Surprise:
    """One way in which a model measures surprise, and how it is run for it."""

    name: str
    setting: str
    measure: Measure


class Verifier(Protocol):
    """A model that gives candidates of every next frame an energy."""

    def verify(self, context: "Clips", candidates: Tensor) -> Tensor:
        """Energies of patches `[B, T, N, P]` of candidates `[B, T, N, P, D]`."""
        ...


def energy_of(model: Verifier) -> Surprise:
    """The energy of a candidate, none of which is moved."""
    return Surprise(ENERGY, "no step", partial(_energy, model))


def distance_to_prediction(predictor: "Predictor", setting: "Setting") -> Surprise:
    """Half the squared distance to the model's own prediction: every regressor has it."""
    return Surprise(DISTANCE, setting.label, partial(_to_prediction, predictor, setting))


def distance_to_nearest_sample(
    predictor: "Predictor", setting: "Setting", samples: int
) -> Surprise:
    """Half the squared distance to the nearest of some samples of the model."""
    label = f"{setting.label}, {samples} samples"
    return Surprise(NEAREST, label, partial(_to_nearest, predictor, setting, samples))


def _energy(model: Verifier, context: "Clips", candidates: Tensor) -> Tensor:
    frames = context.embeddings.shape[1]
    every = candidates[:, None].expand(-1, frames, -1, -1, -1)
    return model.verify(context, every)[:, -1].sum(-1)


def _to_prediction(
    predictor: "Predictor", setting: "Setting", context: "Clips", candidates: Tensor
) -> Tensor:
    prediction = predictor.predict(context, setting).prediction[:, -1:]  # [B, 1, P, D]
    return (candidates - prediction).square().sum((-2, -1)) / 2


def _to_nearest(
    predictor: "Predictor", setting: "Setting", samples: int, context: "Clips", candidates: Tensor
) -> Tensor:
    drawn = predictor.sample(context, setting, samples)[:, -1, None]  # [B, 1, S, P, D]
    return (candidates[:, :, None] - drawn).square().sum((-2, -1)).amin(2) / 2
