"""Which names mean one file: by another spelling, a link, or another case of its letters."""

import filecmp
import os
import posixpath
from collections import defaultdict
from collections.abc import Hashable, Sequence

from data_prep.shards.storage import is_url
from data_prep.sources.corpus import SPLITS
from data_prep.sources.source import Source


def plain(name: str) -> str:
    """A path without the parts that lead nowhere (`./a`, `a//b`)."""
    kept = "/".join(part for part in name.split("/") if part not in ("", "."))
    return f"/{kept}" if name.startswith("/") else kept


def identities(names: Sequence[str], root: str) -> list[Hashable]:
    """What each named file below `root` is: equal files have equal identities.

    What lies behind a URL is told by its path alone. Two names that differ only in the case of
    their letters are one file where their bytes are equal: a copy from a system that minds no case.
    """
    if is_url(root):
        return [posixpath.normpath(name) for name in names]
    found = [_identity(f"{root}/{name}") for name in names]
    twins = defaultdict(list)
    for index, name in enumerate(names):
        twins[name.casefold()].append(index)
    for first, *others in twins.values():
        for other in others:
            if _same_bytes(f"{root}/{names[first]}", f"{root}/{names[other]}"):
                found[other] = found[first]
    return found


def drop_equal(sources: list[Source], root: str) -> tuple[list[Source], list[str]]:
    """The sources without further names of one file, which are given too.

    Of the names in several splits, one in the last split is kept, so that no file that is tested on
    is trained on.
    """
    order = sorted(sources, key=lambda source: (-SPLITS.index(source.split), source.path))
    kept: dict[Hashable, Source] = {}
    for source, identity in zip(
        order, identities([source.path for source in order], root), strict=True
    ):
        kept.setdefault(identity, source)
    paths = {source.path for source in kept.values()}
    return (
        [source for source in sources if source.path in paths],
        [source.path for source in sources if source.path not in paths],
    )


def _identity(path: str) -> Hashable:
    try:
        status = os.stat(path)
    except OSError:
        return path
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)


def _same_bytes(first: str, second: str) -> bool:
    try:
        return os.path.getsize(first) > 0 and filecmp.cmp(first, second, shallow=False)
    except OSError:
        return False
