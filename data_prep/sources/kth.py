"""KTH Actions: persons 1 to 16 train, 17 to 25 test (Schuldt et al., 2004, as OpenSTL splits it).

Its videos, or folders of their frames, are named `person01_boxing_d1_uncomp`.
"""

import re
from collections.abc import Collection

from data_prep.config import CorpusConfig, ImagesConfig
from data_prep.sources.corpus import Corpus, hold_out
from data_prep.sources.media import VIDEOS
from data_prep.sources.source import Source

NAME = re.compile(r"(?:.*/)?person(\d{2})_([a-z]+)_d\d(?:_[^/]*)?", re.IGNORECASE)
LAST_TO_TRAIN, PERSONS = 16, 25


def list_kth(
    location: str,
    files: list[str],
    config: CorpusConfig | ImagesConfig,
    also: Collection[str],
    asked: bool,
) -> Corpus | None:
    """The videos of KTH with their splits, groups (persons) and labels (actions).

    None where not all videos are named as they are there; of any other names, where the layout is
    `asked` for, the videos are left out.
    """
    videos = [file for file in files if file in also or file.lower().endswith(VIDEOS.suffixes)]
    named = {file: match for file in videos if (match := NAME.fullmatch(_stem(file)))}
    if not named or (len(named) < len(videos) and not asked):
        return None
    sources = []
    for file, match in sorted(named.items()):
        person, action = int(match.group(1)), match.group(2).lower()
        if 1 <= person <= PERSONS:
            split = "train" if person <= LAST_TO_TRAIN else "test"
            sources.append(Source(file, split, f"person{person:02d}", action))
    rule = f"the persons of KTH (1 to {LAST_TO_TRAIN} train, the others test)"
    return Corpus(location, VIDEOS, hold_out(sources, "validation", config), rule=rule)


def _stem(file: str) -> str:
    return file.rsplit(".", 1)[0] if file.lower().endswith(VIDEOS.suffixes) else file
