"""A corpus: its files with split, group and label; no group is in two splits."""

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from data_prep.config import CorpusConfig, ImagesConfig
from data_prep.errors import InputError
from data_prep.sources.arrays import SUFFIXES as ARRAYS
from data_prep.sources.arrays import item_of
from data_prep.sources.files import LeftOut
from data_prep.sources.media import IMAGES, VIDEOS, Media
from data_prep.sources.source import Source

SPLITS = ("train", "validation", "test")
SPLIT_ALIASES = {
    "val": "validation",
    "valid": "validation",
    "validate": "validation",
    "training": "train",
    "testing": "test",
}
DEALT = "dealing groups by their names"
# UCF101 names its recordings: v_ApplyEyeMakeup_g08_c01.avi is clip 1 of group 8.
UCF101_GROUP = re.compile(r"(.+_g\d+)_c\d+$")


@dataclass(frozen=True)
class Corpus:
    """The sources below `root`, a folder or URL, and the listed files that cannot be used.

    `rule` says what decided the splits, `formats` what was taken for videos besides video files;
    `left_out` is what was found but is no source.
    """

    root: str
    media: Media
    sources: list[Source]
    rejected: list[dict[str, str]] = field(default_factory=list)
    rule: str = "given"
    formats: list[str] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)

    @property
    def name(self) -> str:
        """The name of the corpus: the last part of its root."""
        return self.root.rstrip("/").rsplit("/", 1)[-1]

    @property
    def size(self) -> int:
        """The number of files that were found or listed, those that cannot be used included."""
        return sum(len(source.files) for source in self.sources) + len(self.rejected)

    def describe(self) -> list[str]:
        """A line on the splits and, where something is left out, a line on that."""
        counts = Counter(source.split for source in self.sources)
        shown = ", ".join(f"{split} {counts[split]}" for split in SPLITS)
        lines = [f"splits by {self.rule}: {shown} {self.media.noun}s"]
        lines += [f"taken for videos: {'; '.join(self.formats)}"] if self.formats else []
        return [*lines, f"left out: {self.left_out}"] if self.left_out.names else lines

    def location(self, source: Source) -> str:
        """The path or URL of a source."""
        return f"{self.root.rstrip('/')}/{item_of(source.path)[0]}"

    def require_splits(self, option: str) -> None:
        """Raise InputError, which names `option`, if a split has no source."""
        for split in SPLITS:
            if not any(source.split == split for source in self.sources):
                raise InputError(
                    f"{option}: {len(self.sources)} {self.media.noun}s leave the {split} split "
                    f"empty; add {self.media.noun}s, or name the splits in a csv"
                )


def of_media(files: list[str], media: Media, option: str, also: Collection[str] = ()) -> list[str]:
    """Those of `files` that are of `media`; `also` are, whatever their suffix.

    Raises:
        InputError: none is; names `option`.
    """
    found = [file for file in files if file in also or file.lower().endswith(media.suffixes)]
    if not found:
        raise InputError(f"{option}: no {media.noun} in this folder ({', '.join(media.suffixes)})")
    return found


def group_of(file: str) -> str:
    """The group of a file that no list gives one: its UCF101 recording, or the file alone."""
    array, item = item_of(file)
    stem = without_suffix(array)
    match = UCF101_GROUP.match(stem)
    return match.group(1) if match else stem if item is None else file


def without_suffix(file: str) -> str:
    """A path without the suffix of a video, image or array; folders keep their dots."""
    stem, dot, suffix = file.rpartition(".")
    known = f".{suffix.lower()}" in (*VIDEOS.suffixes, *IMAGES.suffixes, *ARRAYS)
    return stem if dot and known else file


def split_named(name: str) -> str | None:
    """The split that a list calls `name`, or None."""
    split = name.strip().lower()
    split = SPLIT_ALIASES.get(split, split)
    return split if split in SPLITS else None


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))


def hold_out(
    sources: list[Source], split: str, config: CorpusConfig | ImagesConfig
) -> list[Source]:
    """The last share of the training groups becomes `split`, validation or test, if that is empty.

    The last in the sources' order, because neighbours in it often show the same scene.
    """
    if any(source.split == split for source in sources):
        return sources
    fraction = config.validation_fraction if split == "validation" else config.test_fraction
    groups = _unique(source.group for source in sources if source.split == "train")
    held_out = set(groups[len(groups) - round(len(groups) * fraction) :])
    return [
        replace(source, split=split)
        if source.split == "train" and source.group in held_out
        else source
        for source in sources
    ]


def deal_splits(sources: list[Source], config: CorpusConfig | ImagesConfig) -> list[Source]:
    """Deal the groups to the three splits, in an order drawn from their names' hashes."""
    groups = sorted(
        _unique(source.group for source in sources),
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
    return [replace(source, split=split_of[source.group]) for source in sources]
