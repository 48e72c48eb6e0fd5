"""Train several small models at once on a CPU, each in a process of one thread."""

import functools
import math
import multiprocessing
import os
import queue
import signal
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.progress import Work
from benchmarks.training.allocation import keep_freed_memory

REFRESH = 0.2  # seconds
ALL = "all trainings"


@dataclass(frozen=True)
class Job:
    """Arguments of a training, its steps, and what it costs in any unit common to all jobs."""

    arguments: tuple[Any, ...]
    steps: int
    cost: float

    def call(self, train: Any, report: Any) -> Any:
        """What `train` gives in this process."""
        return train(*self.arguments, report)


def run_in_processes(train: Any, jobs: Mapping[str, Job], processes: int) -> None:
    """Call `train(*arguments, report)` for each job, by name.

    Everything must be picklable; `report` takes the number of steps done and the validation loss.
    The first error stops what has not begun and is raised when what has begun is through.

    Raises:
        KeyboardInterrupt: the user interrupted; running jobs were told so and have ended.
    """
    context = multiprocessing.get_context("spawn")
    reports: Any = context.Queue()
    costs = {name: job.cost for name, job in jobs.items()}
    with (
        Work(ALL, costs, lines_of_parts=True) as work,
        ProcessPoolExecutor(
            min(processes, os.cpu_count() or 1), context, _prepare, (reports,)
        ) as pool,
    ):
        names = {pool.submit(_call, train, name, job.arguments): name for name, job in jobs.items()}
        try:
            pending = set(names)
            while pending:
                _update(work, jobs, reports)
                done, pending = wait_for(pending, REFRESH)
                for future in done:
                    future.result()
                    work.finish(names[future])
                    work.print(f"trained {names[future]}")
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, KeyboardInterrupt):
                for child in multiprocessing.active_children():
                    if child.pid is not None:
                        os.kill(child.pid, signal.SIGINT)
            raise


def said_of(validation_loss: float) -> str:
    """What is said of a training besides its steps."""
    return "" if math.isnan(validation_loss) else f"validation loss {validation_loss:.4g}"


_reports: Any = None  # of a worker


def _prepare(reports: Any) -> None:
    """In a new worker."""
    global _reports
    _reports = reports
    keep_freed_memory()
    torch.set_num_threads(1)


def _call(train: Any, name: str, arguments: tuple[Any, ...]) -> None:
    train(*arguments, functools.partial(_report, name))


def _report(name: str, steps: int, validation_loss: float) -> None:
    _reports.put((name, steps, validation_loss))


def _update(work: Work, jobs: Mapping[str, Job], reports: Any) -> None:
    while True:
        try:
            name, steps, loss = reports.get_nowait()
        except queue.Empty:
            return
        work.update(name, steps / jobs[name].steps, said_of(loss))
