"""Train several small models at once on a CPU, each in a process of one thread."""

import functools
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch

from benchmarks.progress import Work
from benchmarks.training.malloc import keep_freed_memory
from data_prep.workers import Workers, say

ALL = "all trainings"
T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """Arguments of a training, its steps, and what it costs in any unit common to all jobs."""

    arguments: tuple[object, ...]
    steps: int
    cost: float

    def call(self, train: Callable[..., T], report: object) -> T:
        """What `train` gives in this process."""
        return train(*self.arguments, report)


def run_in_processes(train: Callable[..., object], jobs: Mapping[str, Job], processes: int) -> None:
    """Call `train(*arguments, report)` for each job, by name.

    Everything must be picklable; `report` takes the number of steps done and the validation loss.
    The first error stops what has not begun and is raised when what has begun is through.

    Raises:
        KeyboardInterrupt: the user interrupted; running jobs were told so and have ended.
        LostWorkerError: a process was killed; the others were told to end and have ended.
    """
    calls = {name: functools.partial(_call, train, job.arguments) for name, job in jobs.items()}
    costs = {name: job.cost for name, job in jobs.items()}
    count = min(processes, os.cpu_count() or 1, len(jobs))
    with Work(ALL, costs, lines_of_parts=True) as work, Workers(count, _prepare) as workers:
        for name, done, said in workers.work(calls):
            if done:
                work.finish(name)
                work.print(f"trained {name}")
            else:
                steps, loss = said
                work.update(name, steps / jobs[name].steps, said_of(loss))


def said_of(validation_loss: float) -> str:
    """What is said of a training besides its steps."""
    return "" if math.isnan(validation_loss) else f"validation loss {validation_loss:.4g}"


def _prepare() -> None:
    """In a new worker."""
    keep_freed_memory()
    torch.set_num_threads(1)


def _call(train: Callable[..., object], arguments: tuple[object, ...]) -> None:
    train(*arguments, lambda *said: say(said))
