"""How corpora lie on disk: plain folders, csv and jsonl lists, and three standard corpora.

Official splits are kept. Where the same recording stands in training and in a held-out split, its
training clips are left out and recorded.
"""

import csv
import io
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data_prep.config import CorpusConfig, ImagesConfig
from data_prep.errors import InputError
from data_prep.shards.storage import fetched, is_url
from data_prep.sources.corpus import (
    IMAGES,
    SPLITS,
    VIDEOS,
    Corpus,
    Media,
    deal_splits,
    find_files,
    group_of,
    hold_out_validation,
    of_media,
    split_named,
)
from data_prep.sources.source import Source

SPLIT_FILES = ("split.csv", "splits.csv")
LIST_SUFFIXES = (".csv", ".jsonl")
SSV2_LIST = re.compile(r"(?:something-something-v2-|labels/)(train|validation|test)\.json$")
KINETICS_LIST = re.compile(r"(?:^|/)(?:kinetics_?(?:400|600|700)_)?(train|val|validate|test)\.csv$")
UCF101_LIST = re.compile(r"(?:^|/)(train|test)list01\.txt$")

Config = CorpusConfig | ImagesConfig


@dataclass(frozen=True)
class _Row:
    """A line of a list: a file or its stem, and what is known of it; `split` None if not named."""

    name: str
    split: str | None
    group: str | None
    label: str | None


def list_corpus(
    location: str, config: Config, option: str, layout: str = "auto", media: Media | None = None
) -> Corpus:
    """The sources of a corpus in name order, each with its split.

    `location` is a folder, a csv or a jsonl list, or the URL of one. `layout` is one of
    `data_prep.config.LAYOUTS`; `auto` looks for the files that mark a standard corpus.
    A folder's `split.csv` (or `config.splits`) decides its splits; without one, groups are dealt.
    `media` None takes videos where there are any.

    Raises:
        InputError: nothing usable is there, or a list is wrong; names `option` or file and line.
    """
    if config.splits is not None and not Path(config.splits).is_file():
        raise InputError(f"splits {config.splits}: no such file")
    if location.lower().endswith(LIST_SUFFIXES):
        if config.splits is not None:
            raise InputError(f"splits {config.splits}: a list has a column split of its own")
        return _from_list(location, config, media)
    files, unnamed = _encodable(find_files(location, option))
    if layout == "auto":
        layout = _recognise(location, files) if media is None or media is VIDEOS else "folder"
    if layout != "folder":
        media = media or VIDEOS
        read_lists = {"ssv2": _ssv2, "kinetics": _kinetics, "ucf101": _ucf101}[layout]
        try:
            rows = read_lists(location, files)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"{option}: a list of the {layout} layout is broken ({error!r})"
            ) from None
        if not rows:
            raise InputError(f"{option}: no list of the {layout} layout; give --layout folder")
        sources, missing = _match(rows, of_media(files, media, option))
        kept, torn = _keep_groups_apart(sources)
        sources = hold_out_validation(kept, config)
        return Corpus(location, media, sources, unnamed + missing + torn)
    if media is None:
        kinds = (VIDEOS, IMAGES)
        media = next(
            (m for m in kinds if any(f.lower().endswith(m.suffixes) for f in files)), VIDEOS
        )
    return Corpus(location, media, _from_folder(location, files, config, media, option), unnamed)


def _recognise(location: str, files: list[str]) -> str:
    lists = {
        "ssv2": SSV2_LIST,
        "ucf101": UCF101_LIST,
        "kinetics": KINETICS_LIST,
    }
    for layout, pattern in lists.items():
        marks = [file for file in files if pattern.search(file)]
        if layout == "kinetics":  # its lists have common names
            marks = [file for file in marks if "youtube_id" in _first_line(f"{location}/{file}")]
        if marks:
            return layout
    return "folder"


def _from_folder(
    location: str, files: list[str], config: Config, media: Media, option: str
) -> list[Source]:
    found = of_media(files, media, option)
    split_file = config.splits
    if split_file is None:
        split_file = next((f"{location}/{name}" for name in SPLIT_FILES if name in files), None)
    if split_file is None:
        return deal_splits([Source(file, "train", group_of(file)) for file in found], config)
    known, sources = set(found), []
    for line, row in _read_rows(split_file, name="name"):
        if row.name not in known:
            raise InputError(f"{split_file}:{line}: {row.name!r} is no file of the corpus")
        if row.split is None:
            raise InputError(f"{split_file}:{line}: no split")
        group = row.group or group_of(row.name)
        sources.append((line, Source(row.name, row.split, group, row.label)))
    return hold_out_validation(_checked(sources, split_file), config)


def _from_list(location: str, config: Config, media: Media | None) -> Corpus:
    """A list's files: paths relative to the list, absolute ones, or URLs."""
    lines = list(_read_rows(location, name="path"))
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
        images = all(name.lower().endswith(IMAGES.suffixes) for name in names)
        media = IMAGES if images else VIDEOS
    sources, missing = _existing(_checked(listed, location), root)
    if not sources:
        raise InputError(f"{location}: none of the {len(missing)} files that it lists is there")
    sources = hold_out_validation(sources, config) if named else deal_splits(sources, config)
    return Corpus(root, media, sources, missing)


def _existing(sources: list[Source], root: str) -> tuple[list[Source], list[dict[str, str]]]:
    """The sources that are there, and the others recorded; what lies behind URLs is not asked."""
    if is_url(root):
        return sources, []
    there = [source for source in sources if os.path.isfile(f"{root}/{source.path}")]
    kept = {source.path for source in there}
    gone = [source.path for source in sources if source.path not in kept]
    return there, [{"source": path, "reason": "no such file"} for path in gone]


def _encodable(files: list[str]) -> tuple[list[str], list[dict[str, str]]]:
    """The files whose names can be written down, and the others recorded."""
    named, unnamed = [], []
    for file in files:
        shown = file.encode(errors="replace").decode()
        if shown == file:
            named.append(file)
        else:
            unnamed.append({"source": shown, "reason": "its name is not UTF-8"})
    return named, unnamed


def _common_folder(names: list[str]) -> str:
    shared = []
    for parts in zip(*(name.split("/")[:-1] for name in names), strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "/".join(shared)


def _checked(listed: list[tuple[int, Source]], place: str) -> list[Source]:
    """The sources of a list, with their lines, in name order.

    Raises:
        InputError: a name stands there twice, or a group in two splits.
    """
    of_group: dict[str, str] = {}
    names = set()
    for line, source in listed:
        if source.path in names:
            raise InputError(f"{place}:{line}: {source.path!r} is listed twice")
        names.add(source.path)
        if of_group.setdefault(source.group, source.split) != source.split:
            raise InputError(
                f"{place}:{line}: group {source.group!r} is in {of_group[source.group]} and in "
                f"{source.split}: its clips show the same, so give it one split"
            )
    return sorted((source for _, source in listed), key=lambda source: source.path)


def _read_rows(location: str, name: str) -> Iterable[tuple[int, _Row]]:
    """The lines of a csv or jsonl list, with their numbers; `name` or `path` names the file."""
    text = _read_text(location)
    if location.lower().endswith(".jsonl"):
        entries = []
        for line, content in enumerate(text.splitlines(), start=1):
            if content.strip():
                entry = _json(content, f"{location}:{line}")
                if not isinstance(entry, dict):
                    raise InputError(f"{location}:{line}: not an object with a path")
                entries.append((line, entry))
    else:
        reader = csv.DictReader(io.StringIO(text))
        columns = set(reader.fieldnames or [])
        required = {"name", "split"} if name == "name" else {"path"}
        missing = set() if name == "path" and "name" in columns else required - columns
        if missing:
            raise InputError(
                f"{location}: no column {' or '.join(sorted(missing))} in the first line"
            )
        try:
            entries = list(enumerate(reader, start=2))
        except csv.Error as error:
            raise InputError(f"{location}:{reader.line_num}: {error}") from None
    for line, entry in entries:
        file = entry.get("path") or entry.get("name")
        if not isinstance(file, str):
            raise InputError(f"{location}:{line}: no path")
        given = entry.get("split")
        split = split_named(str(given)) if given else None
        if given and split is None:
            raise InputError(f"{location}:{line}: split {given!r} is none of {', '.join(SPLITS)}")
        group, label = entry.get("group"), entry.get("label")
        yield line, _Row(file, split, _text(group), _text(label))


def _ssv2(location: str, files: list[str]) -> list[_Row]:
    """Something-Something V2: lists of {"id", "label", "template"}, videos named by id.

    Source: the data set's technical report; `train`, `validation`, `test` (without labels).
    """
    rows = []
    for file in files:
        if match := SSV2_LIST.search(file):
            for entry in _json(_read_text(f"{location}/{file}"), file):
                label = entry.get("template") or entry.get("label")
                label = re.sub(r"[\[\]]", "", label) if label else None
                rows.append(_Row(str(entry["id"]), match.group(1), None, label))
    return rows


def _kinetics(location: str, files: list[str]) -> list[_Row]:
    """Kinetics: csv lists with label, youtube_id and times; files `{id}_{start:06}_{end:06}.mp4`.

    Clips of one YouTube video are one group.
    """
    rows = []
    for file in files:
        if match := KINETICS_LIST.search(file):
            for entry in csv.DictReader(io.StringIO(_read_text(f"{location}/{file}"))):
                start, end = int(float(entry["time_start"])), int(float(entry["time_end"]))
                stem = f"{entry['youtube_id']}_{start:06d}_{end:06d}"
                split = split_named(match.group(1))
                rows.append(_Row(stem, split, entry["youtube_id"], entry.get("label") or None))
    return rows


def _ucf101(location: str, files: list[str]) -> list[_Row]:
    """UCF101, the first of the three official splits; a group is one recording session."""
    rows = []
    for file in files:
        if match := UCF101_LIST.search(file):
            for line in _read_text(f"{location}/{file}").split("\n"):
                if line.strip():
                    name = line.split(".avi")[0].strip()
                    rows.append(
                        _Row(name.rsplit("/", 1)[-1], match.group(1), None, name.split("/")[0])
                    )
    return rows


def _match(rows: list[_Row], files: list[str]) -> tuple[list[Source], list[dict[str, str]]]:
    """Rows to the files that bear their names; a row without one is recorded."""
    by_stem = {file.rsplit("/", 1)[-1].rsplit(".", 1)[0]: file for file in files}
    sources, missing = {}, []
    for row in rows:
        file = by_stem.get(row.name)
        if file is None:
            missing.append({"source": row.name, "reason": "listed, but not in the folder"})
        else:
            group = row.group or group_of(file)
            sources[file] = Source(file, row.split or "train", group, row.label)
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
    return [replace(source) for source in kept], torn


def _read_text(location: str) -> str:
    try:
        with fetched(location) as path:
            return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{location}: cannot be read ({error})") from None


def _first_line(location: str) -> str:
    return _read_text(location).split("\n", 1)[0]


def _json(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{place}: not valid JSON ({error})") from None


def _text(value: object) -> str | None:
    return str(value) if value not in (None, "") else None
