"""Marks of the best in a column."""

from benchmarks.record.results import Metric
from benchmarks.reporting.best_marks import is_marked, mark_best, unmarked
from benchmarks.reporting.export import latex


def metric(best: bool) -> Metric:
    return Metric(3.0, 2.0, 4.0, 8, True, best)


def marked(metrics: list[Metric | None]) -> list[bool]:
    cells = mark_best(["x"] * len(metrics), metrics)
    assert [unmarked(cell) for cell in cells] == ["x"] * len(metrics)
    return [is_marked(cell) for cell in cells]


def test_what_is_the_best_is_marked_unless_all_are() -> None:
    assert marked([metric(True), metric(False), None]) == [True, False, False]
    assert marked([metric(True), metric(True)]) == [False, False]
    assert marked([metric(False), None]) == [False, False]


def test_latex_prints_marks_bold() -> None:
    assert r"\textbf{1\_0}" in latex((["model", "PSNR"], [["a", "**1_0**"]]))
