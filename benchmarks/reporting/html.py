"""The report of a run as one file that opens anywhere: no network, light and dark, any width."""

import base64
import html
import json
from collections.abc import Mapping
from pathlib import Path

from markdown_it import MarkdownIt
from PIL import Image

from benchmarks.reporting.charts import Chart, chart_script
from benchmarks.reporting.grid import Cell, Grid, Line
from benchmarks.reporting.report import Part, Picture, Report, Section, slug
from benchmarks.reporting.tables import Table, markdown
from benchmarks.reporting.viewer import Viewer, picture_source, viewers_html

PAGE = "report.html"
LOSSY = (90, 70, 40)  # qualities of figures where they would fill the page
MOST = 7_900_000  # characters of a page
TEXT = 1_500_000  # characters of its scripts, charts and tables
HERE = Path(__file__).parent
READER = MarkdownIt("commonmark", {"html": False}).enable("table")


def write_page(folder: Path, report: Report, configuration: str | None = None) -> None:
    """Write `report.html`: the opening, then the sections, folded.

    Figures are taken into the page, and `configuration` stands at the end. Nothing of the text is
    taken for HTML.
    """
    made = _made_parts(folder, report)
    opening = "".join(_part(part, made) for part in report.opening)
    folded = "".join(_folded(section, made) for section in report.sections)
    script = f"<script>{_file('page.js')}</script>\n"
    if any(isinstance(part, Chart) for _, part in report.parts()):
        script = f"<script>{chart_script()}</script>\n{script}"
    title = html.escape(report.title)
    (folder / PAGE).write_text(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_file('page.css')}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{title}</h1>\n{opening}{folded}{_configuration(configuration)}</main>\n{script}"
        "</body>\n</html>\n",
        encoding="utf-8",
    )


Made = Mapping[int, str]  # what is made of all figures or viewers together, by the part's id


def _made_parts(folder: Path, report: Report) -> Made:
    """Figures and viewers as HTML: together they fit the page."""
    parts = [part for _, part in report.parts()]
    shown = [part for part in parts if isinstance(part, Picture) and part.on_page]
    for quality in (None, *LOSSY):
        sources = [_as_source(folder / figure.path, quality) for figure in shown]
        if sum(map(len, sources)) <= MOST / 2:
            break
    made = {
        id(figure): f'<figure><img src="{source}" alt="{html.escape(figure.title)}" loading="lazy">'
        f"<figcaption>{html.escape(figure.title)}</figcaption></figure>\n"
        for figure, source in zip(shown, sources, strict=True)
    }
    viewers = [part for part in parts if isinstance(part, Viewer)]
    bodies = viewers_html(viewers, MOST - TEXT - sum(map(len, made.values())))
    return made | {id(one): body for one, body in zip(viewers, bodies, strict=True)}


def _part(part: Part, made: Made) -> str:
    if isinstance(part, str):
        return str(READER.render(part))
    if isinstance(part, Grid):
        return _grid(part)
    if isinstance(part, Picture):
        return made.get(id(part), "")
    if isinstance(part, Chart):
        return _chart(part)
    if isinstance(part, Viewer):
        return f"<h2>{html.escape(part.title)}</h2>\n{made[id(part)]}"
    return _table(part)


def _folded(section: Section, made: Made) -> str:
    """A section that the reader opens."""
    body = "".join(_part(part, made) for part in section.content)
    return (
        f'<details id="{slug(section.heading)}"><summary><h2>{html.escape(section.heading)}'
        f"</h2></summary>\n{body}</details>\n"
    )


def _table(table: Table) -> str:
    """A table that scrolls where it is wider than the page."""
    return _scrolling(READER.render("\n".join(markdown(table))))


def _scrolling(table: str) -> str:
    return f'<div class="scroll" tabindex="0">{table}</div>\n'


def _grid(grid: Grid) -> str:
    header = "".join(f'<th scope="col">{html.escape(title)}</th>' for title in grid.header)
    lines = "".join(_line(line) for line in grid.lines)
    kind = "matrix" if grid.sortable else "grid"
    return _scrolling(
        f'<table class="{kind}"><thead><tr>{header}</tr></thead><tbody>{lines}</tbody></table>'
    )


def _line(line: Line) -> str:
    about = html.escape(line.about) + _small(line.more)
    return f'<tr><th scope="row">{about}</th>{"".join(map(_cell, line.cells))}</tr>\n'


def _cell(cell: Cell) -> str:
    said = html.escape(cell.text) + _small(cell.more)
    if cell.details:
        said = f'<a href="#{slug(cell.details)}">{said}</a>'
    if cell.answer is not None:
        return f'<td class="{slug(cell.answer)}">{said}</td>'
    if cell.shade is not None:
        return f'<td class="shaded" style="--shade-of:{cell.shade:.2f}">{said}</td>'
    return f"<td>{said}</td>"


def _small(text: str) -> str:
    return f" <small>{html.escape(text)}</small>" if text else ""


def _chart(chart: Chart) -> str:
    """A place for a chart, and what draws it, in the reader's light or dark."""
    title = html.escape(chart.title)
    said = json.dumps(chart.spec).replace("<", "\\u003c")  # no name ends the script
    return (
        f'<h2>{title}</h2>\n<figure role="group" tabindex="0" class="scroll" '
        f'aria-label="{title}: the tables hold the same numbers"><div class="chart"></div>'
        f'<script type="application/json">{said}</script></figure>\n'
    )


def _configuration(configuration: str | None) -> str:
    """The configuration, which the reader opens."""
    if configuration is None:
        return ""
    said = f'<pre tabindex="0">{html.escape(configuration)}</pre>'
    return f"<details><summary><h2>The whole configuration</h2></summary>{said}</details>\n"


def _file(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _as_source(file: Path, quality: int | None) -> str:
    """The file as a part of the page, still pictures without loss or with this quality of WebP."""
    if file.suffix == ".gif":
        return f"data:image/gif;base64,{base64.b64encode(file.read_bytes()).decode()}"
    return picture_source(Image.open(file).convert("RGB"), quality)
