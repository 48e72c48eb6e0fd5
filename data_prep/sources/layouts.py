"""List a corpus, whatever its layout: a plain folder, a csv or jsonl list, an official corpus."""

from dataclasses import replace
from pathlib import Path

from data_prep.config import CorpusConfig, ImagesConfig
from data_prep.errors import InputError
from data_prep.sources.corpus import IMAGES, VIDEOS, Corpus, Media, find_files
from data_prep.sources.folder import list_folder
from data_prep.sources.lists import LIST_SUFFIXES, list_from_file
from data_prep.sources.official import list_official
from data_prep.sources.registry import OFFICIAL, official_layout

Config = CorpusConfig | ImagesConfig


def list_corpus(
    location: str, config: Config, option: str, layout: str = "auto", media: Media | None = None
) -> Corpus:
    """The sources of a corpus in name order, each with its split.

    `location` is a folder, a csv or a jsonl list, or the URL of one. `layout` is one of
    `data_prep.sources.registry.LAYOUTS`; `auto` looks for the lists of an official corpus.
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
        return list_from_file(location, config, media)
    files, unnamed = _encodable(find_files(location, option))
    if layout == "auto":
        wanted = tuple(OFFICIAL) if media is None or media is VIDEOS else ()
    else:
        wanted = () if layout == "folder" else (layout,)
    for name in wanted:
        official = official_layout(name)
        if lists := official.find_lists(location, files):
            found = list_official(official, lists, location, files, config, media or VIDEOS, option)
            return replace(found, rejected=unnamed + found.rejected)
    if layout not in ("auto", "folder"):
        raise InputError(f"{option}: no list of the {layout} layout; give --layout folder")
    if media is None:
        kinds = (VIDEOS, IMAGES)
        media = next(
            (m for m in kinds if any(f.lower().endswith(m.suffixes) for f in files)), VIDEOS
        )
    return Corpus(location, media, list_folder(location, files, config, media, option), unnamed)


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
