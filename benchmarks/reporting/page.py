"""The report of a run: a page, and what of it stands in the terminal."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rich.table
from rich.console import Console

from benchmarks.reporting.html import write_page
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
        charts: title and Vega-Lite chart of each that the page draws.
    """

    title: str
    sections: list[Section]
    figures: list[tuple[str, str]]
    shown: list[Section]
    sentences: list[str]
    charts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


def write_report(folder: Path, report: Report) -> None:
    """Write `report.md`, sections of lines and then the figures, and the same as `report.html`."""
    lines = [f"# {report.title}", ""]
    for section in report.sections:
        lines += [f"## {section.heading}", ""]
        for part in section.content:
            lines += [*([part] if isinstance(part, str) else markdown(part)), ""]
    if report.figures:
        lines += ["## Figures", ""]
    for caption, path in report.figures:
        lines += [f"### {caption}", "", f"![{caption}]({path})", ""]
    text = "\n".join(lines)
    (folder / REPORT).write_text(text, encoding="utf-8")
    write_page(folder, report.title, text, report.charts)


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
                drawn.add_row(*row)
            console.print(drawn)
    for sentence in report.sentences:
        console.print(f"• {sentence}", highlight=False, markup=False)


def bullets(sentences: list[str]) -> str:
    """Sentences as a list of the page."""
    return "\n".join(f"- {sentence}" for sentence in sentences)
