"""Stopping and choice as rows of a result, with what they cost."""

from dataclasses import asdict, replace
from typing import cast

from benchmarks.measure.costs import Cost
from benchmarks.reporting.results import Metric, Model, Row, SettingRecord
from benchmarks.tasks.thinking.choice import Choice, judge_choices
from benchmarks.tasks.thinking.conditions import VALIDATION, ThinkingCondition
from benchmarks.tasks.thinking.evaluation import ThinkingJudge
from benchmarks.tasks.thinking.foreign import judge_foreign
from benchmarks.tasks.thinking.stopping import (
    RULES,
    Stopping,
    choose_threshold,
    judge_stopping,
    trace,
)
from benchmarks.training.fit import TrainedModel
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Thinking

NOT_COUNTED = Cost(None, None, None, None, None, 0, None)


def with_dynamic_rows(model: Model, trained: TrainedModel, judge: ThinkingJudge) -> Model:
    """The model with rows for rules of stopping and choice and for foreign candidates, on all sets.

    Validation is left out; it only chooses thresholds.

    Only a model that thinks has any.
    """
    if not isinstance(trained.predictors[0], NextFrameEBT):
        return model
    predictors = [cast(NextFrameEBT, predictor) for predictor in trained.predictors]
    names = [name for name in judge.data.sets if name != VALIDATION]
    rows = list(model.rows)
    longest = Thinking(max(judge.config.counts))
    validation = [trace(judge, predictor, longest, VALIDATION) for predictor in predictors]
    chosen = {rule: choose_threshold(validation, rule, judge.config.thresholds) for rule in RULES}
    steps = predictors[0].config.training_steps
    for name in names:
        traces = [trace(judge, predictor, longest, name) for predictor in predictors]
        for rule, threshold in chosen.items():
            rows.append(_stopping_row(model, judge_stopping(traces, rule, threshold), name))
        for choice in judge_choices(judge, predictors, steps, name):
            rows.append(_choice_row(model, choice, steps, name))
        for verdict in judge_foreign(judge, predictors, name):
            setting = SettingRecord(verdict.kind, 0.0, True, {"foreign": verdict.kind})
            rows.append(_row(setting, verdict.metrics, NOT_COUNTED, name))
    return replace(model, rows=rows)


def _stopping_row(model: Model, found: Stopping, name: str) -> Row:
    options = {"stop": found.rule, "threshold": found.threshold}
    label = f"stops by {found.rule}"
    metrics = {"psnr": found.psnr, "mean_steps": found.steps, "gain": found.gain}
    if found.saved is not None:
        metrics["steps_saved"] = Metric(found.saved, found.saved, found.saved, found.psnr.n, True)
    cost = _cost_of_steps(model, found.steps.mean)
    return _row(SettingRecord(label, found.steps.mean, True, options), metrics, cost, name)


def _choice_row(model: Model, found: Choice, steps: int, name: str) -> Row:
    options = {"choice": found.rule, "candidates": found.candidates, "steps": steps}
    label = f"{found.rule} of {found.candidates}"
    setting = SettingRecord(label, steps * found.candidates, True, options)
    cost = _cost_of_steps(model, steps * found.candidates)
    return _row(setting, {"error": found.error}, cost, name)


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
