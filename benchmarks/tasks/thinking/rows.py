"""What thinking longer gains, and stopping, choice, doubts and foreign candidates on each set."""

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.domains.samples import VALIDATION
from benchmarks.measure.intervals import difference
from benchmarks.measure.scores import metric
from benchmarks.models import Role
from benchmarks.record.costs import Cost
from benchmarks.record.results import Metric, Model
from benchmarks.tasks.thinking.best_of_n import judge_choices
from benchmarks.tasks.thinking.candidates import MODELS, PATH, Contenders, energy_model
from benchmarks.tasks.thinking.evaluation import ThinkingJudge, ThinkingScores
from benchmarks.tasks.thinking.result import Choice, OnSet
from benchmarks.tasks.thinking.stopping import (
    RULES,
    Trace,
    choose_threshold,
    judge_stopping,
    trace,
)
from benchmarks.tasks.thinking.uncertainty import judge_doubts
from benchmarks.tasks.thinking.verification import judge_foreign
from benchmarks.training.fit import TrainedModel
from worldmodel.predictor import Predictor, Thinking


def with_gains(model: Model, scores: ThinkingScores) -> Model:
    """The model with what its most steps or passes gain over its fewest, on every set."""
    gains: dict[tuple[str, str], Metric] = {}
    for condition in {condition for _, condition in scores.values}:
        judged = [
            index
            for index, where in scores.values
            if where == condition and not scores.settings[index].fixed
        ]
        few, most = min(judged), max(judged)
        if few < most:
            longest, shortest = (scores.values[i, condition]["psnr"] for i in (most, few))
            key = (scores.settings[most].label, condition.samples)
            gains[key] = metric("gain_of_more", difference(longest, shortest))
    rows = []
    for row in model.rows:
        gain = gains.get((row.setting.label, row.condition["samples"]))
        more = {} if gain is None else {"gain_of_more": gain}
        rows.append(replace(row, metrics=row.metrics | more))
    return replace(model, rows=rows)


def judge_dynamics(
    model: Model, trained: TrainedModel, everyone: Sequence[TrainedModel], judge: ThinkingJudge
) -> list[OnSet]:
    """Rules of stopping and choice, doubts and foreign candidates, for each end of the shifts.

    Validation only chooses thresholds. Of a model that does not think there are doubts only: the
    disagreement of its training seeds.
    """
    if trained.planned.spec.role == Role.FLOOR:
        return []
    predictors = trained.predictors
    contenders = [Contenders.of(everyone, seed) for seed in range(len(predictors))]
    thinker = energy_model(predictors[0])
    rules = {} if thinker is None else _thresholds(predictors, judge)
    found = []
    for name in judge.data.ends:
        doubts = judge_doubts(judge, predictors, contenders, name)
        if thinker is None:
            found.append(OnSet(model.name, name, [], [], doubts, []))
            continue
        traces = [_trace(judge, predictor, name) for predictor in predictors]
        stopping = [judge_stopping(traces, *rule) for rule in rules.items()]
        choices = judge_choices(judge, predictors, contenders, name)
        steps = thinker.config.training_steps
        found.append(
            OnSet(
                model.name,
                name,
                [replace(one, cost=_cost_of_steps(model, one.steps.mean)) for one in stopping],
                [_with_cost(model, one, steps) for one in choices],
                doubts,
                judge_foreign(judge, predictors, contenders, name),
            )
        )
    return found


def _thresholds(predictors: Sequence[Predictor], judge: ThinkingJudge) -> dict[str, float]:
    """The threshold that validation chooses, by rule of stopping."""
    validation = [_trace(judge, predictor, VALIDATION) for predictor in predictors]
    return {rule: choose_threshold(validation, rule, judge.config.thresholds) for rule in RULES}


def _trace(judge: ThinkingJudge, predictor: Predictor, name: str) -> Trace:
    return trace(judge, predictor, Thinking(max(judge.config.counts)), name)


def _with_cost(model: Model, found: Choice, steps: int) -> Choice:
    """A choice with the steps that its candidates take, and their cost."""
    taken = steps if found.source == PATH else steps * found.candidates
    cost = None if found.source == MODELS else _cost_of_steps(model, taken)
    return replace(found, steps=taken, cost=cost)


def _cost_of_steps(model: Model, steps: float) -> Cost:
    """What a mean number of steps costs: that of the context once, and of each step.

    Both come from the counted costs of the model's fixed numbers of steps, on which it depends
    linearly. The time of such a prediction is not measured.
    """
    counted = {
        row.setting.options["steps"]: row.cost for row in model.rows if not row.setting.fixed
    }
    few, many = min(counted), max(counted)
    share = (steps - few) / (many - few) if many > few else 0.0

    def between(a: float | None, b: float | None) -> float:
        assert a is not None
        assert b is not None
        return a + share * (b - a)

    first, last = counted[few], counted[many]
    return Cost(
        forward_passes=round(between(first.forward_passes, last.forward_passes)),
        input_gradient_passes=round(
            between(first.input_gradient_passes, last.input_gradient_passes)
        ),
        forward_equivalents=between(first.forward_equivalents, last.forward_equivalents),
        flops=round(between(first.flops, last.flops)),
        latency_ms=None,
        latency_repeats=0,
        peak_memory_bytes=None,
    )
