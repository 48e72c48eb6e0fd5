"""The tasks of the suite, each imported when it is asked for."""

import pkgutil
from pathlib import Path

from benchmarks.domains.registry import DOMAINS, load_domain, preset_files
from benchmarks.tasks.contract import AnyTask

# The comparison of a domain's models has a name of its own in each domain.
COMPARE = "benchmarks.tasks.compare.task:Compare"
TASKS = {
    "thinking": "benchmarks.tasks.thinking.task:Thinking",
    "scaling": "benchmarks.tasks.scaling.task:Scaling",
    "probe": "benchmarks.tasks.probe.task:Probe",
    "throughput": "benchmarks.tasks.throughput.task:Throughput",
}
FIRST_DOMAIN = next(iter(DOMAINS))
DEFAULT_PRESET, FULL = "cpu", "full"


def comparisons() -> dict[str, str]:
    """The domains by the names of their comparisons."""
    return {load_domain(name).compares: name for name in DOMAINS}


def task_names() -> list[str]:
    """The names of all tasks, comparisons first."""
    return [*comparisons(), *TASKS]


def domains_of(task: str) -> list[str]:
    """The domains in which a task can be asked, the one that it is asked in by default first."""
    own = comparisons().get(task)
    return list(DOMAINS) if own is None else [own]


def load_task(name: str, domain: str | None = None) -> AnyTask:
    """The task of this name in a domain.

    Raises:
        KeyError: there is no such task.
        InputError: there is no such domain.
    """
    own = comparisons().get(name)
    place = TASKS[name] if own is None else COMPARE
    task: AnyTask = pkgutil.resolve_name(place)(load_domain(own or domain or FIRST_DOMAIN))
    return task


def presets_of(task: AnyTask) -> dict[str, list[Path]]:
    """The preset files of a task by name: its own, or those in its domain.

    `full` is what the default preset is, but for what its own file says.
    """
    module = pkgutil.resolve_name(type(task).__module__)
    own = sorted((Path(str(module.__file__)).parent / "presets").glob("*.yaml"))
    files = {path.stem: path for path in own} or preset_files(task.domain.name, task.folder)
    layers = {name: [file] for name, file in files.items()}
    if FULL in layers:
        layers[FULL].insert(0, files[DEFAULT_PRESET])
    return layers
