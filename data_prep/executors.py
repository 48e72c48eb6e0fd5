"""Run shard jobs: threads that each lead a process of their own on this machine, or Ray tasks.

A job makes one shard and is safe to repeat, so a worker that dies costs its shard alone.
"""

import errno
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from data_prep.config import ExecutorConfig
from data_prep.errors import InputError, StorageError

Advance = Callable[[int], None]


class ShardJob(Protocol):
    """The making of one shard: picklable, repeatable, the same bytes each time."""

    @property
    def name(self) -> str:
        """The shard's name."""
        ...

    @property
    def units(self) -> int:
        """Sources or clips in it, for the progress bar."""
        ...

    def tools(self) -> AbstractContextManager[Any]:
        """What a worker opens once for all its jobs: a decoding process, an encoder."""
        ...

    def make(self, tools: Any, advance: Advance) -> None:
        """Write the shard; `advance(n)` after each `n` units."""
        ...


def run_jobs(jobs: Sequence[ShardJob], config: ExecutorConfig, description: str) -> None:
    """Run all jobs, with a progress bar.

    Raises:
        InputError, StorageError: a job cannot go on; the others are stopped. What is finished is
            kept.
    """
    if not jobs:
        return
    with _progress(description, sum(job.units for job in jobs)) as advance:
        try:
            (_run_on_ray if config.executor == "ray" else _run_here)(jobs, config, advance)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            advice = "make room" if full else "see to it"
            raise StorageError(
                f"{error.strerror or error}: {advice}, then run the same command again; "
                "what is finished is kept"
            ) from error


class _Stopped(Exception):
    """Another worker failed, or the user interrupted."""


def _run_here(jobs: Sequence[ShardJob], config: ExecutorConfig, advance: Advance) -> None:
    """Worker threads take job after job; the work itself is in the processes that they lead."""
    stop = threading.Event()
    waiting, lock = iter(jobs), threading.Lock()

    def advance_unless_stopped(units: int) -> None:
        if stop.is_set():
            raise _Stopped
        advance(units)

    def work() -> None:
        with jobs[0].tools() as tools:
            while not stop.is_set():
                with lock:
                    job = next(waiting, None)
                if job is None:
                    return
                job.make(tools, advance_unless_stopped)

    count = min(config.workers or os.cpu_count() or 1, len(jobs))
    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(work) for _ in range(count)]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, _Stopped)):
        raise error


def _run_on_ray(jobs: Sequence[ShardJob], config: ExecutorConfig, advance: Advance) -> None:
    """One task per shard; Ray runs a task again when its node dies."""
    try:
        import ray
    except ImportError:
        raise InputError('--executor ray: Ray is not here; pip install -e ".[ray]"') from None
    started = not ray.is_initialized()
    if started:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(address=config.ray_address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError) as error:
            raise InputError(f"--ray_address {config.ray_address}: {error}") from None
    task = ray.remote(num_cpus=1, max_retries=5)(_make_alone)
    try:
        units = {task.remote(job): job.units for job in jobs}
        while units:
            done, _ = ray.wait(list(units))
            for reference in done:
                ray.get(reference)
                advance(units.pop(reference))
    except ray.exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, Exception) else error from None
    finally:
        if started:
            ray.shutdown()


def _make_alone(job: ShardJob) -> None:
    with job.tools() as tools:
        job.make(tools, lambda units: None)


class _Rate(ProgressColumn):
    """Units per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s", style="progress.data.speed")


@contextmanager
def _progress(description: str, total: int) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda units: progress.advance(task, units)
