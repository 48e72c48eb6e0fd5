"""The report of a run as one file that opens anywhere: no network, light and dark, any width."""

import base64
import html
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from PIL import Image

from benchmarks.reporting.viewer import Viewer, picture_source, viewers_html

PAGE = "report.html"
LOSSY = (90, 70, 40)  # qualities of figures where they would fill the page

MOST = 7_900_000  # characters of a page
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Live:
    """What the page shows beyond its text: charts and pictures that answer to the reader.

    Charts are those of Vega-Lite, by title.
    """

    charts: Sequence[tuple[str, dict[str, Any]]] = ()
    viewers: Sequence[Viewer] = ()


def write_page(
    folder: Path,
    title: str,
    text: str,
    live: Live | None = None,
    configuration: str | None = None,
) -> None:
    """Write `report.html` from the text of `report.md`, its figures inside the page.

    What is live follows the first section, and `configuration` stands at the end. Nothing of the
    text is taken for HTML.
    """
    live = live or Live()
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(text)
    headings = _number_headings(tokens)
    _take_in_figures(tokens, folder)
    first = _second_section(tokens)
    halves = (tokens[:first], tokens[first:])
    parts = [_scrolling(reader.renderer.render(half, reader.options, {})) for half in halves]
    names = [name for name, _ in live.charts] + [viewer.title for viewer in live.viewers]
    places = [(f"live-{number}", html.escape(name)) for number, name in enumerate(names)]
    charts = _charts(live.charts)
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_part('page.css')}</style>\n"
        f"</head>\n<body>\n<main>\n"
    )
    tail = (
        _folded(configuration) + f"</main>\n<script>{_part('page.js')}</script>\n</body>\n</html>\n"
    )
    script = f'<script type="module">{_chart_script()}</script>\n' if charts else ""
    used = sum(map(len, [head, tail, script, *parts, *charts]))
    bodies = [*charts, *viewers_html(live.viewers, max(0, MOST - used))]
    sections = "".join(
        f'<h2 id="{place}">{name}</h2>\n{body}'
        for (place, name), body in zip(places, bodies, strict=True)
    )
    body = f"{parts[0]}{script}{sections}{parts[1]}"
    links = "".join(
        f'<li><a href="#{place}">{name}</a></li>'
        for place, name in [*headings[:1], *places, *headings[1:]]
    )
    sections = f'<nav aria-label="Sections"><ul>{links}</ul></nav>'
    body = body.replace("</h1>", f"</h1>\n{sections}", 1)
    (folder / PAGE).write_text(head + body + tail, encoding="utf-8")


def _folded(configuration: str | None) -> str:
    """The configuration, which the reader opens."""
    if configuration is None:
        return ""
    said = f'<pre tabindex="0">{html.escape(configuration)}</pre>'
    return f"<details><summary>The whole configuration</summary>{said}</details>\n"


def _scrolling(body: str) -> str:
    """The same with tables that scroll when the page is narrow."""
    body = body.replace("<table>", '<div class="scroll" tabindex="0"><table>')
    return body.replace("</table>", "</table></div>")


def _part(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _chart_script() -> str:
    from benchmarks.reporting.charts import chart_script

    return chart_script()


def _charts(charts: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """A place for each chart, and what draws it, in the reader's light or dark."""
    parts = []
    for number, (name, chart) in enumerate(charts):
        said = json.dumps(chart).replace("<", "\\u003c")  # no name ends the script
        label = html.escape(f"{name}: the tables hold the same numbers")
        parts.append(
            f'<figure role="group" aria-label="{label}"><div class="chart" id="drawn-{number}">'
            f'</div></figure>\n<script>addEventListener("load", () => '
            f'drawChart("drawn-{number}", {said}));</script>\n'
        )
    return parts


def _second_section(tokens: Sequence[Token]) -> int:
    """Where the second section begins, or the end."""
    starts = [i for i, t in enumerate(tokens) if t.type == "heading_open" and t.tag == "h2"]
    return starts[1] if len(starts) > 1 else len(tokens)


def _number_headings(tokens: Sequence[Token]) -> list[tuple[str, str]]:
    """Give every section a place to go to; gives places and names."""
    found: list[tuple[str, str]] = []
    for token, inside in itertools.pairwise(tokens):
        if token.type == "heading_open" and token.tag == "h2":
            place = f"section-{len(found) + 1}"
            token.attrSet("id", place)
            found.append((place, html.escape(inside.content.replace("`", ""))))
    return found


def _take_in_figures(tokens: Sequence[Token], folder: Path) -> None:
    """Put the files of images into the page itself; together they fill half of it at most."""
    images = [c for token in tokens for c in token.children or [] if c.type == "image"]
    files = [folder / str(image.attrGet("src")) for image in images]
    for quality in (None, *LOSSY):
        sources = [_as_source(file, quality) for file in files]
        if sum(map(len, sources)) <= MOST / 2:
            break
    for image, source in zip(images, sources, strict=True):
        image.attrSet("src", source)


def _as_source(file: Path, quality: int | None) -> str:
    """The file as a part of the page, still pictures without loss or with this quality of WebP."""
    if file.suffix == ".gif":
        return f"data:image/gif;base64,{base64.b64encode(file.read_bytes()).decode()}"
    return picture_source(Image.open(file).convert("RGB"), quality)
