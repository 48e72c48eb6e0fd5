"""Throughput: measure, and compare with named references in the same run."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.config import Inputs
from benchmarks.tasks.contract import Task
from benchmarks.tasks.throughput.config import ThroughputConfig

if TYPE_CHECKING:
    from benchmarks.record.results import Result
    from benchmarks.reporting.page import Report
    from benchmarks.tasks.throughput.videos import ThroughputData


class Throughput(Task[ThroughputConfig, "ThroughputData"]):
    """Measure what data, training steps and predictions cost."""

    config = ThroughputConfig
    folder = "throughput"

    def prepare(self, config: ThroughputConfig, inputs: Inputs) -> "ThroughputData":
        """The user's videos, or the built-in corpus at the size of the preset."""
        from benchmarks.tasks.throughput.videos import prepare_videos

        return prepare_videos(config, inputs)

    def run(
        self,
        config: ThroughputConfig,
        data: "ThroughputData",
        inputs: Inputs,
        out: Path,
        device: str,
    ) -> "Result":
        """Measure the part that the configuration names."""
        from rich.console import Console

        from benchmarks.record.results import Measurement, Result, describe_environment
        from benchmarks.tasks.throughput.cases import one_thread
        from benchmarks.tasks.throughput.data import measure_data
        from benchmarks.tasks.throughput.inference import measure_inference
        from benchmarks.tasks.throughput.profiling import profiles
        from benchmarks.tasks.throughput.training import measure_training

        console = Console(stderr=True)
        measurements: list[Measurement] = []
        if config.part in ("all", "model"):
            with one_thread(device):
                measurements += measure_inference(config.measure, device, console)
                measurements += measure_training(config.measure, device, console)
        if config.part in ("all", "data"):
            measurements += measure_data(config, data.corpus, console)
        return Result(
            task="throughput",
            config=dataclasses.asdict(config),
            environment=describe_environment(device),
            data=data.describe(),
            measurements=measurements,
            profiles=profiles(config.measure, device) if config.profile else [],
        )

    def report(self, folder: Path, result: "Result") -> "Report":
        """The table of measurements."""
        from benchmarks.tasks.throughput.report import make_report

        return make_report(result)
