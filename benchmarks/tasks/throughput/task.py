"""Throughput: measure, and compare with named references in the same run."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.config import Inputs
from benchmarks.tasks.contract import Task
from benchmarks.tasks.throughput.config import ThroughputConfig

if TYPE_CHECKING:
    from benchmarks.record.results import Result
    from benchmarks.reporting.report import Report
    from benchmarks.tasks.throughput.videos import ThroughputData


class Throughput(Task[ThroughputConfig, "ThroughputData"]):
    """Measure what data, training steps and predictions cost."""

    config = ThroughputConfig
    folder = "throughput"

    def sections(self) -> dict[str, type]:
        """Options of videos only where the domain is of clips."""
        found = super().sections()
        return found if self.domain.sequences else {"measure": found["measure"]}

    def prepare(self, config: ThroughputConfig, inputs: Inputs) -> "ThroughputData":
        """Videos of the user's or the built-in ones; other domains prepare what they measure."""
        from benchmarks.tasks.throughput.videos import ThroughputData, prepare_videos

        if not self.domain.sequences:
            return ThroughputData("the built-in corpus of the default preset", None)
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
        from benchmarks.tasks.throughput.models import measure_models
        from benchmarks.tasks.throughput.preparing import measure_preparing
        from benchmarks.tasks.throughput.profiling import profiles
        from benchmarks.tasks.throughput.training import measure_training

        console = Console(stderr=True)
        measurements: list[Measurement] = []
        if config.part in ("all", "model"):
            with one_thread(device):
                repeats = config.measure.repeats
                measurements += measure_models(self.domain, repeats, device, console)
                if self.domain.sequences:
                    measurements += measure_inference(config.measure, device, console)
                    measurements += measure_training(config.measure, device, console)
        if config.part in ("all", "data"):
            if data.corpus is None:
                repeats = config.measure.repeats
                measurements += measure_preparing(self.domain, inputs, repeats, console)
            else:
                measurements += measure_data(config, data.corpus, console)
        return Result(
            task="throughput",
            config=dataclasses.asdict(config),
            environment=describe_environment(device),
            data=data.describe(),
            measurements=measurements,
            profiles=profiles(config.measure, device) if config.profile else [],
            domain=self.domain.name,
        )

    def report(self, folder: Path, result: "Result") -> "Report":
        """The table of measurements."""
        from benchmarks.tasks.throughput.report import make_report

        return make_report(result)
