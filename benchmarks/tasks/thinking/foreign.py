"""Verification of foreign candidates: does the energy prefer the truth to what others made?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from benchmarks.measure.energies import half_squared_error
from benchmarks.measure.intervals import auroc, mean, rank_correlation, ratio
from benchmarks.measure.scores import mean_by_source, metric
from benchmarks.reporting.results import Metric
from benchmarks.tasks.thinking.data import ThinkingData
from benchmarks.tasks.thinking.evaluation import SCORED, ThinkingJudge
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Clips, Thinking

TRUTH, OWN = "truth", "own prediction"
BLUR = 1.0  # standard deviation in pixels


@dataclass(frozen=True)
class Verdict:
    """What the energy says of one kind of candidates.

    `metrics` are the mean energy and error, energy over error, their rank correlation, the share of
    predictions in which the truth has the lower energy (`truth_preferred`) and how well the energy
    tells the truth of one video from such a candidate of another (`auroc`); for the truth itself
    the share in which it has the lowest energy of all (`truth_first`).
    """

    kind: str
    metrics: dict[str, Metric]


def judge_foreign(
    judge: ThinkingJudge, predictors: Sequence[NextFrameEBT], name: str
) -> list[Verdict]:
    """The energy on the truth, on its own prediction and on foreign candidates of a set."""
    judged = judge.data.sets[name]
    energies: dict[str, list[np.ndarray]] = {}
    errors: dict[str, list[np.ndarray]] = {}
    preferred: dict[str, list[np.ndarray]] = {}
    for predictor in predictors:
        parts: dict[str, list[Tensor]] = {}
        for batch, _, _ in judge.batches(judged):
            found = _candidates(predictor, batch, judge.data)
            scored = {kind: _energies(predictor, batch, c)[:, SCORED] for kind, c in found.items()}
            target = found[TRUTH][:, SCORED]
            lowest = torch.stack(list(scored.values())).amin(0)
            for kind, energy in scored.items():
                error = half_squared_error(found[kind][:, SCORED], target)
                better = scored[TRUTH] < energy if kind != TRUTH else energy <= lowest
                for key, values in (("energy", energy), ("error", error), ("better", better)):
                    parts.setdefault(f"{key}/{kind}", []).append(values.float().mean(1))
        for key, part in parts.items():
            of, kind = key.split("/", 1)
            into = {"energy": energies, "error": errors, "better": preferred}[of]
            into.setdefault(kind, []).append(mean_by_source(torch.cat(part), judged.sources))
    truth = np.stack(energies[TRUTH])
    return [
        Verdict(
            kind,
            _metrics(
                kind,
                np.stack(energies[kind]),
                np.stack(errors[kind]),
                np.stack(preferred[kind]),
                truth,
            ),
        )
        for kind in energies
    ]


def _metrics(
    kind: str, energy: np.ndarray, error: np.ndarray, preferred: np.ndarray, truth: np.ndarray
) -> dict[str, Metric]:
    found = {"energy": metric(mean(energy), None), "error": metric(mean(error), False)}
    if kind == TRUTH:
        return found | {"truth_first": metric(mean(preferred), True)}
    found["truth_preferred"] = metric(mean(preferred), True)
    others = {
        "auroc": (auroc(truth, energy), True),
        "calibration": (ratio(energy, error), None),
        "error_rank": (rank_correlation(energy, error), True),
    }
    return found | {n: metric(v, good) for n, (v, good) in others.items() if v is not None}


def _candidates(predictor: NextFrameEBT, batch: Clips, data: ThinkingData) -> dict[str, Tensor]:
    """Candidates `[B, T - 1, P, D]` of every kind for the frames after the first."""
    frames, target = batch.embeddings, batch.embeddings[:, 1:]
    setting = Thinking(predictor.config.training_steps)
    pictures = data.corpus.decode(target)  # [B, T - 1, 3, height, width]
    blurred = gaussian_blur(pictures.flatten(0, 1), 2 * round(3 * BLUR) + 1, BLUR)
    embedded = data.corpus.scaler.scale_embeddings(data.encoder.encode(blurred))
    found = {
        TRUTH: target,
        OWN: predictor.predict(batch.frames(0, -1), setting).prediction,
        "copy of the last frame": frames[:, :-1],
        "blurred truth": embedded.unflatten(0, target.shape[:2]),
        "frame after the next": torch.cat([frames[:, 2:], frames[:, -2:-1]], dim=1),
    }
    if len(frames) > 1:
        found["frame of another clip"] = target.roll(1, dims=0)
    return found


def _energies(predictor: NextFrameEBT, batch: Clips, candidates: Tensor) -> Tensor:
    """Energies `[B, T - 1]` of candidates after the frames of a batch."""
    with torch.no_grad():
        context = predictor.energy.encode(batch.embeddings[:, :-1])
        visible = torch.arange(1, context.frames + 1, device=candidates.device)
        energies: Tensor = predictor.energy(candidates, context, visible)
    return energies
