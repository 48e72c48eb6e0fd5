"""UCF101: text lists of `Class/file.avi`; the first of the three official splits is taken.

A group is one recording session, which the name of a file tells.
"""

import re
from collections.abc import Iterator

from data_prep.sources.official import OfficialLayout
from data_prep.sources.rows import Row


def _read(text: str) -> Iterator[Row]:
    for line in text.split("\n"):
        if line.strip():
            name = line.split(".avi")[0].strip()
            yield Row(name.rsplit("/", 1)[-1], label=name.split("/")[0])


LAYOUT = OfficialLayout(
    "ucf101", re.compile(r"(?:^|/)(train|test)list0?1\.txt$", re.IGNORECASE), _read
)
