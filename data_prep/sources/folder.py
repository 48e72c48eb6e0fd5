"""A plain folder of videos or images; a csv beside them may name their splits."""

from data_prep.config import CorpusConfig, ImagesConfig
from data_prep.errors import InputError
from data_prep.sources.corpus import (
    Media,
    deal_splits,
    group_of,
    hold_out_validation,
    of_media,
)
from data_prep.sources.lists import check_listed, read_rows
from data_prep.sources.source import Source

SPLIT_FILES = ("split.csv", "splits.csv")


def list_folder(
    location: str,
    files: list[str],
    config: CorpusConfig | ImagesConfig,
    media: Media,
    option: str,
) -> list[Source]:
    """The sources among `files`, in name order.

    The csv `config.splits`, or else one of SPLIT_FILES in the folder, decides the splits and
    leaves out what it does not list; without one, groups are dealt.

    Raises:
        InputError: no file of `media` is there, or the csv is wrong.
    """
    found = of_media(files, media, option)
    split_file = config.splits
    if split_file is None:
        split_file = next((f"{location}/{name}" for name in SPLIT_FILES if name in files), None)
    if split_file is None:
        return deal_splits([Source(file, "train", group_of(file)) for file in found], config)
    known, sources = set(found), []
    for line, row in read_rows(split_file, required=("name", "split")):
        if row.name not in known:
            raise InputError(f"{split_file}:{line}: {row.name!r} is no file of the corpus")
        if row.split is None:
            raise InputError(f"{split_file}:{line}: no split")
        group = row.group or group_of(row.name)
        sources.append((line, Source(row.name, row.split, group, row.label)))
    return hold_out_validation(check_listed(sources, split_file), config)
