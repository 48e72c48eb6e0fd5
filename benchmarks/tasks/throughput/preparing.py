"""What preparing and reading the built-in corpus of a domain costs."""

import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks.config import Inputs, RunConfig
from benchmarks.domains.contract import Domain
from benchmarks.record.results import Measurement
from benchmarks.tasks.configuring import preset_config
from benchmarks.tasks.throughput.measuring import Series, measurement, spent
from worldmodel.data import ordered_batches

ROUNDS = 5  # of reading all samples, in each repeat


def measure_preparing(
    domain: Domain, inputs: Inputs, repeats: int, console: Console
) -> list[Measurement]:
    """Samples a second, from their files to embeddings and from embeddings to batches."""
    config: RunConfig = preset_config(domain.compares)
    prepared, read = Series(), Series()
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(prefix="ebt-bench-") as scratch:
            console.print("preparing in an empty cache", highlight=False)
            with spent() as cost:
                data = domain.prepare(config, replace(inputs, cache=Path(scratch)))
            prepared.append(len(data.train) / cost.cpu)
            with spent() as cost:
                for _ in range(ROUNDS):
                    for _ in ordered_batches(data.train, config.training.batch_size):
                        pass
            read.append(ROUNDS * len(data.train) / cost.wall)
    return [
        measurement(
            "training samples per CPU-second of preparation, all sets and embeddings included",
            "samples/s",
            prepared,
        ),
        measurement("reading embeddings", "samples/s", read),
    ]
