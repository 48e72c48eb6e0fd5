"""Tables that the reports of all tasks share, made from the result alone."""

from collections.abc import Mapping, Sequence

from benchmarks.config import JSON
from benchmarks.record.costs import Cost
from benchmarks.record.metrics import ENERGIES, OVER_ERROR, RANK, declared, titles
from benchmarks.record.model_names import title_of
from benchmarks.record.results import Comparison, Metric, Model, Result, Row
from benchmarks.record.selection_metric import quality_of
from benchmarks.reporting.best_marks import mark_best

COST_HEADER = [
    "forward passes",
    "input-gradient passes",
    "forward-equivalents",
    "MFLOPs",
    "latency ms",
    "peak memory MB",
]
SUMMARY_HEADER = [
    "passes",
    "equivalents",
    "latency ms",
    "training steps",
    "training TFLOPs",
    "parameters",
]
IDENTIFIER = "identifier"  # what options and folders call a model
BRIEF_COST_HEADER = ["passes", "equivalents", "ms"]

# What an energy knows of the error.
KNOWN = (OVER_ERROR, RANK, "error_rank_patches", "sparsification_error")
KNOWN_HEADER = titles(KNOWN)

ENERGY_AND_ERROR = (
    "An energy that the energy loss has taught stands for half the squared error of its candidate "
    "in scaled embeddings, and mean energy over mean error is 1 where they agree; of any other, as "
    "published, the ratio says nothing. Spearman's rank correlation says whether an energy finds "
    "the samples, and within a sample the patches, that are predicted worst. AUSE is the area "
    "between the curve of risk against coverage and the ideal one, over the mean error: 0 is ideal."
)

Cells = list[str]
Table = tuple[Cells, list[Cells]]
# Title, metric and number of digits of a column.
Column = tuple[str, str, int]
Condition = Mapping[str, str]


def rows_under(model: Model, condition: Condition) -> list[Row]:
    """The rows of a model under a condition, cheapest setting first."""
    return [row for row in model.rows if row.condition == condition]


def selected_row(model: Model, condition: Condition) -> Row | None:
    """The row of a model at its selected setting, or None where it was not judged."""
    return next((row for row in rows_under(model, condition) if row.selected), None)


def ranked(result: Result, condition: Condition) -> list[tuple[Model, Row]]:
    """Each model at its selected setting, the best first."""
    rows = [(model, selected_row(model, condition)) for model in result.models]
    found = [(model, row) for model, row in rows if row is not None]
    quality = quality_of(result)
    return sorted(found, key=lambda pair: quality.rank(pair[1]))


def quality_table(
    result: Result,
    condition: Condition,
    columns: Sequence[Column],
    references: Sequence[str] = (),
    brief: bool = False,
) -> Table:
    """Each model at its selected setting, the best first, and the difference to references.

    A brief one fits a terminal: intervals of the quality alone, and few columns of cost.
    """
    header = ["model", "setting", *(title for title, _, _ in columns)]
    header += [f"Δ {title_of(reference)}" for reference in references]
    header += BRIEF_COST_HEADER if brief else [IDENTIFIER]
    entries = ranked(result, condition)
    shown = []
    for _, metric, digits in columns:
        found = [row.metrics.get(metric) for _, row in entries]
        short = brief and metric != quality_of(result).metric
        cells = [
            number(f.mean if f else None, digits) if short else interval(f, digits) for f in found
        ]
        shown.append(mark_best(cells, found))
    rows = []
    for (model, row), *cells in zip(entries, *shown, strict=True):
        cells += [difference(result, model.name, r, condition, brief) for r in references]
        cells += brief_cost_cells(row.cost) if brief else [f"`{model.name}`"]
        rows.append([model.title, row.setting.label, *cells])
    return header, rows


def cost_table(result: Result, condition: Condition) -> Table:
    """Cost of each model at its selected setting, in the order of the quality table."""
    special = any(model.traits for model in result.models)
    header = ["model", "setting", *(["traits"] if special else []), *COST_HEADER]
    rows = []
    for model, row in ranked(result, condition):
        traits = [", ".join(model.traits) or "–"] if special else []
        rows.append([model.title, row.setting.label, *traits, *cost_cells(row.cost)])
    return header, rows


def settings_table(
    result: Result,
    condition: Condition,
    columns: Sequence[Column],
    beside: Sequence[tuple[str, Condition]] = (),
) -> Table:
    """Every setting of every model: quality, energies of start and end, cost.

    `beside` names other conditions whose quality stands in a column of its own.
    """
    quality = quality_of(result)
    header = ["model", "setting", *(title for title, _, _ in columns)]
    header += [title for title, _ in beside]
    header += ["energy before", "energy after", *COST_HEADER]
    rows = []
    for model in result.models:
        elsewhere = [
            {row.setting.label: row for row in rows_under(model, other)} for _, other in beside
        ]
        for row in rows_under(model, condition):
            energies = row.series.get(ENERGIES)
            ends = (energies[0], energies[-1]) if energies else (None, None)
            others = [of_other.get(row.setting.label) for of_other in elsewhere]
            rows.append(
                [
                    model.title,
                    row.setting.label + _selection(row),
                    *(interval(row.metrics.get(metric), digits) for _, metric, digits in columns),
                    *(
                        interval(other.metrics[quality.metric] if other else None, quality.digits)
                        for other in others
                    ),
                    *(interval(end, 1) for end in ends),
                    *cost_cells(row.cost),
                ]
            )
    return header, rows


def _selection(row: Row) -> str:
    """Whether a setting is selected, and in how many resamples of validation it would be."""
    share = "" if row.selected_share is None else f"{row.selected_share:.0%}"
    if row.selected:
        return f" (selected{f', in {share}' if share else ''})"
    return f" ({share})" if row.selected_share else ""


def energy_table(result: Result, conditions: Sequence[tuple[str, Condition]]) -> Table:
    """How well the energy of each model that has one knows the error of its own prediction."""
    header = ["model", "under", "setting", "energy", "error", *KNOWN_HEADER]
    rows = []
    for model in result.models:
        for title, condition in conditions:
            row = selected_row(model, condition)
            if row is None or OVER_ERROR not in row.metrics:
                continue
            means = [number(row.metrics[name].mean, 2) for name in ("energy", "error")]
            rows.append([model.title, title, row.setting.label, *means, *known_cells(row.metrics)])
    return header, rows


def known_cells(metrics: Mapping[str, Metric]) -> Cells:
    """What an energy knows of the error, in the columns of `KNOWN_HEADER`."""
    return [interval(metrics.get(name), 2) for name in KNOWN]


def training_table(result: Result) -> Table:
    """Parameters and training cost."""
    header = ["model", "parameters", "steps", "training TFLOPs", "seconds", "of them start-up"]
    header.append(IDENTIFIER)
    rows = [
        [
            model.title,
            f"{model.parameters:,}",
            number(model.training.steps),
            number(model.training.flops / 1e12, 2),
            number(model.training.seconds, 1),
            number(model.training.start_up_seconds, 1),
            f"`{model.name}`",
        ]
        for model in result.models
        if model.training
    ]
    return header, rows


def find_comparison(result: Result, a: str, b: str, condition: Condition) -> Comparison | None:
    """The comparison of two models at their selected settings."""
    models = {model.name: model for model in result.models}
    rows = [selected_row(models[name], condition) if name in models else None for name in (a, b)]
    for found in result.comparisons:
        if (found.a, found.b, found.condition) != (a, b, condition):
            continue
        settings = (found.a_setting, found.b_setting)
        if settings == tuple(row.setting if row else None for row in rows):
            return found
    return None


def difference(result: Result, a: str, b: str, condition: Condition, brief: bool = False) -> str:
    """Paired difference in quality of two models at their selected settings, as a cell."""
    found = find_comparison(result, a, b, condition)
    if found is None:
        return "–"
    return (
        f"{found.difference:+.{declared(found.metric).digits}f}"
        if brief
        else difference_text(found)
    )


def difference_text(found: Comparison) -> str:
    """A difference with its interval, where it has one."""
    return signed(found.difference, found.low, found.high, declared(found.metric).digits)


def signed(mean: float, low: float | None, high: float | None, digits: int) -> str:
    """A number with its sign and, where it has one, its interval."""
    if low is None or high is None:
        return f"{mean:+.{digits}f}"
    return f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def cost_cells(cost: Cost) -> Cells:
    """The cost of a row, in the columns of `COST_HEADER`."""
    return [
        number(cost.forward_passes),
        number(cost.input_gradient_passes),
        number(cost.forward_equivalents, 2),
        number(cost.flops / 1e6 if cost.flops is not None else None, 1),
        f"{number(cost.latency_ms, 1)} ({cost.latency_repeats} calls)",
        number(cost.peak_memory_bytes / 1e6 if cost.peak_memory_bytes is not None else None, 1),
    ]


def brief_cost_cells(cost: Cost) -> Cells:
    """The cost of a row, in the columns of `BRIEF_COST_HEADER`."""
    passes = number(cost.forward_passes)
    if cost.input_gradient_passes:
        passes = f"{passes} + {cost.input_gradient_passes}"
    return [passes, number(cost.forward_equivalents, 2), number(cost.latency_ms, 1)]


def summary_cells(model: Model, row: Row) -> Cells:
    """What a model costs, in the columns of `SUMMARY_HEADER`."""
    training = model.training
    return [
        *brief_cost_cells(row.cost),
        number(training.steps if training else None),
        number(training.flops / 1e12 if training else None, 2),
        number(model.parameters or None),
    ]


def scope(result: Result, where: str) -> str:
    """What a verdict speaks of: with one training seed of these trained models, not of methods."""
    return where if len(result.seeds) > 1 else f"{where}, these trained models"


def seeds_text(result: Result) -> str:
    """What the intervals rest on."""
    if len(result.seeds) > 1:
        return f"{len(result.seeds)} training seeds"
    return "one training seed: they speak of these trained models, not of the methods"


def environment_lines(environment: JSON, seeds: list[int] | None = None) -> list[str]:
    """Commit, versions, machine and how to repeat the run."""
    packages = ", ".join(f"{name} {version}" for name, version in environment["packages"].items())
    seeded = f"Seeds: {', '.join(map(str, seeds))}. " if seeds else ""
    command = environment.get("command")
    return [
        *([f"`{command}`"] if command else []),
        f"Commit {environment['commit'] or 'unknown'}.",
        f"Python {environment['python']}, {packages}.",
        f"{environment['processor']}, {environment['cores']} cores, "
        f"{environment['threads']} threads, device {environment['device']}.",
        f"{seeded}The whole configuration is in `config.yaml`; "
        "`python benchmarks/run.py --config config.yaml` repeats the run.",
        "Latency is the median of the timed calls whose number stands beside it.",
    ]


def named(table: Table) -> Table:
    """A table of documents with names for readers in place of identifiers."""
    header, rows = table
    return header, [
        [title_of(cell.strip("`")) if cell.startswith("`") else cell for cell in row]
        for row in rows
    ]


def markdown(table: Table) -> list[str]:
    """The lines of a table; the first column to the left, the others to the right."""
    header, rows = table
    rule = ["---"] + ["---:"] * (len(header) - 1)
    # A name that a user gave may hold what parts two cells.
    parted = [[cell.replace("|", r"\|") for cell in cells] for cells in (header, *rows)]
    return ["| " + " | ".join(cells) + " |" for cells in (parted[0], rule, *parted[1:])]


def interval(metric: Metric | None, digits: int) -> str:
    """A mean with its interval where it has one, or a dash where it is not known."""
    if metric is None:
        return "–"
    if metric.low is None or metric.high is None:
        return f"{metric.mean:.{digits}f}"
    return f"{metric.mean:.{digits}f} [{metric.low:.{digits}f}, {metric.high:.{digits}f}]"


def number(value: float | None, digits: int = 0) -> str:
    """A number, or a dash where it is not defined."""
    return "–" if value is None else f"{value:,.{digits}f}"
