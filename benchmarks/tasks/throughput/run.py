"""Throughput: measure, and compare with named references in the same run."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.config import Inputs, ThroughputConfig
from benchmarks.results import Measurement, ThroughputResult, describe_environment
from benchmarks.tasks.throughput.cases import one_thread
from benchmarks.tasks.throughput.data import measure_data
from benchmarks.tasks.throughput.inference import measure_inference
from benchmarks.tasks.throughput.profiling import profiles
from benchmarks.tasks.throughput.training import measure_training
from data_prep.shards.plan import digest
from data_prep.sources.corpus import VIDEOS, Corpus
from data_prep.sources.layouts import list_corpus
from data_prep.synthetic.bouncing_balls import write_bouncing_balls


@dataclass(frozen=True)
class ThroughputData:
    """The videos on which preparation is measured."""

    name: str
    corpus: Corpus

    def describe(self) -> dict[str, Any]:
        """What the data is, for the result."""
        return {
            "corpus": self.name,
            "clips": {"videos": len(self.corpus.sources)},
            "rejected": self.corpus.rejected,
        }


def prepare_data(config: ThroughputConfig, inputs: Inputs) -> ThroughputData:
    """The user's videos, or the embedded corpus at the size of the preset.

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
    corpus = list_corpus(str(folder), config.corpus, "the embedded corpus", media=VIDEOS)
    size, fps = config.videos.size, config.videos.fps
    described = f"bouncing balls, {size}x{size}, {fps} a second, {config.videos.seconds:g} s"
    return ThroughputData(described, corpus)


def run(config: ThroughputConfig, data: ThroughputData, out: Path, device: str) -> ThroughputResult:
    """Measure the part that `config` names."""
    from benchmarks.command_line import parse, to_config  # it dispatches to this module

    console = Console(stderr=True)
    measurements: list[Measurement] = []
    if config.part in ("all", "model"):
        denoise = to_config(parse(["--task", "denoise", "--preset", "cpu"]))
        with one_thread(device):
            measurements += measure_inference(config.measure, denoise, device, console)
            measurements += measure_training(config.measure, device, console)
    if config.part in ("all", "data"):
        next_frame = to_config(parse(["--task", "next_frame", "--preset", "cpu"]))
        measurements += measure_data(config, data.corpus, next_frame, console)
    return ThroughputResult(
        task="throughput",
        config=dataclasses.asdict(config),
        environment=describe_environment(device),
        data=data.describe(),
        measurements=measurements,
        profiles=profiles(config.measure, device) if config.profile else [],
    )
