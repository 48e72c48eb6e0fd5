"""Scaling: run a sweep of comparisons, and fit how their losses fall."""

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.config import Inputs, RunConfig, side_by_side
from benchmarks.domains.contract import DomainData
from benchmarks.tasks.contract import ModelTask
from benchmarks.tasks.scaling.config import ScalingConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from benchmarks.record.results import Metric, Result
    from benchmarks.reporting.report import Report
    from benchmarks.reporting.tables import Table


class Scaling(ModelTask[DomainData]):
    """How the losses of a domain's models fall with size, data and training."""

    config = ScalingConfig
    folder = "scaling"
    starts_runs = True

    def sections(self) -> dict[str, type]:
        """The evaluation is of the domain's own class."""
        return super().sections() | {"evaluation": self.domain.evaluation}

    def prepare(self, config: RunConfig, inputs: Inputs) -> DomainData:
        """Make or reuse the data that the options describe; points may change them."""
        return self.domain.prepare(config, inputs)

    def largest(self, config: RunConfig) -> RunConfig:
        """The last point of the first variant."""
        from benchmarks.tasks.scaling.axes import planned_points

        values = getattr(config.task.values, config.task.axis)
        return planned_points(config, self.specs)[len(values) - 1].config

    def run(
        self, config: RunConfig, data: DomainData, inputs: Inputs, out: Path, device: str
    ) -> "Result":
        """Run all points, or this job's share of them, and fit them when all are there."""
        from benchmarks.record.results import Result, describe_environment
        from benchmarks.tasks.scaling.axes import planned_points
        from benchmarks.tasks.scaling.fitting import fit_sweep
        from benchmarks.tasks.scaling.sweep import Place, Sweep
        from data_prep.errors import InputError

        places = [
            Place(p, out / p.folder(config.task.axis)) for p in planned_points(config, self.specs)
        ]
        failed = Sweep(config, self.domain, inputs, device).run(places)
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
            config=side_by_side(config),
            seeds=config.seeds,
            environment=describe_environment(device),
            data=data.describe(),
            details=fit_sweep(config, done, failed, out),
            domain=self.domain.name,
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
        from benchmarks.tasks.scaling.result import Found, cited

        return cited(result.found(Found), first, rest, where)

    def valued(self, result: "Result") -> "Iterator[tuple[str, Metric]]":
        """The losses of the points."""
        from benchmarks.tasks.scaling.result import Found

        return ((point.name, point.loss) for point in result.found(Found).points)

    def contradictions(self, result: "Result") -> "Iterator[str]":
        """Laws that are not those through the losses of the points and their training seeds."""
        from benchmarks.tasks.scaling.analysis import contradicted_fits
        from benchmarks.tasks.scaling.result import Found

        return contradicted_fits(result.found(Found))

    def compare(self, runs: "Sequence[tuple[str, Path, Result]]", folder: Path) -> "Report":
        """All sweeps in one report; those that differ in their seeds alone are pooled."""
        from benchmarks.tasks.scaling.comparison import compare_sweeps

        return compare_sweeps(runs, folder)

    def report(self, folder: Path, result: "Result") -> "Report":
        """Sentences, figures and tables."""
        from benchmarks.tasks.scaling.report import make_report

        return make_report(folder, result)
