"""The report of throughput: its table of measurements, and profiles where they were asked for."""

from benchmarks.record.results import Measurement, Profile, Result
from benchmarks.reporting.page import Report, Section, bullets
from benchmarks.reporting.tables import Table, environment_lines, number

HEADER = ["measured", "median [lowest, highest]", "reference", "its median", "ratio", "target"]


def make_report(result: Result) -> Report:
    """The report of a result."""
    notes = [f"{m.name}: {m.note}." for m in result.measurements if m.note]
    measured = HEADER, [_cells(m) for m in result.measurements]
    found = [Section(_title(profile), [_operations(profile)]) for profile in result.profiles]
    sections = [
        Section("Measurements", [f"Data: {result.data['corpus']}.", measured, bullets(notes)]),
        *found,
        Section("How this was made", [bullets(environment_lines(result.environment))]),
    ]
    return Report("Throughput", sections, [], [Section("throughput", [measured]), *found], notes)


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


def _judgement(value: float, target: float, at_most: bool) -> str:
    reached = value <= target if at_most else value >= target
    bound = "at most" if at_most else "at least"
    return f"{bound} {target:.3g}: {'reached' if reached else 'missed'}"


def _cells(m: Measurement) -> list[str]:
    digits = 2 if abs(m.value) < 100 else 0
    spread = f"{number(m.value, digits)} [{number(m.low, digits)}, {number(m.high, digits)}]"
    judged = m.value if m.ratio is None else m.ratio
    return [
        m.name,
        f"{spread} {m.unit}",
        m.reference or "–",
        number(m.reference_value, 2),
        number(m.ratio, 1),
        "–" if m.target is None else _judgement(judged, m.target, m.at_most),
    ]
