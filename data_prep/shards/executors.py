"""Run shard jobs: in threads that each control a process on this machine, or as Ray tasks.

A job makes one shard and is safe to repeat, so a worker that dies costs its shard alone.
"""

import errno
import logging
import os
import signal
import sys
import threading
import time
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
from data_prep.decoding.isolation import IsolatedReader
from data_prep.errors import InputError, StorageError

Advance = Callable[[int], None]
LOGGED_EVERY = 30.0  # seconds


class ShardJob(Protocol):
    """A job that makes one shard. It can be pickled and repeated, and gives the same bytes."""

    @property
    def name(self) -> str:
        """The shard's name."""
        ...

    @property
    def units(self) -> int:
        """The number of sources or clips in the shard, for the progress bar."""
        ...

    def tools(self) -> AbstractContextManager[Any]:
        """What a worker opens once for all its jobs, such as a decoding process or an encoder."""
        ...

    def make(self, tools: Any, advance: Advance) -> None:
        """Write the shard; call `advance(n)` after each `n` units."""
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
            advice = "free some space" if full else "check the disk"
            raise StorageError(
                f"{error.strerror or error}: {advice}, then run the same command again; "
                "what is finished is kept"
            ) from error


class _Stopped(Exception):
    """Another worker failed, or the user interrupted."""


def _run_here(jobs: Sequence[ShardJob], config: ExecutorConfig, advance: Advance) -> None:
    """Worker threads take job after job; the work is done in the processes that they control."""
    stop = threading.Event()
    waiting, lock = iter(jobs), threading.Lock()
    opened: list[Any] = []

    def advance_unless_stopped(units: int) -> None:
        if stop.is_set():
            raise _Stopped
        advance(units)

    def work() -> None:
        with jobs[0].tools() as tools:
            opened.append(tools)
            while not stop.is_set():
                with lock:
                    job = next(waiting, None)
                if job is None:
                    return
                job.make(tools, advance_unless_stopped)

    count = min(config.workers or os.cpu_count() or 1, len(jobs))
    with ThreadPoolExecutor(count) as pool:
        try:
            futures = [pool.submit(work) for _ in range(count)]
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
            for tools in opened:
                if isinstance(tools, IsolatedReader):
                    tools.interrupt()  # or a user would wait for the files being decoded
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, _Stopped)):
        raise error


def _run_on_ray(jobs: Sequence[ShardJob], config: ExecutorConfig, advance: Advance) -> None:
    """One task per shard; Ray runs a task again when its node dies."""
    on_signal = signal.getsignal(signal.SIGTERM)
    try:
        import ray
    except ImportError:
        raise InputError('--executor ray: Ray is not installed; pip install -e ".[ray]"') from None
    started = not ray.is_initialized()
    if started:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(address=config.ray_address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError) as error:
            raise InputError(f"--ray_address {config.ray_address}: {error}") from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_signal)  # Ray has put its own in this place
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
    """A progress bar, or a line every half minute where there is no terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task(description, total=total)
        log = _Log(description, total)

        def advance(units: int) -> None:
            progress.advance(task, units)
            if hidden:
                log.advance(units)

        yield advance


class _Log:
    """Progress as lines of a log file."""

    def __init__(self, description: str, total: int):
        self._description, self._total, self._done = description, total, 0
        self._started = self._told = time.monotonic()

    def advance(self, units: int) -> None:
        self._done += units
        now = time.monotonic()
        if now - self._told >= LOGGED_EVERY:
            self._told = now
            rate = self._done / (now - self._started)
            left = (self._total - self._done) / rate
            line = f"{self._done}/{self._total}, {rate:.1f}/s, {left:.0f} s left"
            print(f"{self._description}: {line}", file=sys.stderr, flush=True)
