"""Verification of foreign candidates: does the energy prefer the truth to what others made?"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.domains.samples import Case, Samples
from benchmarks.domains.trials import TRUTH
from benchmarks.measure.energies import ENERGY, ERROR, half_squared_error
from benchmarks.measure.intervals import auroc, mean, rank_correlation, ratio
from benchmarks.measure.scores import mean_by_source, metric
from benchmarks.record.metrics import OVER_ERROR, RANK
from benchmarks.record.results import Metric
from benchmarks.tasks.thinking.candidates import Contenders, energy_model
from benchmarks.tasks.thinking.evaluation import ThinkingJudge
from benchmarks.tasks.thinking.result import Verified
from worldmodel.predictor import Predictor


def judge_foreign(
    judge: ThinkingJudge,
    predictors: Sequence[Predictor],
    contenders: Sequence[Contenders],
    name: str,
) -> list[Verified]:
    """The energy on the truth, on all models' predictions and on other candidates of a set."""
    scored, sources = judge.data.scored, judge.data.sets[name].sources
    values: dict[tuple[str, str], list[np.ndarray]] = {}
    for predictor, others in zip(predictors, contenders, strict=True):
        model = energy_model(predictor)
        assert model is not None
        parts: dict[tuple[str, str], list[Tensor]] = {}
        for case in judge.cases(name):
            found = _candidates(others, case, judge.data)
            kinds, several = list(found), torch.stack(list(found.values()), dim=2)
            energies = model.verify(case.context, several).sum(-1)[:, scored]  # [B, T, N]
            lowest, of_truth = energies.amin(2), energies[..., kinds.index(TRUTH)]
            for index, kind in enumerate(kinds):
                energy = energies[..., index]
                error = half_squared_error(found[kind][:, scored], case.target[:, scored])
                better = of_truth < energy if kind != TRUTH else energy <= lowest
                for key, value in (("energy", energy), ("error", error), ("better", better)):
                    parts.setdefault((key, kind), []).append(value.float().mean(1))
        for pair, part in parts.items():
            values.setdefault(pair, []).append(mean_by_source(torch.cat(part), sources))
    stacked = {pair: np.stack(of_seeds) for pair, of_seeds in values.items()}
    return [Verified(kind, _metrics(kind, stacked)) for of, kind in stacked if of == "energy"]


def _metrics(kind: str, values: dict[tuple[str, str], np.ndarray]) -> dict[str, Metric]:
    energy, error, preferred = (values[key, kind] for key in ("energy", "error", "better"))
    found = {ENERGY: mean(energy), ERROR: mean(error)}
    if kind == TRUTH:
        found["truth_first"] = mean(preferred)
    else:
        others = {
            "truth_preferred": mean(preferred),
            "auroc": auroc(values["energy", TRUTH], energy),
            OVER_ERROR: ratio(energy, error),
            RANK: rank_correlation(energy, error),
        }
        found |= {name: value for name, value in others.items() if value is not None}
    return {name: metric(name, value) for name, value in found.items()}


def _candidates(contenders: Contenders, case: Case, data: Samples) -> dict[str, Tensor]:
    """Candidates `[B, T, P, D]` of every kind."""
    predictions = contenders.predictions(case).unbind(2)
    named = {
        f"prediction of {name}": prediction
        for name, prediction in zip(contenders.names, predictions, strict=True)
    }
    return {TRUTH: case.target, **named, **data.foreign(case)}
