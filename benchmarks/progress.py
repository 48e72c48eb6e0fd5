"""How far long work is: bars on a terminal, and elsewhere a line for every tenth."""

import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

TENTHS = 10

Item = TypeVar("Item")


class Work:
    """Work in parts, with the time that is left for all of it.

    Args:
        title: what all parts together are.
        parts: what each part costs, in any unit, by name.
        lines_of_parts: whether, where there is no terminal, every part has lines of its own.
    """

    def __init__(self, title: str, parts: Mapping[str, float], lines_of_parts: bool = False):
        self.title, self.parts = title, dict(parts)
        self.lines_of_parts = lines_of_parts
        self.console = Console(stderr=True)
        self._shares = dict.fromkeys(parts, 0.0)
        self._said: dict[str, int] = {}
        self._finished: set[str] = set()
        self._before: float | None = None
        self._tasks: dict[str, TaskID] = {}
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
        left = TextColumn("{task.fields[left]}")
        hidden = not self.console.is_terminal
        self._bars = Progress(*columns, left, console=self.console, transient=True, disable=hidden)
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        self._bars.start()
        if len(self.parts) > 1 or not self.lines_of_parts:
            self._tasks[self.title] = self._bars.add_task(self.title, total=1.0, left="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def update(self, name: str, share: float, note: str = "") -> None:
        """Say that a share of a part, from 0 to 1, is done; `note` says more of it."""
        if name in self._finished:
            return
        self._shares[name] = share
        if self._before is None:
            self._before = 0.0
            if share < 1:  # what an earlier run has done took no time of this one
                self._before, self._began = self._done(), time.monotonic()
        if self.lines_of_parts and name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=1.0, left="")
        left = self._time_left()
        for shown, done in ((name, share), (self.title, self._done())):
            if shown in self._tasks:
                said = left if shown == self.title or len(self.parts) == 1 else note
                self._bars.update(self._tasks[shown], completed=done, left=said)
        if self._bars.disable:
            self._say(name, note, left)

    def finish(self, name: str) -> None:
        """Say that a part is done."""
        self.update(name, 1.0)
        self._finished.add(name)
        if name in self._tasks and name != self.title:
            self._bars.remove_task(self._tasks.pop(name))

    def print(self, text: str) -> None:
        """Print a line above the bars."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _say(self, name: str, note: str, left: str) -> None:
        """A line, where another tenth is done."""
        shown = name if self.lines_of_parts else self.title
        share = self._shares[name] if self.lines_of_parts else self._done()
        tenth = int(share * TENTHS + 1e-9)
        if tenth <= self._said.get(shown, 0):
            return
        self._said[shown] = tenth
        parts = [f"{shown}: {tenth * 100 // TENTHS} %", note]
        if self.lines_of_parts and len(self.parts) > 1:
            parts.append(f"{self.title}: {100 * self._done():.0f} %")
        self.print(", ".join(part for part in [*parts, left] if part))

    def _done(self) -> float:
        """The share of all work that is done."""
        whole = sum(self.parts.values())
        return sum(self.parts[n] * share for n, share in self._shares.items()) / whole

    def _time_left(self) -> str:
        done, before = self._done(), self._before or 0.0
        if not before < done < 1:
            return ""
        seconds = (time.monotonic() - self._began) * (1 - done) / (done - before)
        return f"{_duration(seconds)} left"


def tracked(items: Sequence[Item], title: str) -> Iterator[Item]:
    """The items one by one, showing how many are done."""
    if not items:
        return
    names = [str(number) for number in range(len(items))]
    with Work(title, dict.fromkeys(names, 1.0)) as work:
        for name, item in zip(names, items, strict=True):
            yield item
            work.finish(name)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
