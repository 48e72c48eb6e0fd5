"""The typed result of a run: `results.json`, from which every report is made."""

import dataclasses
import functools
import json
import os
import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import torch

from benchmarks.config import JSON
from benchmarks.record.costs import Cost
from benchmarks.record.model_names import title_of
from benchmarks.record.older import OLDER, of_older
from data_prep.errors import InputError
from data_prep.shards.plan import versions_of
from data_prep.shards.storage import write_json

SCHEMA_VERSION = 7
TRAINED_BEFORE = "one training, done before"  # what is special about a pretrained model
TRAINED_ELSEWHERE = "trained by others"
RESULTS = "results.json"
MOST_NAMED = 5  # of the files that were left out
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

T = TypeVar("T")
D = TypeVar("D", bound="Details")


@dataclass(frozen=True)
class Metric:
    """A mean over `n` videos or images with its 95 % interval; a single one has no interval.

    `best` marks the best model under a condition, and each that a paired 95 % interval does not
    tell apart from it, all at their selected settings.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    higher_is_better: bool | None
    best: bool = False

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of the interval to draw: the mean itself where there is none."""
        return (
            self.mean if self.low is None else self.low,
            self.mean if self.high is None else self.high,
        )


@dataclass(frozen=True)
class SettingRecord:
    """How a model was run: its label, its place among the model's settings, and its options.

    A `fixed` setting is never selected on validation.
    """

    label: str
    order: float
    fixed: bool
    options: JSON


@dataclass(frozen=True)
class Row:
    """One model in one setting under one condition.

    `condition` names what it was judged on, such as `split` and `protocol`, or `images` and
    `corruption`. `selected` settings are those chosen on validation, `trained` those that training
    optimises. `selected_share` is the share of resamples of the validation videos or images in
    which the setting would have been selected; None where there was no choice. `series` are metrics
    that have many values: energies after each step from the start on, quality of each frame ahead.
    """

    setting: SettingRecord
    condition: dict[str, str]
    selected: bool
    trained: bool
    metrics: dict[str, Metric]
    cost: Cost
    selected_share: float | None = None
    series: dict[str, list[Metric]] = field(default_factory=dict)


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
    """A model's role, parameters, training cost and rows, and what is special about it.

    `parameters_in_blocks` are those without embeddings and heads.

    `equal` names what a network shares with the model in question: its number of optimiser steps,
    its training FLOPs, its inference FLOPs.
    """

    name: str
    role: str
    parameters: int
    training: Training | None
    rows: list[Row]
    traits: list[str]
    equal: list[str] = field(default_factory=list)
    parameters_in_blocks: int | None = None

    @property
    def title(self) -> str:
        """What readers call it."""
        return title_of(self.name)


@dataclass(frozen=True)
class Comparison:
    """Paired difference a - b of a metric under a condition, each model in its setting.

    The 95 % interval is that of this difference alone.
    """

    a: str
    b: str
    a_setting: SettingRecord
    b_setting: SettingRecord
    condition: dict[str, str]
    metric: str
    difference: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Verdict:
    """The answer to the question of a declared contrast under a condition.

    The interval of `compared` is simultaneous: with 95 % all those of the declared contrasts under
    the condition hold at once. `p` is two-sided and corrected for them (Holm). `margin` is the
    difference below which both are `the same`, in the unit of the metric.
    """

    question: str
    compared: Comparison
    p: float
    margin: float
    answer: str


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


class Details:
    """What else a task found; a subclass is a dataclass."""


@dataclass(frozen=True)
class Result:
    """Everything that a run found, and the files of the run that its report uses.

    A comparison has models, comparisons and verdicts, a throughput run measurements and profiles.
    `domain` is that of its models. `references` stand beside these: what could be predicted with
    knowledge that no model has. `details` are what else a task found, in a form of its own, which
    `found` gives.
    """

    task: str
    config: JSON
    environment: JSON
    data: JSON
    seeds: list[int] = field(default_factory=list)
    models: list[Model] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    profiles: list[Profile] = field(default_factory=list)
    files: JSON = field(default_factory=dict)
    details: JSON | Details = field(default_factory=dict)
    references: list[Model] = field(default_factory=list)
    domain: str | None = None
    schema_version: int = SCHEMA_VERSION

    def found(self, kind: type[D]) -> D:
        """The details as the class of their task."""
        if isinstance(self.details, dict):  # read from a file: seconds of work, so done once
            object.__setattr__(self, "details", typed(kind, self.details))
        assert isinstance(self.details, kind)
        return self.details


def write_result(folder: Path, result: Result) -> None:
    """Write `results.json`."""
    write_json(folder / RESULTS, dataclasses.asdict(result))


def read_result(folder: Path) -> Result:
    """Read `results.json`.

    Raises:
        InputError: there is none, or it is broken or of another version.
    """
    path = folder / RESULTS
    if not path.is_file():
        raise InputError(f"{folder}: no {RESULTS} here; give the folder of a finished run")
    return parse_result(path)


def parse_result(path: Path) -> Result:
    """Read a file that holds a result.

    Raises:
        InputError: it is broken or of another version.
    """
    try:
        content = json.loads(path.read_text())
        version = content["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a result ({error!r})") from None
    if version != SCHEMA_VERSION and version not in OLDER:
        commit = str((content.get("environment") or {}).get("commit") or "that made it")
        raise InputError(
            f"{path}: schema_version {version}, this program reads {SCHEMA_VERSION}: repeat the "
            f"run, or use the commit {commit.removesuffix('+changes')}"
        )
    try:
        content = of_older(content) if version in OLDER else content
        result = typed(Result, content)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a result of this version ({error!r})") from None
    return result


def skipped(result: Result) -> list[str]:
    """What was left out of a run, and why."""
    data = result.data
    rejected = [f"{entry['source']}: {entry['reason']}" for entry in data.get("rejected") or []]
    more = len(rejected) - MOST_NAMED
    lines = rejected[:MOST_NAMED] + ([f"{more} more files, see results.json"] if more > 0 else [])
    lines += data.get("skipped") or []
    lines += (data.get("perception") or {}).get("skipped", [])
    return list(dict.fromkeys(lines))


def describe_environment(device: str) -> JSON:
    """Versions, commit and machine."""
    return {
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": versions_of(*PACKAGES),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
    }


_annotations: Callable[[Any], dict[str, Any]] = functools.cache(get_type_hints)


def typed(kind: type[T], content: JSON) -> T:
    """JSON as a dataclass, and as those that its annotations name, in lists and dicts too."""
    types = _annotations(kind)
    return kind(**{name: _typed(types[name], value) for name, value in content.items()})


def _typed(kind: Any, content: Any) -> Any:
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return typed(kind, content)
    if get_origin(kind) is list:
        return [_typed(get_args(kind)[0], value) for value in content]
    if get_origin(kind) is dict:
        return {name: _typed(get_args(kind)[1], value) for name, value in content.items()}
    if get_origin(kind) is UnionType and content is not None:
        return _typed(get_args(kind)[0], content)
    return content


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
