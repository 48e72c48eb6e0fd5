"""Marks of the best values of a column."""

from collections.abc import Sequence

from benchmarks.record.results import Metric

MARK = "**"  # bold in Markdown
MARKED = (
    "Bold stands for the best value of a column and all that a paired 95 % interval does not tell "
    "apart from it."
)


def mark_best(cells: Sequence[str], metrics: Sequence[Metric | None]) -> list[str]:
    """The cells of a column, those marked whose metric is the best or not told apart from it.

    Nothing is marked where that would be every cell.
    """
    good = [found is not None and found.best for found in metrics]
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
