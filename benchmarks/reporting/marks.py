"""Marks of the best values of a column, which respect that intervals overlap."""

from collections.abc import Sequence

from benchmarks.reporting.results import Metric

MARK = "**"  # bold in Markdown
MARKED = (
    "Bold stands for the best value of a column and all whose intervals overlap with its own; "
    "paired differences tell more apart."
)


def mark_best(cells: Sequence[str], metrics: Sequence[Metric | None]) -> list[str]:
    """The cells of a column, the best marked with all whose intervals overlap with its own.

    Nothing is marked where that would be every cell, or where no direction is better.
    """
    known = [metric for metric in metrics if metric is not None]
    if not known or any(metric.higher_is_better is None for metric in known):
        return list(cells)
    sign = 1 if known[0].higher_is_better else -1
    best = max(known, key=lambda metric: sign * metric.mean)
    good = [m is not None and m.low <= best.high and best.low <= m.high for m in metrics]
    if all(good):
        return list(cells)
    return [
        f"{MARK}{cell}{MARK}" if marked else cell for cell, marked in zip(cells, good, strict=True)
    ]


def is_marked(cell: str) -> bool:
    """Whether a cell is marked."""
    return cell.startswith(MARK) and cell.endswith(MARK) and len(cell) > 2 * len(MARK)


def unmarked(cell: str) -> str:
    """The cell without its mark."""
    return cell[len(MARK) : -len(MARK)] if is_marked(cell) else cell
