"""Processes that work for this one, each through a pipe of its own, and end with it.

They share no queue and no lock, so that one that is killed holds nothing that others wait for.
"""

import functools
import multiprocessing
import os
import pickle
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from multiprocessing import connection
from typing import Any, Self, TypeVar

from data_prep.errors import LostWorkerError
from data_prep.stopping import SIGNALS, end_with_parent, release_signals, signals_held, stop

PATIENCE = 8.0  # seconds for workers to save what they have; less than `stopping.GRACE`
READY, SAID, DONE, FAILED = "ready", "said", "done", "failed"

Key = TypeVar("Key")
Item = TypeVar("Item")
Made = TypeVar("Made")


class Workers:
    """Spawned processes for a `with` block; an error in it, or a signal, ends them.

    Args:
        count: how many (None: one for each core).
        prepare: called first in each; picklable.
    """

    def __init__(self, count: int | None, prepare: Callable[[], None] | None = None):
        self._count, self._prepare = count or os.cpu_count() or 1, prepare
        self._processes: dict[connection.Connection, Any] = {}
        self._busy: dict[connection.Connection, Any] = {}  # with the key of its job
        self._idle: list[connection.Connection] = []

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        try:
            for _ in range(self._count):
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, self._prepare))
                with signals_held():
                    process.start()
                    self._processes[ours] = process
                theirs.close()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def work(self, jobs: Mapping[Key, Callable[[], Any]]) -> Iterator[tuple[Key, bool, Any]]:
        """Do all jobs; gives what each one says and, at last, its result.

        A triple has the job's key, whether this is its result, and the value. Jobs and values must
        be picklable. The first error stops what has not begun and is raised when what has begun is
        through.

        Raises:
            LostWorkerError: a worker was killed.
        """
        waiting = deque(jobs.items())
        error: BaseException | None = None
        while self._busy or (waiting and error is None):
            while self._idle and waiting and error is None:
                key, job = waiting.popleft()
                pipe = self._idle.pop()
                self._busy[pipe] = key
                self._send(pipe, job)
            for pipe in map(_as_pipe, connection.wait(list(self._processes))):
                kind, value = self._receive(pipe)
                if kind == SAID:
                    yield self._busy[pipe], False, value
                    continue
                self._idle.append(pipe)
                if kind == DONE:
                    yield self._busy.pop(pipe), True, value
                elif kind == FAILED:
                    self._busy.pop(pipe)
                    error = error or value
                    if isinstance(value, KeyboardInterrupt):
                        raise value
        if error is not None:
            raise error

    def map(self, make: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
        """What `make` gives for each item, in their order.

        Raises:
            LostWorkerError: a worker was killed.
        """
        jobs = {number: functools.partial(make, item) for number, item in enumerate(items)}
        made: dict[int, Made] = {}
        following = 0
        for number, done, value in self.work(jobs):
            if done:
                made[number] = value
            while following in made:
                yield made.pop(following)
                following += 1

    def _receive(self, pipe: connection.Connection) -> tuple[str, Any]:
        try:
            received: tuple[str, Any] = pipe.recv()
            return received
        except (EOFError, OSError):
            raise self._lost(pipe) from None

    def _send(self, pipe: connection.Connection, job: Callable[[], Any]) -> None:
        try:
            pipe.send(job)
        except OSError:
            raise self._lost(pipe) from None

    def _lost(self, pipe: connection.Connection) -> LostWorkerError:
        process, key = self._processes[pipe], self._busy.get(pipe)
        process.join(1)
        code = process.exitcode
        killed = f"was killed ({signal.Signals(-code).name})" if (code or 0) < 0 else "has ended"
        memory = ", perhaps because memory ran out" if code == -signal.SIGKILL else ""
        of_job = f" of {key}" if isinstance(key, str) else ""
        return LostWorkerError(f"the process{of_job} {killed}{memory}; what is finished is kept")

    def _end(self) -> None:
        """Those at work are told to save what they have and have `PATIENCE`; the others end now."""
        try:
            for pipe, process in self._processes.items():
                (process.terminate if pipe in self._busy else process.kill)()
            # Read to the end, or what they still say would keep them from ending.
            deadline, open_pipes = time.monotonic() + PATIENCE, list(self._busy)
            while open_pipes and (left := deadline - time.monotonic()) > 0:
                for pipe in map(_as_pipe, connection.wait(open_pipes, left)):
                    try:
                        kind, value = pipe.recv()
                    except (EOFError, OSError):
                        open_pipes.remove(pipe)
                        continue
                    if kind == FAILED and not isinstance(value, KeyboardInterrupt):
                        print(f"{self._busy[pipe]}: {value}", file=sys.stderr)
        finally:
            for pipe, process in self._processes.items():
                process.kill()
                process.join()
                pipe.close()
            self._processes.clear()
            self._busy.clear()
            self._idle.clear()


def say(value: Any) -> None:
    """Within a job: tell the process that waits for it. Outside, nothing is told."""
    if _pipe is not None:
        _pipe.send((SAID, value))


_pipe: connection.Connection | None = None  # of a worker


def _serve(pipe: connection.Connection, prepare: Callable[[], None] | None) -> None:
    """In a worker: do job after job, until it is told to end or killed."""
    global _pipe
    _pipe = pipe
    end_with_parent()
    for number in SIGNALS:
        signal.signal(number, stop)
    try:
        release_signals()
        if prepare is not None:
            prepare()
        pipe.send((READY, None))
        stopped = False
        while not stopped:
            kind, value = _result(pipe.recv())
            pipe.send((kind, value))
            stopped = isinstance(value, KeyboardInterrupt)
    except (KeyboardInterrupt, EOFError, OSError):  # there is nothing to be saved
        pass
    pipe.close()


def _result(job: Callable[[], Any]) -> tuple[str, Any]:
    try:
        return DONE, job()
    except BaseException as error:
        error.add_note(f"in a worker:\n{traceback.format_exc()}")
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # libraries raise what cannot be pickled
            return FAILED, RuntimeError(f"{type(error).__name__}: {error}")
        return FAILED, error


def _as_pipe(ready: Any) -> connection.Connection:
    pipe: connection.Connection = ready
    return pipe
