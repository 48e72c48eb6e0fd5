"""Verification: of many candidates of one prediction, what does choosing by energy bring?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure.energies import half_squared_error
from benchmarks.measure.intervals import mean
from benchmarks.measure.scores import mean_by_source, metric
from benchmarks.reporting.results import Metric
from benchmarks.tasks.thinking.evaluation import SCORED, ThinkingJudge
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Thinking

ENERGY, RANDOM, MEAN, BAYES, ORACLE = "energy", "random", "mean", "bayes", "oracle"


@dataclass(frozen=True)
class Choice:
    """The error of predictions that are chosen among candidates by a rule.

    `error` is half the squared error on scaled embeddings.
    """

    rule: str
    candidates: int
    error: Metric


def judge_choices(
    judge: ThinkingJudge, predictors: Sequence[NextFrameEBT], steps: int, name: str
) -> list[Choice]:
    """Errors of every rule for each number of candidates, on the clips of a set.

    `energy` takes the lowest energy, `random` the first, `mean` the mean of the candidates,
    `bayes` the one nearest to the true conditional mean where that is known, and `oracle` the one
    nearest to the truth.
    """
    counts, judged = sorted(judge.config.candidates), judge.data.sets[name]
    found: dict[tuple[str, int], list[np.ndarray]] = {}
    for predictor in predictors:
        errors: dict[tuple[str, int], list[Tensor]] = {}
        for batch, _, future in judge.batches(judged):
            trajectory = predictor.competing(batch.frames(0, -1), Thinking(steps, counts[-1]))
            assert trajectory.energies is not None
            candidates = trajectory.prediction.unflatten(1, (-1, counts[-1]))[:, SCORED]
            energies = trajectory.energies[-1].unflatten(1, (-1, counts[-1]))[:, SCORED]
            target = batch.embeddings[:, 1:][:, SCORED]
            error = half_squared_error(candidates, target[:, :, None])  # [B, T, N]
            expected = None
            if future is not None:
                expected = half_squared_error(candidates, future.mean[:, SCORED, None])
            for count in counts:
                part = error[..., :count]
                chosen = {
                    ENERGY: _at(part, energies[..., :count].argmin(2)),
                    RANDOM: part[..., 0],
                    MEAN: half_squared_error(candidates[:, :, :count].mean(2), target),
                    ORACLE: part.amin(2),
                }
                if expected is not None:
                    chosen[BAYES] = _at(part, expected[..., :count].argmin(2))
                for rule, values in chosen.items():
                    errors.setdefault((rule, count), []).append(values.mean(1))
        for key, parts in errors.items():
            by_source = mean_by_source(torch.cat(parts), judged.sources)
            found.setdefault(key, []).append(by_source)
    return [
        Choice(rule, count, metric(mean(np.stack(values)), False))
        for (rule, count), values in found.items()
    ]


def _at(values: Tensor, index: Tensor) -> Tensor:
    """Of values `[B, T, N]` those at an index `[B, T]`."""
    return values.gather(2, index[..., None])[..., 0]
