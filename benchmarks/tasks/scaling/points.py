"""Read the points of a sweep from the results of their runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from benchmarks.measure.intervals import mean
from benchmarks.measure.scores import metric
from benchmarks.record.results import Model, Result, read_result
from benchmarks.reporting.tables import selected_row
from benchmarks.reporting.values import read_values, selected_values
from benchmarks.tasks.configuring import OPTIONS
from benchmarks.tasks.scaling.config import Axis
from benchmarks.tasks.scaling.result import Found, Point
from benchmarks.tasks.scaling.sweep import Place
from data_prep.errors import InputError

LOSS = "smooth_l1"
PARAMETERS = "parameters"
IN_BLOCKS = "parameters without embeddings"
FLOPS, SECONDS = "training FLOPs", "training seconds"


@dataclass(frozen=True)
class MeasuredPoint:
    """A point with its losses `[seeds, videos]`."""

    point: Point
    losses: np.ndarray


def read_points(places: Sequence[Place], axis: Axis, root: Path) -> list[MeasuredPoint]:
    """Every trained model of every finished point."""
    found = []
    for place in places:
        result = read_result(place.folder)
        options = yaml.safe_load((place.folder / OPTIONS).read_text())
        for model in result.models:
            if model.training is None:
                continue
            losses = losses_of(place.folder, result, model.name)
            found.append(_point(place, axis, root, result, model, losses, options))
    return found


def point_losses(folder: Path, result: Result) -> dict[str, np.ndarray]:
    """Losses `[seeds, videos]` of all points of a sweep, by their names."""
    points = result.found(Found).points
    return {
        point.name: losses_of(
            folder / point.folder, read_result(folder / point.folder), point.model
        )
        for point in points
    }


def losses_of(run: Path, result: Result, model: str) -> np.ndarray:
    """Losses `[seeds, videos]` of a model of a point's run.

    Raises:
        InputError: the run holds none.
    """
    losses = selected_values(
        result, read_values(run, result), result.data["main_place"], model, LOSS
    )
    if losses is None:
        raise InputError(f"{run}: holds no {LOSS} of {model}; repeat the sweep")
    return losses


def unreachable_loss(
    form: str, start_noise: float, in_features: bool, width: int, dim: int
) -> float | None:
    """The least mean Smooth-L1 `L` that any weights of a linear energy can reach; None without one.

    The gradient of E = w h(y) reaches a candidate y of `dim` numbers through a projection onto
    `width` of them, so that in dim - width directions the start's noise stays. There the error of
    each element is at least that of noise of this standard deviation; Smooth-L1 is concave in the
    variance, so the mean is lowest where the whole of it lies in dim - width elements.
    """
    if form != "linear" or not in_features or width >= dim:
        return None
    return (1 - width / dim) * normal_smooth_l1(start_noise)


def normal_smooth_l1(std: float) -> float:
    """The mean Smooth-L1 (beta 1) of a normal number of this standard deviation and mean 0."""
    if std == 0:
        return 0.0
    edge = 1 / std
    density = math.exp(-edge * edge / 2) / math.sqrt(2 * math.pi)
    inside = math.erf(edge / math.sqrt(2)) - 2 * edge * density  # of the variance
    return 0.5 * std**2 * inside + 2 * std * density - 0.5 * math.erfc(edge / math.sqrt(2))


def _point(
    place: Place,
    axis: Axis,
    root: Path,
    result: Result,
    model: Model,
    losses: np.ndarray,
    options: dict[str, dict[str, object]],
) -> MeasuredPoint:
    row = selected_row(model, result.data["places"][result.data["main_place"]]["condition"])
    assert row is not None
    assert model.training is not None
    section = options[model.name]
    x = {
        PARAMETERS: float(model.parameters),
        IN_BLOCKS: float(model.parameters_in_blocks or 0),
        FLOPS: float(model.training.flops),
        SECONDS: model.training.seconds,
    }
    value = place.point.value
    if axis not in ("parameters", "flops"):
        x = {axis: float(value)} | x
    unreachable = None
    if "form" in section:
        unreachable = unreachable_loss(
            str(section["form"]),
            float(str(section["start_noise"])),
            bool(section["candidate_in_features"]),
            int(str(options["backbone"]["width"])),
            int(result.data["encoder"]["dim"]),
        )
    point = Point(
        variant=place.point.variant,
        value=value,
        model=model.name,
        folder=str(place.folder.relative_to(root)),
        x=x,
        loss=metric(LOSS, mean(losses)),
        seed_losses=[float(loss) for loss in losses.mean(axis=1)],
        setting=row.setting.label,
        learning_rate=float(str(section["learning_rate"])),
        optimizer=str(section["optimizer"] or options["training"]["optimizer"]),
        unreachable=unreachable,
    )
    return MeasuredPoint(point, losses)
