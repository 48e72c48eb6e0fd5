"""List the videos of a corpus and give each to a split, keeping groups together."""

import csv
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep.config import CorpusConfig
from data_prep.errors import InputError

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov")
SPLITS = ("train", "validation", "test")
SPLIT_ALIASES = {"val": "validation", "valid": "validation", "training": "train", "testing": "test"}
SPLIT_FILES = ("split.csv", "splits.csv")
# UCF101 names its recordings: v_ApplyEyeMakeup_g08_c01.avi is clip 1 of group 8.
UCF101_GROUP = re.compile(r"(.+_g\d+)_c\d+$")


@dataclass(frozen=True)
class Source:
    """One video: its path relative to the corpus (posix), split, group and label."""

    path: str
    split: str
    group: str
    label: str | None = None


def list_sources(root: Path, config: CorpusConfig) -> list[Source]:
    """The videos below `root` in name order, each with its split.

    A csv of splits decides where there is one; if it names no validation, the last
    `validation_fraction` of the training groups in name order become validation, because
    neighbours in name order often show the same scene. Without a csv, groups are dealt to the
    three splits in an order drawn from their names' hashes.

    Raises:
        InputError: the path or the csv is missing, holds no video, or leaves a split empty.
    """
    if not root.exists():
        raise InputError(f"--data {root}: no such file or folder")
    if not root.is_dir():
        raise InputError(f"--data {root}: give a folder of videos or a shard set, not a file")
    videos = sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()
    )
    if not videos:
        raise InputError(f"--data {root}: no video in this folder ({', '.join(VIDEO_SUFFIXES)})")
    split_file = _find_split_file(root, config)
    if split_file is not None:
        sources = _hold_out_validation(_read_splits(split_file, videos), config)
    else:
        sources = _deal_splits(videos, config)
    for split in SPLITS:
        if not any(source.split == split for source in sources):
            raise InputError(
                f"--data {root}: {len(videos)} videos leave the {split} split empty; "
                "add videos, or name the splits in a csv (--corpus.splits)"
            )
    return sources


def _find_split_file(root: Path, config: CorpusConfig) -> Path | None:
    if config.splits is not None:
        path = Path(config.splits)
        if not path.is_file():
            raise InputError(f"--corpus.splits {path}: no such file")
        return path
    return next((root / name for name in SPLIT_FILES if (root / name).is_file()), None)


def _read_splits(path: Path, videos: list[str]) -> list[Source]:
    """The csv's rows as sources; files that it does not list are left out."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = {"name", "split"} - set(reader.fieldnames or [])
        if missing:
            raise InputError(f"{path}: no column {' or '.join(sorted(missing))} in the first line")
        rows = list(reader)
    known = set(videos)
    sources: dict[str, Source] = {}
    for line, row in enumerate(rows, start=2):
        name, split = row["name"], (row["split"] or "").strip().lower()
        split = SPLIT_ALIASES.get(split, split)
        if split not in SPLITS:
            raise InputError(
                f"{path}:{line}: split {row['split']!r} is none of {', '.join(SPLITS)}"
            )
        if name not in known:
            raise InputError(f"{path}:{line}: {name!r} is no video of the corpus")
        if name in sources:
            raise InputError(f"{path}:{line}: {name!r} is listed twice")
        sources[name] = Source(name, split, row.get("group") or _group(name), row.get("label"))
    return sorted(sources.values(), key=lambda source: source.path)


def _group(video: str) -> str:
    stem = video.rsplit(".", 1)[0]
    match = UCF101_GROUP.match(stem)
    return match.group(1) if match else stem


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))


def _hold_out_validation(sources: list[Source], config: CorpusConfig) -> list[Source]:
    if any(source.split == "validation" for source in sources):
        return sources
    groups = _unique(source.group for source in sources if source.split == "train")
    held_out = set(groups[len(groups) - round(len(groups) * config.validation_fraction) :])
    return [
        replace(source, split="validation")
        if source.split == "train" and source.group in held_out
        else source
        for source in sources
    ]


def _deal_splits(videos: list[str], config: CorpusConfig) -> list[Source]:
    groups = sorted(
        _unique(_group(video) for video in videos),
        key=lambda group: hashlib.sha256(group.encode()).digest(),
    )
    held_out = [
        max(1, round(len(groups) * f)) for f in (config.validation_fraction, config.test_fraction)
    ]
    first, second = held_out[0], sum(held_out)
    split_of = {
        group: "validation" if rank < first else "test" if rank < second else "train"
        for rank, group in enumerate(groups)
    }
    return [Source(video, split_of[_group(video)], _group(video)) for video in videos]
