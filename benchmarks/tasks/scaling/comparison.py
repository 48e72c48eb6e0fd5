"""Compare sweeps: those that differ in their seeds alone are one, the others stand side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.config import JSON
from benchmarks.measure.intervals import mean
from benchmarks.measure.scores import metric
from benchmarks.record.results import Result, read_result
from benchmarks.reporting.report import Report, Section, bullets
from benchmarks.reporting.tables import Table
from benchmarks.tasks.scaling.fitting import fit_points
from benchmarks.tasks.scaling.points import LOSS, MeasuredPoint, losses_of
from benchmarks.tasks.scaling.report import make_report
from benchmarks.tasks.scaling.result import Found, Point
from benchmarks.training.fit import OTHER_OPTIONS
from data_prep.errors import InputError

UNIMPORTANT = ("seeds", "jobs", "num_jobs", "job_index", *OTHER_OPTIONS)


@dataclass(frozen=True)
class Swept:
    """One sweep, or several that differ in their seeds alone.

    `judged` names what the points were judged on.
    """

    names: list[str]
    result: Result
    points: list[MeasuredPoint]
    seeds: list[int]
    judged: str

    @property
    def kind(self) -> list[object]:
        """What two sweeps share that differ in their seeds alone."""
        of_points = [
            (p.variant, p.value, p.model, p.learning_rate, p.optimizer, p.x["parameters"])
            for p in (measured.point for measured in self.points)
        ]
        return [of_points, _decisive(self.result.config), self.result.data["encoder"], self.judged]


def compare_sweeps(runs: Sequence[tuple[str, Path, Result]], folder: Path) -> Report:
    """One report of all sweeps, its figures drawn into `folder`.

    Raises:
        InputError: the sweeps go along different axes, or a point is missing.
    """
    axes = {name: result.found(Found).axis for name, _, result in runs}
    if len(set(axes.values())) > 1:
        said = ", ".join(f"{name} along {axis}" for name, axis in axes.items())
        raise InputError(f"--compare: sweeps along different axes ({said})")
    sweeps, warnings = _pooled([_read(*run) for run in runs])
    if len({sweep.judged for sweep in sweeps}) > 1:
        warnings.append(
            "the sweeps were judged on different data: their losses are no measure of one another, "
            "their exponents are those of each"
        )
    several = len(sweeps) > 1
    points = [
        replace(measured, point=_renamed(measured.point, sweep)) if several else measured
        for sweep in sweeps
        for measured in sweep.points
    ]
    first = runs[0][2]
    failed = {
        f"{name}: {point}": reason
        for name, _, result in runs
        for point, reason in result.found(Found).failed.items()
    }
    found = fit_points(points, first.found(Found).axis, _rule(sweeps), failed)
    seeds = min((sweep.seeds for sweep in sweeps), key=len)  # what all intervals rest on at least
    report = make_report(folder, replace(first, details=found, seeds=seeds))
    return replace(
        report,
        title=f"Comparison of {len(runs)} sweeps along {found.axis}",
        opening=[*report.opening, *([bullets(warnings)] if warnings else [])],
        sections=[Section("Runs", [_table(sweeps)]), *report.sections[:-1]],
    )


def _decisive(options: JSON) -> JSON:
    """The options that change what a sweep finds, its seeds aside."""
    return {
        name: _decisive(value) if isinstance(value, dict) else value
        for name, value in options.items()
        if name not in UNIMPORTANT
    }


def _read(name: str, folder: Path, result: Result) -> Swept:
    """The points of a sweep, with the losses of single videos that its runs keep."""
    points, judged = [], set()
    for point in result.found(Found).points:
        run = folder / point.folder
        of_run = read_result(run)
        losses = losses_of(run, of_run, point.model)
        # Figures of the comparison find the loss curves there.
        points.append(MeasuredPoint(replace(point, folder=str(run.resolve())), losses))
        judged.add(str(of_run.data["places"][of_run.data["main_place"]]["identity"]))
    return Swept([name], result, points, list(result.seeds), ", ".join(sorted(judged)))


def _pooled(sweeps: Sequence[Swept]) -> tuple[list[Swept], list[str]]:
    """Sweeps with those that differ in their seeds alone joined; a seed counts once."""
    found: list[Swept] = []
    warnings = []
    for sweep in sweeps:
        place = next((i for i, other in enumerate(found) if other.kind == sweep.kind), None)
        if place is None:
            found.append(sweep)
            continue
        first = found[place]
        fresh = [seed for seed in sweep.seeds if seed not in first.seeds]
        if len(fresh) < len(sweep.seeds):
            again = ", ".join(str(seed) for seed in sweep.seeds if seed not in fresh)
            warnings.append(
                f"{sweep.names[0]}: its trainings with seed {again} are those of {first.names[0]}; "
                "they count once"
            )
        own = [sweep.seeds.index(seed) for seed in fresh]
        pairs = zip(first.points, sweep.points, strict=True)
        points = [_with_seeds(one, other.losses[own]) for one, other in pairs]
        names, seeds = [*first.names, *sweep.names], [*first.seeds, *fresh]
        found[place] = replace(first, names=names, points=points, seeds=seeds)
    return found, warnings


def _with_seeds(measured: MeasuredPoint, more: np.ndarray) -> MeasuredPoint:
    losses = np.concatenate([measured.losses, more])
    means = [float(loss) for loss in losses.mean(axis=1)]
    point = replace(measured.point, loss=metric(LOSS, mean(losses)), seed_losses=means)
    return MeasuredPoint(point, losses)


def _renamed(point: Point, sweep: Swept) -> Point:
    """The point with the name of its sweep before that of its variant."""
    name = " + ".join(sweep.names)
    return replace(point, variant=f"{name}: {point.variant}" if point.variant else name)


def _rule(sweeps: Sequence[Swept]) -> str:
    return "; ".join(dict.fromkeys(sweep.result.found(Found).rule for sweep in sweeps))


def _table(sweeps: Sequence[Swept]) -> Table:
    header = ["sweep", "command", "commit", "seeds", "corpus", "encoder"]
    rows = [
        [
            " + ".join(sweep.names),
            f"`{sweep.result.environment.get('command', '')}`",
            str(sweep.result.environment.get("commit"))[:7],
            ", ".join(map(str, sweep.seeds)),
            str(sweep.result.data["corpus"]),
            str(sweep.result.data["encoder"]["name"]),
        ]
        for sweep in sweeps
    ]
    return header, rows
