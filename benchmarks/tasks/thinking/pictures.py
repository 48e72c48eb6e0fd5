"""What the figures of thinking show of the first model: its steps, its doubts, its landscape."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.domains.samples import IN_DISTRIBUTION, Case
from benchmarks.measure.pictures import (
    SHOWN_STEPS,
    thinking_pictures,
    to_bytes,
    write_pictures,
)
from benchmarks.models import Role
from benchmarks.tasks.thinking.candidates import Thinker, energy_model
from benchmarks.tasks.thinking.evaluation import ThinkingJudge
from benchmarks.training.fit import TrainedModel
from worldmodel.predictor import Thinking, Trajectory

GRID = 25  # points along each side of the landscape
MARGIN = 0.6  # of the landscape beyond what it must hold, in distances from prediction to truth
MOST_PATCHES = 20_000


def write_thinking(out: Path, models: Sequence[TrainedModel], judge: ThinkingJudge) -> str | None:
    """Write what the figures need of the first model that thinks; gives the file's name.

    None where no model thinks. `observed` and `truth` are frames; `thinking/NAME/...` holds how
    every model's prediction of the last one came to be, `landscape/...` belongs to the first
    sample, and `patches/energy` and `patches/error` are of all samples.
    """
    thinkers = [m for m in models if m.planned.spec.role == Role.ENERGY]
    if not thinkers:
        return None
    case = next(judge.cases(IN_DISTRIBUTION))
    found = _steps(judge, case, thinkers)
    model = energy_model(thinkers[0].predictors[0])
    assert model is not None
    setting = Thinking(max(model.config.training_steps, min(SHOWN_STEPS, max(judge.config.counts))))
    trajectory = model.predict(case.context, setting, energies=True)
    found |= _landscape(model, case, trajectory) | _patches(judge, model)
    return write_pictures(out, found)


def _steps(judge: ThinkingJudge, case: Case, thinkers: Sequence[TrainedModel]) -> dict[str, Tensor]:
    """The last prediction of a few samples after every step of each model."""
    shown = slice(0, judge.config.figure_samples)
    context = replace(
        case.context, embeddings=case.context.embeddings[shown], keys=case.context.keys[shown]
    )
    observed = judge.data.decode(context.embeddings[:, -1:])[:, 0]
    found = {"observed": to_bytes(observed), "truth": to_bytes(case.truth[shown, -1])}

    def decode(steps: Tensor) -> Tensor:
        return torch.stack([judge.data.decode(s[:, None])[:, 0] for s in steps.unbind(1)], dim=1)

    for model in thinkers:
        thought = thinking_pictures(
            model.predictors[0], context, judge.config.counts, case.target[shown, -1], decode
        )
        found |= {f"thinking/{model.name}/{kind}": values for kind, values in thought.items()}
    return found


def _landscape(model: Thinker, case: Case, trajectory: Trajectory) -> dict[str, Tensor]:
    """Energies on a plane through the start, the prediction and the truth of the first sample.

    The first axis leads from the prediction to the truth, the second, at a right angle to it,
    towards the start; one unit is the distance from prediction to truth.
    """
    path, truth = trajectory.candidates[:, :1, -1], case.target[:1, -1]  # [M + 1, 1, P, D]
    prediction = path[-1]
    unit = (truth - prediction).norm().clamp_min(1e-6)
    first = (truth - prediction) / unit
    away = path[0] - prediction
    away = away - (away * first).sum() * first
    second = away / away.norm().clamp_min(1e-6)
    offsets = (path - prediction) / unit
    steps = torch.stack([(offsets * axis).sum((1, 2, 3)) for axis in (first, second)], dim=1)
    ends = torch.cat([steps, steps.new_tensor([[1.0, 0.0]])])
    axes = [
        torch.linspace(float(c.min()) - MARGIN, float(c.max()) + MARGIN, GRID).to(path)
        for c in ends.unbind(1)
    ]
    along, across = torch.meshgrid(*axes, indexing="ij")
    weights = torch.stack([along.flatten(), across.flatten()])[:, :, None, None]  # [2, N, 1, 1]
    plane = prediction + unit * (weights[0] * first + weights[1] * second)  # [N, P, D]
    context = replace(
        case.context, embeddings=case.context.embeddings[:1], keys=case.context.keys[:1]
    )
    several = plane[None, None].expand(1, context.embeddings.shape[1], -1, -1, -1)
    energies = model.verify(context, several)[0, -1].sum(-1)
    return {
        "landscape/energy": energies.unflatten(0, (GRID, GRID)),
        "landscape/along": axes[0],
        "landscape/across": axes[1],
        "landscape/steps": steps,
    }


def _patches(judge: ThinkingJudge, model: Thinker) -> dict[str, Tensor]:
    """Energies and errors of patches, in distribution, after as many steps as in training."""
    pairs = []
    for case in judge.cases(IN_DISTRIBUTION):
        found = model.predict(case.context, model.trained_setting(), energies=True)
        assert found.patch_energies is not None
        error = (found.prediction - case.target).square().sum(-1) / 2
        both = torch.stack([found.patch_energies[-1], error])[:, :, judge.data.scored]
        pairs.append(both.flatten(1))
    energy, error = torch.cat(pairs, dim=1)
    every = max(1, len(energy) // MOST_PATCHES)
    return {"patches/energy": energy[::every], "patches/error": error[::every]}
