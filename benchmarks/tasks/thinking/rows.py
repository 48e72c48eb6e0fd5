"""Stopping, choice, doubts and foreign candidates as rows of a result, with what they cost."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

from benchmarks.domains.samples import VALIDATION
from benchmarks.measure.intervals import difference
from benchmarks.measure.scores import metric
from benchmarks.models import Role
from benchmarks.record.costs import NOT_COUNTED, Cost
from benchmarks.record.results import Metric, Model, Row, SettingRecord
from benchmarks.tasks.thinking.best_of_n import Choice, judge_choices
from benchmarks.tasks.thinking.candidates import MODELS, PATH, Contenders, energy_model
from benchmarks.tasks.thinking.conditions import ThinkingCondition
from benchmarks.tasks.thinking.evaluation import ThinkingJudge, ThinkingScores
from benchmarks.tasks.thinking.stopping import (
    RULES,
    Stopping,
    choose_threshold,
    judge_stopping,
    trace,
)
from benchmarks.tasks.thinking.uncertainty import judge_doubts
from benchmarks.tasks.thinking.verification import judge_foreign
from benchmarks.training.fit import TrainedModel
from worldmodel.predictor import Thinking


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
            gains[key] = metric(difference(longest, shortest), True)
    rows = []
    for row in model.rows:
        gain = gains.get((row.setting.label, row.condition["samples"]))
        more = {} if gain is None else {"gain_of_more": gain}
        rows.append(replace(row, metrics=row.metrics | more))
    return replace(model, rows=rows)


def with_dynamic_rows(
    model: Model, trained: TrainedModel, everyone: Sequence[TrainedModel], judge: ThinkingJudge
) -> Model:
    """The model with rows for rules of stopping and choice, doubts and foreign candidates.

    They stand for the ends of the shifts; validation only chooses thresholds. A model that does
    not think has doubts only: the disagreement of its training seeds.
    """
    if trained.planned.spec.role == Role.FLOOR:
        return model
    seeds = range(len(trained.predictors))
    contenders = [Contenders.of(everyone, seed) for seed in seeds]
    rows = [*model.rows, *_doubt_rows(trained, contenders, judge)]
    if energy_model(trained.predictors[0]) is not None:
        rows += _stopping_rows(model, trained, judge)
        rows += _verifying_rows(model, trained, contenders, judge)
    return replace(model, rows=rows)


def _doubt_rows(
    trained: TrainedModel, contenders: Sequence[Contenders], judge: ThinkingJudge
) -> Iterator[Row]:
    for name in judge.data.ends:
        for doubt in judge_doubts(judge, trained.predictors, contenders, name):
            setting = SettingRecord(doubt.kind, 0.0, True, {"doubt": doubt.kind})
            yield _row(setting, doubt.metrics, NOT_COUNTED, name)


def _stopping_rows(model: Model, trained: TrainedModel, judge: ThinkingJudge) -> Iterator[Row]:
    longest = Thinking(max(judge.config.counts))
    predictors = trained.predictors
    validation = [trace(judge, predictor, longest, VALIDATION) for predictor in predictors]
    chosen = {rule: choose_threshold(validation, rule, judge.config.thresholds) for rule in RULES}
    for name in judge.data.ends:
        traces = [trace(judge, predictor, longest, name) for predictor in predictors]
        for rule, threshold in chosen.items():
            yield _stopping_row(model, judge_stopping(traces, rule, threshold), name)


def _verifying_rows(
    model: Model, trained: TrainedModel, contenders: Sequence[Contenders], judge: ThinkingJudge
) -> Iterator[Row]:
    thinker = energy_model(trained.predictors[0])
    assert thinker is not None
    steps = thinker.config.training_steps
    for name in judge.data.ends:
        for choice in judge_choices(judge, trained.predictors, contenders, name):
            yield _choice_row(model, choice, steps, name)
        for verdict in judge_foreign(judge, trained.predictors, contenders, name):
            setting = SettingRecord(verdict.kind, 0.0, True, {"foreign": verdict.kind})
            yield _row(setting, verdict.metrics, NOT_COUNTED, name)


def _stopping_row(model: Model, found: Stopping, name: str) -> Row:
    options = {"stop": found.rule, "threshold": found.threshold}
    label = f"stops by {found.rule}"
    metrics = {"psnr": found.psnr, "mean_steps": found.steps, "gain": found.gain}
    if found.saved is not None:
        metrics["steps_saved"] = Metric(found.saved, found.saved, found.saved, found.psnr.n, True)
    cost = _cost_of_steps(model, found.steps.mean)
    return _row(SettingRecord(label, found.steps.mean, True, options), metrics, cost, name)


def _choice_row(model: Model, found: Choice, steps: int, name: str) -> Row:
    options = {
        "choice": found.rule,
        "candidates": found.candidates,
        "steps": steps,
        "source": found.source,
    }
    label = f"{found.rule} of {found.candidates}, {found.source}"
    taken = steps if found.source == PATH else steps * found.candidates
    setting = SettingRecord(label, taken, True, options)
    cost = NOT_COUNTED if found.source == MODELS else _cost_of_steps(model, taken)
    metrics = {"error": found.error}
    if found.rank is not None:
        metrics["error_rank_candidates"] = found.rank
    return _row(setting, metrics, cost, name)


def _row(setting: SettingRecord, metrics: dict[str, Metric], cost: Cost, name: str) -> Row:
    return Row(setting, asdict(ThinkingCondition(name)), False, False, metrics, cost)


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
