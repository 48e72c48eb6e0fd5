"""What a report is made of: an opening that answers, one table, and sections that are folded."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.reporting.charts import Chart
from benchmarks.reporting.grid import Grid
from benchmarks.reporting.tables import Table
from benchmarks.reporting.viewer import Viewer


@dataclass(frozen=True)
class Picture:
    """A picture in a file: its title, and its path relative to the folder of the run.

    One that is not `on_page` shows what the page shows in another way, such as an animation.
    """

    title: str
    path: str
    on_page: bool = True


# A string is Markdown.
Part = str | Table | Grid | Picture | Chart | Viewer


@dataclass(frozen=True)
class Section:
    """A heading, and what stands below it."""

    heading: str
    content: Sequence[Part]


@dataclass(frozen=True)
class Report:
    """What a result says.

    Args:
        title: title of the page.
        opening: what is seen at first: the answer, what a reader has to know, pictures.
        sections: all else, folded on the page.
        table: what the terminal shows, and `report.md` first, of the tables of the sections.
    """

    title: str
    opening: Sequence[Part]
    sections: Sequence[Section] = ()
    table: Section | None = None

    def parts(self) -> Iterator[tuple[str, Part]]:
        """Everything on the page with the heading above it, that of the opening being empty."""
        for section in (Section("", self.opening), *self.sections):
            for part in section.content:
                yield section.heading, part


def bullets(sentences: Sequence[str]) -> str:
    """Sentences as a list."""
    return "\n".join(f"- {sentence}" for sentence in sentences)


def slug(text: str) -> str:
    """A text as a part of an address, of a file's name, or as a class of a style sheet."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
