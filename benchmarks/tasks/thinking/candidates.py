"""Many candidates of one prediction: from its path, many starts, by noise, or from many models."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.domains.samples import BLURS, Case
from benchmarks.models import Role
from benchmarks.tasks.thinking.evaluation import ThinkingJudge
from benchmarks.training.fit import TrainedModel
from denoise.model import EBTDenoiser
from denoise.published import PublishedEBTDenoiser
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Predictor, Thinking
from worldmodel.published.model import PublishedEBT

STARTS, LANGEVIN, MODELS, PATH = "starts", "Langevin noise", "models", "path and blurs"
COUNTED = (STARTS, LANGEVIN)  # sources of as many candidates as are asked for
Thinker = NextFrameEBT | PublishedEBT | PublishedEBTDenoiser  # what descends an energy


def energy_model(predictor: Predictor) -> Thinker | None:
    """The model of the energy behind a predictor; None for one that does not think."""
    if isinstance(predictor, EBTDenoiser):
        return predictor.ebt
    return predictor if isinstance(predictor, Thinker) else None


@dataclass(frozen=True)
class Contenders:
    """The trained models of one seed, whose predictions compete with one another."""

    names: list[str]
    predictors: list[Predictor]

    @classmethod
    def of(cls, models: Sequence[TrainedModel], seed: int) -> "Contenders":
        """All models but floors; `seed` is the place of a seed among those of the run."""
        chosen = [model for model in models if model.planned.spec.role != Role.FLOOR]
        return cls([m.name for m in chosen], [m.predictors[seed] for m in chosen])

    def predictions(self, case: Case) -> Tensor:
        """Predictions `[B, T, N, P, D]` of all models, each at its trained setting."""
        return torch.stack(
            [p.predict(case.context, p.trained_setting()).prediction for p in self.predictors],
            dim=2,
        )


def candidates(
    source: str,
    model: Thinker,
    contenders: Contenders,
    case: Case,
    judge: ThinkingJudge,
) -> Tensor:
    """Candidates `[B, T, N, P, D]` from a source, after as many steps as in training."""
    if source == MODELS:
        return contenders.predictions(case)
    if source == PATH:
        path = model.competing(case.context, model.trained_setting()).candidates
        blurs = [judge.data.blurred(path[-1], width) for width in BLURS]
        return torch.stack([*path, *blurs], dim=2)
    count = max(judge.config.candidates)
    noise = judge.config.langevin_noise if source == LANGEVIN else 0.0
    setting = Thinking(model.config.training_steps, count, noise)
    return model.competing(case.context, setting).prediction.unflatten(1, (-1, count))


def sources_of(model: Thinker, contenders: Contenders) -> list[str]:
    """The sources that give different candidates for a model."""
    found = [PATH, STARTS] if model.config.start_noise > 0 else [PATH]
    if model.config.training_steps > 1:
        found.append(LANGEVIN)
    return [*found, MODELS] if len(contenders.names) > 1 else found
