"""Verification of foreign candidates: does the energy prefer the truth to what others made?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.domains.samples import TRUTH, Case, Samples
from benchmarks.measure.energies import half_squared_error
from benchmarks.measure.intervals import auroc, mean, rank_correlation, ratio
from benchmarks.measure.scores import mean_by_source, metric
from benchmarks.record.results import Metric
from benchmarks.tasks.thinking.candidates import Contenders, energy_model
from benchmarks.tasks.thinking.evaluation import ThinkingJudge
from worldmodel.predictor import Predictor


@dataclass(frozen=True)
class Verdict:
    """What the energy says of one kind of candidates.

    `metrics` are the mean energy and error, energy over error, their rank correlation, the share of
    predictions in which the truth has the lower energy (`truth_preferred`) and how well the energy
    tells the truth of one sample from such a candidate of another (`auroc`); for the truth itself
    the share in which it has the lowest energy of all (`truth_first`).
    """

    kind: str
    metrics: dict[str, Metric]


def judge_foreign(
    judge: ThinkingJudge,
    predictors: Sequence[Predictor],
    contenders: Sequence[Contenders],
    name: str,
) -> list[Verdict]:
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
    return [Verdict(kind, _metrics(kind, stacked)) for of, kind in stacked if of == "energy"]


def _metrics(kind: str, values: dict[tuple[str, str], np.ndarray]) -> dict[str, Metric]:
    energy, error, preferred = (values[key, kind] for key in ("energy", "error", "better"))
    found = {"energy": metric(mean(energy), None), "error": metric(mean(error), False)}
    if kind == TRUTH:
        return found | {"truth_first": metric(mean(preferred), True)}
    found["truth_preferred"] = metric(mean(preferred), True)
    others = {
        "auroc": (auroc(values["energy", TRUTH], energy), True),
        "calibration": (ratio(energy, error), None),
        "error_rank": (rank_correlation(energy, error), True),
    }
    return found | {n: metric(v, good) for n, (v, good) in others.items() if v is not None}


def _candidates(contenders: Contenders, case: Case, data: Samples) -> dict[str, Tensor]:
    """Candidates `[B, T, P, D]` of every kind."""
    predictions = contenders.predictions(case).unbind(2)
    named = {
        f"prediction of {name}": prediction
        for name, prediction in zip(contenders.names, predictions, strict=True)
    }
    return {TRUTH: case.target, **named, **data.foreign(case)}
