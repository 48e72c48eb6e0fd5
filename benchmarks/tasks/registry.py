"""The tasks of the suite, each imported when it is asked for."""

import pkgutil
from pathlib import Path
from typing import Any

from benchmarks.tasks.contract import Task

TASKS = {
    "next_frame": "benchmarks.tasks.next_frame.task:NextFrame",
    "denoise": "benchmarks.tasks.denoise.task:Denoise",
    "thinking": "benchmarks.tasks.thinking.task:NextFrameThinking",
    "thinking/denoise": "benchmarks.tasks.thinking.task:DenoiseThinking",
    "scaling": "benchmarks.tasks.scaling.task:Scaling",
    "probe": "benchmarks.tasks.probe.task:VideoProbe",
    "probe/images": "benchmarks.tasks.probe.task:ImageProbe",
    "throughput": "benchmarks.tasks.throughput.task:Throughput",
}

# Tasks in parts: the task that `--part` chooses, the first without it.
PARTS = {
    "thinking": {"next_frame": "thinking", "denoise": "thinking/denoise"},
    "probe": {"videos": "probe", "images": "probe/images"},
}


def load_task(name: str) -> Task[Any, Any]:
    """The task of this name.

    Raises:
        KeyError: there is none.
    """
    task: Task[Any, Any] = pkgutil.resolve_name(TASKS[name])()
    return task


def preset_files(name: str) -> dict[str, Path]:
    """The preset files of a task by name; those of a part have a folder of their own."""
    module = TASKS[name].partition(":")[0]
    folder = Path(pkgutil.resolve_name(module).__file__).parent / "presets" / name.partition("/")[2]
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
