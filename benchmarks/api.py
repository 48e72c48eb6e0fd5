"""The suite from Python: run a task, judge a model held in memory, load a result.

from benchmarks import evaluate, load_result, run

result = run("denoise", models=["ebt_residual", "direct"], preset="smoke")
"""

import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.cli.command_line import execute
from benchmarks.models import ModelSpec, Role, register, withdraw
from benchmarks.record import results
from benchmarks.reporting.tables import markdown
from benchmarks.tasks.contract import ModelTask
from benchmarks.tasks.registry import DEFAULT_PRESET, load_task

FLAGS = ("quiet",)
REPEATED = ("model", "checkpoint", "test")  # options that may be given again

if TYPE_CHECKING:
    from worldmodel.predictor import Predictor


class Result(results.Result):
    """Everything that a run found; in a notebook it shows the table that sums it up."""

    def _repr_markdown_(self) -> str:
        return "\n".join(markdown(load_task(self.task, self.domain).headline(self)))


def load_result(folder: str | Path) -> Result:
    """The result of a finished run.

    Raises:
        InputError: the folder holds none.
    """
    found = results.read_result(Path(folder))
    return Result(**{f.name: getattr(found, f.name) for f in dataclasses.fields(found)})


def run(
    task: str,
    *,
    models: Sequence[str] | None = None,
    data: str | Path | None = None,
    preset: str = DEFAULT_PRESET,
    out: str | Path | None = None,
    options: Mapping[str, object] | None = None,
) -> Result:
    """Run a task as the command line does, and give its result.

    Args:
        task: name of the task, such as `next_frame`.
        models: names of the models (None: those of the preset).
        data: folder of videos or images, or a shard set (None: the built-in corpus).
        preset: name of the preset.
        out: folder of the run (None: `runs/TIME-TASK`).
        options: values of further options by name, such as `{"training.steps": 100}`.

    Raises:
        InputError: an option is wrong, or data cannot be used.
        KeyboardInterrupt: the run was stopped; the command line goes on with it by `--resume`.
    """
    folder = Path(out) if out is not None else Path(time.strftime(f"runs/%Y%m%d-%H%M%S-{task}"))
    given = {"task": task, "preset": preset, "out": str(folder)}
    given |= {"models": ",".join(models)} if models is not None else {}
    given |= {"data": str(data)} if data is not None else {}
    arguments = [f"--{name}={value}" for name, value in given.items()]
    for name, value in (options or {}).items():
        arguments += _arguments(name, value)
    if execute(arguments) in (130, 143):
        raise KeyboardInterrupt
    return load_result(folder)


def evaluate(
    model: "Predictor",
    task: str,
    data: str | Path | None = None,
    *,
    name: str = "model",
    preset: str = DEFAULT_PRESET,
    out: str | Path | None = None,
    options: Mapping[str, object] | None = None,
) -> Result:
    """Judge a predictor that is held in memory beside the floors of a comparison.

    It is judged as it is, on embeddings scaled as those of a run with the same data and options.

    Args:
        model: the predictor.
        task: `next_frame` or `denoise`.
        data: folder of videos or images, or a shard set (None: the built-in corpus).
        name: name of the model in the result.
        preset: name of the preset.
        out: folder of the run (None: `runs/TIME-TASK`).
        options: values of further options by name.

    Raises:
        InputError: an option is wrong, or data cannot be used.
        ValueError: the task has no models, or the name is taken.
    """
    found = load_task(task)
    if not isinstance(found, ModelTask):
        raise ValueError(f"{task} has no models; give next_frame or denoise")
    floors = [s.name for s in found.specs if s.role is Role.FLOOR and s.by_default and s.available]
    domain = found.domain.name
    spec = ModelSpec(name, Role.NETWORK, lambda *_: model, by_default=False)
    if name in [known.name for known in found.specs] or not register(domain, spec):
        raise ValueError(f"the name {name} is taken; give another")
    try:
        return run(task, models=[name, *floors], data=data, preset=preset, out=out, options=options)
    finally:
        withdraw(domain, name)


def _arguments(name: str, value: Any) -> list[str]:
    """An option as the command line takes it."""
    if name in FLAGS:
        return [f"--{name}"] * bool(value)
    if name in REPEATED and not isinstance(value, str):
        return [f"--{name}={one}" for one in value]
    if name == "seeds" and not isinstance(value, str):
        value = ",".join(map(str, value))
    return [f"--{name}={value if isinstance(value, str) else json.dumps(value)}"]
