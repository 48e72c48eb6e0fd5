"""All runs of a folder on one page: what each found, and leaderboards of runs on the same data."""

import html
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from benchmarks.record.metrics import METRICS
from benchmarks.record.results import RESULTS, Model, Result, Row, read_result
from benchmarks.record.selection_metric import quality_of
from benchmarks.reporting.html import PAGE
from benchmarks.reporting.tables import Table, interval, number
from benchmarks.reporting.viewer import picture_source
from data_prep.errors import InputError
from data_prep.shards.storage import atomic_file

INDEX = "index.html"
MARK = '<meta name="generator" content="ebt-bench">'  # of pages that may be written anew
PICTURES = ("compute.png", "*.png")  # of the figures of a run, the first of them that is there
COSTS = {  # by title: the name, and the number of digits
    "passes": ("forward_passes", 0),
    "forward-equivalents": ("forward_equivalents", 2),
    "latency, ms": ("latency_ms", 1),
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
            run = Run(file.parent, read_result(file.parent))
            _cells(run)
            runs.append(run)
        except InputError as error:
            unread.append(str(error))
        except (KeyError, TypeError, AttributeError) as error:
            unread.append(f"{file}: says less than a run does ({error!r})")
    return sorted(runs, key=lambda run: run.written, reverse=True), unread


def runs_table(runs: Sequence[Run]) -> Table:
    """A line for each run: what it is, and its best model."""
    header = ["run", "task", "data", "models", "best", "seeds", "date", "commit"]
    return header, [_cells(run) for run in runs]


def has_index(folder: Path) -> bool:
    """Whether a folder holds an index of runs, and not another page of that name."""
    file = folder / INDEX
    return file.is_file() and MARK in file.read_text(encoding="utf-8", errors="replace")


def write_index(folder: Path) -> tuple[list[Run], list[str]]:
    """Write `index.html` into the folder of runs; gives the runs and what could not be read.

    Raises:
        InputError: another page of that name is there.
    """
    if (folder / INDEX).exists() and not has_index(folder):
        raise InputError(f"{folder / INDEX}: is no index of runs; move it to have one written")
    runs, unread = runs_of(folder)
    said = "".join(f"<li>{html.escape(line)}</li>" for line in unread)
    body = f"<h1>Runs</h1>\n{_runs_html(runs)}{_leaderboards(runs)}" + (
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
        best = f"{model.title}, {quality.text(quality.of(row))}"
    task = result.task if result.domain is None else f"{result.task}, {result.domain}"
    return [
        *(run.folder.name, task, str(result.data.get("corpus", "")), str(len(result.models))),
        *(best, ", ".join(map(str, result.seeds)), run.date),
        (result.environment.get("commit") or "")[:7],
    ]


def _link(run: Run) -> str:
    name = run.folder.name
    return f'<a href="./{quote(name)}/{PAGE}">{html.escape(name)}</a>'


def _runs_html(runs: Sequence[Run]) -> str:
    header, rows = runs_table(runs)
    lines = []
    for run, (_, *cells) in zip(runs, rows, strict=True):
        shown = f'<img src="{_small(run.picture)}" alt="">' if run.picture else ""
        lines.append(_row([_link(run), *map(html.escape, cells), shown]))
    return '<p><label>Show runs with <input id="filter" type="search"></label></p>\n' + _table(
        "runs", [*header, "picture"], lines
    )


def _small(picture: Path) -> str:
    try:
        image = Image.open(picture).convert("RGB")
    except OSError:  # the run is no worse for it
        return ""
    image.thumbnail((160, 120))
    return picture_source(image, 80)


def _leaderboards(runs: Sequence[Run]) -> str:
    """A table for each task, data and encoder on which models were judged alike."""
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        if run.judged is not None:
            encoder = json.dumps(run.result.data.get("encoder"), sort_keys=True)
            groups.setdefault((run.result.task, run.judged[0], encoder), []).append(run)
    parts = []
    for (task, *_), same in groups.items():
        data = same[0].result.data
        judged = dict.fromkeys((str(data.get("corpus", "")), data["main_place"]))
        title = f"{task}: {', '.join(judged)}"
        parts.append(f"<h2>{html.escape(title)}</h2>\n{_leaderboard(same)}")
    return "".join(parts)


def _leaderboard(runs: Sequence[Run]) -> str:
    """Every model of runs that are judged on the same, with its metrics and costs, best first."""
    entries = [(run, model, row) for run in runs for model, row in (run.judged or ("", []))[1]]
    quality = quality_of(runs[0].result)
    entries.sort(key=lambda entry: quality.rank(entry[2]))
    known = [name for name in METRICS if any(name in row.metrics for _, _, row in entries)]
    lines = [_line(run, model, row, known) for run, model, row in entries]
    titles = [METRICS[name].title for name in known]
    header = ["model", "run", "setting", *titles, *COSTS, "training TFLOPs", "parameters"]
    ranked = {METRICS[name].title: METRICS[name].higher is not False for name in known}
    chosen = html.escape(json.dumps({"first": METRICS[quality.metric].title, "falling": ranked}))
    table = _table("", header, lines)
    return f'<div class="leaderboard" data-chosen="{chosen}">{table}</div>\n'


def _line(run: Run, model: Model, row: Row, known: Sequence[str]) -> str:
    metrics = [interval(row.metrics.get(name), METRICS[name].digits) for name in known]
    costs = [number(getattr(row.cost, name), digits) for name, digits in COSTS.values()]
    flops = number(model.training.flops / 1e12 if model.training else None, 2)
    said = [html.escape(model.title), _link(run), html.escape(row.setting.label)]
    return _row([*said, *metrics, *costs, flops, number(model.parameters)])


def _page(body: str) -> str:
    here = Path(__file__).parent
    style, *scripts = ((here / name).read_text() for name in ("page.css", "page.js", "runs.js"))
    drawn = "".join(f"<script>{script}</script>\n" for script in scripts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{MARK}\n<title>Runs</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n{body}</main>\n"
        f"{drawn}</body>\n</html>\n"
    )


def _row(cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _table(name: str, header: Sequence[str], rows: Sequence[str]) -> str:
    heads = "".join(f"<th>{html.escape(title)}</th>" for title in header)
    identity = f' id="{name}"' if name else ""
    return (
        f'<div class="scroll" tabindex="0"><table{identity}><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>\n"
    )
