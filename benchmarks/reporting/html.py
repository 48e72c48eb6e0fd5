"""The report of a run as one file that opens anywhere: no network, light and dark, any width."""

import base64
import html
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

PAGE = "report.html"
KINDS = {".png": "image/png", ".gif": "image/gif"}

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --line: #d0d7de;
  --soft: #f3f5f7; --link: #0550ae; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #0d1117; --line: #3d444d; --soft: #161b22; --link: #79b8ff; } }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
main { max-width: 76rem; margin: 0 auto; padding: 1rem; }
h1 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
a { color: var(--link); } nav ul { columns: 16rem; padding-left: 1.2rem; }
.scroll { overflow-x: auto; margin: 0.8rem 0; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.6rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; overflow-wrap: normal; }
th:first-child, td:first-child { text-align: left; }
thead th { background: var(--soft); } tbody tr:hover { background: var(--soft); }
th button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0;
  padding: 0; cursor: pointer; text-align: inherit; }
th[aria-sort=ascending] button::after { content: " ▲"; }
th[aria-sort=descending] button::after { content: " ▼"; }
code { background: var(--soft); padding: 0.1em 0.3em; border-radius: 0.2rem; font-size: 0.9em; }
figure { margin: 1rem 0; }
.vega-bindings { padding: 0.5rem 0; } .vega-embed select { font: inherit; }
img { max-width: 100%; height: auto; background: #ffffff; border-radius: 0.3rem; }
@media print { nav { display: none; } .scroll { overflow: visible; } table { font-size: 0.6rem; } }
"""

SCRIPT = """
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => {
      const up = cell.getAttribute("aria-sort") === "descending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = row => {
        const text = row.cells[column].textContent.replaceAll(",", "");
        const number = parseFloat(text);
        return Number.isNaN(number) ? text : number;
      };
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
        const order = typeof x === "number" ? x - y : x.localeCompare(y);
        return up ? order : -order;
      };
      body.append(...[...body.rows].sort(compare));
    });
  });
}
"""


def write_page(
    folder: Path, title: str, text: str, charts: Sequence[tuple[str, dict[str, Any]]] = ()
) -> None:
    """Write `report.html` from the text of `report.md`, its figures and charts inside the page.

    Nothing of the text is taken for HTML.
    """
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(text)
    headings = _number_headings(tokens)
    _take_in_figures(tokens, folder)
    body = reader.renderer.render(tokens, reader.options, {})
    headings += [(f"chart-{number}", html.escape(name)) for number, (name, _) in enumerate(charts)]
    body = body.replace("<table>", '<div class="scroll" tabindex="0"><table>')
    body = body.replace("</table>", "</table></div>")
    links = "".join(f'<li><a href="#{place}">{name}</a></li>' for place, name in headings)
    sections = f'<nav aria-label="Sections"><ul>{links}</ul></nav>'
    body = body.replace("</h1>", f"</h1>\n{sections}", 1)
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"{body}{_charts(charts)}</main>\n"
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
    (folder / PAGE).write_text(page, encoding="utf-8")


def _charts(charts: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """Places for charts, and what draws them; nothing without any."""
    if not charts:
        return ""
    from benchmarks.reporting.charts import chart_script

    parts = []
    for number, (name, chart) in enumerate(charts):
        said = json.dumps(chart).replace("<", "\\u003c")  # no name ends the script
        parts.append(
            f'<h2 id="chart-{number}">{html.escape(name)}</h2>\n<figure class="scroll" '
            f'tabindex="0" aria-label="{html.escape(name, quote=True)}: the tables hold the same '
            f'numbers"><div id="drawn-{number}"></div></figure>\n<script>addEventListener("load", '
            f'() => vegaEmbed("#drawn-{number}", {said}, {{actions: false}}));</script>\n'
        )
    return f'<script type="module">{chart_script()}</script>\n' + "".join(parts)


def _number_headings(tokens: Sequence[Token]) -> list[tuple[str, str]]:
    """Give every section a place to go to; gives places and names."""
    found: list[tuple[str, str]] = []
    for token, inside in itertools.pairwise(tokens):
        if token.type == "heading_open" and token.tag == "h2":
            place = f"section-{len(found) + 1}"
            token.attrSet("id", place)
            found.append((place, html.escape(inside.content)))
    return found


def _take_in_figures(tokens: Sequence[Token], folder: Path) -> None:
    """Put the files of images into the page itself."""
    for token in tokens:
        for child in token.children or []:
            if child.type != "image":
                continue
            file = folder / str(child.attrGet("src"))
            data = base64.b64encode(file.read_bytes()).decode()
            child.attrSet("src", f"data:{KINDS[file.suffix]};base64,{data}")
            child.attrSet("loading", "lazy")
