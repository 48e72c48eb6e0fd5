"""Lists as MMAction2 has them, of any corpus: a text file a split of lines `folder/file.mp4 label`.

They are called `kinetics400_train_list_videos.txt` or `ucf101_train_split_1_videos.txt`, of which
the first split is taken. Source: the documentation of MMAction2 on `VideoDataset`. A clip of
Kinetics belongs to the YouTube video that its name tells.
"""

import re
from collections.abc import Iterator

from data_prep.sources.equal import plain
from data_prep.sources.media import VIDEOS
from data_prep.sources.official import OfficialLayout
from data_prep.sources.rows import Row

_SUFFIXES = "|".join(re.escape(suffix) for suffix in VIDEOS.suffixes)
# The path of a file may hold spaces, so its suffix ends it.
LINE = re.compile(rf"(.+)(?:{_SUFFIXES})(?:\s+(\S.*))?", re.IGNORECASE)
KINETICS_CLIP = re.compile(r"(?:.*/)?(.+)_\d{6}_\d{6}")


def _read(text: str) -> Iterator[Row]:
    for line in filter(None, map(str.strip, text.split("\n"))):
        match = LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"no video in the line {line!r}")
        name = plain(match.group(1)).lstrip("/")
        clip = KINETICS_CLIP.fullmatch(name)
        yield Row(name, group=clip.group(1) if clip else None, label=match.group(2))


LAYOUT = OfficialLayout(
    "mmaction",
    re.compile(
        r"(?:^|[/_.-])(train|validation|val|test)_(?:list|split_0?1)_videos\.txt$", re.IGNORECASE
    ),
    _read,
)
