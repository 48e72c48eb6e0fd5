"""Folders of numbered images as videos: `clip/0001.png`, `clip/image_0001.jpg` and so on."""

import re
from collections import defaultdict
from collections.abc import Sequence

from data_prep.sources.media import IMAGES

NOUN = "folders of frames"
LEAST = 8  # images; a few numbered ones are more likely thumbnails
FRAME = re.compile(r"(.*?)(\d+)(\.[A-Za-z]+)")


def detect(files: list[str], root: str, axes: str | None) -> dict[str, list[str]]:
    """The files of each folder that is a video, by folder: numbered images and nothing else."""
    by_folder = defaultdict(list)
    for file in files:
        folder, _, name = file.rpartition("/")
        by_folder[folder].append(name)
    return {
        folder: [f"{folder}/{name}" for name in names]
        for folder, names in by_folder.items()
        if folder and len(names) >= LEAST and len(numbered(names)) == len(names)
    }


def numbered(names: Sequence[str]) -> list[tuple[int, str]]:
    """The images whose names differ in one number alone, in its order.

    Nothing where names have other beginnings or suffixes, or the same number twice.
    """
    found: dict[int, str] = {}
    kinds = set()
    for name in names:
        match = FRAME.fullmatch(name)
        if match and match.group(3).lower() in IMAGES.suffixes:
            kinds.add((match.group(1), match.group(3).lower()))
            found.setdefault(int(match.group(2)), name)
    return sorted(found.items()) if len(kinds) == 1 else []
