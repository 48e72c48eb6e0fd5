"""Read the clips of one source, a video or an image.

Runs in a process of its own, so it imports little: no torch, no webdataset.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from data_prep.config import CorpusConfig, ImagesConfig
from data_prep.decoding.clip import DecodedClip
from data_prep.errors import DecodeError
from data_prep.sources.arrays import SUFFIXES as ARRAYS
from data_prep.sources.arrays import item_of
from data_prep.sources.source import Source


def read_source(
    path: Path, source: Source, config: CorpusConfig | ImagesConfig
) -> Iterator[DecodedClip]:
    """The clips of the video, or the crops of the image, that lies in `path`.

    Raises:
        DecodeError: it cannot be used.
    """
    if isinstance(config, CorpusConfig):
        for clip in _video_clips(path, source, config):
            yield clip
            if config.mirror and source.split == "train":
                yield replace(clip, frames=np.ascontiguousarray(clip.frames[:, :, ::-1]))
    else:
        from data_prep.decoding.images import read_crops

        yield from read_crops(path, source, config)


def _video_clips(path: Path, source: Source, config: CorpusConfig) -> Iterator[DecodedClip]:
    """The clips of a video file, or of what stands for one."""
    item = item_of(source.path)[1]
    if item is None and path.suffix.lower() in ARRAYS:
        raise DecodeError(f"an array: name its videos in the list, such as {path.name}#0")
    if item is not None or path.is_dir() or path.suffix.lower() == ".webp":
        from data_prep.decoding import stills

        if item is not None:
            yield from stills.read_array_clips(path, item, config)
        elif path.is_dir():
            yield from stills.read_folder_clips(path, config)
        else:
            yield from stills.read_animation_clips(path, config)
    else:
        from data_prep.decoding.video import read_clips

        yield from read_clips(path, config)
