"""List a corpus, whatever its layout: a plain folder, a list, an official corpus."""

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from data_prep.config import CorpusConfig, ImagesConfig
from data_prep.errors import InputError
from data_prep.sources.corpus import Corpus, group_of, of_media
from data_prep.sources.equal import drop_equal
from data_prep.sources.files import LeftOut, find_files
from data_prep.sources.folder import SPLIT_FILES, list_folder, split_folder
from data_prep.sources.formats import FoundVideos, find_videos
from data_prep.sources.kth import list_kth
from data_prep.sources.lists import LIST_SUFFIXES, list_from_file
from data_prep.sources.media import IMAGES, VIDEOS, Media
from data_prep.sources.official import list_official
from data_prep.sources.registry import KTH, OFFICIAL, official_layout
from data_prep.sources.source import Source

Config = CorpusConfig | ImagesConfig


def list_corpus(
    location: str, config: Config, option: str, layout: str = "auto", media: Media | None = None
) -> Corpus:
    """The sources of a corpus in name order, each with its split.

    `location` is a folder, a csv, tsv or jsonl list, or the URL of one. `layout` is one of
    `data_prep.sources.registry.LAYOUTS`; `auto` looks for the lists of an official corpus, unless
    `config.splits` is given. A folder's `split.csv` (or `config.splits`) decides its splits, and
    without one its folders `train`, `val` and `test`; without these, groups are dealt.
    `media` None takes videos where there are any.

    Raises:
        InputError: nothing usable is there, or a list is wrong; names `option` or file and line.
    """
    location = os.path.expanduser(location)
    if config.splits is not None and not Path(config.splits).is_file():
        raise InputError(f"splits {config.splits}: no such file")
    if location.lower().endswith(LIST_SUFFIXES):
        if config.splits is not None:
            raise InputError(f"splits {config.splits}: a list has a column split of its own")
        return list_from_file(location, config, media)
    left_out = LeftOut()
    files, unnamed = _encodable(find_files(location, option, left_out))
    videos = FoundVideos()
    if media is not IMAGES:
        videos = find_videos(files, location, config, sure=media is VIDEOS or layout == KTH)
    files = videos.instead_of(files)
    found, read = _list_files(location, files, config, option, layout, media, videos.names)
    suffixes = found.media.suffixes
    of_kind = [f for f in files if f in videos.names or f.lower().endswith(suffixes)]
    others = set(files).difference(of_kind, read)
    left_out.add_others(sorted(others))
    for kind, names in found.left_out.names.items():
        left_out.add(kind, *names)
    used = {path for source in found.sources for path in source.files}
    used.update(entry["source"] for entry in found.rejected)
    used.update(name for names in found.left_out.names.values() for name in names)
    left_out.add("in no list", *(file for file in of_kind if file not in used))
    rejected = unnamed + found.rejected
    return replace(found, rejected=rejected, formats=videos.said, left_out=left_out)


def list_test_sources(root: Path, media: Media, option: str) -> Corpus:
    """All files of `media` below `root` in name order, for testing only.

    Raises:
        InputError: `root` is missing, no folder, or holds no such file.
    """
    left_out = LeftOut()
    files = find_files(str(root), option, left_out)
    found = of_media(files, media, option)
    left_out.add_others(sorted(set(files).difference(found)))
    listed = [Source(file, "test", group_of(file)) for file in found]
    sources, again = drop_equal(listed, str(root))
    left_out.add("further names of one file", *again)
    return Corpus(str(root), media, sources, rule=option, left_out=left_out)


def _list_files(
    location: str,
    files: list[str],
    config: Config,
    option: str,
    layout: str,
    media: Media | None,
    also: Collection[str],
) -> tuple[Corpus, list[str]]:
    """The corpus of a folder with these files, and the lists among them that were read.

    `also` are videos, whatever their suffix.
    """
    if layout == "auto":
        automatic = config.splits is None and (media is None or media is VIDEOS)
        wanted = tuple(OFFICIAL) if automatic else ()
    else:
        wanted = () if layout in ("folder", KTH) else (layout,)
    if config.splits is not None and wanted:
        raise InputError(f"splits {config.splits}: the {layout} layout has lists of its own")
    for name in wanted:
        official = official_layout(name)
        if lists := official.find_lists(location, files):
            about = location, files, config, media or VIDEOS, option, also
            return list_official(official, lists, *about), [file for file, _, _ in lists]
    named = media is not IMAGES and (
        layout == KTH or (layout == "auto" and not _split(files, config))
    )
    if named and (kth := list_kth(location, files, config, also, asked=layout == KTH)):
        return kth, []
    if layout not in ("auto", "folder"):
        raise InputError(f"{option}: no list of the {layout} layout; give --layout folder")
    if media is None:
        kinds = (VIDEOS, IMAGES)
        media = next((m for m in kinds if any(_tells(f, m) for f in files)), VIDEOS)
        media = VIDEOS if also else media
    found = list_folder(location, files, config, media, option, also if media is VIDEOS else ())
    return found, [file for file in files if file.lower() in SPLIT_FILES]


def _split(files: list[str], config: Config) -> bool:
    """Whether a list or folders name the splits."""
    listed = config.splits is not None or any(file.lower() in SPLIT_FILES for file in files)
    return listed or len({folder for file in files if (folder := split_folder(file))}) > 1


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


def _tells(file: str, media: Media) -> bool:
    """Whether a file says that its folder holds this; a GIF among images makes no video corpus."""
    name = file.lower()
    return name.endswith(media.suffixes) and not name.endswith(".gif")
