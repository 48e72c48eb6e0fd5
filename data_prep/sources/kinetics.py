"""Kinetics-400, -600 and -700: a csv, tsv or JSON list a split with label, YouTube id and times.

A file is named `{youtube_id}_{start:06}_{end:06}` or `{youtube_id}`; clips of one YouTube video are
one group. The lists go under many names (`train.csv`, `kinetics-400_train.csv`, `k400_val.csv`,
`kinetics700_2020_test.json`), so their content tells what they are; a split in a row goes before
that of the name.
"""

import json
import re
from collections.abc import Iterator

from data_prep.sources.corpus import split_named
from data_prep.sources.official import OfficialLayout
from data_prep.sources.rows import Row, read_csv

# The first video of a JSON list; other corpora have annotations too, but as a list.
FIRST_VIDEO = re.compile(r'\s*\{\s*"[^"]*"\s*:\s*\{[^{}]*"(?:annotations"\s*:\s*\{|subset"\s*:)')


def _recognises(text: str) -> bool:
    """Whether a list is of Kinetics: other corpora have a train.csv or train.json too."""
    return "youtube_id" in text.split("\n", 1)[0].lower() or FIRST_VIDEO.match(text) is not None


def _read(text: str) -> Iterator[Row]:
    return _of_json(text) if text.lstrip().startswith("{") else _of_csv(text)


def _of_csv(text: str) -> Iterator[Row]:
    for _, entry in read_csv(text)[1]:
        times = (entry["time_start"], entry["time_end"])
        yield _row(entry["youtube_id"], times, entry.get("split", ""), entry.get("label"))


def _of_json(text: str) -> Iterator[Row]:
    for recording, entry in json.loads(text).items():
        known = entry.get("annotations", {})
        yield _row(recording, known.get("segment"), entry.get("subset", ""), known.get("label"))


def _row(
    recording: str, times: tuple[str, str] | list[float] | None, split: str, label: str | None
) -> Row:
    whole: tuple[str, ...] = (recording,)
    if times is not None:
        start, end = (int(float(time)) for time in times)
        whole = (f"{recording}_{start:06d}_{end:06d}", recording)
    name, *others = whole
    return Row(name, split_named(split), recording, label or None, tuple(others))


LAYOUT = OfficialLayout(
    "kinetics",
    re.compile(
        r"(?:^|/)(?:[^/]*?[_.-])?(train|validation|validate|val|test)[^/]*\.(?:csv|tsv|json)$"
        r"|(?:^|/)[^/]*(?:kinetics|k[467]00|annotations?)[^/]*\.(?:csv|tsv|json)$",
        re.IGNORECASE,
    ),
    _read,
    _recognises,
)
