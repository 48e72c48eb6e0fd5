"""The typed result of a run: `results.json`, from which every report is made."""

import dataclasses
import importlib.metadata
import json
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.costs import Cost
from data_prep.errors import InputError
from data_prep.shards.storage import write_json

SCHEMA_VERSION = 2
RESULTS = "results.json"
PACKAGES = (
    "torch",
    "lightning",
    "torchmetrics",
    "decord",
    "av",
    "webdataset",
    "safetensors",
    "numpy",
)


@dataclass(frozen=True)
class Metric:
    """A mean over `n` videos or images with its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int
    higher_is_better: bool | None


@dataclass(frozen=True)
class Row:
    """One model run one way on one split by one protocol; `selected` on validation."""

    setting: dict[str, Any]
    split: str
    protocol: str
    selected: bool
    metrics: dict[str, Metric]
    cost: Cost


@dataclass(frozen=True)
class Training:
    """Optimiser steps, training FLOPs and seconds of one seed (mean over seeds).

    `start_up_seconds` of them went into compiling; 0 where nothing was compiled.
    """

    steps: int
    flops: int
    seconds: float
    start_up_seconds: float = 0.0


@dataclass(frozen=True)
class Model:
    """A model's parameters, training cost and rows; whether it is told how strong the noise is."""

    name: str
    parameters: int
    training: Training | None
    rows: list[Row]
    told_noise: bool = False


@dataclass(frozen=True)
class Comparison:
    """Paired difference a - b of a metric, each at its setting."""

    a: str
    b: str
    a_setting: dict[str, Any]
    b_setting: dict[str, Any]
    split: str
    protocol: str
    metric: str
    difference: float
    low: float
    high: float
    n: int
    verdict: str


@dataclass(frozen=True)
class Result:
    """Everything that a run found, and the files of the run that its report uses."""

    task: str
    config: dict[str, Any]
    seeds: list[int]
    environment: dict[str, Any]
    data: dict[str, Any]
    models: list[Model]
    comparisons: list[Comparison]
    files: dict[str, Any]
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Measurement:
    """A median with its lowest and highest repeat, beside a reference measured in the same run.

    `ratio` is above 1 where ours is better; a `target` is for the ratio, or for the value where
    there is no reference; the least that is wanted, or (`at_most`) the most.
    """

    name: str
    unit: str
    value: float
    low: float
    high: float
    reference: str | None
    reference_value: float | None
    ratio: float | None
    target: float | None
    at_most: bool
    note: str


@dataclass(frozen=True)
class Operation:
    """An operation's calls, and the milliseconds spent in itself."""

    name: str
    calls: int
    milliseconds: float


@dataclass(frozen=True)
class Profile:
    """Milliseconds and calls of all operations of a piece of work, and the costliest of them."""

    name: str
    milliseconds: float
    calls: int
    top: list[Operation]


@dataclass(frozen=True)
class ThroughputResult:
    """Everything that a throughput run measured; profiles if asked for."""

    task: str
    config: dict[str, Any]
    environment: dict[str, Any]
    data: dict[str, Any]
    measurements: list[Measurement]
    profiles: list[Profile]
    schema_version: int = SCHEMA_VERSION


def verdict(a: str, b: str, low: float, high: float) -> str:
    """Who is better, or `no difference` where the interval holds zero (higher is better)."""
    if low <= 0 <= high:
        return "no difference"
    return f"{a} is better" if low > 0 else f"{b} is better"


def write_result(folder: Path, result: Result | ThroughputResult) -> None:
    """Write `results.json`."""
    write_json(folder / RESULTS, dataclasses.asdict(result))


def read_result(folder: Path) -> Result | ThroughputResult:
    """Read `results.json`.

    Raises:
        InputError: there is none, or it is broken or of another version.
    """
    path = folder / RESULTS
    if not path.is_file():
        raise InputError(f"{folder}: no {RESULTS} here; give the folder of a finished run")
    try:
        content = json.loads(path.read_text())
        version = content["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a result ({error!r})") from None
    if version != SCHEMA_VERSION:
        raise InputError(f"{path}: schema_version {version}, this program reads {SCHEMA_VERSION}")
    try:
        if content["task"] == "throughput":
            content["measurements"] = [Measurement(**entry) for entry in content["measurements"]]
            content["profiles"] = [_profile(entry) for entry in content["profiles"]]
            return ThroughputResult(**content)
        content["models"] = [_model(model) for model in content["models"]]
        content["comparisons"] = [Comparison(**entry) for entry in content["comparisons"]]
        return Result(**content)
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: not a result of this version ({error!r})") from None


def describe_environment(device: str) -> dict[str, Any]:
    """Versions, commit and machine."""
    return {
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {package: importlib.metadata.version(package) for package in PACKAGES},
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
    }


def _model(content: dict[str, Any]) -> Model:
    rows = [
        Row(
            **{
                **row,
                "metrics": {name: Metric(**metric) for name, metric in row["metrics"].items()},
                "cost": Cost(**row["cost"]),
            }
        )
        for row in content["rows"]
    ]
    training = Training(**content["training"]) if content["training"] else None
    told_noise = bool(content["told_noise"])
    return Model(content["name"], content["parameters"], training, rows, told_noise)


def _profile(content: dict[str, Any]) -> Profile:
    return Profile(**{**content, "top": [Operation(**entry) for entry in content["top"]]})


def _commit() -> str | None:
    """The commit of the checkout, with `+changes` if files differ from it."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
