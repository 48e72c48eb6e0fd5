"""Corpora whose makers publish lists of their clips: the official splits are kept.

Where the same recording stands in training and in a held-out split, its training clips are left
out and recorded.
"""

import csv
import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from data_prep.config import CorpusConfig, ImagesConfig
from data_prep.errors import InputError
from data_prep.shards.storage import is_url
from data_prep.sources.corpus import (
    SPLITS,
    Corpus,
    group_of,
    hold_out,
    of_media,
    split_named,
    without_suffix,
)
from data_prep.sources.media import Media
from data_prep.sources.rows import Row, read_text
from data_prep.sources.source import Source

# What reading a wrong list raises.
BROKEN = (KeyError, TypeError, ValueError, AttributeError, csv.Error)


@dataclass(frozen=True)
class OfficialLayout:
    """How the lists of an official corpus are recognised and read.

    Args:
        name: the layout's name, as the command line takes it.
        lists: matches the path of a list; its first group is the split that the list is for, or
            matches nothing where the rows have splits of their own.
        read: the text of a list to its rows, which name files without suffix. A name may begin
            with folders: then the end of the file's path is the same.
        recognises: whether a text is a list of this layout, where paths do not tell enough.
    """

    name: str
    lists: re.Pattern[str]
    read: Callable[[str], Iterable[Row]]
    recognises: Callable[[str], bool] = lambda text: True

    def find_lists(self, location: str, files: list[str]) -> list[tuple[str, str | None, str]]:
        """Path, split and text of each list of this layout among `files`.

        Raises:
            InputError: a file that may be a list cannot be read.
        """
        found = []
        for file in files:
            if match := self.lists.search(file):
                text = read_text(f"{location}/{file}")
                if self.recognises(text):
                    found.append((file, split_named(match.group(1) or ""), text))
        return found


def list_official(
    layout: OfficialLayout,
    lists: list[tuple[str, str | None, str]],
    location: str,
    files: list[str],
    config: CorpusConfig | ImagesConfig,
    media: Media,
    option: str,
    also: Collection[str] = (),
) -> Corpus:
    """The clips that the lists of a layout name, each with its official split.

    Raises:
        InputError: a list is broken, or no file of `media` is there.
    """
    rows = []
    for file, split, text in lists:
        try:
            rows += [(row.split or split, row) for row in layout.read(text)]
        except BROKEN as error:
            raise InputError(
                f"{location}/{file}: not a list of the {layout.name} layout ({error!r})"
            ) from None
        if any(split is None for split, _ in rows):
            raise InputError(
                f"{location}/{file}: neither its name nor a column split tells the split"
            )
    named = [(split, row) for split, row in rows if split is not None]
    sources, missing = _match(named, of_media(files, media, option, also), location)
    kept, torn = keep_groups_apart(sources)
    rule = f"the lists of {layout.name} ({', '.join(file for file, _, _ in lists)})"
    corpus = Corpus(location, media, hold_out(kept, "validation", config), missing + torn, rule)
    reserve = [file for source in kept for file in source.others]
    corpus.left_out.add("in reserve for another file of their name", *reserve)
    return corpus


def _match(
    rows: list[tuple[str, Row]], files: list[str], location: str
) -> tuple[list[Source], list[dict[str, str]]]:
    """Rows to the files that bear their names; a row without one is recorded.

    A clip that stands in the lists of two splits is of the later one.
    """
    by_stem = defaultdict(list)
    for file in files:
        by_stem[without_suffix(file).rsplit("/", 1)[-1]].append(file)
    sources: dict[str, Source] = {}
    missing = {}
    for split, row in sorted(rows, key=lambda named: SPLITS.index(named[0])):
        bearing = next(filter(None, (_bearing(n, by_stem) for n in (row.name, *row.others))), None)
        if bearing is None:
            missing[row.name] = {"source": row.name, "reason": "listed, but not in the folder"}
            continue
        first, *others = _best_first(_not_elsewhere(bearing, split), location)
        group = row.group or group_of(first)
        sources[first] = Source(first, split, group, row.label, others=tuple(others))
    return sorted(sources.values(), key=lambda source: source.path), list(missing.values())


def _bearing(name: str, by_stem: Mapping[str, list[str]]) -> list[str]:
    """The files whose paths end with a listed name, or else those whose paths end it.

    The second is so where the list was written further up than the corpus begins.
    """
    found = {f: "/" + without_suffix(f) for f in by_stem.get(name.rsplit("/", 1)[-1], [])}
    below = [file for file, path in found.items() if path.endswith(f"/{name}")]
    return below or [file for file, path in found.items() if f"/{name}".endswith(path)]


def _not_elsewhere(files: list[str], split: str) -> list[str]:
    """The files without those in folders of other splits, unless all lie there.

    Lists of two splits may each count from a folder of their own, and hold the same paths.
    """

    def elsewhere(file: str) -> bool:
        words = re.split("[^a-z]+", file.rpartition("/")[0].lower())
        return bool(named := set(map(split_named, words)) - {None}) and split not in named

    return [file for file in files if not elsewhere(file)] or files


def _best_first(files: list[str], location: str) -> list[str]:
    """Files of one clip, those first that are more likely whole.

    Replacements of damaged files lie in folders of that name, and what broke off is smaller.
    """
    if len(files) == 1 or is_url(location):
        return files

    def doubt(file: str) -> tuple[bool, int, str]:
        return "replacement" not in file.lower(), -os.path.getsize(f"{location}/{file}"), file

    return sorted(files, key=doubt)


def keep_groups_apart(sources: list[Source]) -> tuple[list[Source], list[dict[str, str]]]:
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
