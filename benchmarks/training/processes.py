"""Train several small models at once on a CPU, each in a process of one thread."""

import functools
import multiprocessing
import os
import queue
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.training.allocation import keep_freed_memory

REFRESH = 0.2  # seconds


def run_in_processes(
    train: Any, jobs: dict[str, tuple[tuple[Any, ...], int]], processes: int
) -> None:
    """Call `train(*arguments, report)` for each job, by name; a job also says its steps.

    Everything must be picklable; `report` takes the number of steps done. The first error stops
    what has not begun and is raised when what has begun is through.

    Raises:
        KeyboardInterrupt: the user interrupted; running jobs were told so and have ended.
    """
    context = multiprocessing.get_context("spawn")
    steps_done: Any = context.Queue()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with (
        Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress,
        ProcessPoolExecutor(
            min(processes, os.cpu_count() or 1), context, _prepare, (steps_done,)
        ) as pool,
    ):
        tasks = {name: progress.add_task(name, total=steps) for name, (_, steps) in jobs.items()}
        names = {
            pool.submit(_call, train, name, arguments): name
            for name, (arguments, _) in jobs.items()
        }
        try:
            pending = set(names)
            while pending:
                _update(progress, tasks, steps_done)
                done, pending = wait_for(pending, REFRESH)
                for future in done:
                    future.result()
                    progress.remove_task(tasks.pop(names[future]))
                    console.print(f"trained {names[future]}", highlight=False)
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, KeyboardInterrupt):
                for child in multiprocessing.active_children():
                    if child.pid is not None:
                        os.kill(child.pid, signal.SIGINT)
            raise


_steps_done: Any = None  # of a worker


def _prepare(steps_done: Any) -> None:
    """In a new worker."""
    global _steps_done
    _steps_done = steps_done
    keep_freed_memory()
    torch.set_num_threads(1)


def _call(train: Any, name: str, arguments: tuple[Any, ...]) -> None:
    train(*arguments, functools.partial(_report, name))


def _report(name: str, steps: int) -> None:
    _steps_done.put((name, steps))


def _update(progress: Progress, tasks: dict[str, Any], steps_done: Any) -> None:
    while True:
        try:
            name, steps = steps_done.get_nowait()
        except queue.Empty:
            return
        if name in tasks:
            progress.update(tasks[name], completed=steps)
