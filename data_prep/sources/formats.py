"""What is a video besides video files, by format."""

import importlib
from collections.abc import Collection
from dataclasses import dataclass, field

from data_prep.config import CorpusConfig, ImagesConfig
from data_prep.shards.storage import is_url
from data_prep.sources import arrays
from data_prep.sources.media import VIDEOS
from data_prep.sources.registry import FORMATS


@dataclass
class FoundVideos:
    """The names of the videos of formats, the files behind them, and what was taken for what."""

    names: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    said: list[str] = field(default_factory=list)

    def instead_of(self, files: Collection[str]) -> list[str]:
        """The files that no format has taken, and the videos of formats, in name order."""
        return sorted({*files} - self.files | self.names)


def find_videos(
    files: list[str], root: str, config: CorpusConfig | ImagesConfig, sure: bool
) -> FoundVideos:
    """The videos that are no video files among files below `root`; none behind a URL.

    Unless it is `sure` that a corpus is one of videos, images alone make none.

    Raises:
        InputError: an array's shape does not say which axis is which.
    """
    videos = FoundVideos()
    if is_url(root) or not isinstance(config, CorpusConfig):
        return videos
    for kind in map(importlib.import_module, FORMATS.values()):
        if not (sure or kind is arrays or videos.names or any(map(_is_video, files))):
            continue
        found: dict[str, list[str]] = kind.detect(files, root, config.axes)
        many = kind is arrays  # videos to a file; else files to a video
        parts = [part for of_place in found.values() for part in of_place]
        if found:
            count = f"{len(parts)} videos of " if many else ""
            videos.said.append(f"{count}{len(found)} {kind.NOUN} (the first is {min(found)})")
        videos.names.update(parts if many else found)
        videos.files.update(found if many else parts)
    return videos


def _is_video(file: str) -> bool:
    return file.lower().endswith(VIDEOS.suffixes)
