"""The report of a run: a page, and what of it stands in the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import rich.table
from rich.console import Console
from rich.text import Text

from benchmarks.reporting.best_marks import is_marked, unmarked
from benchmarks.reporting.html import Live, write_page
from benchmarks.reporting.tables import Table, markdown

REPORT = "report.md"


@dataclass(frozen=True)
class Section:
    """A heading, and paragraphs and tables below it."""

    heading: str
    content: list[str | Table]


@dataclass(frozen=True)
class Report:
    """What a result says.

    Args:
        title: title of the page.
        sections: sections of the page.
        figures: title and path of each figure, relative to the folder of the run.
        shown: sections whose tables stand in the terminal.
        sentences: what holds, in words.
        live: what the page shows beyond text and figures.
    """

    title: str
    sections: list[Section]
    figures: list[tuple[str, str]]
    shown: list[Section]
    sentences: list[str]
    live: Live = field(default_factory=Live)


def write_report(folder: Path, report: Report, configuration: str | None = None) -> None:
    """Write `report.md`, sections of lines and then the figures, and the same as `report.html`.

    The page also holds the whole `configuration` of the run, as YAML.
    """
    lines = [f"# {report.title}", ""]
    for section in report.sections:
        lines += [f"## {section.heading}", ""]
        for part in section.content:
            lines += [*([part] if isinstance(part, str) else markdown(part)), ""]
    text = "\n".join(lines + _figures(report.figures))
    (folder / REPORT).write_text(text, encoding="utf-8")
    still = [f for f in report.figures if not (report.live.viewers and f[1].endswith(".gif"))]
    page = "\n".join(lines + _figures(still))  # what moves is there already
    write_page(folder, report.title, page, report.live, configuration)


def _figures(figures: Sequence[tuple[str, str]]) -> list[str]:
    lines = ["## Figures", ""] if figures else []
    for caption, path in figures:
        lines += [f"### {caption}", "", f"![{caption}]({path})", ""]
    return lines


def print_report(console: Console, report: Report) -> None:
    """The tables and sentences that matter, in the terminal."""
    for section in report.shown:
        for part in section.content:
            if isinstance(part, str):
                console.print(part, highlight=False, markup=False)
                continue
            header, rows = part
            drawn = rich.table.Table(title=section.heading, title_justify="left")
            for index, name in enumerate(header):
                drawn.add_column(name, justify="right" if index else "left")
            for row in rows:
                drawn.add_row(*map(_terminal_cell, row))
            console.print(drawn)
    for sentence in report.sentences:
        console.print(f"• {sentence}", highlight=False, markup=False)


def _terminal_cell(cell: str) -> Text:
    return Text(unmarked(cell), style="bold" if is_marked(cell) else "")


def bullets(sentences: list[str]) -> str:
    """Sentences as a list of the page."""
    return "\n".join(f"- {sentence}" for sentence in sentences)
