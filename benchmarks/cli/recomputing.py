"""What a kept result says, recomputed from the values per video or image that stand beside it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from benchmarks.measure.intervals import (
    Interval,
    holm,
    mean,
    p_value,
    pooled_psnr,
    rank_correlation,
    ratio,
    skill,
    sparsification_error,
)
from benchmarks.measure.scores import value_name
from benchmarks.measure.verdicts import simultaneous_level, verdict
from benchmarks.record.results import Comparison, Metric, Result, Row, Verdict
from benchmarks.record.selection_metric import quality_of
from benchmarks.reporting.tables import rows_under
from benchmarks.tasks.registry import load_task

Values = Mapping[str, np.ndarray]  # [seeds, sources], by `place/model/setting/metric` or by metric
TOLERANCE = 2e-4  # of a number from values in float32, relative to itself or to its interval
RANK_TOLERANCE = 5e-3  # of one that rests on the order of values, of which rounding makes ties
REFERENCE = "copy_last"  # against whose squared error `skill` stands

# Metrics that are no means of values: from what they come, and how.
DERIVED: dict[str, tuple[tuple[str, ...], Callable[..., Interval | None]]] = {
    "energy_over_error": (("energy", "error"), ratio),
    "error_rank": (("energy", "error"), rank_correlation),
    "sparsification_error": (("energy", "error"), sparsification_error),
    "energy_over_expected_error": (("energy", "expected_error"), ratio),
    "expected_rank": (("energy", "expected_error"), rank_correlation),
    "spread_rank": (("energy", "true_spread"), rank_correlation),
    "spread_over_error": (("spread", "error"), ratio),
    "psnr_pooled": (("mse",), pooled_psnr),
    "skill": (("mse", f"{REFERENCE} mse"), skill),
}
ORDERING = (rank_correlation, sparsification_error)


def recomputed_faults(result: Result, values: Values) -> Iterator[str]:
    """Where a result and its values do not agree, a line each.

    Means of values, what is derived from them, differences and verdicts, each with its interval.
    """
    yield from _means(result, values)
    if result.models:
        yield from _derived(result, values)
        yield from _comparisons(result, values)
        yield from _verdicts(result, values)


def _means(result: Result, values: Values) -> Iterator[str]:
    checked = 0
    for name, said in load_task(result.task, result.domain).valued(result):
        if name in values:
            checked += 1
            yield from _faults(name, said, mean(values[name]))
    if not checked:
        yield "none of its values belongs to a row"


def _derived(result: Result, values: Values) -> Iterator[str]:
    for place, name, row in _rows(result):
        of_row = _of_row(values, place, name, row.setting.label)
        of_row |= {
            f"{REFERENCE} {metric}": found
            for metric, found in _of_row(values, place, REFERENCE, "–").items()
        }
        for metric, (sources, compute) in DERIVED.items():
            if metric in row.metrics and set(sources) <= set(of_row):
                found = compute(*(of_row[source] for source in sources))
                where = value_name(place, name, row.setting.label, metric)
                tolerance = RANK_TOLERANCE if compute in ORDERING else TOLERANCE
                yield from _faults(where, row.metrics[metric], found, tolerance)


def _comparisons(result: Result, values: Values) -> Iterator[str]:
    for compared in result.comparisons:
        pair = _pair(result, values, compared)
        if pair is None:
            yield f"{_named(compared)}: its values are not kept"
        else:
            yield from _difference_faults(compared, mean(_paired(*pair)))


def _verdicts(result: Result, values: Values) -> Iterator[str]:
    """The verdicts under one condition are a family: their levels and p-values depend on it."""
    families: dict[str, list[Verdict]] = {}
    for said in result.verdicts:
        families.setdefault(str(said.compared.condition), []).append(said)
    for family in families.values():
        pairs = [_pair(result, values, said.compared) for said in family]
        known = [pair for pair in pairs if pair is not None]
        if len(known) < len(family):
            yield from (f"{said.question}: its values are not kept" for said in family)
            continue
        corrected = holm([p_value(_paired(*pair)) for pair in known])
        for said, pair, p in zip(family, known, corrected, strict=True):
            yield from _verdict_faults(result, said, pair, p, simultaneous_level(len(family)))


def _verdict_faults(
    result: Result, said: Verdict, pair: tuple[np.ndarray, np.ndarray], p: float, level: float
) -> Iterator[str]:
    interval = mean(_paired(*pair), level)
    compared = replace(
        said.compared, difference=interval.mean, low=interval.low, high=interval.high
    )
    means = [float(of_model.mean()) for of_model in pair]
    found = verdict(said.question, compared, p, quality_of(result), means)
    ends = found.compared
    yield from _difference_faults(
        said.compared, Interval(ends.difference, ends.low, ends.high, interval.n)
    )
    for key in ("p", "margin"):
        a, b = getattr(said, key), getattr(found, key)
        if not _close(a, b, abs(b)):
            yield f"{_named(said.compared)}: {key} is {a}, its values give {b}"
    if said.answer != found.answer:
        yield f"{_named(said.compared)}: is `{said.answer}`, its values give `{found.answer}`"


def _rows(result: Result) -> Iterator[tuple[str, str, Row]]:
    """Every row of which there may be values, with its place and the name of its model."""
    for model in result.models:
        for place, where in result.data["places"].items():
            for row in rows_under(model, where["condition"]):
                yield place, model.name, row


def _of_row(values: Values, place: str, model: str, setting: str) -> dict[str, np.ndarray]:
    """The values of a row by metric."""
    start = value_name(place, model, setting, "")
    return {name.removeprefix(start): of for name, of in values.items() if name.startswith(start)}


def _pair(
    result: Result, values: Values, compared: Comparison
) -> tuple[np.ndarray, np.ndarray] | None:
    """The values of both compared models in their settings; None where they are not all kept."""
    places = result.data["places"].items()
    place = next((p for p, where in places if where["condition"] == compared.condition), "")
    settings = ((compared.a, compared.a_setting), (compared.b, compared.b_setting))
    names = [value_name(place, model, s.label, compared.metric) for model, s in settings]
    a, b = (values.get(name) for name in names)
    return None if a is None or b is None else (a, b)


def _paired(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Differences `[seeds, sources]`, over the sources that both have."""
    both = min(a.shape[1], b.shape[1])  # a smaller set is the first of the larger
    return np.asarray(a[:, :both] - b[:, :both])


def _difference_faults(said: Comparison, found: Interval) -> Iterator[str]:
    metric = Metric(said.difference, said.low, said.high, said.n, None)
    yield from _faults(_named(said), metric, found)


def _named(compared: Comparison) -> str:
    where = ", ".join(compared.condition.values())
    return f"{compared.a} - {compared.b} ({where})"


def _faults(
    name: str, said: Metric, found: Interval | None, tolerance: float = TOLERANCE
) -> Iterator[str]:
    """What differs between a number with its interval and what its values give."""
    if found is None:
        yield f"{name}: is {said.mean}, its values give none"
        return
    size = abs(found.mean)
    if found.low is not None and found.high is not None:
        size = max(size, found.high - found.low)
    for key in ("mean", "low", "high", "n"):
        a, b = getattr(said, key), getattr(found, key)
        if key == "high" and a == 1.0 and b is not None:
            b = min(b, 1.0)  # where a share ends
        if (a is None) != (b is None) or (a is not None and not _close(a, b, size, tolerance)):
            yield f"{name}: {key} is {a}, its values give {b}"


def _close(a: float, b: float, size: float, tolerance: float = TOLERANCE) -> bool:
    return abs(a - b) <= tolerance * max(size, 1e-6)
