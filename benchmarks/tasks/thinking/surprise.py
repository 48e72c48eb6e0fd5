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
from worldmodel.surprise import DISTANCE, Surprise

PAIRED, AGAINST_ALTERNATIVE = "paired_score", "paired_score_alternative"
REPEATS = 5  # of the call that is timed
AUROC, FOUND, PAIRED_ALL = "impossible_auroc", "impossible_found", "impossible_paired"
OVER_REGRESSOR = "auroc_over_regressor"


@dataclass(frozen=True)
class Judged:
    """Surprise `[seeds, trials, candidates]` of padded trials, and what each candidate is."""

    values: np.ndarray
    kinds: list[list[Kind | None]]
    sources: list[str]

    def told_apart(self) -> Surprises:
        """The surprise of all possible and impossible continuations, degraded ones left out."""
        places = [
            (trial, number, kind.standing == Standing.IMPOSSIBLE)
            for trial, of_trial in enumerate(self.kinds)
            for number, kind in enumerate(of_trial)
            if kind is not None and kind.standing != Standing.DEGRADED
        ]
        trial, number, impossible = (np.array(column) for column in zip(*places, strict=True))
        sources = [self.sources[index] for index in trial]
        return Surprises(self.values[:, trial, number], impossible, sources)


def judge_surprises(
    trained: Sequence[TrainedModel],
    data: Samples,
    evaluation: ThinkingEvaluationConfig,
    unit_flops: int,
    device: str,
    plain: str,
) -> list[Verification]:
    """Every measure of surprise of every model, in distribution.

    `plain` names the regressor whose distance to its own prediction stands beside all. Nothing
    where the corpus has no continuations that are known to be impossible.
    """
    trials = list(data.trials(IN_DISTRIBUTION, evaluation.batch_size, device))
    if not trials:
        return []
    sources = data.sets[IN_DISTRIBUTION].sources
    regressor = next((model for model in trained if model.name == plain), None)
    reference = None
    if regressor is not None:
        distances = [_distance(predictor.to(device)) for predictor in regressor.predictors]
        reference = _judged(trials, sources, distances)
    found = []
    for model in tracked(trained, "surprise"):
        first = model.predictors[0].to(device)
        price = partial(cost_of, trials[0], first, unit_flops, device)
        predictors = [predictor.to(device) for predictor in model.predictors]
        found += judge_surprise(
            model.name, trials, sources, predictors, evaluation.counts, price, reference
        )
    return found


def judge_surprise(
    name: str,
    trials: Sequence[Trials],
    sources: list[str],
    predictors: Sequence[Predictor],
    counts: Sequence[int],
    price: Callable[[Surprise], Cost],
    reference: Judged | None = None,
) -> list[Verification]:
    """Every measure of surprise of a model, its training seeds together.

    `sources` name the video or image of each trial, and `price` says what a measure costs.
    `reference` is a surprise at the same trials to which the area is compared.
    """
    every = [predictor.surprises(counts) for predictor in predictors]
    found = []
    for of_seeds in zip(*every, strict=True):
        judged, first = _judged(trials, sources, of_seeds), of_seeds[0]
        scores = overall(judged)
        if reference is not None:
            over = judged.told_apart().auroc_over(reference.told_apart())
            scores[OVER_REGRESSOR] = metric(OVER_REGRESSOR, over)
        by_kind = list(_by_kind(judged))
        found.append(Verification(name, first.name, first.setting, scores, by_kind, price(first)))
    return found


def overall(judged: Judged) -> dict[str, Metric]:
    """How well all impossible continuations are told from possible ones, whatever their kind."""
    surprises = judged.told_apart()
    kinds = {kind for of_trial in judged.kinds for kind in of_trial if kind is not None}
    impossible = {kind for kind in kinds if kind.standing == Standing.IMPOSSIBLE}
    paired = _paired(PAIRED_ALL, judged, impossible, {TRUE})
    assert paired is not None
    return {
        AUROC: metric(AUROC, surprises.auroc()),
        FOUND: metric(FOUND, surprises.true_positives()),
        PAIRED_ALL: paired,
    }


def filled_up(parts: Iterable[torch.Tensor]) -> np.ndarray:
    """Surprise `[trials, candidates]` of batches, filled up to the most candidates."""
    known = [part.cpu() for part in parts]
    most = max(part.shape[1] for part in known)
    full = [torch.nn.functional.pad(part, (0, most - part.shape[1])) for part in known]
    return torch.cat(full).double().numpy()


def _distance(predictor: Predictor) -> Surprise:
    """The cheapest distance to a model's own prediction."""
    return next(one for one in predictor.surprises([]) if one.name == DISTANCE)


def _judged(trials: Sequence[Trials], sources: list[str], of_seeds: Sequence[Surprise]) -> Judged:
    kinds = [of_clip for batch in trials for of_clip in batch.kinds]
    with torch.no_grad():
        values = [
            filled_up(surprise.measure(batch.context, batch.candidates) for batch in trials)
            for surprise in of_seeds
        ]
    return Judged(np.stack(values), kinds, sources)


def _by_kind(judged: Judged) -> Iterator[KindScores]:
    """Scores of each kind but the possible ones, strongest degree last."""
    kinds = {kind for of_trial in judged.kinds for kind in of_trial if kind is not None}
    for kind in sorted(kinds):
        if kind.standing == Standing.POSSIBLE:
            continue
        scores = {PAIRED: _paired(PAIRED, judged, {kind}, {TRUE})}
        alternatives = {other for other in kinds if other.standing == Standing.POSSIBLE} - {TRUE}
        if alternatives and kind.standing == Standing.IMPOSSIBLE:
            scores[AGAINST_ALTERNATIVE] = _paired(AGAINST_ALTERNATIVE, judged, {kind}, alternatives)
        metrics = {name: found for name, found in scores.items() if found is not None}
        yield KindScores(kind.name, kind.degree, kind.standing.value, metrics)


def _paired(name: str, judged: Judged, kinds: set[Kind], others: set[Kind]) -> Metric | None:
    """The mean share of pairs of a trial in which one of `kinds` surprises more than another."""
    shares, sources = [], []
    for trial, of_trial in enumerate(judged.kinds):
        own = [number for number, kind in enumerate(of_trial) if kind in kinds]
        against = [number for number, kind in enumerate(of_trial) if kind in others]
        if not own or not against:
            continue
        values = judged.values[:, trial]  # [seeds, candidates]
        pairs = paired_scores(values[:, own, None], values[:, None, against])
        shares.append(pairs.mean((1, 2)))
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
