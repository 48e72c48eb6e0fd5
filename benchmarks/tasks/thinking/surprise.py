"""Verification: does a model find what cannot happen more surprising than what can?"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from benchmarks.domains.samples import IN_DISTRIBUTION, Samples
from benchmarks.domains.trials import TRUE, Kind, Standing, Trials
from benchmarks.measure.costs import measure_cost
from benchmarks.measure.intervals import mean, share
from benchmarks.measure.scores import mean_by_source, metric
from benchmarks.measure.verification import Surprises, paired_scores
from benchmarks.progress import tracked
from benchmarks.record.costs import Cost
from benchmarks.record.results import Metric
from benchmarks.tasks.thinking.config import ThinkingEvaluationConfig
from benchmarks.tasks.thinking.result import KindScores, Verification
from benchmarks.training.fit import TrainedModel
from worldmodel.predictor import Predictor
from worldmodel.surprise import Surprise

PAIRED, AGAINST_ALTERNATIVE = "paired_score", "paired_score_alternative"
REPEATS = 5  # of the call that is timed
AUROC, FOUND = "impossible_auroc", "impossible_found"


@dataclass(frozen=True)
class _Judged:
    """Surprise `[seeds, trials, candidates]` of padded trials, and what each candidate is."""

    values: np.ndarray
    kinds: list[list[Kind | None]]
    sources: list[str]


def judge_surprises(
    trained: Sequence[TrainedModel],
    data: Samples,
    evaluation: ThinkingEvaluationConfig,
    unit_flops: int,
    device: str,
) -> list[Verification]:
    """Every measure of surprise of every model, in distribution.

    Nothing where the corpus has no continuations that are known to be impossible.
    """
    trials = list(data.trials(IN_DISTRIBUTION, evaluation.batch_size, device))
    if not trials:
        return []
    sources = data.sets[IN_DISTRIBUTION].sources
    found = []
    for model in tracked(trained, "surprise"):
        first = model.predictors[0].to(device)
        price = partial(cost_of, trials[0], first, unit_flops, device)
        predictors = [predictor.to(device) for predictor in model.predictors]
        found += judge_surprise(model.name, trials, sources, predictors, evaluation.counts, price)
    return found


def judge_surprise(
    name: str,
    trials: Sequence[Trials],
    sources: list[str],
    predictors: Sequence[Predictor],
    counts: Sequence[int],
    price: Callable[[Surprise], Cost],
) -> list[Verification]:
    """Every measure of surprise of a model, its training seeds together.

    `sources` name the video or image of each trial, and `price` says what a measure costs.
    """
    every = [predictor.surprises(counts) for predictor in predictors]
    kinds = [of_clip for batch in trials for of_clip in batch.kinds]
    found = []
    for of_seeds in zip(*every, strict=True):
        values = np.stack([_values(trials, surprise) for surprise in of_seeds])
        judged, first = _Judged(values, kinds, sources), of_seeds[0]
        by_kind = list(_by_kind(judged))
        overall = _overall(judged)
        found.append(Verification(name, first.name, first.setting, overall, by_kind, price(first)))
    return found


def _values(trials: Iterable[Trials], surprise: Surprise) -> np.ndarray:
    """Surprise `[trials, candidates]`, batches filled up to the most candidates."""
    with torch.no_grad():
        parts = [surprise.measure(batch.context, batch.candidates).cpu() for batch in trials]
    most = max(part.shape[1] for part in parts)
    full = [torch.nn.functional.pad(part, (0, most - part.shape[1])) for part in parts]
    return torch.cat(full).double().numpy()


def _overall(judged: _Judged) -> dict[str, Metric]:
    places = [
        (trial, number, kind.standing == Standing.IMPOSSIBLE)
        for trial, of_trial in enumerate(judged.kinds)
        for number, kind in enumerate(of_trial)
        if kind is not None and kind.standing != Standing.DEGRADED
    ]
    trial, number, impossible = (np.array(column) for column in zip(*places, strict=True))
    surprises = Surprises(
        judged.values[:, trial, number], impossible, [judged.sources[index] for index in trial]
    )
    return {
        AUROC: metric(AUROC, surprises.auroc()),
        FOUND: metric(FOUND, surprises.true_positives()),
    }


def _by_kind(judged: _Judged) -> Iterator[KindScores]:
    """Scores of each kind but the possible ones, strongest degree last."""
    kinds = {kind for of_trial in judged.kinds for kind in of_trial if kind is not None}
    for kind in sorted(kinds):
        if kind.standing == Standing.POSSIBLE:
            continue
        scores = {PAIRED: _paired(PAIRED, judged, kind, {TRUE})}
        alternatives = {other for other in kinds if other.standing == Standing.POSSIBLE} - {TRUE}
        if alternatives and kind.standing == Standing.IMPOSSIBLE:
            scores[AGAINST_ALTERNATIVE] = _paired(AGAINST_ALTERNATIVE, judged, kind, alternatives)
        metrics = {name: found for name, found in scores.items() if found is not None}
        yield KindScores(kind.name, kind.degree, kind.standing.value, metrics)


def _paired(name: str, judged: _Judged, kind: Kind, others: set[Kind]) -> Metric | None:
    """The mean share of pairs of a trial in which `kind` is more surprising than the others."""
    shares, sources = [], []
    for trial, of_trial in enumerate(judged.kinds):
        against = [number for number, other in enumerate(of_trial) if other in others]
        if kind not in of_trial or not against:
            continue
        values = judged.values[:, trial]  # [seeds, candidates]
        impossible = values[:, [of_trial.index(kind)]]
        shares.append(paired_scores(impossible, values[:, against]).mean(1))
        sources.append(judged.sources[trial])
    if not shares:
        return None
    by_seed = torch.from_numpy(np.stack(shares, axis=1))  # [seeds, trials]
    by_source = np.stack([mean_by_source(seed, sources) for seed in by_seed])
    return metric(name, share(mean(by_source)))


def cost_of(
    trials: Trials, predictor: Predictor, unit_flops: int, device: str, surprise: Surprise
) -> Cost:
    """What the surprise of one continuation costs, counted and timed on a real call."""
    context = next(trials.context.parts(len(trials.context.keys)))
    call = partial(surprise.measure, context, trials.candidates[:1, :1])
    return measure_cost(call, predictor.backbone, unit_flops, REPEATS, device)
