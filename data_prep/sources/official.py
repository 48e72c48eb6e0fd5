"""Corpora whose makers publish lists of their clips: the official splits are kept.

Where the same recording stands in training and in a held-out split, its training clips are left
out and recorded.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from data_prep.config import CorpusConfig, ImagesConfig
from data_prep.errors import InputError
from data_prep.sources.corpus import (
    SPLITS,
    Corpus,
    Media,
    group_of,
    hold_out_validation,
    of_media,
    split_named,
)
from data_prep.sources.rows import Row, read_text
from data_prep.sources.source import Source

BROKEN = (KeyError, TypeError, ValueError, AttributeError)  # what reading a wrong list raises


@dataclass(frozen=True)
class OfficialLayout:
    """How the lists of an official corpus are recognised and read.

    Args:
        name: the layout's name, as the command line takes it.
        lists: matches the path of a list; its first group is the split that the list is for.
        read: the text of a list to its rows, which name files without folder and suffix.
        header: a word that the first line of a list must hold, where paths do not tell enough.
    """

    name: str
    lists: re.Pattern[str]
    read: Callable[[str], Iterable[Row]]
    header: str = ""

    def find_lists(self, location: str, files: list[str]) -> list[tuple[str, str, str]]:
        """Path, split and text of each list of this layout among `files`.

        Raises:
            InputError: a file that may be a list cannot be read.
        """
        found = []
        for file in files:
            if match := self.lists.search(file):
                text = read_text(f"{location}/{file}")
                split = split_named(match.group(1))
                if split is not None and self.header in text.split("\n", 1)[0]:
                    found.append((file, split, text))
        return found


def list_official(
    layout: OfficialLayout,
    lists: list[tuple[str, str, str]],
    location: str,
    files: list[str],
    config: CorpusConfig | ImagesConfig,
    media: Media,
    option: str,
) -> Corpus:
    """The clips that the lists of a layout name, each with its official split.

    Raises:
        InputError: a list is broken, or no file of `media` is there.
    """
    rows = []
    for file, split, text in lists:
        try:
            rows += [(split, row) for row in layout.read(text)]
        except BROKEN as error:
            raise InputError(
                f"{location}/{file}: not a list of the {layout.name} layout ({error!r})"
            ) from None
    sources, missing = _match(rows, of_media(files, media, option))
    kept, torn = _keep_groups_apart(sources)
    return Corpus(location, media, hold_out_validation(kept, config), missing + torn)


def _match(
    rows: list[tuple[str, Row]], files: list[str]
) -> tuple[list[Source], list[dict[str, str]]]:
    """Rows to the files that bear their names; a row without one is recorded."""
    by_stem = {file.rsplit("/", 1)[-1].rsplit(".", 1)[0]: file for file in files}
    sources, missing = {}, []
    for split, row in rows:
        file = by_stem.get(row.name)
        if file is None:
            missing.append({"source": row.name, "reason": "listed, but not in the folder"})
        else:
            sources[file] = Source(file, split, row.group or group_of(file), row.label)
    return sorted(sources.values(), key=lambda source: source.path), missing


def _keep_groups_apart(sources: list[Source]) -> tuple[list[Source], list[dict[str, str]]]:
    """Leave out the clips of a group that stands in a later split too."""
    rank = {split: index for index, split in enumerate(SPLITS)}
    last: dict[str, int] = {}
    for source in sources:
        last[source.group] = max(last.get(source.group, 0), rank[source.split])
    kept = [source for source in sources if rank[source.split] == last[source.group]]
    torn = [
        {
            "source": source.path,
            "reason": f"its recording {source.group} is in the {SPLITS[last[source.group]]} split",
        }
        for source in sources
        if rank[source.split] != last[source.group]
    ]
    return kept, torn
