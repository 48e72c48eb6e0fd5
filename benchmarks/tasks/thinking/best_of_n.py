"""Verification: of many candidates of one prediction, what does choosing by energy bring?"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from benchmarks.domains.samples import Case
from benchmarks.measure.energies import ERROR, half_squared_error, rank_correlations
from benchmarks.measure.intervals import mean
from benchmarks.measure.scores import mean_by_source, metric
from benchmarks.record.results import Metric
from benchmarks.tasks.thinking.candidates import (
    COUNTED,
    Contenders,
    candidates,
    energy_model,
    sources_of,
)
from benchmarks.tasks.thinking.evaluation import LEAST_RANKED, ThinkingJudge
from benchmarks.tasks.thinking.result import Choice
from worldmodel.predictor import Predictor

CANDIDATE_RANK = "error_rank_candidates"
ENERGY, RANDOM, MEAN, BAYES, ORACLE = "energy", "random", "mean", "bayes", "oracle"
RULES = (ENERGY, RANDOM, MEAN, BAYES, ORACLE)


@dataclass
class _Collected:
    """Values by source, rule and number of candidates: of samples, and of sources by seed."""

    of_samples: dict[tuple[str, str, int], list[Tensor]] = field(default_factory=dict)
    by_source: dict[tuple[str, str, int], list[np.ndarray]] = field(default_factory=dict)

    def add(self, source: str, rule: str, count: int, values: Tensor) -> None:
        """Values `[B, T]` of a batch."""
        self.of_samples.setdefault((source, rule, count), []).append(values.mean(1))

    def close_seed(self, sources: list[str]) -> None:
        """All samples of one seed have been added; `sources` names the video or image of each."""
        for key, parts in self.of_samples.items():
            values = mean_by_source(torch.cat(parts), sources)
            self.by_source.setdefault(key, []).append(values)
        self.of_samples = {}


def judge_choices(
    judge: ThinkingJudge,
    predictors: Sequence[Predictor],
    contenders: Sequence[Contenders],
    name: str,
) -> list[Choice]:
    """Errors of every rule for each source and number of candidates, on a set; by seed.

    `energy` takes the lowest energy, `random` any one, `mean` the mean of the candidates, `bayes`
    the one nearest to the true conditional mean where that is known, and `oracle` the one nearest
    to the truth.
    """
    errors, ranks = _Collected(), _Collected()
    for predictor, others in zip(predictors, contenders, strict=True):
        model = energy_model(predictor)
        assert model is not None
        for case in judge.cases(name):
            for source in sources_of(model, others):
                found = candidates(source, model, others, case, judge)
                energies = model.verify(case.context, found).sum(-1)  # [B, T, N]
                _judge_candidates(judge, case, source, found, energies, errors, ranks)
        for collected in (errors, ranks):
            collected.close_seed(judge.data.sets[name].sources)
    return [
        Choice(
            source,
            rule,
            count,
            metric(ERROR, mean(np.stack(values))),
            _rank(ranks.by_source.get((source, rule, count))),
        )
        for (source, rule, count), values in errors.by_source.items()
    ]


def _judge_candidates(
    judge: ThinkingJudge,
    case: Case,
    source: str,
    found: Tensor,
    energies: Tensor,
    errors: _Collected,
    ranks: _Collected,
) -> None:
    """Add what every rule makes of candidates `[B, T, N, P, D]` with energies `[B, T, N]`."""
    scored, total = judge.data.scored, found.shape[2]
    counts = sorted(judge.config.candidates) if source in COUNTED else [total]
    found, energies, target = found[:, scored], energies[:, scored], case.target[:, scored]
    error = half_squared_error(found, target[:, :, None])  # [B, T, N]
    expected = None
    if case.future is not None:
        expected = half_squared_error(found, case.future.mean[:, scored, None])
    for count in counts:
        part = error[..., :count]
        chosen = {
            ENERGY: _at(part, energies[..., :count].argmin(2)),
            RANDOM: part.mean(2),
            MEAN: half_squared_error(found[:, :, :count].mean(2), target),
            ORACLE: part.amin(2),
        }
        if expected is not None:
            chosen[BAYES] = _at(part, expected[..., :count].argmin(2))
        for rule, values in chosen.items():
            errors.add(source, rule, count, values)
    if total >= LEAST_RANKED:
        ranks.add(source, ENERGY, total, rank_correlations(energies, error))


def _rank(values: list[np.ndarray] | None) -> Metric | None:
    return None if values is None else metric(CANDIDATE_RANK, mean(np.stack(values)))


def _at(values: Tensor, index: Tensor) -> Tensor:
    """Of values `[B, T, N]` those at an index `[B, T]`."""
    return values.gather(2, index[..., None])[..., 0]
