"""Lists of clips as csv, tsv or jsonl files, with columns path, split, group and label."""

import csv
import json
import os
from collections.abc import Hashable, Iterator
from typing import Any

from data_prep.config import CorpusConfig, ImagesConfig
from data_prep.errors import InputError
from data_prep.shards.storage import is_url
from data_prep.sources.arrays import item_of
from data_prep.sources.corpus import (
    DEALT,
    SPLITS,
    Corpus,
    deal_splits,
    group_of,
    hold_out,
    split_named,
)
from data_prep.sources.equal import identities, plain
from data_prep.sources.media import IMAGES, VIDEOS, Media
from data_prep.sources.rows import Row, read_csv, read_text
from data_prep.sources.source import Source

LIST_SUFFIXES = (".csv", ".tsv", ".jsonl")
COLUMNS = ("path", "split", "group", "label")
_ALIASES = {"name": "path"}
Entry = tuple[int, dict[str, Any]]  # a line's number and its fields


def list_from_file(
    location: str, config: CorpusConfig | ImagesConfig, media: Media | None
) -> Corpus:
    """The files that a list names: by paths relative to it, absolute ones, or URLs.

    Raises:
        InputError: the list is wrong, or none of its files is there.
    """
    lines = list(read_rows(location, required=("path",)))
    rows = [row for _, row in lines]
    if not rows:
        raise InputError(f"{location}: lists no file")
    named = sum(row.split is not None for row in rows)
    if 0 < named < len(rows):
        raise InputError(f"{location}: {named} of {len(rows)} files have a split; give all or none")
    names = [row.name for row in rows]
    root = location.rsplit("/", 1)[0] if "/" in location else "."
    whole = [is_url(name) or name.startswith("/") for name in names]
    if all(whole):  # what all have in common is where the corpus lies
        root = _common_folder(names)
        if is_url(names[0]) and root.count("/") < 2:
            raise InputError(f"{location}: its URLs do not share a protocol and a host")
        names = [name[len(root) + 1 :] for name in names]
        root = root or "/"
    elif any(whole):
        raise InputError(f"{location}: give either relative paths or absolute ones, not both")
    if is_url(location) and any(".." in name.split("/") for name in names):
        raise InputError(f"{location}: a path with .. leaves the corpus")
    listed = [
        (line, Source(name, row.split or "train", row.group or group_of(name), row.label))
        for name, (line, row) in zip(names, lines, strict=True)
    ]
    if media is None:
        bare = [name.partition("?")[0] if is_url(root) else name for name in names]
        images = all(name.lower().endswith(IMAGES.suffixes) for name in bare)
        media = IMAGES if images else VIDEOS
    sources, missing = _existing(check_listed(listed, location, root), root)
    if not sources:
        raise InputError(f"{location}: none of the {len(missing)} files that it lists is there")
    list_name = location.rsplit("/", 1)[-1]
    if named:
        sources, rule = hold_out(sources, "validation", config), f"the column split of {list_name}"
    else:
        sources, rule = deal_splits(sources, config), f"{DEALT} ({list_name} has no column split)"
    return Corpus(root, media, sources, missing, rule)


def read_rows(location: str, required: tuple[str, ...]) -> Iterator[tuple[int, Row]]:
    """The lines of a list with their numbers; `path` and `name` both name the file.

    A csv or tsv must have the columns `required`. No list may have others than those of a row: an
    unknown one may be a misspelt split.

    Raises:
        InputError: the list cannot be read, or a line of it is wrong.
    """
    text = read_text(location)
    if location.lower().endswith(".jsonl"):
        entries = _jsonl_entries(text, location)
    else:
        entries = _csv_entries(text, location, required)
    for line, entry in entries:
        file = entry.get("path")
        if not isinstance(file, str) or not file:
            raise InputError(f"{location}:{line}: no path")
        given = _text(entry.get("split"))
        split = split_named(given) if given else None
        if given and split is None:
            raise InputError(f"{location}:{line}: split {given!r} is none of {', '.join(SPLITS)}")
        name = file if is_url(file) else plain(file)
        yield line, Row(name, split, _text(entry.get("group")), _text(entry.get("label")))


def _jsonl_entries(text: str, location: str) -> list[Entry]:
    entries = []
    # Only a line feed ends a line: a label may hold other signs that part lines.
    for line, content in enumerate(text.split("\n"), start=1):
        if content.strip():
            try:
                entry = json.loads(content)
            except ValueError as error:
                raise InputError(f"{location}:{line}: not valid JSON ({error})") from None
            if not isinstance(entry, dict):
                raise InputError(f"{location}:{line}: not an object with a path")
            names = _columns([name.strip().lower() for name in entry], f"{location}:{line}")
            entries.append((line, dict(zip(names, entry.values(), strict=True))))
    return entries


def _csv_entries(text: str, location: str, required: tuple[str, ...]) -> list[Entry]:
    try:
        columns, lines = read_csv(text)
        entries = list(lines)
    except csv.Error as error:
        raise InputError(f"{location}:{error}") from None
    there = {_ALIASES.get(name, name) for name in columns}
    missing = [name for name in required if _ALIASES.get(name, name) not in there]
    if missing:
        raise InputError(
            f"{location}: no column {' or '.join(sorted(missing))} in the first line "
            f"({', '.join(columns)})"
        )
    _columns([name for name in columns if name], f"{location}:1")
    return [
        (line, {_ALIASES.get(name, name): value for name, value in entry.items()})
        for line, entry in entries
    ]


def _columns(names: list[str], place: str) -> list[str]:
    """The columns of a row that names in a list mean.

    Raises:
        InputError: a name is unknown, or stands there twice.
    """
    columns = [_ALIASES.get(name, name) for name in names]
    for name, column in zip(names, columns, strict=True):
        if column not in COLUMNS:
            raise InputError(
                f"{place}: column {name!r} is unknown; rename it or take it out (known: "
                f"{', '.join(COLUMNS)})"
            )
        if columns.count(column) > 1:
            raise InputError(f"{place}: column {column} is there twice")
    return columns


def check_listed(listed: list[tuple[int, Source]], place: str, root: str) -> list[Source]:
    """The sources of a list, with their lines, in name order.

    Raises:
        InputError: a file of the corpus at `root` stands there twice, or a group in two splits.
    """
    of_group: dict[str, str] = {}
    first: dict[Hashable, tuple[int, str]] = {}
    same = identities([source.path for _, source in listed], root)
    for (line, source), identity in zip(listed, same, strict=True):
        if identity in first:
            before, path = first[identity]
            other = "" if path == source.path else f": it is the file {path!r} of line {before}"
            raise InputError(f"{place}:{line}: {source.path!r} is listed twice{other}")
        first[identity] = (line, source.path)
        if of_group.setdefault(source.group, source.split) != source.split:
            raise InputError(
                f"{place}:{line}: group {source.group!r} is in {of_group[source.group]} and in "
                f"{source.split}: its clips show the same, so give it one split"
            )
    return sorted((source for _, source in listed), key=lambda source: source.path)


def _existing(sources: list[Source], root: str) -> tuple[list[Source], list[dict[str, str]]]:
    """The sources that are there, and the others recorded; what lies behind URLs is not asked."""
    if is_url(root):
        return sources, []
    there = [s for s in sources if os.path.exists(f"{root}/{item_of(s.path)[0]}")]
    kept = {source.path for source in there}
    gone = [source.path for source in sources if source.path not in kept]
    return there, [{"source": path, "reason": "no such file"} for path in gone]


def _common_folder(names: list[str]) -> str:
    shared = []
    for parts in zip(*(name.split("/")[:-1] for name in names), strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "/".join(shared)


def _text(value: object) -> str | None:
    return (str(value).strip() or None) if value is not None else None
