"""The facets of thinking, measured: what each architecture can do, in one table."""

from benchmarks.domains.samples import IN_DISTRIBUTION
from benchmarks.models import Role
from benchmarks.record.metrics import OVER_ERROR, RANK
from benchmarks.record.results import Metric, Model, Result
from benchmarks.reporting.grid import Cell, Grid, Line
from benchmarks.reporting.tables import interval, number, selected_row
from benchmarks.tasks.thinking.result import Found, Verification
from benchmarks.tasks.thinking.surprise import PAIRED_ALL
from benchmarks.tasks.thinking.tables import fixed_counts, gain_of_more, under
from worldmodel.surprise import DISTANCE

FACETS = (
    "Each cell is a number with its interval and, after it, how the model was run for it; eq. "
    "are forward-equivalents. **Dynamic computation** is the PSNR of the most steps or passes over "
    "that of the fewest, in dB, in distribution and where the first shift ends. **Uncertainty** is "
    "the rank correlation, across samples, of the error and of what the model says of it, and the "
    "mean of that over the mean error, which is 1 where they agree; of an energy that nothing has "
    "taught to be an error the ratio says nothing. **Verification** is the share of impossible "
    "continuations that surprise more than the true one: by the model's own measure, and by the "
    "distance to its own prediction, each as it costs least."
)

NONE = Cell("–")


def facets_grid(result: Result) -> Grid:
    """Every trained model by dynamic computation, uncertainty and verification.

    A dash is a facet that a model does not have, or that the data do not tell.
    """
    farthest = _farthest(result)
    places = [IN_DISTRIBUTION, *([farthest] if farthest else [])]
    header = ["model", *(f"gain of more, {name}" for name in places)]
    header += ["rank with the error", "estimate / error"]
    header += ["impossible above the truth, own measure", "by the distance to its prediction"]
    lines = []
    for model in result.models:
        if model.role == Role.FLOOR:
            continue
        gains = [_gain(model, name) for name in places]
        cells = [*gains, *_uncertainty(result, model), *_verified(result, model)]
        lines.append(Line(model.title, "", cells))
    return Grid(header, lines)


def _farthest(result: Result) -> str | None:
    """The set where the first shift ends."""
    first = next(iter(result.data["shifts"].values()), None)
    return None if first is None else str(first[-1][0])


def _gain(model: Model, name: str) -> Cell:
    gain, rows = gain_of_more(model, name), fixed_counts(model, name)
    if gain is None:
        return NONE
    ends = [
        f"{row.setting.label}, {number(row.cost.forward_equivalents, 1)} eq."
        for row in (rows[0], rows[-1])
    ]
    return _cell(gain, f"{ends[0]} → {ends[1]}")


def _uncertainty(result: Result, model: Model) -> list[Cell]:
    """What the model says of its error: with the prediction, or else by its samples or seeds."""
    row = selected_row(model, under(IN_DISTRIBUTION))
    doubts = result.found(Found).of(model.name, IN_DISTRIBUTION).doubts
    said = [(one.metrics, one.kind) for one in doubts]
    if row is not None and RANK in row.metrics:
        said.insert(0, (row.metrics, row.setting.label))
    if not said:
        return [NONE, NONE]
    metrics, how = said[0]
    return [_cell(metrics.get(name), how) for name in (RANK, OVER_ERROR)]


def _verified(result: Result, model: Model) -> list[Cell]:
    """The paired score of the model's own measure, and of the distance to its prediction."""
    measured = [one for one in result.found(Found).surprise if one.model == model.name]
    own = next((one for one in measured if one.measure != DISTANCE), None)
    distance = next((one for one in measured if one.measure == DISTANCE), None)
    return [_paired(own), _paired(distance)]


def _paired(found: Verification | None) -> Cell:
    if found is None:
        return NONE
    cost = f"{number(found.cost.forward_equivalents, 1)} eq."
    return _cell(found.overall.get(PAIRED_ALL), f"{found.measure}, {found.setting}, {cost}")


def _cell(metric: Metric | None, how: str) -> Cell:
    return NONE if metric is None else Cell(interval(metric, 2), how)
