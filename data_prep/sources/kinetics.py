"""Kinetics-400, -600 and -700: one csv list a split with label, youtube_id and times.

A file is named `{youtube_id}_{start:06}_{end:06}`; clips of one YouTube video are one group. The
lists go under many names (`train.csv`, `kinetics-400_train.csv`, `k400_val.csv`,
`kinetics700_2020_test.csv`), so the columns tell what they are; a column `split` goes before the
name.
"""

import re
from collections.abc import Iterator

from data_prep.sources.corpus import split_named
from data_prep.sources.official import OfficialLayout
from data_prep.sources.rows import Row, read_csv


def _read(text: str) -> Iterator[Row]:
    for _, entry in read_csv(text)[1]:
        start, end = int(float(entry["time_start"])), int(float(entry["time_end"]))
        recording = entry["youtube_id"]
        name = f"{recording}_{start:06d}_{end:06d}"
        split = split_named(entry.get("split", ""))
        yield Row(name, split, group=recording, label=entry.get("label") or None)


LAYOUT = OfficialLayout(
    "kinetics",
    re.compile(
        r"(?:^|/)(?:[^/]*?[_.-])?(train|validation|validate|val|test)[^/]*\.csv$"
        r"|(?:^|/)[^/]*(?:kinetics|k[467]00|annotations?)[^/]*\.csv$",
        re.IGNORECASE,
    ),
    _read,
    header="youtube_id",  # other corpora have a train.csv too
)
