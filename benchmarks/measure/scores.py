"""From values per video or image to what a result says: means, intervals, the chosen setting."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import safetensors.numpy
from torch import Tensor

from benchmarks.measure.intervals import LEVEL, Interval, difference, holm, mean
from benchmarks.measure.metrics import higher_is_better
from benchmarks.reporting.quality import PIXELS, Quality
from benchmarks.reporting.results import Comparison, Metric, SettingRecord
from data_prep.shards.storage import atomic_file
from worldmodel.predictor import Setting

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Values = dict[str, np.ndarray]  # metric name to [seeds, sources]
# Where models are judged, such as a split and a protocol, or an image set and a corruption.
Condition = TypeVar("Condition", bound="DataclassInstance")


@dataclass
class Scores(Generic[Condition]):
    """Values of one model by setting and condition, its settings cheapest first.

    `selecting` gives the condition whose values of `quality` select the setting for another one.
    """

    settings: list[Setting]
    selecting: Callable[[Condition], Condition]
    quality: Quality = PIXELS
    values: dict[tuple[int, Condition], Values] = field(default_factory=dict)

    def selected(self, condition: Condition) -> int:
        """Index of the cheapest setting that is as good as the best where settings are selected.

        Fixed settings are never selected.
        """
        where = self.selecting(condition)
        tried = [
            index
            for index, setting in enumerate(self.settings)
            if (index, where) in self.values and not setting.fixed
        ]
        if not tried:
            return 0
        name = self.quality.metric
        found = [float(self.values[index, where][name].mean()) for index in tried]
        orders = [self.settings[index].order for index in tried]
        return tried[self.quality.cheapest_near_best(found, orders)]


def write_values(
    out: Path,
    name: str,
    scores: Mapping[str, Scores[Condition]],
    places: Iterable[tuple[str, Condition]],
    metrics: Sequence[str],
) -> str:
    """Write metrics per source `[seeds, sources]` at selected settings; gives the file's name.

    In the file they are named `{place}/{model}/{metric}`; a model without a metric is left out.
    """
    found: Values = {}
    for place, condition in places:
        for model, of_model in scores.items():
            values = of_model.values.get((of_model.selected(condition), condition), {})
            found |= {f"{place}/{model}/{m}": values[m] for m in metrics if m in values}
    with atomic_file(out / f"{name}.safetensors") as file:
        file.write(safetensors.numpy.save(found))
    return f"{name}.safetensors"


def describe_places(
    places: Iterable[tuple[str, Condition]], identity: Callable[[Condition], str]
) -> dict[str, dict[str, Any]]:
    """The conditions of a file of values, and what is judged there, for the result."""
    return {
        place: {"condition": asdict(condition), "identity": identity(condition)}
        for place, condition in places
    }


def mean_by_source(values: Tensor, sources: list[str]) -> np.ndarray:
    """Mean over the clips of each source `[sources]`: sources are the independent samples."""
    _, inverse = np.unique(sources, return_inverse=True)
    return np.bincount(inverse, values.double().cpu().numpy()) / np.bincount(inverse)


def means(values: Values) -> dict[str, Metric]:
    """Each metric's mean with its interval and good direction."""
    return {name: metric(mean(value), higher_is_better(name)) for name, value in values.items()}


def metric(interval: Interval, higher_is_better: bool | None) -> Metric:
    """An interval as it stands in a result."""
    return Metric(interval.mean, interval.low, interval.high, interval.n, higher_is_better)


def recorded(setting: Setting) -> SettingRecord:
    """A setting as it stands in a result."""
    return SettingRecord(setting.label, setting.order, setting.fixed, asdict(setting))


def compare(
    scores: dict[str, Scores[Condition]],
    pairs: Iterable[tuple[tuple[str, int], tuple[str, int]]],
    condition: Condition,
) -> list[Comparison]:
    """Paired differences in quality of (model, index of a setting) pairs under a condition.

    They are one family: Holm's correction of their p-values decides which model is better.
    """
    return corrected([_comparison(scores, a, b, condition) for a, b in pairs])


def thinking_pair(
    scores: dict[str, Scores[Condition]], name: str, condition: Condition
) -> list[tuple[tuple[str, int], tuple[str, int]]]:
    """The selected setting of a model beside its first, if both were judged and differ."""
    scored = scores[name]
    selected = scored.selected(condition)
    judged = [index for index, where in scored.values if where == condition]
    first = min(judged, default=selected)
    return [((name, selected), (name, first))] if selected in judged and selected != first else []


def corrected(comparisons: list[Comparison]) -> list[Comparison]:
    """All comparisons under one condition as a family: p-values after Holm, and who is better."""
    found = []
    p_values = holm([comparison.p for comparison in comparisons])
    for comparison, p in zip(comparisons, p_values, strict=True):
        higher = bool(higher_is_better(comparison.metric))
        winner = comparison.a if (comparison.difference > 0) == higher else comparison.b
        found.append(replace(comparison, p=p, better=winner if p < 1 - LEVEL else None))
    return found


def _comparison(
    scores: dict[str, Scores[Condition]],
    a: tuple[str, int],
    b: tuple[str, int],
    condition: Condition,
) -> Comparison:
    quality = scores[a[0]].quality.metric
    a_values, b_values = (scores[name].values[index, condition][quality] for name, index in (a, b))
    both = min(a_values.shape[1], b_values.shape[1])  # a smaller set is the first of the larger
    a_values, b_values = a_values[:, :both], b_values[:, :both]
    interval = difference(a_values, b_values)
    return Comparison(
        a=a[0],
        b=b[0],
        a_setting=recorded(scores[a[0]].settings[a[1]]),
        b_setting=recorded(scores[b[0]].settings[b[1]]),
        condition=asdict(condition),
        metric=quality,
        difference=interval.mean,
        low=interval.low,
        high=interval.high,
        n=interval.n,
        p=interval.p,
        better=None,
    )
