"""The configuration of a sweep. Imports nothing heavy."""

from dataclasses import dataclass, field, fields
from typing import Literal

from benchmarks.config import JSON
from benchmarks.tasks.compare.config import CompareConfig
from data_prep.config import require
from worldmodel.config import SIZES

Axis = Literal["width", "depth", "parameters", "data", "batch", "steps", "context", "flops"]


@dataclass
class ValuesConfig:
    """The values of each axis, from small to large.

    Args:
        width: widths of the backbone; heads keep their width.
        depth: numbers of blocks of the backbone.
        parameters: sizes of the backbone, by name such as xxs or as LAYERSxWIDTH.
        data: numbers of training clips.
        batch: numbers of clips in a step; the learning rate grows with their square root.
        steps: numbers of optimiser steps.
        context: numbers of observed frames before the last predicted one; models see the first
            frames of the same clips (video only).
        flops: sizes of the backbone, as for parameters; the number of steps grows with the
            parameters of the blocks, from training.steps at the size of the backbone.
    """

    width: list[int] = field(default_factory=lambda: [16, 32, 48, 64, 96])
    depth: list[int] = field(default_factory=lambda: [1, 2, 3, 4, 6])
    parameters: list[str] = field(default_factory=lambda: ["1x16", "1x32", "2x48", "2x64", "3x96"])
    data: list[int] = field(default_factory=lambda: [30, 60, 120, 240, 480])
    batch: list[int] = field(default_factory=lambda: [2, 4, 8, 16, 32])
    steps: list[int] = field(default_factory=lambda: [75, 150, 300, 600, 1200])
    context: list[int] = field(default_factory=lambda: [2, 3, 5, 8, 11])
    flops: list[str] = field(default_factory=lambda: ["1x16", "1x32", "2x48", "2x64", "3x96"])

    def __post_init__(self) -> None:
        for axis in fields(self):
            values = getattr(self, axis.name)
            require(
                len(values) >= 2 and len(set(values)) == len(values),
                f"values.{axis.name}: give at least two different values",
            )
            if axis.name in ("parameters", "flops"):
                for value in values:
                    size_of(value, f"values.{axis.name}")
            else:
                least = 2 if axis.name == "context" else 1
                require(
                    min(values) >= least, f"values.{axis.name}: values must be at least {least}"
                )


@dataclass
class ScalingConfig(CompareConfig):
    """What changes in the comparisons of a sweep, which are alike in all else.

    Learning rates are those of the size that the options give; other widths get them times a power
    of the ratio of widths, -1/2 under Muon and -1 under AdamW.

    Args:
        axis: what changes from point to point.
        variants: whole sweeps beside each other, by name; each changes these options, such as
            {small_frames: {corpus.size: 16}} (empty: one sweep).
        search_each: whether optimiser and learning rate of every point are searched, instead of
            following the rule.
        jobs: number of points that run at once on this machine.
        num_jobs: number of jobs, on machines that share the folder of the run, that divide the
            points among them.
        job_index: index of this job, from 0; job i runs the points i, i + num_jobs and so on.
    """

    values: ValuesConfig = field(default_factory=ValuesConfig)
    axis: Axis = "width"
    variants: dict[str, JSON] = field(default_factory=dict)
    search_each: bool = False
    jobs: int = 1
    num_jobs: int = 1
    job_index: int = 0

    def __post_init__(self) -> None:
        require(self.jobs >= 1, "jobs must be at least 1")
        require(self.num_jobs >= 1, "num_jobs must be at least 1")
        require(
            0 <= self.job_index < self.num_jobs,
            f"job_index {self.job_index}: jobs are counted from 0 to num_jobs - 1 = "
            f"{self.num_jobs - 1}",
        )
        for name in self.variants:
            require(
                name.replace("_", "").replace("-", "").isalnum(),
                f"variants: {name!r} names a folder: use letters, digits, - and _",
            )


def size_of(value: str, option: str) -> tuple[int, int]:
    """Layers and width that a size stands for: a name, or LAYERSxWIDTH.

    Raises:
        InputError: it is neither.
    """
    if value in SIZES:
        return SIZES[value].layers, SIZES[value].width
    layers, _, width = value.partition("x")
    require(
        layers.isdigit() and width.isdigit(),
        f"{option}: {value!r} is neither a size such as {', '.join(SIZES)} nor LAYERSxWIDTH",
    )
    return int(layers), int(width)
