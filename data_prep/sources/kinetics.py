"""Kinetics-400, -600 and -700: one csv list a split with label, youtube_id and times.

A file is named `{youtube_id}_{start:06}_{end:06}`; clips of one YouTube video are one group.
"""

import csv
import io
import re
from collections.abc import Iterator

from data_prep.sources.official import OfficialLayout
from data_prep.sources.rows import Row


def _read(text: str) -> Iterator[Row]:
    for entry in csv.DictReader(io.StringIO(text)):
        start, end = int(float(entry["time_start"])), int(float(entry["time_end"]))
        recording = entry["youtube_id"]
        name = f"{recording}_{start:06d}_{end:06d}"
        yield Row(name, group=recording, label=entry.get("label") or None)


LAYOUT = OfficialLayout(
    "kinetics",
    re.compile(r"(?:^|/)(?:kinetics_?(?:400|600|700)_)?(train|val|validate|test)\.csv$"),
    _read,
    header="youtube_id",  # other corpora have a train.csv too
)
