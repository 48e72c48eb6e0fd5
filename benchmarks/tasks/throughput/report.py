"""The report of throughput: its table of measurements, and profiles where they were asked for."""

from collections.abc import Sequence

from benchmarks.record.contrasts import Answer
from benchmarks.record.results import Measurement, Profile, Result
from benchmarks.reporting.grid import Cell, Grid, Line
from benchmarks.reporting.report import Part, Report, Section, bullets
from benchmarks.reporting.tables import Table, environment_lines, number

HEADER = ["measured", "median [lowest, highest]", "reference", "its median", "ratio", "target"]


def make_report(result: Result) -> Report:
    """The report of a result."""
    notes = [f"{m.name}: {m.note}." for m in result.measurements if m.note]
    profiles = [Section(_title(profile), [_operations(profile)]) for profile in result.profiles]
    sections = [
        *([Section("What was measured how", [bullets(notes)])] if notes else []),
        *profiles,
        Section("How this was made", [bullets(environment_lines(result.environment))]),
    ]
    opening: list[Part] = [_answer(result), _grid(result.measurements)]
    return Report("Throughput", opening, sections, profiles[0] if profiles else None)


def _answer(result: Result) -> str:
    """How many targets were reached, and on what it was measured."""
    judged = [_reached(m) for m in result.measurements if m.target is not None]
    said = f"{sum(judged)} of {len(judged)} targets were reached. " if judged else ""
    return f"{said}Data: {result.data['corpus']}."


def _grid(measurements: Sequence[Measurement]) -> Grid:
    lines = []
    for one in measurements:
        cells = [Cell(text) for text in _cells(one)]
        if one.target is not None:
            answer = Answer.BETTER if _reached(one) else Answer.WORSE
            cells[-1] = Cell(_judgement(one), answer=answer)
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


def _reached(m: Measurement) -> bool:
    """Whether a measurement reached its target."""
    assert m.target is not None
    value = m.value if m.ratio is None else m.ratio
    return value <= m.target if m.at_most else value >= m.target


def _judgement(m: Measurement) -> str:
    bound = "at most" if m.at_most else "at least"
    return f"{bound} {m.target:.3g}: {'reached' if _reached(m) else 'missed'}"


def _cells(m: Measurement) -> list[str]:
    digits = 2 if abs(m.value) < 100 else 0
    spread = f"{number(m.value, digits)} [{number(m.low, digits)}, {number(m.high, digits)}]"
    return [
        f"{spread} {m.unit}",
        m.reference or "–",
        number(m.reference_value, 2),
        number(m.ratio, 1),
        "–",
    ]
