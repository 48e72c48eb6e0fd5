"""Read one source after another in a process that may hang, crash or run out of memory.

The process reads many sources and is replaced when one makes it fail. It answers in JSON and raw
pixels, never in pickles, since it is the one process that reads bytes of unknown origin. Frames
go through a file, so that a long video takes no memory.
"""

import contextlib
import dataclasses
import errno
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import numpy as np

from data_prep.decoding.clip import DecodedClip
from data_prep.errors import DecodeError, StorageError
from data_prep.sources.source import Source
from data_prep.stopping import SIGNALS, end_with_parent, release_signals, signals_held

try:
    import resource
except ImportError:  # Windows: memory is not limited there
    resource = None  # type: ignore[assignment]

Reader = Callable[[Path, Source], Iterator[DecodedClip]]
ATTEMPTS = 2
START_LIMIT = 300.0  # seconds for a new process to import its decoders


class IsolatedReader:
    """Calls `read(path, source)` in a process of its own, which is replaced when it fails.

    Args:
        read: picklable function that gives the clips of a source; its DecodeErrors pass through.
        time_limit: seconds without a finished clip after which the process is killed.
        memory_limit: bytes of memory that the process may map beyond what it starts with.
    """

    def __init__(self, read: Reader, time_limit: float, memory_limit: int):
        self._read, self._time_limit, self._memory_limit = read, time_limit, memory_limit
        self._process: Any = None
        self._pipe: Connection | None = None
        self._interrupted = False
        # The process makes and removes it: a program that is killed before it starts leaves none.
        self._scratch = Path(tempfile.gettempdir()) / f"ebt-bench-{uuid.uuid4().hex}"
        self._spool = self._scratch / "frames"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def __call__(self, path: Path, source: Source) -> Iterator[DecodedClip]:
        """The clips of one source, valid until the next call.

        A failure of the process itself is tried once more.

        Raises:
            DecodeError: the source cannot be read; the reason is in plain words.
            StorageError: the disk for scratch files is full.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                described = self._ask(path, source)
                break
            except _ProcessFailed as failure:
                self._stop()
                if self._interrupted:
                    raise DecodeError("interrupted") from None
                if attempt == ATTEMPTS:
                    raise DecodeError(f"{failure} ({ATTEMPTS} attempts)") from None
        return self._clips(described)

    def interrupt(self) -> None:
        """From another thread: give up the source that is being read, and all after it."""
        self._interrupted = True
        if (process := self._process) is not None:
            process.kill()

    def _ask(self, path: Path, source: Source) -> list[dict[str, Any]]:
        """What the process says of each clip; the frames are in the spool file."""
        clips: list[dict[str, Any]] = []
        try:
            pipe = self._start()
            pipe.send((path, source))
            while True:
                answer = _receive(pipe, self._time_limit)
                match answer["state"]:
                    case "clip":
                        clips.append(answer)
                    case "done":
                        return clips
                    case "rejected":
                        raise DecodeError(answer["reason"])
                    case "disk full":
                        raise StorageError(f"{self._scratch}: {answer['reason']}")
                    case "out of memory":
                        limit = self._memory_limit / 2**30
                        raise _ProcessFailed(f"needs more than {limit:g} GiB of memory")
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self._process.join()
            raise _ProcessFailed(f"decoder {_ending(self._process.exitcode)}") from None

    def _clips(self, described: list[dict[str, Any]]) -> Iterator[DecodedClip]:
        with self._spool.open("rb") as spool:
            for answer in described:
                shape = answer.pop("shape")
                data = spool.read(int(np.prod(shape)))
                answer.pop("state")
                yield DecodedClip(np.frombuffer(data, np.uint8).reshape(shape), **answer)

    def _start(self) -> Connection:
        if self._pipe is None:
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve,
                args=(theirs, self._read, self._spool, self._memory_limit),
                daemon=True,
            )
            with signals_held():
                process.start()  # fails in a script without the guard of its main part
                self._process, self._pipe = process, ours
            theirs.close()
            if self._interrupted:  # while it started, when there was none to kill yet
                process.kill()
            _receive(ours, START_LIMIT)
        return self._pipe

    def _stop(self) -> None:
        if self._pipe is not None:
            self._process.kill()
            self._process.join()
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._pipe.close()
            self._pipe = None


class _ProcessFailed(Exception):
    """The process that reads hung, died or ran out of memory."""


def _receive(pipe: Connection, limit: float) -> dict[str, Any]:
    if not pipe.poll(limit):
        raise _ProcessFailed(f"hung: no clip for {limit:g} s")
    answer: dict[str, Any] = json.loads(pipe.recv_bytes())
    return answer


def _serve(pipe: Connection, read: Reader, spool: Path, memory_limit: int) -> None:
    """Answer sources until the pipe closes."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the parent decides when to stop
    release_signals()
    spool.parent.mkdir(0o700)

    def clear() -> None:
        shutil.rmtree(spool.parent, ignore_errors=True)

    end_with_parent(clear)  # where a decoder hangs, the pipe is not read
    _limit_memory(memory_limit)

    def say(state: str, **content: Any) -> None:
        pipe.send_bytes(json.dumps({"state": state, **content}).encode())

    def answer(path: Path, source: Source) -> None:
        try:
            with spool.open("wb") as file:
                for clip in read(path, source):
                    file.write(clip.frames.tobytes())
                    file.flush()
                    described = {f.name: getattr(clip, f.name) for f in dataclasses.fields(clip)}
                    frames = described.pop("frames")
                    say("clip", shape=frames.shape, **described)
            say("done")
        except DecodeError as error:
            say("rejected", reason=str(error))
        except MemoryError:
            say("out of memory")
        except BrokenPipeError:
            raise
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            say("disk full" if full else "rejected", reason=error.strerror or str(error))
        except Exception as error:  # libraries raise whatever they like at foreign bytes
            reason = " ".join(str(error).split())[:160]
            say("rejected", reason=f"{type(error).__name__}: {reason}")

    try:
        say("ready")
        while True:
            answer(*pipe.recv())
    except (EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone
        clear()


def _limit_memory(memory_limit: int) -> None:
    """Limit the address space to what is mapped now and `memory_limit` bytes more.

    Systems without a way to do so have no limit.
    """
    if resource is None:
        return
    with contextlib.suppress(OSError, ValueError):  # no /proc, or a lower limit already
        with open("/proc/self/statm") as file:
            mapped = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        limit = mapped + memory_limit
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _ending(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"crashed ({signal.Signals(-exit_code).name})"
    return f"ended with exit code {exit_code}"
