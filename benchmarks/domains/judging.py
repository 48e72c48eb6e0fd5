"""Judge every model by the same loop, in any domain and task: scores, rows and costs."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic

import numpy as np

from benchmarks.config import JSON, EvaluationConfig
from benchmarks.measure.costs import measure_cost
from benchmarks.measure.scores import (
    Condition,
    Scores,
    Values,
    means,
    recorded,
    series,
)
from benchmarks.measure.verdicts import mark_best
from benchmarks.models import Role
from benchmarks.progress import tracked
from benchmarks.record.costs import NOT_COUNTED, Cost
from benchmarks.record.results import (
    TRAINED_BEFORE,
    TRAINED_ELSEWHERE,
    Comparison,
    Metric,
    Model,
    Row,
)
from benchmarks.record.selection_metric import PIXELS, Quality
from benchmarks.training.fit import TrainedModel
from benchmarks.training.pretrained import Checkpoint, WeightsOfOthers
from worldmodel.predictor import Predictor, Setting

KNOWS_FUTURE = "knows what may follow"  # what is special about a reference


@dataclass(frozen=True)
class CostCall:
    """A prediction at batch 1; calls with the same key cost the same, for the same model.

    `times` is the number of such calls that the prediction is made of, or as large as which it is
    where it is one call `at_once`.
    """

    key: Hashable
    call: Callable[[], object]
    times: int = 1
    at_once: bool = False


class Judge(ABC, Generic[Condition]):
    """How a task judges a model: under which conditions, and by which metrics.

    Args:
        conditions: all conditions; those that select settings come first.
        quality: metric that selects settings and decides comparisons.
    """

    conditions: Sequence[Condition]
    quality: Quality = PIXELS

    @abstractmethod
    def selecting(self, condition: Condition) -> Condition:
        """The condition whose quality selects the setting for `condition`."""

    @abstractmethod
    def wanted(self, predictor: Predictor, setting: Setting, condition: Condition) -> bool:
        """Whether a setting is judged under a condition though it may not be the selected one."""

    def shows(self, predictor: Predictor, condition: Condition) -> bool:
        """Whether the model is judged under the condition at all."""
        return True

    @abstractmethod
    def values(
        self, predictor: Predictor, settings: Sequence[Setting], condition: Condition
    ) -> list[dict[str, np.ndarray]]:
        """Every metric per source `[sources]`, for each setting."""

    @abstractmethod
    def metrics(self, values: Values, condition: Condition) -> dict[str, Metric]:
        """Metrics that are no means of values, with intervals."""

    @abstractmethod
    def cost_call(self, predictor: Predictor, setting: Setting, condition: Condition) -> CostCall:
        """The prediction whose cost is that of the setting under the condition."""


class ComparingJudge(Judge[Condition]):
    """How a domain compares its models, and what a result keeps of it.

    Args:
        tested: conditions on test, by the names of their places in the files of values.
        main: place that sums a model up.
        selects: condition at whose setting models run to which others are made equal.
        contrasted: conditions under which the declared contrasts get verdicts.
        with_energies: conditions whose energies and errors the figures need, by place.
        skipped: what cannot be measured here, and why.
    """

    tested: dict[str, Condition]
    main: str
    selects: Condition
    contrasted: Sequence[Condition]
    with_energies: dict[str, Condition]
    skipped: Sequence[str] = ()

    @property
    def places(self) -> dict[str, Condition]:
        """The names of all conditions in the files of values: those of test, then validation."""
        untested = [c for c in self.conditions if c not in self.tested.values()]
        return self.tested | {self.place(condition): condition for condition in untested}

    @abstractmethod
    def place(self, condition: Condition) -> str:
        """The name of a condition on validation in the files of values."""

    @abstractmethod
    def identity(self, condition: Condition) -> str:
        """What is judged under a condition: the same name only for the same data."""

    @abstractmethod
    def unit_flops(self, plain: Predictor) -> int:
        """FLOPs of one forward pass of the plain baseline: the unit of all models."""

    @abstractmethod
    def describe(self) -> JSON:
        """What is judged and how, for the data of the result."""

    @abstractmethod
    def comparisons(self, scores: dict[str, Scores[Condition]]) -> list[Comparison]:
        """Paired differences on test."""

    @abstractmethod
    def write_pictures(
        self, out: Path, models: Mapping[str, tuple[Predictor, Scores[Condition]]]
    ) -> str | None:
        """Write what the figures show; gives the file's name."""

    def traits(self, predictor: Predictor) -> list[str]:
        """What is special about a model."""
        return []

    def references(self) -> Mapping[Condition, Mapping[str, Predictor]]:
        """What could be predicted with knowledge that no model has, by condition and name."""
        return {}


@dataclass(frozen=True)
class Judged(Generic[Condition]):
    """What an evaluation found: the models of the result, and their scores by name."""

    models: list[Model]
    scores: dict[str, Scores[Condition]]


def judge_models(
    models: Sequence[TrainedModel],
    judge: Judge[Condition],
    config: EvaluationConfig,
    unit_flops: int,
    device: str,
    traits: Callable[[Predictor], list[str]],
) -> Judged[Condition]:
    """Scores and costs of all models; `traits` says what is special about one.

    `unit_flops` are the FLOPs of one forward pass of the run's plain baseline.
    """
    scores: dict[str, Scores[Condition]] = {}
    for model in tracked(models, "evaluation"):
        with model.running(config.compile):
            scores[model.name] = score(model.predictors, judge, config.counts)
    found = []
    costs: dict[Hashable, Cost] = {}
    for model in tracked(models, "costs"):
        with model.running(config.compile):
            rows = _rows(model, scores[model.name], judge, config, unit_flops, device, costs)
        predictor = model.predictors[0]
        spec = model.planned.spec
        before = {Checkpoint: [TRAINED_BEFORE], WeightsOfOthers: [TRAINED_ELSEWHERE]}
        found.append(
            Model(
                model.name,
                spec.role,
                model.parameters,
                model.training,
                rows,
                [*traits(predictor), *before.get(type(spec.build), [])],
                [str(shared) for shared in spec.equal],
                model.parameters_in_blocks,
            )
        )
    for condition in judge.conditions:
        mark_best(found, scores, condition)
    return Judged(found, scores)


def judge_references(judge: ComparingJudge[Condition]) -> Judged[Condition]:
    """What the best of all predictions would reach, as floors beside the models."""
    found = Judged[Condition]([], {})
    for condition, references in judge.references().items():
        for name, predictor in references.items():
            scores = score([predictor], judge, [], [condition])
            ((index, _), values), *_ = scores.values.items()
            row = Row(
                setting=recorded(scores.settings[index]),
                condition=asdict(condition),
                selected=True,
                trained=True,
                metrics=means(values) | judge.metrics(values, condition),
                cost=NOT_COUNTED,
                series=series(values),
            )
            found.models.append(Model(name, Role.FLOOR, 0, None, [row], [KNOWS_FUTURE]))
            found.scores[name] = scores
    return found


def selected_setting(
    predictors: Sequence[Predictor],
    judge: Judge[Condition],
    counts: Sequence[int],
    condition: Condition,
) -> Setting:
    """The setting that validation selects for a condition."""
    scores = score(predictors, judge, counts, [judge.selecting(condition)])
    return scores.settings[scores.selected(condition)]


def score(
    predictors: Sequence[Predictor],
    judge: Judge[Condition],
    counts: Sequence[int],
    conditions: Sequence[Condition] | None = None,
) -> Scores[Condition]:
    """Values of a model, a predictor per seed, under all conditions or the given ones.

    `counts` are the numbers of steps or passes at which it is judged.
    """
    settings = sorted(predictors[0].settings(counts), key=lambda setting: setting.order)
    scores = Scores(settings, judge.selecting, judge.quality)
    for condition in conditions or judge.conditions:
        if not judge.shows(predictors[0], condition):
            continue
        selects = judge.selecting(condition) == condition
        wanted = [
            index
            for index, setting in enumerate(settings)
            if judge.wanted(predictors[0], setting, condition)
            or (not selects and index == scores.selected(condition))
        ]
        chosen = [settings[index] for index in wanted]
        per_seed = [judge.values(predictor, chosen, condition) for predictor in predictors]
        for index, values in zip(wanted, zip(*per_seed, strict=True), strict=True):
            scores.values[index, condition] = {
                name: np.stack([seed[name] for seed in values]) for name in values[0]
            }
    return scores


def _rows(
    model: TrainedModel,
    scores: Scores[Condition],
    judge: Judge[Condition],
    config: EvaluationConfig,
    unit_flops: int,
    device: str,
    costs: dict[Hashable, Cost],
) -> list[Row]:
    """A row with intervals and costs for each setting and condition."""
    predictor, rows = model.predictors[0], []
    shares = {where: scores.selected_shares(where) for _, where in scores.values}
    for (index, condition), values in scores.values.items():
        setting = scores.settings[index]
        prediction = judge.cost_call(predictor, setting, condition)
        identity = (model.planned.cost_identity, setting, prediction.key)
        if identity not in costs:
            costs[identity] = measure_cost(
                prediction.call, predictor.backbone, unit_flops, config.latency_repeats, device
            )
        rows.append(
            Row(
                setting=recorded(setting),
                condition=asdict(condition),
                selected=index == scores.selected(condition),
                trained=setting == predictor.trained_setting(),
                metrics=means(values) | judge.metrics(values, condition),
                cost=costs[identity].times(prediction.times, prediction.at_once),
                selected_share=shares[condition].get(index),
                series=series(values),
            )
        )
    return rows
