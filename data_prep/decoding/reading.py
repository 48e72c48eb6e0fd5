"""Read the clips of one source, a video or an image.

Runs in a process of its own, so it imports little: no torch, no webdataset.
"""

from collections.abc import Iterator
from pathlib import Path

from data_prep.config import CorpusConfig, ImagesConfig
from data_prep.decoding.clip import DecodedClip
from data_prep.sources.source import Source


def read_source(
    path: Path, source: Source, config: CorpusConfig | ImagesConfig
) -> Iterator[DecodedClip]:
    """The clips of the video, or the crops of the image, that lies in `path`.

    Raises:
        DecodeError: it cannot be used.
    """
    if isinstance(config, CorpusConfig):
        from data_prep.decoding.video import read_clips

        yield from read_clips(path, config)
    else:
        from data_prep.decoding.images import read_crops

        yield from read_crops(path, source, config)
