"""How thinking is judged: every number of steps, in distribution and away from training."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.domains.judging import CostCall, Judge
from benchmarks.domains.samples import IN_DISTRIBUTION, VALIDATION, Case, Samples, first_sample
from benchmarks.measure.costs import count_flops
from benchmarks.measure.energies import (
    ENERGY,
    ERROR,
    FRAME_RANK,
    energy_metrics,
    energy_scores,
    half_squared_error,
    rank_correlations,
)
from benchmarks.measure.intervals import rank_correlation, ratio
from benchmarks.measure.metrics import embedding_errors, frame_psnr, frame_quality
from benchmarks.measure.scores import Scores, Values, mean_by_source, metric
from benchmarks.measure.verdicts import compare
from benchmarks.record.metrics import ENERGIES
from benchmarks.record.results import Comparison, Metric
from benchmarks.tasks.thinking.conditions import ThinkingCondition
from benchmarks.tasks.thinking.config import ThinkingEvaluationConfig
from data_prep.shards.plan import digest
from worldmodel.predictor import Predictor, Setting, Trajectory

ThinkingScores = Scores[ThinkingCondition]
SELECTING, TESTED = ThinkingCondition(VALIDATION), ThinkingCondition(IN_DISTRIBUTION)
# Names of metrics that need a known future.
EXPECTED, SPREAD = "expected_error", "true_spread"
OVER_EXPECTED = "energy_over_expected_error"
LEAST_RANKED = 3  # frames or candidates of which a rank correlation is taken


class ThinkingJudge(Judge[ThinkingCondition]):
    """Judges predictors on every set of a thinking run."""

    def __init__(self, config: ThinkingEvaluationConfig, data: Samples, device: str):
        self.config, self.data, self.device = config, data, device
        self.conditions = [ThinkingCondition(name) for name in data.sets]

    def selecting(self, condition: ThinkingCondition) -> ThinkingCondition:
        """Validation, which is like training."""
        return SELECTING

    def wanted(self, predictor: Predictor, setting: Setting, condition: ThinkingCondition) -> bool:
        """Every setting everywhere."""
        return True

    def values(
        self, predictor: Predictor, settings: Sequence[Setting], condition: ThinkingCondition
    ) -> list[dict[str, np.ndarray]]:
        """Every metric per video or image `[sources]`, for each setting."""
        parts: list[list[dict[str, Tensor]]] = [[] for _ in settings]
        for case in self.cases(condition.samples):
            trajectories = predictor.predict_all(case.context, settings, energies=True)
            for part, trajectory in zip(parts, trajectories, strict=True):
                part.append(self._scores(trajectory, case))
        sources = self.data.sets[condition.samples].sources
        return [
            {
                name: mean_by_source(torch.cat([scores[name] for scores in part]), sources)
                for name in part[0]
            }
            for part in parts
        ]

    def metrics(self, values: Values, condition: ThinkingCondition) -> dict[str, Metric]:
        """How well the energy knows the error and the open future."""
        found = energy_metrics(values)
        if EXPECTED in values and ENERGY in values:
            found |= _rank("expected_rank", values[ENERGY], values[EXPECTED])
            found |= _rank("spread_rank", values[ENERGY], values[SPREAD])
            over = ratio(values[ENERGY], values[EXPECTED])
            if over is not None:
                found[OVER_EXPECTED] = metric(OVER_EXPECTED, over)
        return found

    def cost_call(
        self, predictor: Predictor, setting: Setting, condition: ThinkingCondition
    ) -> CostCall:
        """Prediction of one clip or image; the set changes no cost."""
        context = first_sample(self.data, self.device)
        return CostCall("predict", partial(predictor.predict, context, setting))

    def unit_flops(self, plain: Predictor) -> int:
        """FLOPs of one forward pass of the plain baseline over a sample: the unit of all models."""
        context, plain = first_sample(self.data, self.device), plain.to(self.device)
        return count_flops(lambda: plain.predict(context, plain.trained_setting()))

    def identity(self, condition: ThinkingCondition) -> str:
        """What is judged on a set: the same samples of the same corpus, the same name."""
        return digest(
            self.data.fingerprint, condition.samples, self.data.sets[condition.samples].sources
        )

    def cases(self, name: str) -> Iterator[Case]:
        """The batches of a set, one after the other."""
        return self.data.sets[name].cases(self.config.batch_size, self.device)

    def psnr(self, candidates: Tensor, case: Case) -> Tensor:
        """PSNR in dB `[B, T]` of the judged ones among candidates `[B, T, P, D]`."""
        scored = self.data.scored
        frames = self.data.decode(candidates[:, scored])
        return frame_psnr(frames, case.truth[:, scored])

    def _scores(self, trajectory: Trajectory, case: Case) -> dict[str, Tensor]:
        """Every metric of the predictions, one value `[B]` a sample."""
        prediction, target, judged = trajectory.prediction, case.target, self.data.scored
        scores = embedding_errors(prediction, target) | energy_scores(trajectory, target)
        scores[ERROR] = half_squared_error(prediction, target)
        if case.future is not None:
            scores[EXPECTED] = case.future.expected_error(prediction).sum(-1)
            scores[SPREAD] = case.future.spread.sum(-1)
        scored = {name: value[:, judged].mean(1) for name, value in scores.items()}
        quality = frame_quality(self.data.decode(prediction[:, judged]), case.truth[:, judged])
        if trajectory.energies is not None:
            energies = trajectory.energies[:, :, judged]  # [M + 1, B, T]
            scored[ENERGIES] = energies.mean(2).T
            if energies.shape[2] >= LEAST_RANKED:
                scored[FRAME_RANK] = rank_correlations(energies[-1], scores[ERROR][:, judged])
        return scored | {name: value.mean(1) for name, value in quality.items()}


def compare_all(scores: dict[str, ThinkingScores], judge: ThinkingJudge) -> list[Comparison]:
    """PSNR of the first model against each other, on every set."""
    found = []
    for condition in judge.conditions:
        if condition == SELECTING:
            continue
        chosen = [(name, scored.selected(condition)) for name, scored in scores.items()]
        pairs = [(chosen[0], other) for other in chosen[1:]]
        found += compare(scores, pairs, condition)
    return found


def _rank(name: str, a: np.ndarray, b: np.ndarray) -> dict[str, Metric]:
    found = rank_correlation(a, b)
    return {} if found is None else {name: metric(name, found)}
