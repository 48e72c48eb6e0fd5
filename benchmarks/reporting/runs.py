"""All runs of a folder on one page: what each found, and leaderboards of runs on the same data."""

import html
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from benchmarks.record.metrics import METRICS
from benchmarks.record.results import RESULTS, Model, Result, Row, read_result
from benchmarks.record.selection_metric import quality_of
from benchmarks.reporting.html import PAGE
from benchmarks.reporting.tables import Table
from benchmarks.reporting.viewer import picture_source
from data_prep.errors import InputError
from data_prep.shards.storage import atomic_file

INDEX = "index.html"
PICTURES = ("compute.png", "*.png")  # of the figures of a run, the first of them that is there
COSTS = {
    "passes": "forward_passes",
    "forward-equivalents": "forward_equivalents",
    "latency, ms": "latency_ms",
}


@dataclass(frozen=True)
class Run:
    """A finished run, and where it lies."""

    folder: Path
    result: Result

    @property
    def date(self) -> str:
        """When its results were written."""
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(self.written))

    @property
    def written(self) -> float:
        """When its results were written, in seconds."""
        return (self.folder / RESULTS).stat().st_mtime

    @property
    def picture(self) -> Path | None:
        """A figure of the run."""
        figures = self.folder / "figures"
        return next((f for pattern in PICTURES for f in sorted(figures.glob(pattern))), None)

    @property
    def judged(self) -> tuple[str, list[tuple[Model, Row]]] | None:
        """What its models are judged on, and each with its selected row there, the best first.

        Runs that are judged on the same have the same name for it. None for a task that judges
        otherwise.
        """
        data = self.result.data
        if "main_place" not in data:
            return None
        place = data["places"][data["main_place"]]
        rows = [
            (model, row)
            for model in self.result.models
            for row in model.rows
            if row.selected and row.condition == place["condition"]
        ]
        rows.sort(key=lambda found: quality_of(self.result).rank(found[1]))
        return place["identity"], rows


def runs_of(folder: Path) -> tuple[list[Run], list[str]]:
    """The finished runs below a folder, the latest first, and what could not be read, with why."""
    runs, unread = [], []
    for file in sorted(folder.glob(f"*/{RESULTS}")):
        try:
            runs.append(Run(file.parent, read_result(file.parent)))
        except InputError as error:
            unread.append(str(error))
    return sorted(runs, key=lambda run: run.written, reverse=True), unread


def runs_table(runs: Sequence[Run]) -> Table:
    """A line for each run: what it is, and its best model."""
    header = ["run", "task", "data", "models", "best", "seeds", "date", "commit"]
    return header, [_cells(run) for run in runs]


def write_index(folder: Path) -> tuple[list[Run], list[str]]:
    """Write `index.html` into the folder of runs; gives the runs and what could not be read."""
    runs, unread = runs_of(folder)
    said = "".join(f"<li>{html.escape(line)}</li>" for line in unread)
    body = f"<h1>Runs</h1>\n{_runs_html(folder, runs)}{_leaderboards(folder, runs)}" + (
        f"<h2>Not read</h2>\n<ul>{said}</ul>\n" if said else ""
    )
    with atomic_file(folder / INDEX) as file:
        file.write(_page(body).encode())
    return runs, unread


def _cells(run: Run) -> list[str]:
    result, judged = run.result, run.judged
    best = ""
    if judged is not None and judged[1]:
        model, row = judged[1][0]
        quality = quality_of(result)
        best = f"{model.name}, {quality.text(quality.of(row))}"
    task = result.task if result.domain is None else f"{result.task}, {result.domain}"
    return [
        *(run.folder.name, task, str(result.data.get("corpus", "")), str(len(result.models))),
        *(best, ", ".join(map(str, result.seeds)), run.date),
        (result.environment.get("commit") or "")[:7],
    ]


def _runs_html(folder: Path, runs: Sequence[Run]) -> str:
    header, rows = runs_table(runs)
    lines = []
    for run, (name, *cells) in zip(runs, rows, strict=True):
        place = html.escape(run.folder.relative_to(folder).as_posix())
        shown = f'<img src="{_small(run.picture)}" alt="">' if run.picture else ""
        link = f'<a href="{place}/{PAGE}">{html.escape(name)}</a>'
        lines.append(_row([link, *map(html.escape, cells), shown]))
    return '<p><label>Show runs with <input id="filter" type="search"></label></p>\n' + _table(
        "runs", [*header, "picture"], lines
    )


def _small(picture: Path) -> str:
    image = Image.open(picture).convert("RGB")
    image.thumbnail((160, 120))
    return picture_source(image, 80)


def _leaderboards(folder: Path, runs: Sequence[Run]) -> str:
    """A table for each task and data on which models were judged alike."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if run.judged is not None:
            groups.setdefault((run.result.task, run.judged[0]), []).append(run)
    parts = []
    for (task, _), same in groups.items():
        corpus = str(same[0].result.data["corpus"])
        title = f"{task}: {corpus}, {same[0].result.data['main_place']}"
        parts.append(f"<h2>{html.escape(title)}</h2>\n{_leaderboard(folder, same)}")
    return "".join(parts)


def _leaderboard(folder: Path, runs: Sequence[Run]) -> str:
    """Every model of runs that are judged on the same, with its metrics and costs."""
    entries = [(run, model, row) for run in runs for model, row in (run.judged or ("", []))[1]]
    known = [name for name in METRICS if any(name in row.metrics for _, _, row in entries)]
    lines = []
    for run, model, row in entries:
        place = html.escape(run.folder.relative_to(folder).as_posix())
        costs = [getattr(row.cost, name) for name in COSTS.values()]
        flops = model.training.flops / 1e12 if model.training else None
        lines.append(
            _row(
                [
                    html.escape(model.name),
                    f'<a href="{place}/{PAGE}">{html.escape(run.folder.name)}</a>',
                    html.escape(row.setting.label),
                    *(_number(row.metrics[n].mean if n in row.metrics else None) for n in known),
                    *map(_number, [*costs, flops, model.parameters]),
                ]
            )
        )
    titles = [METRICS[name].title for name in known]
    header = ["model", "run", "setting", *titles, *COSTS, "training TFLOPs", "parameters"]
    first = quality_of(runs[0].result)
    chosen = html.escape(json.dumps({"first": METRICS[first.metric].title, "metrics": titles}))
    table = _table("", header, lines)
    return f'<div class="leaderboard" data-chosen="{chosen}">{table}</div>\n'


def _page(body: str) -> str:
    here = Path(__file__).parent
    style, *scripts = ((here / name).read_text() for name in ("page.css", "page.js", "runs.js"))
    drawn = "".join(f"<script>{script}</script>\n" for script in scripts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Runs</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n{body}</main>\n"
        f"{drawn}</body>\n</html>\n"
    )


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.2f}"


def _row(cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _table(name: str, header: Sequence[str], rows: Sequence[str]) -> str:
    heads = "".join(f"<th>{html.escape(title)}</th>" for title in header)
    identity = f' id="{name}"' if name else ""
    return (
        f'<div class="scroll" tabindex="0"><table{identity}><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>\n"
    )
