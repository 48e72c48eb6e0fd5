"""The table of a throughput run, made from its result alone."""

from pathlib import Path

import rich.table
from rich.console import Console

from benchmarks.report import REPORT, Table, environment_lines, markdown, number
from benchmarks.results import Measurement, Profile, ThroughputResult

HEADER = ["measured", "median [lowest, highest]", "reference", "its median", "ratio", "target"]


def write_report(folder: Path, result: ThroughputResult) -> None:
    """Write `report.md`."""
    notes = [f"- {m.name}: {m.note}." for m in result.measurements if m.note]
    lines = ["# Throughput", "", f"Data: {result.data['corpus']}.", ""]
    lines += [*markdown(_table(result)), "", *notes, ""]
    for found in result.profiles:
        lines += [f"## {_title(found)}", "", *markdown(_operations(found)), ""]
    lines += ["## Environment", ""]
    lines += environment_lines(result.environment)
    (folder / REPORT).write_text("\n".join([*lines, ""]), encoding="utf-8")


def print_report(console: Console, result: ThroughputResult) -> None:
    """Print the table."""
    header, rows = _table(result)
    table = rich.table.Table(*header, title="throughput")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for m in result.measurements:
        if m.note:
            console.print(f"{m.name}: {m.note}", highlight=False)

    for found in result.profiles:
        header, rows = _operations(found)
        table = rich.table.Table(*header, title=_title(found))
        for row in rows:
            table.add_row(*row)
        console.print(table)


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


def _table(result: ThroughputResult) -> Table:
    return HEADER, [_cells(m) for m in result.measurements]


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
