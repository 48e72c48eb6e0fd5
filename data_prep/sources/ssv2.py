"""Something-Something V2: one JSON list a split of objects with id, label and template.

Source: the technical report of the data set. A video is named after its id; the test list has no
labels.
"""

import json
import re
from collections.abc import Iterator

from data_prep.sources.official import OfficialLayout
from data_prep.sources.rows import Row


def _read(text: str) -> Iterator[Row]:
    for entry in json.loads(text):
        label = entry.get("template") or entry.get("label")
        label = re.sub(r"[\[\]]", "", label) if label else None
        yield Row(str(entry["id"]), label=label)


LAYOUT = OfficialLayout(
    "ssv2",
    re.compile(
        r"(?:(?:something[-_]?something[-_]?v2|sthv2|ssv2)[-_]|(?:^|/)labels/)"
        r"(train|validation|val|test)\.json$",
        re.IGNORECASE,
    ),
    _read,
)
