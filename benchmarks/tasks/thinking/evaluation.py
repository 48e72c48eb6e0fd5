"""How thinking is judged: every number of steps, in distribution and on faster balls."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure.costs import count_flops
from benchmarks.measure.energies import (
    ENERGY,
    ERROR,
    energy_metrics,
    energy_scores,
    half_squared_error,
)
from benchmarks.measure.evaluation import CostCall, Judge
from benchmarks.measure.intervals import rank_correlation, ratio
from benchmarks.measure.metrics import embedding_errors, frame_quality
from benchmarks.measure.scores import Scores, Values, compare, mean_by_source, metric, thinking_pair
from benchmarks.reporting.results import Comparison, Metric
from benchmarks.tasks.next_frame.evaluation import FIRST_TARGET
from benchmarks.tasks.thinking.conditions import IN_DISTRIBUTION, VALIDATION, ThinkingCondition
from benchmarks.tasks.thinking.config import ThinkingEvaluationConfig
from benchmarks.tasks.thinking.data import Future, Judged, ThinkingData
from worldmodel.data import ordered_batches
from worldmodel.predictor import Clips, Predictor, Setting, Trajectory

ThinkingScores = Scores[ThinkingCondition]
SELECTING, TESTED = ThinkingCondition(VALIDATION), ThinkingCondition(IN_DISTRIBUTION)
# Names of metrics that need a known future.
EXPECTED, SPREAD = "expected_error", "true_spread"
UPDATE = "last_update"
# Predictions from the first position on that all models can make.
SCORED = slice(FIRST_TARGET - 1, None)


class ThinkingJudge(Judge[ThinkingCondition]):
    """Judges predictors, teacher-forced, on every set of a thinking run."""

    def __init__(self, config: ThinkingEvaluationConfig, data: ThinkingData, device: str):
        self.config, self.data, self.device = config, data, device
        self.conditions = [ThinkingCondition(name) for name in data.sets]

    def selecting(self, condition: ThinkingCondition) -> ThinkingCondition:
        """Validation, whose balls are as fast as those of training."""
        return SELECTING

    def wanted(self, predictor: Predictor, setting: Setting, condition: ThinkingCondition) -> bool:
        """Every setting everywhere."""
        return True

    def values(
        self, predictor: Predictor, settings: Sequence[Setting], condition: ThinkingCondition
    ) -> list[dict[str, np.ndarray]]:
        """Every metric per video `[videos]`, for each setting."""
        judged = self.data.sets[condition.clips]
        parts: list[list[dict[str, Tensor]]] = [[] for _ in settings]
        for batch, truth, future in self.batches(judged):
            trajectories = predictor.predict_all(batch.frames(0, -1), settings, energies=True)
            for part, trajectory in zip(parts, trajectories, strict=True):
                part.append(self._scores(trajectory, batch, truth, future))
        return [
            {
                name: mean_by_source(torch.cat([scores[name] for scores in part]), judged.sources)
                for name in part[0]
            }
            for part in parts
        ]

    def metrics(self, values: Values, condition: ThinkingCondition) -> dict[str, Metric]:
        """How well the energy, and what else might, knows the error and the open future."""
        found = energy_metrics(values)
        if UPDATE in values:
            found |= _rank("update_rank", values[UPDATE], values[ERROR])
        if EXPECTED in values and ENERGY in values:
            found |= _rank("expected_rank", values[ENERGY], values[EXPECTED])
            found |= _rank("spread_rank", values[ENERGY], values[SPREAD])
            honest = ratio(values[ENERGY], values[EXPECTED])
            if honest is not None:
                found["calibration_to_expected"] = metric(honest, None)
        return found

    def cost_call(
        self, predictor: Predictor, setting: Setting, condition: ThinkingCondition
    ) -> CostCall:
        """Prediction of all frames of a clip; the set changes no cost."""
        return CostCall("predict", partial(predictor.predict, self._single_clip(), setting))

    def unit_flops(self, plain: Predictor) -> int:
        """FLOPs of one forward pass of the plain baseline over a clip: the unit of all models."""
        context, plain = self._single_clip(), plain.to(self.device)
        return count_flops(lambda: plain.predict(context, plain.trained_setting()))

    def batches(self, judged: Judged) -> list[tuple[Clips, Tensor, Future | None]]:
        """Batches of a set: clips, true frames `[B, T, 3, height, width]` and future."""
        found, start = [], 0
        for batch in ordered_batches(judged.clips, self.config.batch_size):
            chosen = slice(start, start + len(batch.keys))
            future = judged.future
            if future is not None:
                future = Future(
                    future.mean[chosen].to(self.device), future.spread[chosen].to(self.device)
                )
            truth = judged.frames[chosen].to(self.device)
            found.append((batch.to(self.device), truth, future))
            start = chosen.stop
        return found

    def psnr(self, candidates: Tensor, truth: Tensor) -> Tensor:
        """PSNR in dB `[B, T]` of scored candidates `[B, T, P, D]`."""
        return frame_quality(self.data.corpus.decode(candidates), truth)["psnr"]

    def _scores(
        self, trajectory: Trajectory, batch: Clips, truth: Tensor, future: Future | None
    ) -> dict[str, Tensor]:
        """Every metric of the predictions, one value `[B]` a clip."""
        prediction, target = trajectory.prediction, batch.embeddings[:, 1:]
        scores = embedding_errors(prediction, target) | energy_scores(trajectory, target)
        scores[ERROR] = half_squared_error(prediction, target)
        if len(trajectory.candidates) > 1:
            before = trajectory.candidates[-2]
            scores[UPDATE] = half_squared_error(prediction, before)
        if future is not None:
            scores[EXPECTED] = future.expected_error(prediction).sum(-1)
            scores[SPREAD] = future.spread.sum(-1)
        scored = {name: value[:, SCORED].mean(1) for name, value in scores.items()}
        quality = frame_quality(
            self.data.corpus.decode(prediction[:, SCORED]), truth[:, FIRST_TARGET:]
        )
        if trajectory.energies is not None:
            for step, energy in enumerate(trajectory.energies):
                scored[f"energy_{step}"] = energy[:, SCORED].mean(1)
        return scored | {name: value.mean(1) for name, value in quality.items()}

    def _single_clip(self) -> Clips:
        key, embeddings = self.data.sets[IN_DISTRIBUTION].clips[0]
        return Clips(embeddings[None].to(self.device), [key]).frames(0, -1)


def compare_all(scores: dict[str, ThinkingScores], judge: ThinkingJudge) -> list[Comparison]:
    """PSNR of the first model against each other, and against its own first step, on every set."""
    found, first = [], next(iter(scores))
    for condition in judge.conditions:
        if condition == SELECTING:
            continue
        chosen = [(name, scored.selected(condition)) for name, scored in scores.items()]
        pairs = [(chosen[0], other) for other in chosen[1:]]
        found += compare(scores, pairs + thinking_pair(scores, first, condition), condition)
    return found


def _rank(name: str, a: np.ndarray, b: np.ndarray) -> dict[str, Metric]:
    found = rank_correlation(a, b)
    return {} if found is None else {name: metric(found, True)}
