"""The best of N samples: which surprise chooses possible futures, and at what cost?"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from baselines.flow_matching import FlowMatching
from baselines.flow_sampling import FIXED_PASSES, Sampled
from benchmarks.domains.samples import IN_DISTRIBUTION, Case, Samples, first_sample
from benchmarks.measure.costs import count_flops
from benchmarks.measure.intervals import mean
from benchmarks.measure.outcomes import Outcomes, at_outcomes
from benchmarks.measure.sampling import energy_score
from benchmarks.measure.scores import mean_by_source, metric
from benchmarks.models import Role
from benchmarks.progress import tracked
from benchmarks.tasks.thinking.attack import cheapest
from benchmarks.tasks.thinking.config import ThinkingEvaluationConfig
from benchmarks.tasks.thinking.result import SampledChoice
from benchmarks.training.fit import TrainedModel
from worldmodel.surprise import Surprise

SAMPLES, PASSES = 8, FIXED_PASSES
# What the best of 8 could buy instead: numbers of samples, and passes of each.
INSTEAD = (
    (1, PASSES),
    (1, SAMPLES * PASSES),
    (SAMPLES // 2, 2 * PASSES),
    (SAMPLES, PASSES),
    (2 * SAMPLES, PASSES // 2),
)
SURPRISE, ANY, ORACLE = "least surprise", "any one", "oracle"
AT, LOG_PROBABILITY, SCORE = "at_future", "log_probability", "energy_score_span"


@dataclass(frozen=True)
class Drawn:
    """Samples `[B, T, N, P, D]` of the next frames `truth [B, T, P, D]`, and what they are worth.

    `at_future` says which are at a listed future, `log_probability` is that of the listed future
    nearest to each and `distance` how far it is, all `[B, T, N]`.
    """

    samples: Tensor
    truth: Tensor
    outcomes: Outcomes
    at_future: Tensor
    log_probability: Tensor
    distance: Tensor

    @classmethod
    def of(cls, samples: Tensor, truth: Tensor, outcomes: Outcomes) -> "Drawn":
        """Samples beside all that may follow."""
        found = at_outcomes(samples, truth, outcomes)
        odds = outcomes.probabilities.gather(2, found.nearest)
        return cls(samples, truth, outcomes, found.at.float(), odds.log(), found.distance)

    def any_one(self) -> dict[str, Tensor]:
        """What any one of them is worth, and the score of all: one value `[B]` each."""
        return self._worth(self.at_future, self.log_probability, self.samples)

    def chosen_by(self, surprise: Tensor) -> dict[str, Tensor]:
        """What the least surprising is worth, and the score of the half that is.

        `surprise` is `[B, T, N]`; the values are `[B]`.
        """
        order = surprise.argsort(2)
        first, half = order[..., :1], order[..., : order.shape[2] // 2, None, None]
        at, odds = (of.gather(2, first) for of in (self.at_future, self.log_probability))
        return self._worth(at, odds, torch.take_along_dim(self.samples, half, dim=2))

    def _worth(self, at: Tensor, log_probability: Tensor, kept: Tensor) -> dict[str, Tensor]:
        found = {AT: at.mean((1, 2)), LOG_PROBABILITY: log_probability.mean((1, 2))}
        if kept.shape[2] > 1:
            several, truth = map(self.outcomes.projected, (kept, self.truth[:, :, None]))
            found[SCORE] = energy_score(several, truth[:, :, 0]).mean(1)
        return found


@dataclass(frozen=True)
class _Rule:
    """How one of some samples is chosen: by the surprise of a model, by any or by an oracle."""

    name: str
    samples: int
    passes: int
    verifier: str = ""
    measure: str = ""


def judge_sampled_choices(
    trained: Sequence[TrainedModel],
    data: Samples,
    evaluation: ThinkingEvaluationConfig,
    unit_flops: int,
    device: str,
) -> list[SampledChoice]:
    """The first flow's samples, chosen by every model's cheapest measures, in distribution.

    Nothing without a flow, or where it is not known what may follow.
    """
    sampler = next((m for m in trained if isinstance(m.predictors[0], FlowMatching)), None)
    judged = data.sets[IN_DISTRIBUTION]
    known = next(iter(judged.cases(1, device))).future is not None
    if sampler is None or not known:
        return []
    values: dict[_Rule, dict[str, list[np.ndarray]]] = {}
    for seed in tracked(range(len(sampler.predictors)), "choice of samples"):
        flow, verifiers = sampler.predictors[seed], dict(_verifiers(trained, seed, device))
        assert isinstance(flow, FlowMatching)
        parts: dict[_Rule, dict[str, list[Tensor]]] = {}
        for case in judged.cases(evaluation.batch_size, device):
            for rule, found in _of_case(flow.to(device), verifiers, case, data.scored):
                for name, value in found.items():
                    parts.setdefault(rule, {}).setdefault(name, []).append(value)
        for rule, of_rule in parts.items():
            for name, part in of_rule.items():
                by_source = mean_by_source(torch.cat(part), judged.sources)
                values.setdefault(rule, {}).setdefault(name, []).append(by_source)
    price = _prices(sampler, dict(_verifiers(trained, 0, device)), data, device)
    return [
        SampledChoice(
            sampler.name,
            rule.name,
            rule.verifier,
            rule.measure,
            rule.samples,
            rule.passes,
            {name: metric(name, mean(np.stack(seeds))) for name, seeds in found.items()},
            price(rule) / unit_flops,
        )
        for rule, found in values.items()
    ]


def _verifiers(
    trained: Sequence[TrainedModel], seed: int, device: str
) -> Iterator[tuple[_Rule, Surprise]]:
    """The cheapest measures of all models but floors, of the training seed of that number."""
    for model in trained:
        if model.planned.spec.role != Role.FLOOR:
            for surprise in cheapest(model.predictors[seed].to(device)):
                yield _Rule(SURPRISE, SAMPLES, PASSES, model.name, surprise.name), surprise


def _of_case(
    flow: FlowMatching, verifiers: dict[_Rule, Surprise], case: Case, scored: slice
) -> Iterator[tuple[_Rule, dict[str, Tensor]]]:
    """What every rule makes of samples of the next frames of a case, one value `[B]` each."""
    assert case.future is not None
    frames = range(case.target.shape[1])[scored]
    truth, outcomes = case.target[:, scored], case.future.listed().since(frames.start)

    def drawn(samples: int, passes: int) -> Drawn:
        found = flow.sample(case.context, Sampled(passes), samples)
        return Drawn.of(found[:, scored], truth, outcomes)

    made = {(samples, passes): drawn(samples, passes) for samples, passes in INSTEAD}
    for (samples, passes), one in made.items():
        yield _Rule(ANY, samples, passes), one.any_one()
    several = made[SAMPLES, PASSES]
    yield _Rule(ORACLE, SAMPLES, PASSES), several.chosen_by(several.distance)
    for rule, surprise in verifiers.items():
        with torch.no_grad():
            found = [
                surprise.measure(case.context.frames(0, frame + 1), several.samples[:, number])
                for number, frame in enumerate(frames)
            ]
        yield rule, several.chosen_by(torch.stack(found, dim=1))


def _prices(
    sampler: TrainedModel, verifiers: dict[_Rule, Surprise], data: Samples, device: str
) -> Callable[[_Rule], int]:
    """The FLOPs of drawing samples of one frame and judging them, counted on real calls."""
    context, flow = first_sample(data, device), sampler.predictors[0]

    @cache
    def drawing(samples: int, passes: int) -> int:
        # A rollout of one frame draws as many samples of it as their mean is of.
        setting = Sampled(passes, samples=samples)
        return count_flops(partial(flow.rollout, context, 1, setting))

    def price(rule: _Rule) -> int:
        flops = drawing(rule.samples, rule.passes)
        if rule in verifiers:
            candidates = context.embeddings[:, -1:].repeat(1, rule.samples, 1, 1)
            flops += count_flops(partial(verifiers[rule].measure, context, candidates))
        return flops

    return price
