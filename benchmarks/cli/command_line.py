"""Dispatch to the task that the options name. Nothing heavy is imported before it is needed."""

import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from benchmarks.cli.launching import launch, launches
from benchmarks.cli.options import parse, to_config
from benchmarks.cli.places import require_places, require_run
from benchmarks.cli.threads import let_threads_sleep
from benchmarks.config import Inputs
from benchmarks.tasks.configuring import COMMAND, OPTIONS
from benchmarks.tasks.contract import AnyTask, ModelTask
from benchmarks.tasks.registry import load_task, task_names
from benchmarks.training.pretrained import absolute
from data_prep.errors import InputError
from data_prep.options import run_command
from data_prep.stopping import end_with_parent, exit_code

if TYPE_CHECKING:
    from benchmarks.record.results import Result
    from benchmarks.reporting.report import Report

# Options that say what to do with a run, not what the run is.
NOT_KEPT = (
    "config",
    "resume",
    "report",
    "index",
    "quiet",
    "compare",
    "push",
    "export",
    "out",
    "search",
    "dry_run",
    "jobs",
    "num_jobs",
    "job_index",
    "size",
    "__default_config__",
)
PLACES = ("--out", "--cache-dir", "--resume", "--export")


@dataclass(frozen=True)
class Asked:
    """A task with its configuration, where its data come from, and the options that say so."""

    task: AnyTask
    config: Any
    inputs: Inputs
    options: Namespace


def main(arguments: list[str]) -> int:
    """Run the command line; gives the exit code."""
    let_threads_sleep()
    end_with_parent()
    try:
        return run_command(lambda: execute(arguments))
    except FloatingPointError as error:
        print(f"error: {error}; lower the learning rate of this model", file=sys.stderr)
        return 1


def execute(arguments: list[str]) -> int:
    """Do what the arguments ask for; gives the exit code.

    Raises:
        InputError: they are wrong, or what they name cannot be used.
    """
    options = parse(arguments)
    if options.report is not None:
        return _report(Path(options.report), options.export)
    if options.index is not None:
        from benchmarks.cli.listing import print_runs

        return print_runs(Path(options.index))
    if options.compare:
        return _compare([Path(folder) for folder in options.compare], options.out, options.export)
    if options.push:
        return _push(options)
    if options.task is None:
        raise InputError(
            f"--task is missing: give --task {' or '.join(task_names())} (or --report, --resume)"
        )
    task = load_task(options.task, options.domain)
    config = to_config(options)
    inputs = _inputs(task, options)
    require_places(config, inputs)
    asked = Asked(task, config, inputs, options)
    if options.get("dry_run"):
        return _dry_run(asked)
    if options.quiet:
        with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
            return _start(asked, arguments)
    return _start(asked, arguments)


def _start(asked: Asked, arguments: list[str]) -> int:
    """Run in this process, or in one for each device."""
    if launches(asked.config) and not asked.task.starts_runs:
        return launch(asked.config.training.devices, arguments)
    return _run(asked, _without_places(arguments))


def _without_places(arguments: list[str]) -> list[str]:
    """The arguments without the folders of run and cache, which change no result."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        name = argument.partition("=")[0]
        if not skip and name not in PLACES:
            kept.append(argument)
        skip = not skip and argument in PLACES
    return kept


def _whole_command(out: Path, added: list[str]) -> str:
    """The command that repeats a run: the one that began it, and what was added on resuming."""
    file = out / COMMAND
    begun = file.read_text().strip() if file.is_file() else "python benchmarks/run.py"
    command = " ".join([begun, *([shlex.join(added)] if added else [])])
    _write(file, f"{command}\n")
    return command


def _report(folder: Path, place: str | None) -> int:
    require_run(folder)
    from benchmarks.record.results import read_result

    result = read_result(folder)
    if result.task not in task_names():
        raise InputError(
            f"{folder}: of the task {result.task}, which is none of {', '.join(task_names())}"
        )
    _write_and_print(folder, result, place)
    return 0


def _compare(folders: list[Path], out: str | None, place: str | None) -> int:
    for each in folders:
        require_run(each)
    from benchmarks.cli.comparison import compare_runs

    folder = Path(out or time.strftime("runs/%Y%m%d-%H%M%S-comparison"))
    fresh = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _write_report(folder, lambda: compare_runs(folders, folder), place)
    except InputError:
        if fresh:
            shutil.rmtree(folder)
        raise
    return 0


def _push(options: Namespace) -> int:
    if options.task is not None or not (options.run and options.model):
        raise InputError("--push: give --run FOLDER and --model NAME with it, and no --task")
    require_run(Path(options.run))
    from benchmarks.cli.hub import push

    place = push(options.push, Path(options.run), options.model, _cache_folder(options))
    print(f"pushed: {place}")
    return 0


def _dry_run(asked: Asked) -> int:
    from rich.console import Console

    with Console(stderr=True).status("importing torch"):
        from benchmarks.tasks.dry_run import dry_run
    console = Console()
    if not console.is_terminal:
        console = Console(width=180)  # or the table would be cut
    assert isinstance(asked.task, ModelTask)
    dry_run(asked.task, asked.config, asked.inputs, _device(asked.options), console)
    return 0


def _run(asked: Asked, added: list[str]) -> int:
    training = getattr(asked.config, "training", None)
    if asked.task.starts_runs:
        training = None
    if training is None or training.devices * training.nodes == 1:
        return _run_in(asked, added, int(time.time()))
    from worldmodel.processes import joined

    with joined(training, _device(asked.options)) as processes, ExitStack() as stack:
        if not processes.first:  # the first one speaks for all
            nowhere = stack.enter_context(Path(os.devnull).open("w"))
            stack.enter_context(redirect_stdout(nowhere))
            stack.enter_context(redirect_stderr(nowhere))
        now = processes.first_says(int(time.time()))
        return _run_in(asked, added, now, processes.first)


def _run_in(asked: Asked, added: list[str], now: int, first: bool = True) -> int:
    """Run in a folder, which without `--out` is named by the time `now`."""
    options = asked.options
    started = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    out = Path(options.get("resume") or options.out or f"runs/{started}-{options.task}")
    # Jobs that share the work of a run share its folder.
    resumed = options.get("resume") is not None or options.get("num_jobs", 1) > 1
    if first and not resumed and (out / OPTIONS).exists():
        raise InputError(f"--out {out}: holds a run already; continue it with --resume {out}")
    command = ""
    if first:
        out.mkdir(parents=True, exist_ok=True)
        if options.get("resume") is None and not (out / OPTIONS).exists():
            _write_config(options, out)
        command = _whole_command(out, added)
    try:
        code = _run_task(asked, out, command)
        if first:
            _write_config(options, out)  # with the options that a resumed run was given
        return code
    except KeyboardInterrupt as error:
        again = f"--resume {out}" if "resume" in options else f"--task {options.task}"
        print(f"\ninterrupted; continue with: python benchmarks/run.py {again}", file=sys.stderr)
        return exit_code(error)


def _run_task(asked: Asked, out: Path, command: str) -> int:
    from rich.console import Console

    console = Console(stderr=True)
    console.print(f"run: {out}", highlight=False)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the memory profiler's own chatter
    with console.status("importing torch and lightning"):
        from benchmarks.record.results import write_result
        from benchmarks.tasks.search import search
        from benchmarks.training.malloc import keep_freed_memory
        from worldmodel.processes import in_turn
    keep_freed_memory()
    task, config, inputs, options = asked.task, asked.config, asked.inputs, asked.options
    device = _device(options)
    data = in_turn(lambda: task.prepare(config, inputs))
    described = data.describe()
    rejected = described["rejected"]
    console.print(
        f"data: {described['corpus']}, clips {described['clips']}, {len(rejected)} files rejected",
        highlight=False,
    )
    for entry in rejected[:5]:
        said = f"  rejected {entry['source']}: {entry['reason']}"
        console.print(said, highlight=False, markup=False)
    if options.get("search") or (options.get("resume") and _began_as_search(out)):
        assert isinstance(task, ModelTask)
        search(task, config, data, out, device, console)
        return 0
    result = task.run(config, data, inputs, out, device)
    result = replace(result, environment=result.environment | {"command": command})
    write_result(out, result)
    _write_and_print(out, result, options.export)
    _write_index(out.parent)
    return 0


def _began_as_search(out: Path) -> bool:
    """Whether the run in a folder is a search, so that resuming it goes on searching."""
    file = out / COMMAND
    return file.is_file() and "--search" in shlex.split(file.read_text())


def _device(options: Namespace) -> str:
    import torch

    device: str = options.device
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch sees no GPU here; use --device cpu")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def _write_and_print(folder: Path, result: "Result", place: str | None) -> None:
    import yaml

    from benchmarks.record.results import skipped

    configuration = yaml.safe_dump(result.config, sort_keys=False)
    task = load_task(result.task, result.domain)
    closing = [f"skipped: {line}" for line in skipped(result)]
    _write_report(folder, lambda: task.report(folder, result), place, configuration, closing)


def _write_report(
    folder: Path,
    make: Callable[[], "Report"],
    place: str | None,
    configuration: str | None = None,
    closing: Sequence[str] = (),
) -> None:
    """Make a report, write it into a folder, and print what matters of it, and closing lines."""
    from rich.console import Console

    from benchmarks.reporting.export import export
    from benchmarks.reporting.html import PAGE
    from benchmarks.reporting.page import REPORT, print_report, write_report

    report = make() if place is None else export(make, folder, Path(place))
    write_report(folder, report, configuration)
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)  # or the tables would be cut
    exported = [] if place is None else [f"figures and tables: {place}"]
    written = f"report: {folder / PAGE}, {folder / REPORT}"
    print_report(console, report, [*closing, written, *exported])


def _write_index(folder: Path) -> None:
    """Write the index of runs where they are gathered: in `runs`, or where there is one already."""
    from benchmarks.reporting.runs import INDEX, has_index, write_index

    unwritten = folder.name == "runs" and not (folder / INDEX).exists()
    if unwritten or has_index(folder):
        write_index(folder)
        print(f"all runs: {folder / INDEX}")


def _inputs(task: AnyTask, options: Namespace) -> Inputs:
    data = Path(options.data) if options.data else None
    if data is not None and not data.exists():
        raise InputError(f"--data {data}: no such file or folder")
    reserved = task.domain.reserved_test_sets or ()
    test_sets: dict[str, Path] = {}
    for given in options.get("test") or []:
        name, separator, folder = given.partition("=")
        if not (name and separator and folder):
            raise InputError(f"--test {given}: give NAME=FOLDER")
        if name in test_sets or name in reserved:
            raise InputError(f"--test {given}: the name {name} is taken; give another")
        if not Path(folder).expanduser().exists():
            raise InputError(f"--test {given}: no such file or folder")
        test_sets[name] = Path(folder).expanduser()
    return Inputs(data, test_sets, _cache_folder(options))


def _cache_folder(options: Namespace) -> Path:
    chosen = options.cache_dir or os.environ.get("EBT_BENCH_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ebt-bench"


def _write_config(options: Namespace, out: Path) -> None:
    """Keep the run's options, so that it can be resumed and repeated."""
    import yaml

    kept = options.as_dict()
    for name in NOT_KEPT:
        kept.pop(name, None)
    for name in ("data", "cache_dir"):  # so that a run can be resumed from any folder
        kept[name] = str(Path(kept[name]).resolve()) if kept[name] else None
    if kept.get("test"):
        pairs = [given.split("=", 1) for given in kept["test"]]
        kept["test"] = [f"{name}={Path(folder).expanduser().resolve()}" for name, folder in pairs]
    if kept.get("checkpoint"):
        kept["checkpoint"] = [absolute(pair) for pair in kept["checkpoint"]]
    _write(out / OPTIONS, yaml.safe_dump(kept, sort_keys=False))


def _write(file: Path, text: str) -> None:
    from data_prep.shards.storage import atomic_file

    with atomic_file(file) as written:
        written.write(text.encode())
