"""Several processes, parts of batches, signals and sudden death: the same training."""

import csv
import json
import multiprocessing
import os
import pkgutil
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from random_data import RandomData
from safetensors.torch import load_file

from benchmarks.cli.command_line import main
from benchmarks.tasks.configuring import preset_config
from benchmarks.tasks.registry import load_task
from benchmarks.training.fit import train_model
from benchmarks.training.plan import PlannedModel
from data_prep.errors import InputError
from worldmodel.config import BackboneConfig
from worldmodel.processes import LostProcessError, Processes, joined
from worldmodel.training import RECORD, WEIGHTS, TrainingData

BACKBONE = BackboneConfig(layers=1, heads=2, width=64)
CLIPS = 7  # no multiple of any batch
FORKED = multiprocessing.get_context("forkserver")


def train(
    folder: Path, model: str, task: str = "next_frame", delay: float = 0.0, **training: Any
) -> None:
    """Train a small model in this process, or as one of several."""
    torch.set_num_threads(1)
    config = preset_config(task, "smoke")
    options = {"batch_size": 4, "steps": 6, "warmup_steps": 2, "validate_every": 2}
    # Muon makes directions orthogonal in bfloat16, which enlarges rounding.
    options |= {"optimizer": "adamw", "processes": 1}
    config = replace(config, training=replace(config.training, **(options | training)))
    data = RandomData.of(config, frames=3, number=CLIPS)
    for clips in (data.train, data.validation):
        clips.clips = clips.clips.double()  # AdamW would enlarge the rounding of float32 as well
    spec = next(spec for spec in load_task(task).domain.specs if spec.name == model)
    build = spec.build
    spec = replace(spec, build=lambda *parts: build(*parts).double())
    planned = PlannedModel(
        spec, replace(config.sections[model], optimizer=None), BACKBONE, config.training.steps
    )
    with joined(config.training, "cpu"):
        train_model(planned, config, data, folder, 0, "cpu", lambda *_: time.sleep(delay))


def as_rank(rank: int, port: int, call: Callable[..., None], *arguments: Any) -> None:
    """Call as one of two processes that torchrun has launched."""
    os.environ |= {
        "TORCHELASTIC_RUN_ID": "test",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "GROUP_RANK": "0",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    call(*arguments)


def train_ddp(folder: Path, model: str, task: str) -> None:
    train(folder, model, task, batch_size=2, devices=2, strategy="ddp")


def started(call: Callable[..., None], *arguments: Any) -> Any:
    FORKED.set_forkserver_preload(["benchmarks.training.fit", "worldmodel.training"])
    process = FORKED.Process(target=call, args=arguments)
    process.start()
    return process


def two(call: Callable[..., None], *arguments: Any) -> list[Any]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [started(as_rank, rank, port, call, *arguments) for rank in range(2)]


def outcome(folder: Path) -> tuple[dict[str, torch.Tensor], float]:
    record = json.loads((folder / RECORD).read_text())
    return load_file(folder / WEIGHTS), record["validation_loss"]


def require_same(a: Path, b: Path, tolerance: float) -> None:
    (first, loss), (second, other) = outcome(a), outcome(b)
    assert loss == pytest.approx(other, rel=tolerance, abs=0)
    for name, value in first.items():
        assert torch.allclose(value, second[name], rtol=tolerance, atol=tolerance), name


MODELS = [
    ("next_frame", "ebt_residual"),
    ("next_frame", "transformer_pp"),
    ("denoise", "ebt_residual_multi_level"),
]
DENOISERS = [("denoise", "direct"), ("denoise", "eqm"), ("denoise", "eqm_energy")]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    train(folder, "ebt_residual")
    return folder


SLOW = [
    pytest.param("next_frame", name, marks=pytest.mark.slow)
    for name in ("flow", "dit", "conv_lstm", "transformer_pp_gaussian", "transformer_pp_ensemble")
]


@pytest.mark.parametrize(("task", "model"), [*MODELS, *DENOISERS, *SLOW])
def test_a_batch_in_parts_teaches_the_same(task: str, model: str, tmp_path: Path) -> None:
    train(tmp_path / "whole", model, task)
    train(tmp_path / "parts", model, task, accumulate=2)
    require_same(tmp_path / "whole", tmp_path / "parts", 1e-5)


@pytest.mark.parametrize(
    ("task", "model"),
    [
        MODELS[0],
        *(pytest.param(*each, marks=pytest.mark.slow) for each in MODELS[1:]),
        pytest.param("denoise", "eqm", marks=pytest.mark.slow),
        *SLOW,
    ],
)
def test_two_processes_learn_what_one_learns_from_both_batches(
    task: str, model: str, tmp_path: Path
) -> None:
    pair = two(train_ddp, tmp_path / "two", model, task)
    train(tmp_path / "one", model, task)
    for process in pair:
        process.join(120)
        assert process.exitcode == 0
    require_same(tmp_path / "one", tmp_path / "two", 1e-5)


def wait_for_a_dead_one(place: Path) -> None:
    config = replace(preset_config("next_frame", "smoke").training, devices=2, processes=1)
    with joined(config, "cpu"):
        processes = Processes.current()
        if processes.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            processes.sum(torch.zeros(1))
        except LostProcessError as error:
            place.write_text(str(error))


def test_a_process_that_dies_ends_the_others_with_a_clear_message(tmp_path: Path) -> None:
    said = tmp_path / "said"
    for process in two(wait_for_a_dead_one, said):
        process.join(60)
        assert not process.is_alive()
    assert said.read_text().startswith("another process of this training has ended")


def train_until(function: str, number: int, folder: Path) -> None:
    """Train until death comes at a call of a function: the one of this number."""
    calls: list[None] = []
    original = pkgutil.resolve_name(function)

    def die(*arguments: Any) -> Any:
        calls.append(None)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(function, die)
        train(folder, "ebt_residual")


def validation_losses(folder: Path) -> set[str]:
    rows = [row for log in folder.glob("logs/*/metrics.csv") for row in csv.DictReader(log.open())]
    return {row["validation_loss"] for row in rows if row.get("validation_loss")}


VALIDATED = "worldmodel.training.PredictorTraining.on_validation_epoch_end"


# Whole files appear in this order: the plan, after each of three validations the best weights and
# what a training goes on from, and the record.
@pytest.mark.parametrize(
    ("function", "number"),
    [
        *((VALIDATED, number) for number in (1, 3)),
        *(("os.replace", number) for number in (1, 2, 3, 5, 7, 8)),
    ],
)
def test_a_training_survives_sudden_death(
    function: str, number: int, tmp_path: Path, unbroken: Path
) -> None:
    folder = tmp_path / "killed"
    process = started(train_until, function, number, folder)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    train(folder, "ebt_residual")
    require_same(unbroken, folder, 0)
    losses = validation_losses(unbroken)
    assert len(losses) == 3
    assert validation_losses(folder) == losses


def test_more_processes_than_asked_for_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "4")
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    code = main(["--task", "next_frame", "--preset", "smoke", "--training.devices", "2"])
    assert code == 2
    said = capsys.readouterr().err
    assert "training.devices 2 times training.nodes 1 is 2, but 4 processes were launched" in said


def test_every_device_needs_a_validation_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Processes, "current", lambda: Processes(count=4))
    config = preset_config("next_frame", "smoke")
    data = RandomData.of(config, frames=3)  # three validation clips
    with pytest.raises(InputError, match="3 validation clips for 4 devices; each needs one"):
        TrainingData(data.train, data.validation, config.training, 0)
    monkeypatch.setattr(Processes, "current", lambda: Processes(count=3))
    TrainingData(data.train, data.validation, config.training, 0)


def test_a_replay_buffer_needs_whole_batches(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--models", "ebt_residual_system2", "--training.accumulate", "2"]
    assert main(["--task", "thinking", "--preset", "smoke", *options]) == 2
    assert "ebt_residual_system2.replay: a replay buffer" in capsys.readouterr().err
