"""The tables of thinking."""

import numpy as np

from benchmarks.domains.samples import IN_DISTRIBUTION, VALIDATION
from benchmarks.models import Role
from benchmarks.record.costs import Cost
from benchmarks.record.metrics import OVER_ERROR, RANK, titles
from benchmarks.record.model_names import title_of
from benchmarks.record.results import Metric, Model, Result, Row
from benchmarks.reporting.tables import (
    KNOWN_HEADER,
    Condition,
    Table,
    interval,
    known_cells,
    number,
    rows_under,
    selected_row,
)
from benchmarks.tasks.thinking.candidates import COUNTED
from benchmarks.tasks.thinking.evaluation import OVER_EXPECTED
from benchmarks.tasks.thinking.result import Choice, Found

FUTURE = (OVER_EXPECTED, "expected_rank", "spread_rank")
FUTURE_HEADER = titles(FUTURE)
CHOICES = ("energy", "random", "mean", "bayes", "oracle")
FOREIGN = (OVER_ERROR, RANK, "truth_preferred", "auroc", "truth_first")


def under(name: str) -> Condition:
    """A condition as it stands in a result."""
    return {"samples": name}


def judged_sets(result: Result) -> list[str]:
    """The names of the sets that are reported, the one in distribution first."""
    return [name for name in result.data["sets"] if name != VALIDATION]


def thinkers(result: Result) -> list[Model]:
    """The models that think."""
    return [model for model in result.models if model.role == Role.ENERGY]


def fixed_counts(model: Model, name: str) -> list[Row]:
    """The rows of a model for each number of steps or passes on a set, fewest first."""
    return [row for row in rows_under(model, under(name)) if not row.setting.fixed]


def steps_table(result: Result) -> Table:
    """Quality, and what the energy knows, after each number of steps, in distribution."""
    header = ["model", "setting", "PSNR dB", *KNOWN_HEADER, "rank, frames of a clip"]
    rows = []
    for model in thinkers(result):
        for row in fixed_counts(model, IN_DISTRIBUTION):
            others = [interval(row.metrics.get(n), 2) for n in ("error_rank_frames", *FUTURE)]
            psnr = interval(row.metrics["psnr"], 2)
            rows.append([model.title, row.setting.label, psnr, *known_cells(row.metrics), *others])
    return [*header, *FUTURE_HEADER], rows


def shift_table(result: Result, what: str) -> Table:
    """Along one shift away from training: quality, gain from longer thinking, energy and error."""
    header = ["model", what, "PSNR dB", "selected", "gain of more, dB", *KNOWN_HEADER]
    rows = []
    for model in result.models:
        if model.role == Role.FLOOR:
            continue
        for name, degree in result.data["shifts"][what]:
            row = selected_row(model, under(name))
            if row is None:
                continue
            quality = [interval(row.metrics["psnr"], 2), row.setting.label]
            gain = interval(gain_of_more(model, name), 2)
            rows.append([model.title, f"{degree:g}", *quality, gain, *known_cells(row.metrics)])
    return header, rows


def gain_of_more(model: Model, name: str) -> Metric | None:
    """PSNR of the most steps or passes over that of the fewest; None for a model without."""
    rows = fixed_counts(model, name)
    return rows[-1].metrics.get("gain_of_more") if rows else None


def stopping_table(result: Result) -> Table:
    """Each rule of stopping on each set."""
    header = ["model", "samples", "rule", "threshold", "mean steps", "PSNR dB", "gain dB"]
    rows = []
    for found in result.found(Found).sets:
        for one in found.stopping:
            metrics = [interval(metric, 2) for metric in (one.steps, one.psnr, one.gain)]
            costs = [number(one.saved, 2), number(_equivalents(one.cost), 2)]
            named = [title_of(found.model), found.samples, one.rule, f"{one.threshold:.3g}"]
            rows.append([*named, *metrics, *costs])
    return [*header, "steps saved", "equivalents"], rows


def choice_table(result: Result, name: str) -> Table:
    """The error of every rule of choice, for each source and number of candidates, on a set."""
    rows = []
    for model in thinkers(result):
        found: dict[tuple[str, int], dict[str, Choice]] = {}
        for one in result.found(Found).of(model.name, name).choices:
            found.setdefault((one.source, one.candidates), {})[one.rule] = one
        for (source, count), of_rule in sorted(found.items()):
            errors = [of_rule[rule].error if rule in of_rule else None for rule in CHOICES]
            by_energy = of_rule["energy"]
            cells = [interval(error, 2) for error in errors]
            cells += [
                number(longer_error(model, name, by_energy), 2),
                interval(by_energy.rank, 2),
                number(_equivalents(by_energy.cost), 1),
            ]
            rows.append([model.title, source, str(count), *cells])
    header = ["model", "source", "candidates", *CHOICES, "one, thinking as long"]
    return [*header, "rank, between candidates", "equivalents"], rows


def longer_error(model: Model, name: str, choice: Choice) -> float | None:
    """The error of one candidate that takes as many steps as all candidates together.

    Between judged numbers of steps it is taken as a line; None beyond the most.
    """
    rows = fixed_counts(model, name)
    steps = [each.setting.options["steps"] for each in rows]
    if choice.cost is None or choice.steps > max(steps):
        return None
    errors = [each.metrics["error"].mean for each in rows]
    return float(np.interp(choice.steps, steps, errors))


def doubt_table(result: Result, name: str) -> Table:
    """What knows the error of a prediction, on a set."""
    rows = [
        [title_of(found.model), doubt.kind, *known_cells(doubt.metrics)]
        for found in result.found(Found).on(name)
        for doubt in found.doubts
    ]
    return ["model", "estimate", *KNOWN_HEADER], rows


def foreign_table(result: Result) -> Table:
    """What each energy says of candidates that the model did not make, in distribution."""
    rows = []
    for found in result.found(Found).on(IN_DISTRIBUTION):
        for one in found.foreign:
            means = [number(one.metrics[key].mean, 2) for key in ("energy", "error")]
            others = [interval(one.metrics.get(key), 2) for key in FOREIGN]
            rows.append([title_of(found.model), one.kind, *means, *others])
    return ["model", "candidate", "energy", "error", *titles(FOREIGN)], rows


def recipe_table(result: Result) -> Table:
    """What each way of training gains from longer thinking and from choice, in distribution.

    Gains are shares of the error that fall away, as published for the System 2 recipe.
    """
    header = ["model", "PSNR dB", "trained", "best", "gain of longer thinking", "gain of choice"]
    rows = []
    for model in thinkers(result):
        counts = fixed_counts(model, IN_DISTRIBUTION)
        trained = next((row for row in counts if row.trained and "error" in row.metrics), None)
        if trained is None:
            continue
        best = min(counts, key=lambda row: row.metrics["error"].mean)
        longer = _fall(trained.metrics["error"], counts[-1].metrics["error"])
        row = trained
        cells = [interval(row.metrics["psnr"], 2), trained.setting.label, best.setting.label]
        rows.append([model.title, *cells, longer, _gain_of_choice(result, model)])
    return header, rows


def _gain_of_choice(result: Result, model: Model) -> str:
    """How much the candidate of lowest energy is better than any one, for the most starts."""
    choices = result.found(Found).of(model.name, IN_DISTRIBUTION).choices
    found = {(one.candidates, one.rule): one.error for one in choices if one.source in COUNTED}
    if not found:
        return "–"
    most = max(count for count, _ in found)
    return _fall(found[most, "random"], found[most, "energy"])


def _equivalents(cost: Cost | None) -> float | None:
    return cost.forward_equivalents if cost else None


def _fall(before: Metric, after: Metric) -> str:
    return f"{1 - after.mean / before.mean:+.1%}"
