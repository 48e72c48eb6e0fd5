"""One video or image of a corpus."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """One video or image: its path relative to the corpus (posix), split, group and label.

    `bytes` is its size where that is known, so that a replaced file is noticed.
    """

    path: str
    split: str
    group: str
    label: str | None = None
    bytes: int | None = None
