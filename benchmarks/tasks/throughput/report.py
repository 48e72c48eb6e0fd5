"""The report of throughput: its table of measurements, and profiles where they were asked for."""

from collections.abc import Sequence

from benchmarks.record.contrasts import Answer
from benchmarks.record.results import Measurement, Profile, Result
from benchmarks.reporting.grid import Cell, Grid, Line
from benchmarks.reporting.report import Part, Report, Section, bullets
from benchmarks.reporting.tables import Table, environment_lines, number
from benchmarks.tasks.throughput.chart import REACHED, kind_of, ratios_chart

HEADER = ["measured", "median [lowest, highest]", "ratio", "target", "reference", "its median"]
TARGET = HEADER.index("target") - 1  # among the cells after the name


def make_report(result: Result) -> Report:
    """The report of a result."""
    notes = [f"{m.name}: {m.note}." for m in result.measurements if m.note]
    profiles = [Section(_title(profile), [_operations(profile)]) for profile in result.profiles]
    sections = [
        *([Section("What was measured how", [bullets(notes)])] if notes else []),
        *profiles,
        Section("How this was made", [bullets(environment_lines(result.environment))]),
    ]
    chart = ratios_chart(result.measurements)
    opening: list[Part] = [_answer(result), _grid(result.measurements)]
    opening += [] if chart is None else [chart]
    return Report("Throughput", opening, sections, profiles[0] if profiles else None)


def _answer(result: Result) -> str:
    """How many targets were reached, and on what it was measured."""
    kinds = [kind_of(m) for m in result.measurements if m.target is not None]
    said = f"{kinds.count(REACHED)} of {len(kinds)} targets were reached. " if kinds else ""
    return f"{said}Data: {result.data['corpus']}."


def _grid(measurements: Sequence[Measurement]) -> Grid:
    lines = []
    for one in measurements:
        cells = [Cell(text) for text in _cells(one)]
        if one.target is not None:
            answer = Answer.BETTER if kind_of(one) == REACHED else Answer.WORSE
            cells[TARGET] = Cell(_judgement(one), answer=answer)
        lines.append(Line(one.name, "", cells))
    return Grid(HEADER, lines, sortable=True)


def _title(found: Profile) -> str:
    return f"{found.name}: {found.calls:,} operations, {found.milliseconds:,.0f} ms as profiled"


def _operations(found: Profile) -> Table:
    rows = [
        [
            operation.name,
            number(operation.calls),
            number(operation.milliseconds, 1),
            f"{operation.milliseconds / found.milliseconds:.0%}",
        ]
        for operation in found.top
    ]
    return ["operation", "calls", "ms in itself", "share"], rows


def _judgement(m: Measurement) -> str:
    bound = "at most" if m.at_most else "at least"
    return f"{bound} {m.target:.3g}: {kind_of(m)}"


def _cells(m: Measurement) -> list[str]:
    digits = 0 if abs(m.value) >= 100 else 2 if abs(m.value) >= 0.1 else 5
    spread = f"{number(m.value, digits)} [{number(m.low, digits)}, {number(m.high, digits)}]"
    return [
        f"{spread} {m.unit}",
        number(m.ratio, 1),
        "–",
        m.reference or "–",
        number(m.reference_value, 2),
    ]
