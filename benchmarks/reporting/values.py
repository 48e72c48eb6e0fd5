"""Values per video or image of a run: what its rows are means of."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy

from benchmarks.former_names import RENAMED_IN, renamed_value
from benchmarks.measure.scores import value_name
from benchmarks.record.results import Metric, Result
from benchmarks.reporting.tables import rows_under, selected_row
from data_prep.errors import InputError


def read_values(folder: Path, result: Result) -> dict[str, np.ndarray]:
    """The values `[seeds, sources]` of a run by name, such as `next frame/ebt/1 step/psnr`.

    Raises:
        InputError: the run holds none.
    """
    if "places" not in result.data:
        raise InputError(
            f"{folder}: holds no values of single videos or images: a run of the task "
            f"{result.task}, or of an earlier version; repeat it"
        )
    return load_values(folder, result)


def load_values(folder: Path, result: Result) -> dict[str, np.ndarray]:
    """The values `[seeds, sources]` of a run by name, whatever its task.

    Raises:
        InputError: the run holds none.
    """
    if "values" not in result.files:
        raise InputError(
            f"{folder}: holds no values of single videos or images: a run of an earlier version; "
            "repeat it"
        )
    found = load_arrays(folder, result, "values")
    return {name: values.astype(np.float64) for name, values in found.items()}


def load_arrays(folder: Path, result: Result, kind: str) -> dict[str, np.ndarray]:
    """The arrays of a file of a run, such as its `pictures`, by name; none where there is none."""
    if not result.files.get(kind):
        return {}
    found: dict[str, np.ndarray] = safetensors.numpy.load_file(folder / result.files[kind])
    if result.schema_version < RENAMED_IN:
        return {renamed_value(name): values for name, values in found.items()}
    return found


def selected_values(
    result: Result, values: Mapping[str, np.ndarray], place: str, model: str, metric: str
) -> np.ndarray | None:
    """Values `[seeds, sources]` of a model at its selected setting; None where it has none."""
    where = result.data["places"].get(place)
    found = next((m for m in result.models if m.name == model), None)
    row = selected_row(found, where["condition"]) if where and found else None
    return None if row is None else values.get(value_name(place, model, row.setting.label, metric))


def row_values(result: Result) -> Iterator[tuple[str, Metric]]:
    """Every metric of a row that is a mean of values, with their name."""
    places = [(place, where["condition"]) for place, where in result.data["places"].items()]
    for model in result.models:
        for place, condition in places:
            for row in rows_under(model, condition):
                for name, metric in row.metrics.items():
                    yield value_name(place, model.name, row.setting.label, name), metric
