"""Figures and tables of a report as files: for papers, slides and other programs."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks.reporting.best_marks import is_marked, unmarked
from benchmarks.reporting.charts import Chart
from benchmarks.reporting.figures import FORMATS
from benchmarks.reporting.grid import Grid
from benchmarks.reporting.report import Picture, Report, slug
from benchmarks.reporting.tables import Table, markdown
from data_prep.errors import InputError

EXPORTED = ("png", "svg")
# What LaTeX would take for a command, and the signs of the tables that it may not know.
ESCAPES = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "Δ": r"$\Delta$",
    "²": r"$^2$",
    "°": r"$^\circ$",
}


def export(make_report: Callable[[], Report], run: Path, place: Path) -> Report:
    """Write every figure of a run as PNG and SVG, every table as CSV, Markdown and LaTeX.

    `make_report` draws into the folder of the run. Files are numbered in the order of the report.

    Raises:
        InputError: the place is a file.
    """
    if place.exists() and not place.is_dir():
        raise InputError(f"--export {place}: is no folder")
    token = FORMATS.set(EXPORTED)
    try:
        report = make_report()
    finally:
        FORMATS.reset(token)
    place.mkdir(parents=True, exist_ok=True)
    tables: list[tuple[str, Table]] = []
    for heading, part in report.parts():
        if isinstance(part, Chart):
            for suffix in EXPORTED:
                part.save(place / f"{part.name}.{suffix}")
        elif isinstance(part, Picture):
            for file in (run / part.path).parent.glob(f"{Path(part.path).stem}.*"):
                shutil.copy(file, place / file.name)
        elif isinstance(part, Grid):
            tables.append((heading, part.table()))
        elif isinstance(part, tuple):
            tables.append((heading, part))
    for number, (heading, table) in enumerate(tables, start=1):
        name = f"table-{number:02d}-{slug(heading or report.title)}"
        with (place / f"{name}.csv").open("w", newline="", encoding="utf-8") as written:
            rows = [[unmarked(cell) for cell in row] for row in table[1]]
            csv.writer(written).writerows([table[0], *rows])
        lines = [f"{line}\n" for line in markdown(table)]
        (place / f"{name}.md").write_text("".join(lines), encoding="utf-8")
        (place / f"{name}.tex").write_text(latex(table), encoding="utf-8")
    return report


def latex(table: Table) -> str:
    """A table for LaTeX, with the rules of the package booktabs."""
    header, rows = table
    columns = "l" + "r" * (len(header) - 1)
    lines = [" & ".join(map(_escaped, cells)) + r" \\" for cells in (header, *rows)]
    body = [r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", *body, r"\end{tabular}", ""])


def _escaped(cell: str) -> str:
    said = unmarked(cell).replace("`", "")
    escaped = "".join(ESCAPES.get(letter, letter) for letter in said)
    return rf"\textbf{{{escaped}}}" if is_marked(cell) else escaped
