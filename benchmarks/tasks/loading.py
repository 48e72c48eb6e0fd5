"""Load the trained models of a finished run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from benchmarks.config import JSON, Inputs, RunConfig
from benchmarks.domains.contract import DomainData
from benchmarks.models import ModelSpec, added_models, place_of
from benchmarks.record.results import RESULTS, read_result
from benchmarks.tasks.configuring import OPTIONS, build_config
from benchmarks.tasks.contract import ModelTask
from benchmarks.tasks.registry import load_task
from benchmarks.training.fit import TrainedModel, train_models, training_folder
from benchmarks.training.pretrained import source_of
from benchmarks.training.selected import Selected
from data_prep.encoders.named import named as own_encoders
from data_prep.errors import InputError
from worldmodel.predictor import Setting
from worldmodel.training import RECORD


@dataclass(frozen=True)
class LoadedRun:
    """The configuration and the trained models of a run; `skipped` says why of others."""

    config: RunConfig
    models: list[TrainedModel]
    skipped: list[str]


def of_run(folder: Path, task: str, cache: Path) -> tuple[RunConfig, Inputs]:
    """The configuration of a finished run of a task, and from what it made its data.

    Raises:
        InputError: the folder holds no such run, or one of another version.
    """
    if not (folder / RESULTS).is_file():
        raise InputError(f"{folder}: no finished run; give a folder that holds {RESULTS}")
    options = yaml.safe_load((folder / OPTIONS).read_text())
    if options["task"] != task:
        raise InputError(f"{folder}: a run of {options['task']}; a run of {task} is needed")
    asked = load_task(task, options.get("domain"))
    assert isinstance(asked, ModelTask)
    _require_added(folder, asked, options)
    data = Path(options["data"]) if options.get("data") else None
    try:
        return build_config(asked, options), Inputs(data, {}, cache)
    except InputError as error:
        raise InputError(f"{folder}: {error}; if it is of an earlier version, repeat it") from None


def _require_added(folder: Path, task: ModelTask[DomainData], options: JSON) -> None:
    """Raise InputError where a run has code of the user's own that is not named again."""
    encoder = str((options.get("encoder") or {}).get("name", ""))
    if encoder.startswith("own:") and encoder not in own_encoders:
        raise InputError(f"{folder}: {encoder} is code: give --encoder.name {encoder} again")
    added = added_models(task.domain.name)
    known = [place_of(spec) for spec in added]
    for place in options.get("model") or []:
        if place not in known:
            raise InputError(f"{folder}: the run has the model {place}: give --model {place} again")
    sources = [source_of(spec) for spec in added]
    for pair in options.get("checkpoint") or []:
        if pair not in sources:
            raise InputError(f"{folder}: the run has {pair}: give --checkpoint {pair} again")


def load_run(
    folder: Path,
    config: RunConfig,
    declared: Sequence[ModelSpec],
    wanted: Sequence[str],
    data: Any,
    device: str,
) -> LoadedRun:
    """The models of a finished run of this configuration, as far as they are among `wanted`.

    Raises:
        InputError: the folder does not hold them.
    """
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
    models = train_models(declared, config, data, folder, device, _select)
    return LoadedRun(config, models, skipped)


def _select(model: TrainedModel) -> Setting:
    raise AssertionError("what was selected is kept in the run")
