"""The best of a column is marked with all that its interval does not set apart."""

from benchmarks.reporting.export import latex
from benchmarks.reporting.marks import is_marked, mark_best, unmarked
from benchmarks.reporting.results import Metric


def metric(mean: float, spread: float, higher: bool | None = True) -> Metric:
    return Metric(mean, mean - spread, mean + spread, 8, higher)


def marked(metrics: list[Metric | None]) -> list[bool]:
    cells = mark_best(["x"] * len(metrics), metrics)
    assert [unmarked(cell) for cell in cells] == ["x"] * len(metrics)
    return [is_marked(cell) for cell in cells]


def test_all_that_overlap_with_the_best_are_marked() -> None:
    assert marked([metric(3, 0.5), metric(2.5, 0.2), metric(2, 0.2)]) == [True, True, False]
    assert marked([metric(3, 0.5, False), metric(2.5, 0.2, False), metric(1, 0.2, False)]) == [
        False,
        False,
        True,
    ]


def test_nothing_is_marked_where_nothing_stands_out() -> None:
    assert marked([metric(3, 1), metric(2.5, 1)]) == [False, False]
    assert marked([metric(3, 0.1, None), metric(2, 0.1, None)]) == [False, False]
    assert marked([None, None]) == [False, False]
    assert marked([None, metric(1, 0.1)]) == [False, True]


def test_latex_prints_marks_bold() -> None:
    assert r"\textbf{1\_0}" in latex((["model", "PSNR"], [["a", "**1_0**"]]))
