"""The report of a run as files, and what of it stands in the terminal."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import rich.box
import rich.table
from rich.console import Console, RenderableType
from rich.text import Text

from benchmarks.record.contrasts import Answer
from benchmarks.reporting.best_marks import is_marked, unmarked
from benchmarks.reporting.charts import Chart
from benchmarks.reporting.grid import Grid
from benchmarks.reporting.html import write_page
from benchmarks.reporting.report import Part, Picture, Report, Section
from benchmarks.reporting.tables import markdown
from benchmarks.reporting.viewer import Viewer

REPORT = "report.md"
LINES = 39  # of the terminal; the index of runs takes one more
LEAST = 3  # lines of the table, however long the rest is
AROUND = 3  # title, header and rule of the table
COLORS: dict[Answer | None, str] = {
    Answer.BETTER: "green",
    Answer.WORSE: "red",
    Answer.SAME: "cyan",
}


def write_report(folder: Path, report: Report, configuration: str | None = None) -> None:
    """Write `report.md`, and the same as `report.html`.

    The page also holds the whole `configuration` of the run, as YAML.
    """
    for _, part in report.parts():
        if isinstance(part, Chart):
            (folder / part.path).parent.mkdir(exist_ok=True)
            part.save(folder / part.path)
    seen = [part for part in report.opening if isinstance(part, Picture | Chart | Viewer)]
    said = [part for part in report.opening if part not in seen]
    table = [] if report.table is None else [report.table]
    sections = [Section("", said), *table, Section("", seen), *report.sections]
    lines = [f"# {report.title}", ""]
    for section in sections:
        lines += [f"## {section.heading}", ""] if section.heading else []
        for part in section.content:
            lines += _lines(part)
    (folder / REPORT).write_text("\n".join(lines), encoding="utf-8")
    write_page(folder, report, configuration)


def _lines(part: Part) -> list[str]:
    """A part as Markdown; nothing of what only moves on the page."""
    if isinstance(part, Viewer):
        return []
    if isinstance(part, str):
        return [part, ""]
    if isinstance(part, Picture | Chart):
        return [f"### {part.title}", "", f"![{part.title}]({part.path})", ""]
    return [*markdown(part.table() if isinstance(part, Grid) else part), ""]


def print_report(
    console: Console, report: Report, closing: Sequence[str], most: int | None = LINES
) -> None:
    """The answer, the one table, cut for `most` lines in all, and the closing lines."""
    grids = [_drawn_grid(part) for part in report.opening if isinstance(part, Grid)]
    said = [Text(part) for part in report.opening if isinstance(part, str)]
    opening: Sequence[RenderableType] = grids or said
    used = sum(_height(console, part) for part in (*opening, *map(Text, closing)))
    room = None if most is None else max(LEAST, most - used)
    table = [] if report.table is None else _drawn_table(report.table, room)
    for part in (*opening, *table):
        console.print(part, highlight=False)
    for line in closing:
        console.print(Text(line), highlight=False, soft_wrap=True)


def _height(console: Console, part: RenderableType) -> int:
    return len(console.render_lines(part))


def _plain_table() -> rich.table.Table:
    return rich.table.Table(
        box=rich.box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 0, 0, 1)
    )


def _drawn_grid(grid: Grid) -> rich.table.Table:
    drawn = _plain_table()
    for title in grid.header:
        drawn.add_column(Text(title))
    for line in grid.lines:
        cells = []
        for cell in line.cells:
            style = f"bold {COLORS.get(cell.answer, '')}" if cell.answer else ""
            cells.append(Text.assemble((cell.text, style), " ", cell.more))
        drawn.add_row(Text(line.about), *cells)
    return drawn


def _drawn_table(section: Section, room: int | None) -> Iterator[RenderableType]:
    """The table of a section, or as many of its lines as there is room for."""
    for header, rows in (part for part in section.content if isinstance(part, tuple)):
        drawn = _plain_table()
        drawn.title, drawn.title_justify = Text(section.heading), "left"
        for index, name in enumerate(header):
            drawn.add_column(Text(name), justify="right" if index else "left", no_wrap=True)
        fits = room is None or len(rows) + AROUND <= room
        shown = rows if room is None or fits else rows[: max(LEAST, room - AROUND - 1)]
        for row in shown:
            drawn.add_row(*map(_terminal_cell, row))
        yield drawn
        if len(shown) < len(rows):
            yield Text(f"… and {len(rows) - len(shown)} more in the report")


def _terminal_cell(cell: str) -> Text:
    return Text(unmarked(cell), style="bold" if is_marked(cell) else "")
