"""One video or image of a corpus."""

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Source:
    """One video or image: its path relative to the corpus (posix), split, group and label.

    `bytes` is its size where that is known, so that a replaced file is noticed. `others` are the
    paths of files of the same clip, to be used in turn where the one before is damaged.
    """

    path: str
    split: str
    group: str
    label: str | None = None
    bytes: int | None = None
    others: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of its files, in the order in which they are tried."""
        return (self.path, *self.others)

    def as_entry(self) -> dict[str, Any]:
        """JSON-like content, as plans hold it; `others` is there only if there are any."""
        entry = dataclasses.asdict(self) | {"others": list(self.others)}
        return entry if self.others else {k: v for k, v in entry.items() if k != "others"}

    @classmethod
    def of(cls, entry: dict[str, Any]) -> "Source":
        """The source of an entry of a plan."""
        return cls(**entry | {"others": tuple(entry.get("others", ()))})
