"""From values per video or image to what a result says: means, intervals, the chosen setting."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import safetensors.numpy
from torch import Tensor

from benchmarks.config import JSON
from benchmarks.measure.intervals import Interval, mean
from benchmarks.record.metrics import ENERGIES, declared
from benchmarks.record.results import Metric, SettingRecord
from benchmarks.record.selection_metric import PIXELS, Quality
from data_prep.shards.storage import atomic_file
from worldmodel.predictor import Setting

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

RESAMPLES = 1000  # of the validation sources, to say how sure a selection is
Values = dict[str, np.ndarray]  # metric name to [seeds, sources], of series [seeds, sources, K]
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
        tried, values = self._tried(condition)
        if not tried:
            return 0
        return tried[int(self.quality.cheapest_near_best(values.mean(axis=(1, 2))))]

    def selected_shares(self, condition: Condition) -> dict[int, float]:
        """How often each setting would be selected, by its index, over resamples of the sources.

        Empty where there is nothing to choose from.
        """
        tried, values = self._tried(condition)
        if len(tried) < 2:
            return {}
        by_source = values.mean(axis=1)  # [settings, sources]
        sources = by_source.shape[1]
        drawn = np.random.default_rng(0).integers(0, sources, (RESAMPLES, sources))
        chosen = self.quality.cheapest_near_best(by_source[:, drawn].mean(-1).T)
        counts = np.bincount(chosen, minlength=len(tried)) / RESAMPLES
        return {index: float(share) for index, share in zip(tried, counts, strict=True)}

    def _tried(self, condition: Condition) -> tuple[list[int], np.ndarray]:
        """The settings that can be selected, cheapest first, and their quality where they are.

        The values are `[settings, seeds, sources]`.
        """
        where = self.selecting(condition)
        tried = [
            index
            for index, setting in enumerate(self.settings)
            if (index, where) in self.values and not setting.fixed
        ]
        tried.sort(key=lambda index: self.settings[index].order)
        values = [self.values[index, where][self.quality.metric] for index in tried]
        return tried, np.stack(values) if values else np.empty((0, 0, 0))


def write_selected_values(
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
    return write_arrays(out, name, found)


def write_values(
    out: Path,
    scores: Mapping[str, Scores[Condition]],
    places: Iterable[tuple[str, Condition]],
) -> str:
    """Write every metric per source `[seeds, sources]` at every setting; gives the file's name.

    In the file they are named `{place}/{model}/{setting}/{metric}`. Energies along the steps are
    left out.
    """
    named = {condition: place for place, condition in places}
    return write_arrays(
        out,
        "values",
        {
            value_name(named[where], model, of_model.settings[index].label, metric_name): values
            for model, of_model in scores.items()
            for (index, where), found in of_model.values.items()
            if where in named
            for metric_name, values in found.items()
            if metric_name != ENERGIES
        },
    )


def value_name(place: str, model: str, setting: str, metric_name: str) -> str:
    """The name of values in the file that `write_values` writes."""
    return f"{place}/{model}/{setting}/{metric_name}"


def write_arrays(out: Path, name: str, found: Values) -> str:
    """Write values in float32 to a file of that name; gives the file's name."""
    small = {key: values.astype(np.float32) for key, values in found.items()}
    with atomic_file(out / f"{name}.safetensors") as file:
        file.write(safetensors.numpy.save(small))
    return f"{name}.safetensors"


def describe_places(
    places: Iterable[tuple[str, Condition]], identity: Callable[[Condition], str]
) -> dict[str, JSON]:
    """The conditions of a file of values, and what is judged there, for the result."""
    return {
        place: {"condition": asdict(condition), "identity": identity(condition)}
        for place, condition in places
    }


def mean_by_source(values: Tensor, sources: list[str]) -> np.ndarray:
    """Mean over the clips `[clips, ...]` of each source: sources are the independent samples."""
    _, inverse = np.unique(sources, return_inverse=True)
    clips = values.double().cpu().numpy()
    sums = np.zeros((inverse.max() + 1, *clips.shape[1:]))
    np.add.at(sums, inverse, clips)
    return sums / np.bincount(inverse).reshape(-1, *[1] * (clips.ndim - 1))


def means(values: Values) -> dict[str, Metric]:
    """The mean of each metric that has one value a source, with its interval."""
    return {name: metric(name, mean(value)) for name, value in values.items() if value.ndim == 2}


def series(values: Values) -> dict[str, list[Metric]]:
    """The means of each metric that has many values a source."""
    return {
        name: [metric(name, mean(one)) for one in np.moveaxis(value, -1, 0)]
        for name, value in values.items()
        if value.ndim > 2
    }


def metric(name: str, interval: Interval) -> Metric:
    """An interval of a declared metric as it stands in a result, with its good direction."""
    higher = declared(name).higher
    return Metric(interval.mean, interval.low, interval.high, interval.n, higher)


def recorded(setting: Setting) -> SettingRecord:
    """A setting as it stands in a result."""
    return SettingRecord(setting.label, setting.order, setting.fixed, asdict(setting))
