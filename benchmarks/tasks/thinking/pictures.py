"""What the figures of thinking show of the first model: its steps, its doubts, its landscape."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from benchmarks.models import Role
from benchmarks.tasks.thinking.candidates import energy_model
from benchmarks.tasks.thinking.conditions import IN_DISTRIBUTION
from benchmarks.tasks.thinking.data import Case
from benchmarks.tasks.thinking.evaluation import ThinkingJudge
from benchmarks.training.fit import TrainedModel
from data_prep.shards.storage import atomic_file
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Thinking, Trajectory

THINKING = "thinking.safetensors"
GRID = 25  # points along each side of the landscape
MARGIN = 0.6  # of the landscape beyond what it must hold, in distances from prediction to truth
MOST_PATCHES = 20_000


def write_thinking(out: Path, models: Sequence[TrainedModel], judge: ThinkingJudge) -> str | None:
    """Write what the figures need of the first model that thinks; gives the file's name.

    None where no model thinks. `steps [samples, M + 1, height, width, 3]` and `truth` are uint8,
    `energy` and `error [samples, P]` belong to the last step, `landscape/...` to the first sample,
    and `patches/energy` and `patches/error` are of all samples.
    """
    thinkers = [m for m in models if m.planned.spec.role == Role.ENERGY]
    if not thinkers:
        return None
    model = energy_model(thinkers[0].predictors[0])
    assert model is not None
    setting = Thinking(max(model.config.training_steps, min(8, max(judge.config.counts))))
    case = judge.cases(IN_DISTRIBUTION)[0]
    trajectory = model.predict(case.context, setting, energies=True)
    found = _strips(judge, case, trajectory) | _landscape(model, case, trajectory)
    found |= _patches(judge, model)
    with atomic_file(out / THINKING) as file:
        file.write(safetensors.torch.save({k: v.cpu().contiguous() for k, v in found.items()}))
    return THINKING


def _strips(judge: ThinkingJudge, case: Case, trajectory: Trajectory) -> dict[str, Tensor]:
    """The last prediction of a few samples after every step, with its energy and error."""
    shown = slice(0, judge.config.figure_samples)
    last = trajectory.candidates[:, shown, -1:]  # [M + 1, samples, 1, P, D]
    frames = torch.stack([judge.data.decode(each)[:, 0] for each in last], dim=1)
    assert trajectory.patch_energies is not None
    error = (trajectory.prediction - case.target).square().sum(-1) / 2  # [B, T, P]
    return {
        "steps": _to_bytes(frames),
        "observed": _to_bytes(judge.data.decode(case.context.embeddings[shown, -1:])[:, 0]),
        "truth": _to_bytes(case.truth[shown, -1]),
        "energy": trajectory.patch_energies[-1][shown, -1],
        "error": error[shown, -1],
    }


def _landscape(model: NextFrameEBT, case: Case, trajectory: Trajectory) -> dict[str, Tensor]:
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


def _patches(judge: ThinkingJudge, model: NextFrameEBT) -> dict[str, Tensor]:
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


def _to_bytes(frames: Tensor) -> Tensor:
    return (frames.clamp(0, 1) * 255 + 0.5).byte().movedim(-3, -1)
