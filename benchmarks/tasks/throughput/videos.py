"""The videos on which preparation is measured."""

import dataclasses
from dataclasses import dataclass

from benchmarks.config import JSON, Inputs
from benchmarks.tasks.throughput.config import ThroughputConfig
from data_prep.shards.plan import digest
from data_prep.sources.corpus import Corpus
from data_prep.sources.layouts import list_corpus
from data_prep.sources.media import VIDEOS
from data_prep.synthetic.bouncing_balls import write_bouncing_balls


@dataclass(frozen=True)
class ThroughputData:
    """A corpus of videos, if any, and its name in the report."""

    name: str
    corpus: Corpus | None

    def describe(self) -> JSON:
        """What the data is, for the result."""
        return {
            "corpus": self.name,
            "clips": {"videos": len(self.corpus.sources) if self.corpus else 0},
            "rejected": self.corpus.rejected if self.corpus else [],
        }


def prepare_videos(config: ThroughputConfig, inputs: Inputs) -> ThroughputData:
    """The user's videos, or the built-in corpus at the size of the preset.

    Raises:
        InputError: the folder holds no usable video.
    """
    if config.part == "model":
        return ThroughputData("random clips", Corpus("", VIDEOS, []))
    if inputs.data is not None:
        corpus = list_corpus(str(inputs.data), config.corpus, f"--data {inputs.data}", media=VIDEOS)
        return ThroughputData(corpus.name, corpus)
    name = digest(dataclasses.asdict(config.videos))
    folder = write_bouncing_balls(inputs.cache / "bouncing_balls" / name, config.videos)
    corpus = list_corpus(str(folder), config.corpus, "the built-in corpus", media=VIDEOS)
    size, fps = config.videos.size, config.videos.fps
    described = f"bouncing balls, {size}x{size}, {fps} a second, {config.videos.seconds:g} s"
    return ThroughputData(described, corpus)
