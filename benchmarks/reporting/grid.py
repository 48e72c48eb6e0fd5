"""Tables whose cells have a colour: verdicts, and values that are shaded by how good they are."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.record.contrasts import Answer
from benchmarks.reporting.tables import Table


@dataclass(frozen=True)
class Cell:
    """A cell of a grid.

    Args:
        text: what it says.
        more: what it says after that, in small letters, such as a difference with its interval.
        answer: the verdict that colours it.
        shade: how good its value is, from 0 to 1, which colours it too.
        details: heading of the section that says more.
    """

    text: str
    more: str = ""
    answer: Answer | None = None
    shade: float | None = None
    details: str = ""


@dataclass(frozen=True)
class Line:
    """A line of a grid: what it is about, more of that in small letters, and its cells."""

    about: str
    more: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Grid:
    """A table of coloured cells.

    Args:
        header: titles of the columns, that of what lines are about first.
        lines: its lines.
        sortable: whether a click on a title sorts the lines of the page.
    """

    header: Sequence[str]
    lines: Sequence[Line]
    sortable: bool = False

    def table(self) -> Table:
        """The same without colours."""
        rows = [
            [
                f"{line.about} ({line.more})" if line.more else line.about,
                *(_joined(c.text, c.more) for c in line.cells),
            ]
            for line in self.lines
        ]
        return list(self.header), rows


def shades(values: Sequence[float | None], higher: bool, faintest: float) -> list[float | None]:
    """How good values are beside the best of them: 1, falling to 0 at a distance of `faintest`."""
    known = [value for value in values if value is not None]
    best = (max if higher else min)(known, default=0.0)
    return [None if v is None else max(0.0, 1 - abs(best - v) / faintest) for v in values]


def _joined(text: str, more: str) -> str:
    return f"{text}: {more}" if more else text
