"""Repeated measurements, and what a piece of work costs with all its processes."""

import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.record.results import Measurement

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

SAMPLED_EVERY = 0.1  # seconds between two looks at the memory


class Series(list[float]):
    """The values of a measurement's repeats."""

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self)


def measurement(
    name: str,
    unit: str,
    values: Series,
    reference: str | None = None,
    references: Series | None = None,
    target: float | None = None,
    note: str = "",
    less_is_better: bool = False,
    at_most: bool = False,
) -> Measurement:
    """The median with its spread; the ratio to the reference is above 1 where ours is better."""
    ratio = None
    if references is not None:
        ratio = values.median / references.median
        ratio = 1 / ratio if less_is_better else ratio
    return Measurement(
        name=name,
        unit=unit,
        value=values.median,
        low=min(values),
        high=max(values),
        reference=reference,
        reference_value=references.median if references is not None else None,
        ratio=ratio,
        target=target,
        at_most=at_most,
        note=note,
    )


@dataclass
class Spent:
    """Seconds of a piece of work: by the clock, and of all cores and processes."""

    wall: float = 0.0
    cpu: float = 0.0


@contextmanager
def spent() -> Iterator[Spent]:
    """What the block costs; child processes count once they have ended."""
    cost = Spent()
    wall, cpu = time.perf_counter(), _cpu_seconds()
    yield cost
    cost.wall, cost.cpu = time.perf_counter() - wall, _cpu_seconds() - cpu


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process and those that it starts on one core, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


@contextmanager
def memory_samples() -> Iterator[list[int]]:
    """Resident bytes of this process and its children, looked at every tenth of a second."""
    samples: list[int] = [process_tree_bytes()]
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(SAMPLED_EVERY):
            samples.append(process_tree_bytes())

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


def process_tree_bytes() -> int:
    """Resident bytes of this process and its direct children (Linux; 0 elsewhere)."""
    own = os.getpid()
    try:
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        for task in Path(f"/proc/{own}/task").iterdir():
            if task.name != str(own):
                children += (task / "children").read_text().split()
    except OSError:
        return 0
    return sum(_resident_bytes(process) for process in (str(own), *children))


def _resident_bytes(process: str) -> int:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:  # it has just ended
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _cpu_seconds() -> float:
    if resource is None:
        return sum(os.times()[:4])
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
