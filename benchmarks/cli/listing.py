"""What there is to run, and the runs that there are, in the terminal. Imports no models."""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.models import ModelSpec, Network, Untrained
from benchmarks.tasks.contract import ModelTask
from benchmarks.tasks.registry import domains_of, load_task, presets_of, task_names
from data_prep.encoders.registry import ENCODERS
from data_prep.errors import InputError
from data_prep.sources.registry import FORMATS, KTH, OFFICIAL


def print_all() -> int:
    """Print all that can be run, a line each; gives the exit code."""
    printed = Console()
    if not printed.is_terminal:
        printed = Console(width=160)
    for title, lines in listed():
        table = Table(title=title, title_justify="left", show_header=False, box=None)
        for name, said in lines:
            table.add_row(name, said)
        printed.print(table, "")
    return 0


def listed() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """All that can be run: by title, each with its name and a line of what it is."""
    asked = [(name, domain) for name in task_names() for domain in domains_of(name)]
    tasks = [(name, load_task(name, domain)) for name, domain in asked]
    described = {name: _first_line(type(task).__module__) for name, task in tasks}
    yield "Tasks", list(described.items())
    for name, task in tasks:
        presets = [(n, _first_comment(files[-1])) for n, files in presets_of(task).items()]
        of_domain = f", {task.domain.name}" * (len(domains_of(name)) > 1)
        yield f"Presets of {name}{of_domain}", presets
    domains = {task.domain.name: task for _, task in tasks if isinstance(task, ModelTask)}
    for domain, task in domains.items():
        yield f"Models of {domain}", [(spec.name, _model(spec)) for spec in task.specs]
    yield (
        "Encoders",
        [(n, _first_line(place.partition(":")[0])) for n, place in ENCODERS.items()],
    )
    layouts = {**OFFICIAL, KTH: "data_prep.sources.kth"}
    yield "Layouts of corpora", [(n, _first_line(module)) for n, module in layouts.items()]
    yield "Videos besides video files", [(n, _first_line(m)) for n, m in FORMATS.items()]
    others = [
        (f"{kind}:FILE", f"{domain}: {_first_line(place.partition(':')[0])}")
        for domain, task in domains.items()
        for kind, place in task.domain.files_of_others.items()
    ]
    yield "Files of others, by --checkpoint NAME=KIND:FILE", others


def print_runs(folder: Path) -> int:
    """Write the index of the runs below a folder and print them; gives the exit code.

    Raises:
        InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the one that holds the folders of runs")
    from benchmarks.reporting.runs import INDEX, runs_table, write_index

    runs, unread = write_index(folder)
    header, rows = runs_table(runs)
    table = Table(*header)
    for row in rows:
        table.add_row(*row)
    printed = Console()
    (printed if printed.is_terminal else Console(width=200)).print(table)
    for line in unread:
        print(f"not read: {line}")
    print(f"index: {folder / INDEX}")
    return 0


def _model(spec: ModelSpec) -> str:
    """The role of a model, whether it runs by default, and what it is built by."""
    place = spec.build.place if isinstance(spec.build, Network | Untrained) else ""
    what = _first_line(place.partition(":")[0]) if place else "a trained model"
    return f"{spec.role}{', by default' * spec.by_default}: {what}"


def _first_line(module: str) -> str:
    """The first line of a module's docstring, without importing it."""
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    text = ast.get_docstring(ast.parse(Path(found.origin).read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def _first_comment(file: Path) -> str:
    """The first sentence of the comment at the beginning of a preset."""
    lines = file.read_text(encoding="utf-8").splitlines()
    comment = " ".join(line[1:].strip() for line in lines if line.startswith("#"))
    return comment.partition(". ")[0].removesuffix(".")
