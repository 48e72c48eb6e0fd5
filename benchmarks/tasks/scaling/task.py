"""Scaling: run a sweep of next-frame runs, and fit how their losses fall."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.config import Inputs
from benchmarks.tasks.contract import BorrowedData, Task
from benchmarks.tasks.next_frame.config import NextFrameConfig
from benchmarks.tasks.next_frame.models import MODELS
from benchmarks.tasks.scaling.config import ScalingConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from benchmarks.reporting.page import Report
    from benchmarks.reporting.results import Metric, Result
    from benchmarks.reporting.tables import Table
    from benchmarks.training.plan import PlannedModel


@dataclass(frozen=True)
class ScalingData(BorrowedData):
    """The data at the size that the options give, and where all points find theirs."""

    inputs: Inputs


class Scaling(Task[ScalingConfig, ScalingData]):
    """How the losses of next-frame models fall with size, data and training."""

    config = ScalingConfig
    declared = MODELS
    takes = "predictor"
    starts_runs = True

    def prepare(self, config: ScalingConfig, inputs: Inputs) -> ScalingData:
        """Make or reuse the shards that the options describe; points may change them."""
        from benchmarks.tasks.next_frame.data import prepare_data

        return ScalingData(prepare_data(config, inputs), inputs)

    def models(self, config: ScalingConfig, data: ScalingData) -> "list[PlannedModel]":
        """The models at the size that the options give, from which the rates are scaled."""
        from benchmarks.training.plan import plan_models

        return plan_models(self.specs, config, data)

    def largest(self, config: ScalingConfig) -> NextFrameConfig:
        """The last point of the first variant."""
        from benchmarks.tasks.scaling.axes import planned_points

        return planned_points(config)[len(getattr(config.values, config.axis)) - 1].config

    def run(self, config: ScalingConfig, data: ScalingData, out: Path, device: str) -> "Result":
        """Run all points, or this job's share of them, and fit them when all are there."""
        from benchmarks.reporting.results import Result, describe_environment
        from benchmarks.tasks.scaling.axes import planned_points
        from benchmarks.tasks.scaling.fitting import fit_sweep
        from benchmarks.tasks.scaling.sweep import Place, Sweep
        from data_prep.errors import InputError

        places = [Place(p, out / p.folder(config.axis)) for p in planned_points(config)]
        failed = Sweep(config, data.inputs, device).run(places)
        done = [place for place in places if place.done]
        missing = len(places) - len(done) - len(failed)
        if missing:
            print(
                f"{missing} points of other jobs are not done; the job that ends last makes the "
                f"report, and so does: python benchmarks/run.py --resume {out}"
            )
            raise SystemExit(0)
        if not done:
            raise InputError(f"no point of the sweep could be run: {next(iter(failed.values()))}")
        return Result(
            task="scaling",
            config=dataclasses.asdict(config),
            seeds=config.seeds,
            environment=describe_environment(device),
            data=data.describe(),
            details=dataclasses.asdict(fit_sweep(config, done, failed, out)),
        )

    def headline(self, result: "Result", part: str | None = None) -> "Table":
        """The exponents along the axis, and their ratio."""
        from benchmarks.tasks.scaling.report import headline

        return headline(result)

    def kept_values(self, folder: Path, result: "Result") -> "dict[str, np.ndarray]":
        """The losses of single videos of every point."""
        from benchmarks.tasks.scaling.points import point_losses

        return point_losses(folder, result)

    def cited(self, result: "Result", first: str, rest: str, where: str) -> "Metric":
        """The loss of a point, an exponent, or a ratio of two with a value left out or none."""
        from benchmarks.reporting.results import typed
        from benchmarks.tasks.scaling.found import Found, cited

        return cited(typed(Found, result.details), first, rest, where)

    def valued(self, result: "Result") -> "Iterator[tuple[str, Metric]]":
        """The losses of the points."""
        from benchmarks.reporting.results import typed
        from benchmarks.tasks.scaling.found import Found

        return ((point.name, point.loss) for point in typed(Found, result.details).points)

    def compare(self, runs: "Sequence[tuple[str, Path, Result]]", folder: Path) -> "Report":
        """All sweeps in one report; those that differ in their seeds alone are pooled."""
        from benchmarks.tasks.scaling.comparison import compare_sweeps

        return compare_sweeps(runs, folder)

    def report(self, folder: Path, result: "Result") -> "Report":
        """Sentences, figures and tables."""
        from benchmarks.tasks.scaling.report import make_report

        return make_report(folder, result)
