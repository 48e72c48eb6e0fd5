"""A plain folder of videos or images; a list beside them or the folders in it may name splits."""

import os
import re
from collections.abc import Collection
from pathlib import Path

from data_prep.config import CorpusConfig, ImagesConfig
from data_prep.errors import InputError
from data_prep.sources.corpus import (
    DEALT,
    SPLIT_ALIASES,
    SPLITS,
    UCF101_GROUP,
    Corpus,
    deal_splits,
    group_of,
    hold_out,
    of_media,
    split_named,
)
from data_prep.sources.equal import drop_equal
from data_prep.sources.lists import check_listed, read_rows
from data_prep.sources.media import Media
from data_prep.sources.official import keep_groups_apart
from data_prep.sources.source import Source

SPLIT_FILES = ("split.csv", "splits.csv", "split.tsv", "splits.tsv")
# `train`, `Val`, `test_set`, `train2017`, `val_256`.
SPLIT_FOLDER = re.compile(
    rf"({'|'.join(sorted((*SPLITS, *SPLIT_ALIASES), key=len, reverse=True))})"
    r"(?:[-_ ]?(?:set|split|data|videos|clips|images|\d{3,}))*",
    re.IGNORECASE,
)
# What looks as if it named splits, though no rule here reads it.
UNREAD_LIST = re.compile(
    r"(?:^|[/_.-])(?:train|val|test|splits?)[^/]*\.(?:csv|tsv|txt|json|jsonl)$", re.IGNORECASE
)


def list_folder(
    location: str,
    files: list[str],
    config: CorpusConfig | ImagesConfig,
    media: Media,
    option: str,
    also: Collection[str] = (),
) -> Corpus:
    """The sources among `files`, in name order; `also` are of `media` whatever their suffix.

    The csv `config.splits`, or else one of SPLIT_FILES in the folder, decides the splits and
    leaves out what it does not list; without one, folders named after splits decide; without them,
    groups are dealt.

    Raises:
        InputError: no file of `media` is there, the csv is wrong, SPLIT_FILES are there twice, or
            only some files lie in folders named after splits.
    """
    found = of_media(files, media, option, also)
    split_file = config.splits
    if split_file is None:
        names = [name for name in files if name.lower() in SPLIT_FILES]
        if len(names) > 1:
            raise InputError(f"{option}: {' and '.join(names)} name the splits; keep one of them")
        split_file = f"{location}/{names[0]}" if names else None
    if split_file is not None:
        return _by_list(location, found, config, media, split_file)
    folders = {file: split_folder(file) for file in found}
    if _decide(folders, option):
        return _by_folders(location, folders, config, media)
    sources, again = drop_equal([Source(file, "train", group_of(file)) for file in found], location)
    unread = [file for file in files if UNREAD_LIST.search(file)]
    rule = DEALT + (f" (not read: {', '.join(unread[:3])})" if unread else "")
    return _leaving_out(Corpus(location, media, deal_splits(sources, config), rule=rule), again)


def _by_list(
    location: str,
    found: list[str],
    config: CorpusConfig | ImagesConfig,
    media: Media,
    split_file: str,
) -> Corpus:
    """What a csv of splits lists."""
    known, sources = set(found), []
    for line, row in read_rows(split_file, required=("name", "split")):
        if row.name not in known:
            raise InputError(f"{split_file}:{line}: {row.name!r} is no file of the corpus")
        if row.split is None:
            raise InputError(f"{split_file}:{line}: no split")
        group = row.group or group_of(row.name)
        sources.append((line, Source(row.name, row.split, group, row.label)))
    checked = check_listed(sources, split_file, location)
    rule = f"the list {split_file.rsplit('/', 1)[-1]}"
    return Corpus(location, media, hold_out(checked, "validation", config), rule=rule)


def corpus_name(folder: Path) -> str:
    """What a corpus is called: its folder, after the one above where that names a split only.

    `bsds500/train` is `bsds500 train`.
    """
    whole = Path(os.path.abspath(folder))
    named = SPLIT_FOLDER.fullmatch(whole.name) is not None
    return f"{whole.parent.name} {whole.name}".strip() if named else whole.name


def split_folder(file: str) -> tuple[str, str] | None:
    """The first folder of a path that is named after a split, and this split."""
    for folder in file.split("/")[:-1]:
        if match := SPLIT_FOLDER.fullmatch(folder):
            split = split_named(match.group(1))
            assert split is not None  # the pattern holds their names only
            return folder, split
    return None


def _decide(folders: dict[str, tuple[str, str] | None], option: str) -> bool:
    """Whether folders decide the splits: training and a held-out split have one.

    A single one decides nothing: it may hold the whole corpus, or be a class (`train`).

    Raises:
        InputError: a held-out split has a folder, training has none, and other files lie about.
    """
    named = {named for named in folders.values() if named}
    splits = {split for _, split in named}
    outside = [file for file, name in folders.items() if name is None]
    if len(splits) == 1 and "train" not in splits and outside:
        folder = min(named)[0]
        raise InputError(
            f"{option}: the folder {folder} names a split, but {len(outside)} files lie in no such "
            f"folder ({outside[0]}); move them to a folder train, or name the splits in a split.csv"
        )
    return len(splits) > 1


def _by_folders(
    location: str,
    folders: dict[str, tuple[str, str] | None],
    config: CorpusConfig | ImagesConfig,
    media: Media,
) -> Corpus:
    """What lies in folders named after splits, each file in the split of its folder.

    A split without a folder is held out of the training groups.
    """
    named = {file: name for file, name in folders.items() if name is not None}
    listed = [
        Source(file, split, _group_below(file, folder)) for file, (folder, split) in named.items()
    ]
    sources, again = drop_equal(listed, location)
    kept, torn = keep_groups_apart(sources)
    for split in ("test", "validation"):
        kept = hold_out(kept, split, config)
    shown = sorted({folder for folder, _ in named.values()})
    corpus = Corpus(location, media, kept, torn, f"the folders {', '.join(shown)}")
    corpus.left_out.add("in no folder of a split", *(f for f, name in folders.items() if not name))
    return _leaving_out(corpus, again)


def _group_below(file: str, folder: str) -> str:
    """The group of a file; a recording of UCF101 is one in whatever split's folder it lies."""
    if UCF101_GROUP.match(file.rsplit(".", 1)[0]):
        before, _, below = f"/{file}".partition(f"/{folder}/")
        return group_of(f"{before}/{below}".lstrip("/"))
    return group_of(file)


def _leaving_out(corpus: Corpus, again: list[str]) -> Corpus:
    corpus.left_out.add("further names of one file", *again)
    return corpus
