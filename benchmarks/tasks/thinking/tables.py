"""The tables of thinking."""

from collections.abc import Iterator

import numpy as np

from benchmarks.domains.samples import IN_DISTRIBUTION, VALIDATION
from benchmarks.models import Role
from benchmarks.record.results import Metric, Model, Result, Row
from benchmarks.reporting.tables import (
    HONESTY_HEADER,
    Condition,
    Table,
    brief_cost_cells,
    honesty_cells,
    interval,
    number,
    rows_under,
    selected_row,
)
from benchmarks.tasks.thinking.candidates import COUNTED

FUTURE_HEADER = ["energy / expected error", "rank, expected error", "rank, true spread"]
FUTURE = ("calibration_to_expected", "expected_rank", "spread_rank")
CHOICES = ("energy", "random", "mean", "bayes", "oracle")
FOREIGN = ("calibration", "error_rank", "truth_preferred", "auroc", "truth_first")


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


def of_kind(result: Result, kind: str) -> Iterator[tuple[Model, str, Row]]:
    """Rows of `stop`, `choice`, `doubt` or `foreign`, with their model and set."""
    for model in result.models:
        for name in judged_sets(result):
            for row in rows_under(model, under(name)):
                if kind in row.setting.options:
                    yield model, name, row


def steps_table(result: Result) -> Table:
    """Quality, honesty and rank of the energy after each number of steps, in distribution."""
    header = ["model", "setting", "PSNR dB", *HONESTY_HEADER, "rank, frames of a clip"]
    rows = []
    for model in thinkers(result):
        for row in fixed_counts(model, IN_DISTRIBUTION):
            others = [interval(row.metrics.get(n), 2) for n in ("error_rank_frames", *FUTURE)]
            psnr = interval(row.metrics["psnr"], 2)
            rows.append([model.name, row.setting.label, psnr, *honesty_cells(row), *others])
    return [*header, *FUTURE_HEADER], rows


def shift_table(result: Result, what: str) -> Table:
    """Along one shift away from training: quality, the gain from longer thinking, honesty."""
    header = ["model", what, "PSNR dB", "selected", "gain of more, dB", *HONESTY_HEADER]
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
            rows.append([model.name, f"{degree:g}", *quality, gain, *honesty_cells(row)])
    return header, rows


def gain_of_more(model: Model, name: str) -> Metric | None:
    """PSNR of the most steps or passes over that of the fewest; None for a model without."""
    rows = fixed_counts(model, name)
    return rows[-1].metrics.get("gain_of_more") if rows else None


def stopping_table(result: Result) -> Table:
    """Each rule of stopping on each set."""
    header = ["model", "samples", "rule", "threshold", "mean steps", "PSNR dB", "gain dB"]
    rows = []
    for model, name, row in of_kind(result, "stop"):
        metrics, options = row.metrics, row.setting.options
        threshold = f"{options['threshold']:.3g}"
        cells = [interval(metrics[key], 2) for key in ("mean_steps", "psnr", "gain")]
        saved = metrics.get("steps_saved")
        cells.append(number(saved.mean if saved else None, 2))
        equivalents = brief_cost_cells(row.cost)[1]
        rows.append([model.name, name, options["stop"], threshold, *cells, equivalents])
    return [*header, "steps saved", "equivalents"], rows


def choice_table(result: Result, name: str) -> Table:
    """The error of every rule of choice, for each source and number of candidates, on a set."""
    rows = []
    for model in thinkers(result):
        found: dict[tuple[str, int], dict[str, Row]] = {}
        for of_model, of_set, row in of_kind(result, "choice"):
            if (of_model.name, of_set) == (model.name, name):
                options = row.setting.options
                key = (options["source"], options["candidates"])
                found.setdefault(key, {})[options["choice"]] = row
        for (source, count), of_rule in sorted(found.items()):
            errors = [
                of_rule[rule].metrics["error"] if rule in of_rule else None for rule in CHOICES
            ]
            row = of_rule["energy"]
            cells = [interval(error, 2) for error in errors]
            cells += [
                number(longer_error(model, name, row), 2),
                interval(row.metrics.get("error_rank_candidates"), 2),
                number(row.cost.forward_equivalents, 1),
            ]
            rows.append([model.name, source, str(count), *cells])
    header = ["model", "source", "candidates", *CHOICES, "one, thinking as long"]
    return [*header, "rank, between candidates", "equivalents"], rows


def longer_error(model: Model, name: str, row: Row) -> float | None:
    """The error of one candidate that takes as many steps as all candidates of `row` together.

    Between judged numbers of steps it is taken as a line; None beyond the most.
    """
    if row.cost.forward_equivalents is None:
        return None
    rows = fixed_counts(model, name)
    steps = [each.setting.options["steps"] for each in rows]
    if row.setting.order > max(steps):
        return None
    errors = [each.metrics["error"].mean for each in rows]
    return float(np.interp(row.setting.order, steps, errors))


def doubt_table(result: Result, name: str) -> Table:
    """What knows the error of a prediction, on a set."""
    rows = [
        [model.name, row.setting.label, *honesty_cells(row)]
        for model, of_set, row in of_kind(result, "doubt")
        if of_set == name
    ]
    return ["model", "estimate", *HONESTY_HEADER], rows


def foreign_table(result: Result) -> Table:
    """What each energy says of candidates that the model did not make, in distribution."""
    header = ["model", "candidate", "energy", "error", "energy / error", "rank, across samples"]
    rows = []
    for model, name, row in of_kind(result, "foreign"):
        if name == IN_DISTRIBUTION:
            means = [number(row.metrics[key].mean, 2) for key in ("energy", "error")]
            others = [interval(row.metrics.get(key), 2) for key in FOREIGN]
            rows.append([model.name, row.setting.label, *means, *others])
    return [*header, "truth has lower energy", "AUROC", "truth has lowest energy"], rows


def recipe_table(result: Result) -> Table:
    """What each way of training gains from longer thinking and from choice, in distribution.

    Gains are shares of the error that fall away, as published for the System 2 recipe.
    """
    header = ["model", "PSNR dB", "trained", "best", "gain of longer thinking", "gain of choice"]
    rows = []
    for model in thinkers(result):
        counts = fixed_counts(model, IN_DISTRIBUTION)
        trained = next(row for row in counts if row.trained)
        best = min(counts, key=lambda row: row.metrics["error"].mean)
        longer = _fall(trained.metrics["error"], counts[-1].metrics["error"])
        row = trained
        cells = [interval(row.metrics["psnr"], 2), trained.setting.label, best.setting.label]
        rows.append([model.name, *cells, longer, _gain_of_choice(result, model)])
    return header, rows


def _gain_of_choice(result: Result, model: Model) -> str:
    """How much the candidate of lowest energy is better than any one, for the most starts."""
    found = {
        (row.setting.options["candidates"], row.setting.options["choice"]): row.metrics["error"]
        for of_model, name, row in of_kind(result, "choice")
        if of_model.name == model.name
        and name == IN_DISTRIBUTION
        and row.setting.options["source"] in COUNTED
    }
    if not found:
        return "–"
    most = max(count for count, _ in found)
    return _fall(found[most, "random"], found[most, "energy"])


def _fall(before: Metric, after: Metric) -> str:
    return f"{1 - after.mean / before.mean:+.1%}"
