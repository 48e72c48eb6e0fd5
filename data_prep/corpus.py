"""List the videos or images of a corpus and give each to a split, keeping groups together."""

import csv
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep.config import CorpusConfig, ImagesConfig
from data_prep.errors import InputError

SPLITS = ("train", "validation", "test")
SPLIT_ALIASES = {"val": "validation", "valid": "validation", "training": "train", "testing": "test"}
SPLIT_FILES = ("split.csv", "splits.csv")
# UCF101 names its recordings: v_ApplyEyeMakeup_g08_c01.avi is clip 1 of group 8.
UCF101_GROUP = re.compile(r"(.+_g\d+)_c\d+$")


@dataclass(frozen=True)
class Media:
    """A kind of file that a corpus is made of."""

    noun: str
    suffixes: tuple[str, ...]


VIDEOS = Media("video", (".mp4", ".mkv", ".webm", ".avi", ".mov"))
IMAGES = Media("image", (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"))


@dataclass(frozen=True)
class Source:
    """One video or image: its path relative to the corpus (posix), split, group and label."""

    path: str
    split: str
    group: str
    label: str | None = None


def list_sources(
    root: Path, config: CorpusConfig | ImagesConfig, media: Media = VIDEOS
) -> list[Source]:
    """The files of `media` below `root` in name order, each with its split.

    A csv of splits decides where there is one; if it names no validation, the last
    `validation_fraction` of the training groups in name order become validation, because
    neighbours in name order often show the same scene. Without a csv, groups are dealt to the
    three splits in an order drawn from their names' hashes.

    Raises:
        InputError: the path or the csv is missing, holds no such file, or leaves a split empty.
    """
    option, files = f"--data {root}", find_files(root, media, f"--data {root}")
    split_file = _find_split_file(root, config)
    if split_file is not None:
        sources = _hold_out_validation(_read_splits(split_file, files), config)
    else:
        sources = _deal_splits(files, config)
    for split in SPLITS:
        if not any(source.split == split for source in sources):
            raise InputError(
                f"{option}: {len(files)} {media.noun}s leave the {split} split empty; "
                f"add {media.noun}s, or name the splits in a csv"
            )
    return sources


def list_test_sources(root: Path, media: Media, option: str) -> list[Source]:
    """All files of `media` below `root` in name order, for testing only.

    Raises:
        InputError: as `find_files`.
    """
    return [Source(file, "test", _group(file)) for file in find_files(root, media, option)]


def find_files(root: Path, media: Media, option: str) -> list[str]:
    """The files of `media` below `root`, relative to it, in name order.

    Raises:
        InputError: `root` is missing, no folder, or holds no such file; names `option`.
    """
    if not root.exists():
        raise InputError(f"{option}: no such file or folder")
    if not root.is_dir():
        raise InputError(f"{option}: give a folder of {media.noun}s or a shard set, not a file")
    files = sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.suffix.lower() in media.suffixes and path.is_file()
    )
    if not files:
        raise InputError(f"{option}: no {media.noun} in this folder ({', '.join(media.suffixes)})")
    return files


def _find_split_file(root: Path, config: CorpusConfig | ImagesConfig) -> Path | None:
    if config.splits is not None:
        path = Path(config.splits)
        if not path.is_file():
            raise InputError(f"splits {path}: no such file")
        return path
    return next((root / name for name in SPLIT_FILES if (root / name).is_file()), None)


def _read_splits(path: Path, files: list[str]) -> list[Source]:
    """The csv's rows as sources; files that it does not list are left out."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = {"name", "split"} - set(reader.fieldnames or [])
        if missing:
            raise InputError(f"{path}: no column {' or '.join(sorted(missing))} in the first line")
        rows = list(reader)
    known = set(files)
    sources: dict[str, Source] = {}
    for line, row in enumerate(rows, start=2):
        name, split = row["name"], (row["split"] or "").strip().lower()
        split = SPLIT_ALIASES.get(split, split)
        if split not in SPLITS:
            raise InputError(
                f"{path}:{line}: split {row['split']!r} is none of {', '.join(SPLITS)}"
            )
        if name not in known:
            raise InputError(f"{path}:{line}: {name!r} is no file of the corpus")
        if name in sources:
            raise InputError(f"{path}:{line}: {name!r} is listed twice")
        sources[name] = Source(name, split, row.get("group") or _group(name), row.get("label"))
    return sorted(sources.values(), key=lambda source: source.path)


def _group(file: str) -> str:
    stem = file.rsplit(".", 1)[0]
    match = UCF101_GROUP.match(stem)
    return match.group(1) if match else stem


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))


def _hold_out_validation(
    sources: list[Source], config: CorpusConfig | ImagesConfig
) -> list[Source]:
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


def _deal_splits(files: list[str], config: CorpusConfig | ImagesConfig) -> list[Source]:
    groups = sorted(
        _unique(_group(file) for file in files),
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
    return [Source(file, split_of[_group(file)], _group(file)) for file in files]
