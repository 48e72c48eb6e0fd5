"""Trainings and preparations that are stopped in every way: they end in time and go on."""

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ending import Program
from random_data import RandomData
from safetensors.torch import load_file

from benchmarks.tasks.configuring import preset_config
from benchmarks.tasks.registry import load_task
from benchmarks.training.fit import train_model
from benchmarks.training.plan import PlannedModel
from benchmarks.training.processes import Job, run_in_processes
from data_prep.errors import Terminated
from data_prep.stopping import SIGNALS
from worldmodel.callbacks import REPEAT, WholeFiles
from worldmodel.config import BackboneConfig
from worldmodel.training import CHECKPOINT, RECORD, WEIGHTS

MODELS = ("ebt_residual", "transformer_pp")
STEPS = 30


def job(model: str, folder: Path, **training: Any) -> Job:
    """The training of a small model in a folder."""
    config = preset_config("next_frame", "smoke")
    options = {"batch_size": 4, "steps": STEPS, "warmup_steps": 2, "validate_every": 12}
    config = replace(config, training=replace(config.training, **(options | training)))
    data = RandomData.of(config, frames=3, number=7)
    spec = next(spec for spec in load_task("next_frame").domain.specs if spec.name == model)
    backbone = BackboneConfig(layers=1, heads=2, width=64)
    planned = PlannedModel(spec, config.sections[model], backbone, STEPS)
    return Job((planned, config, data, folder / model, 0, "cpu"), STEPS, 1.0)


def train_slowly(*arguments: Any) -> None:
    *others, report = arguments

    def report_slowly(*said: Any) -> None:
        report(*said)
        time.sleep(0.2)

    train_model(*others, report_slowly)


def train_at_once(models: Sequence[str], folder: Path, workers: int) -> int:
    """A command that trains models at once, each in a process with so many loaders of data."""
    jobs = {model: job(model, folder, workers=workers) for model in models}
    run_in_processes(train_slowly, jobs, len(models))
    return 0


def train(model: str, folder: Path, report: Callable[[int, float], None] | None = None) -> None:
    job(model, folder).call(train_model, report)


def weights(model: str, folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / model / WEIGHTS)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    for model in MODELS:
        train(model, folder)
    return folder


def require_same(model: str, folder: Path, unbroken: Path) -> None:
    train(model, folder)
    again, before = weights(model, folder), weights(model, unbroken)
    assert all(torch.equal(value, again[name]) for name, value in before.items())


COMMAND = """
from data_prep.options import run_command
from data_prep.stopping import leave
from test_stopping import *
leave(run_command(lambda: train_at_once({models}, Path({folder!r}), {workers})))
"""
# Signals, whether all processes get them, the exit code, the models, and loaders (told as well).
STOPS = {
    "told": ([signal.SIGTERM], False, 143, MODELS, 0),
    "all interrupted twice": ([signal.SIGINT, signal.SIGINT], True, 130, MODELS[:1], 1),
}


@pytest.mark.slow  # each process imports torch
@pytest.mark.parametrize("stop", STOPS)
def test_trainings_end_in_time_and_are_resumed(stop: str, tmp_path: Path, unbroken: Path) -> None:
    numbers, group, code, models, loaders = STOPS[stop]
    command = COMMAND.format(models=models, folder=str(tmp_path), workers=loaders)
    program = Program(["-c", command], tmp_path / "log")
    program.wait_for(lambda: all(f"{m}: 10 %" in program.log.read_text() for m in models))
    program.signal(*numbers, group=group)
    assert program.ended() == code
    assert "Traceback" not in program.log.read_text()
    for model in models:
        assert not (tmp_path / model / RECORD).exists()
        assert (tmp_path / model / CHECKPOINT).exists()
        assert not list((tmp_path / model).glob(".*.partial"))
        require_same(model, tmp_path, unbroken)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("pause", [0.0, REPEAT + 0.1])
def test_a_step_that_a_second_signal_cuts_off_is_not_in_a_checkpoint(
    number: int, pause: float, tmp_path: Path, unbroken: Path
) -> None:
    def stop(steps: int, loss: float) -> None:
        if steps == 15:  # its weights are updated, but it is not counted yet
            signal.raise_signal(number)
            time.sleep(pause)
            signal.raise_signal(number)

    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with pytest.raises(Terminated if number == signal.SIGTERM else KeyboardInterrupt):
            train("transformer_pp", tmp_path, stop)
    finally:
        signal.signal(signal.SIGTERM, before)
    checkpoint = tmp_path / "transformer_pp" / CHECKPOINT
    done = torch.load(checkpoint, weights_only=True)["global_step"]
    assert done == (12 if pause else 15)
    require_same("transformer_pp", tmp_path, unbroken)


def test_a_checkpoint_outlives_a_signal_while_it_is_loaded(
    tmp_path: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(steps: int, loss: float) -> None:
        if steps == 15:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train("transformer_pp", tmp_path, stop)
    checkpoint = tmp_path / "transformer_pp" / CHECKPOINT
    before = checkpoint.read_bytes()

    def interrupt(*_: Any, **__: Any) -> None:
        raise Terminated

    handlers = [signal.getsignal(number) for number in SIGNALS]
    with monkeypatch.context() as patch:
        patch.setattr(WholeFiles, "load_checkpoint", interrupt)
        with pytest.raises(Terminated):
            train("transformer_pp", tmp_path)
    assert [signal.getsignal(number) for number in SIGNALS] == handlers
    assert checkpoint.read_bytes() == before
    require_same("transformer_pp", tmp_path, unbroken)
