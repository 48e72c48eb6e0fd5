"""What the reports of all tasks share: the page and its tables."""

from pathlib import Path
from typing import Any

from benchmarks.costs import Cost
from benchmarks.results import Metric, Result, Row

REPORT = "report.md"
COST_HEADER = [
    "forward passes",
    "input-gradient passes",
    "forward-equivalents",
    "MFLOPs",
    "latency ms",
    "peak memory MB",
]

Cells = list[str]
Table = tuple[Cells, list[Cells]]


def write_page(
    folder: Path, title: str, sections: list[tuple[str, list[str]]], figures: list[tuple[str, str]]
) -> None:
    """Write `report.md`: sections of lines, then the figures by title and relative path."""
    lines = [f"# {title}", ""]
    for heading, content in sections:
        lines += [f"## {heading}", "", *content, ""]
    lines += ["## Figures", ""]
    for caption, path in figures:
        lines += [f"### {caption}", "", f"![{caption}]({path})", ""]
    (folder / REPORT).write_text("\n".join(lines), encoding="utf-8")


def markdown(table: Table) -> list[str]:
    """A table's lines; the first column to the left, the others to the right."""
    header, rows = table
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return ["| " + " | ".join(cells) + " |" for cells in (header, rule, *rows)]


def training_table(result: Result) -> Table:
    """Parameters and training cost."""
    header = ["model", "parameters", "steps", "training TFLOPs", "seconds", "of them start-up"]
    rows = [
        [
            model.name,
            f"{model.parameters:,}",
            number(model.training.steps),
            number(model.training.flops / 1e12, 2),
            number(model.training.seconds, 1),
            number(model.training.start_up_seconds, 1),
        ]
        for model in result.models
        if model.training
    ]
    return header, rows


def cost_cells(cost: Cost) -> Cells:
    """A row's cost, in the columns of `COST_HEADER`."""
    return [
        number(cost.forward_passes),
        number(cost.input_gradient_passes),
        number(cost.forward_equivalents, 2),
        number(cost.flops / 1e6 if cost.flops is not None else None, 1),
        number(cost.latency_ms, 1),
        number(cost.peak_memory_bytes / 1e6, 1),
    ]


def passes_text(cost: Cost) -> str:
    """Forward and gradient passes in a few characters."""
    text = number(cost.forward_passes)
    return f"{text} + {cost.input_gradient_passes}" if cost.input_gradient_passes else text


def seeds_text(result: Result) -> str:
    """What the intervals rest on."""
    if len(result.seeds) > 1:
        return f"{len(result.seeds)} training seeds"
    return "one training seed; another seed may differ"


def environment_lines(environment: dict[str, Any], seeds: list[int] | None = None) -> list[str]:
    """Commit, versions, machine and how to repeat the run."""
    packages = ", ".join(f"{name} {version}" for name, version in environment["packages"].items())
    seeded = f"Seeds: {', '.join(map(str, seeds))}. " if seeds else ""
    return [
        f"- Commit {environment['commit'] or 'unknown'}.",
        f"- Python {environment['python']}, {packages}.",
        f"- {environment['processor']}, {environment['cores']} cores, "
        f"{environment['threads']} threads, device {environment['device']}.",
        f"- {seeded}The whole configuration is in `config.yaml`; "
        "`python benchmarks/run.py --config config.yaml` repeats the run.",
    ]


def setting_text(row: Row) -> str:
    """How a model was run."""
    return ", ".join(f"{name} {value}" for name, value in row.setting.items()) or "–"


def interval(metric: Metric | None, digits: int) -> str:
    """A mean with its interval."""
    if metric is None:
        return "–"
    return f"{metric.mean:.{digits}f} [{metric.low:.{digits}f}, {metric.high:.{digits}f}]"


def number(value: float | None, digits: int = 0) -> str:
    """A number, or a dash where it is not defined."""
    return "–" if value is None else f"{value:,.{digits}f}"
