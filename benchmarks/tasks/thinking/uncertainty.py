"""What else might know the error: the last update, the spread of candidates, an ensemble."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.domains.samples import Case
from benchmarks.measure.energies import (
    ENERGY,
    ERROR,
    PATCH_RANK,
    energy_metrics,
    rank_correlations,
)
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
from benchmarks.tasks.thinking.evaluation import ThinkingJudge
from benchmarks.tasks.thinking.result import Estimate
from worldmodel.predictor import Predictor

UPDATE, ENSEMBLE = "last update", "ensemble"
OWN = "energy"
SAMPLES = 8  # of a model that samples


# An estimate of the error of a prediction and the error itself, both `[B, T, P]`.
Pair = tuple[Tensor, Tensor]


def judge_doubts(
    judge: ThinkingJudge,
    predictors: Sequence[Predictor],
    contenders: Sequence[Contenders],
    name: str,
) -> list[Estimate]:
    """Every estimate of a model's error on a set; all predictors of a model make its ensemble."""
    sources = judge.data.sets[name].sources
    by_seed: dict[str, list[dict[str, np.ndarray]]] = {}
    for predictor, others in zip(predictors, contenders, strict=True):
        estimates = partial(_own_estimates, judge, predictor, others)
        for kind, values in _collect(judge, name, estimates).items():
            by_seed.setdefault(kind, []).append(_by_source(values, sources))
    if len(predictors) > 1:
        for kind, values in _collect(judge, name, partial(_ensemble_estimate, predictors)).items():
            by_seed[f"{kind} of {len(predictors)}"] = [_by_source(values, sources)]
    return [
        Estimate(kind, _metrics({key: np.stack([of[key] for of in seeds]) for key in seeds[0]}))
        for kind, seeds in by_seed.items()
    ]


def _collect(
    judge: ThinkingJudge, name: str, estimates: Callable[[Case], Iterable[tuple[str, Pair]]]
) -> dict[str, dict[str, Tensor]]:
    """Values `[samples]` by kind of estimate and name."""
    parts: dict[str, dict[str, list[Tensor]]] = {}
    for case in judge.cases(name):
        for kind, (doubt, error) in estimates(case):
            doubt, error = doubt[:, judge.data.scored], error[:, judge.data.scored]
            values = {ENERGY: doubt.sum(-1), ERROR: error.sum(-1)}
            if doubt.shape[-1] > 2:
                values[PATCH_RANK] = rank_correlations(doubt, error)
            for key, value in values.items():
                parts.setdefault(kind, {}).setdefault(key, []).append(value.mean(1))
    return {
        kind: {key: torch.cat(part) for key, part in values.items()}
        for kind, values in parts.items()
    }


def _own_estimates(
    judge: ThinkingJudge, predictor: Predictor, others: Contenders, case: Case
) -> Iterator[tuple[str, Pair]]:
    """What a single trained model that thinks, or samples, can say of its own prediction."""
    model = energy_model(predictor)
    if model is None:
        yield from _sampled_estimate(predictor, case)
        return
    found = model.predict(case.context, model.trained_setting(), energies=True)
    assert found.patch_energies is not None
    error = _half_square(found.prediction - case.target)
    yield OWN, (found.patch_energies[-1], error)
    yield UPDATE, (_half_square(found.prediction - found.candidates[-2]), error)
    for source in sources_of(model, others):
        if source in COUNTED:
            several = candidates(source, model, others, case, judge)
            yield f"spread by {source}", (_spread(several), error)


def _sampled_estimate(predictor: Predictor, case: Case) -> Iterator[tuple[str, Pair]]:
    """What the variance of samples says of the error of their mean."""
    fixed = (setting for setting in predictor.settings([]) if setting.fixed)
    setting = next(fixed, predictor.trained_setting())
    several = predictor.sample(case.context, setting, SAMPLES)
    count = several.shape[2]
    if count > 1:  # the mean of N samples misses by the variance and an N-th of it
        expected = (1 + 1 / count) * _spread(several)
        yield f"spread of {count} samples", (expected, _half_square(several.mean(2) - case.target))


def _ensemble_estimate(predictors: Sequence[Predictor], case: Case) -> Iterator[tuple[str, Pair]]:
    """How far the predictors disagree, as an estimate of the error of their mean."""
    members = [p.predict(case.context, p.trained_setting()).prediction for p in predictors]
    several = torch.stack(members, dim=2)  # [B, T, N, P, D]
    yield ENSEMBLE, (_spread(several), _half_square(several.mean(2) - case.target))


def _half_square(difference: Tensor) -> Tensor:
    """Half the squared length `[B, T, P]` of differences `[B, T, P, D]`."""
    return difference.square().sum(-1) / 2


def _spread(candidates: Tensor) -> Tensor:
    """Half the unbiased variance `[B, T, P]` of candidates `[B, T, N, P, D]`."""
    return candidates.var(dim=2).sum(-1) / 2


def _by_source(values: Mapping[str, Tensor], sources: list[str]) -> dict[str, np.ndarray]:
    return {key: mean_by_source(value, sources) for key, value in values.items()}


def _metrics(values: dict[str, np.ndarray]) -> dict[str, Metric]:
    ranks = {key: metric(key, mean(v)) for key, v in values.items() if key == PATCH_RANK}
    return energy_metrics(values) | ranks
