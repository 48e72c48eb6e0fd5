"""Load the trained models of a finished run."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.config import Inputs
from benchmarks.models import added_models, place_of
from benchmarks.options import parse, to_config
from benchmarks.reporting.results import RESULTS, read_result
from benchmarks.tasks.registry import load_task
from benchmarks.training.fit import TrainedModel, train_models, training_folder
from benchmarks.training.selected import Selected
from data_prep.errors import InputError
from worldmodel.predictor import Setting
from worldmodel.training import RECORD


@dataclass(frozen=True)
class LoadedRun:
    """The configuration, the data and the trained models of a run; `skipped` says why of others."""

    config: Any
    data: Any
    models: list[TrainedModel]
    skipped: list[str]


def of_run(folder: Path, task: str, cache: Path) -> tuple[Any, Inputs]:
    """The configuration of a finished run of a task, and from what it made its data.

    Raises:
        InputError: the folder holds no such run, or one of another version.
    """
    if not (folder / RESULTS).is_file():
        raise InputError(f"{folder}: no finished run; give a folder that holds {RESULTS}")
    kind = load_task(task).takes
    places = [place_of(spec) for spec in added_models(kind)]
    given = [f"--model={place}" for place in places if place is not None]
    options = parse(["--resume", str(folder), *given])
    if options.task != task:
        raise InputError(f"{folder}: a run of {options.task}; a run of {task} is needed")
    data = Path(options.data) if options.data else None
    return to_config(options), Inputs(data, {}, cache)


def load_run(folder: Path, task: str, wanted: list[str], cache: Path, device: str) -> LoadedRun:
    """The models of a finished run of a task, as far as they are among `wanted`.

    Raises:
        InputError: the folder holds no such run, or one of another version.
    """
    config, inputs = of_run(folder, task, cache)
    declared = load_task(task).specs
    judged = {model.name for model in read_result(folder).models}
    specs = {spec.name: spec for spec in declared}
    chosen, skipped, selected = [], [], Selected(folder).counts
    for name in config.models:
        spec = specs[name]
        if spec.config is None or name not in wanted or name not in judged:
            continue
        decisive = spec.equal_inference_to
        if decisive in config.models and decisive not in selected:
            skipped.append(f"{name}: the run does not keep how {decisive} ran, which set its size")
            continue
        missing = [
            seed
            for seed in config.seeds
            if not (folder / training_folder(name, seed) / RECORD).is_file()
        ]
        if missing:
            raise InputError(f"{folder}: the training of {name} with seed {missing[0]} is missing")
        chosen.append(name)
    if not chosen and skipped:
        raise InputError(f"{folder}: {skipped[0]}")
    if not chosen:
        raise InputError(f"{folder}: none of its models is among {', '.join(wanted)}")
    config = replace(config, models=chosen)
    data = load_task(task).prepare(config, inputs)
    models = train_models(declared, config, data, folder, device, _select)
    return LoadedRun(config, data, models, skipped)


def _select(model: TrainedModel) -> Setting:
    raise AssertionError("what was selected is kept in the run")
