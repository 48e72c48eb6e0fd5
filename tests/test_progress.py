"""How far long work is, where there is no terminal: a line for every tenth."""

import pytest

from benchmarks.progress import Work, tracked


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    said = capsys.readouterr().err
    assert "\r" not in said
    assert "\x1b" not in said
    return said.splitlines()


def test_every_tenth_of_each_part_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Work("all", {"cheap": 1.0, "dear": 3.0}, lines_of_parts=True) as work:
        for step in range(1, 101):
            work.update("cheap", step / 100, "loss 0.5")
        work.finish("cheap")
        work.update("dear", 0.5)
    said = lines(capsys)
    assert len(said) == 11
    assert said[0].startswith("cheap: 10 %, loss 0.5, all: 2 %, ")
    assert said[9].startswith("cheap: 100 %, loss 0.5, all: 25 %, ")
    assert said[10].startswith("dear: 50 %, all: 62 %, ")
    assert all(line.endswith(" left") for line in said)


def test_items_are_counted_as_they_are_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(tracked(["a", "b", "c", "d"], "evaluation")) == ["a", "b", "c", "d"]
    said = [line.split(",")[0] for line in lines(capsys)]
    assert said == ["evaluation: 20 %", "evaluation: 50 %", "evaluation: 70 %", "evaluation: 100 %"]
    assert list(tracked([], "nothing")) == []


def test_what_an_earlier_run_did_took_no_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("benchmarks.progress.time.monotonic", lambda: now[0])
    with Work("all", {"one": 1.0}, lines_of_parts=True) as work:
        work.update("one", 0.85)  # resumed
        now[0] = 10.0
        work.update("one", 0.9)
        work.finish("one")
        work.update("one", 0.95)  # a report that comes late
    assert lines(capsys) == ["one: 80 %", "one: 90 %, 20 s left", "one: 100 %"]


def test_a_line_stays_one_line_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    with Work("all", {"name " * 40: 1.0}, lines_of_parts=True) as work:
        work.finish("name " * 40)
    assert len(lines(capsys)) == 1
