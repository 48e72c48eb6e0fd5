"""The tables of the documents are those of the committed results."""

import json
from pathlib import Path

import pytest

from benchmarks.documents import DOCUMENTS, KEPT, TABLE, kept_result, main, with_tables
from data_prep.errors import InputError

NAMES = sorted(path.stem for path in KEPT.glob("*.json"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_tables_are_made_from_the_committed_results(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert {match["name"] for match in TABLE.finditer(text)} & set(NAMES)
    assert with_tables(text) == text


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_result_is_small_and_says_how_it_was_made(name: str) -> None:
    assert (KEPT / f"{name}.json").stat().st_size < 500_000
    result = kept_result(name)
    assert result.environment["command"].startswith("python benchmarks/run.py --task ")
    assert len(result.environment["commit"]) == 40  # of a checkout without changes
    used = "".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    assert f"<!-- table: {name} -->" in used


def test_another_number_changes_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.loads((KEPT / f"{NAMES[0]}.json").read_text())
    text = f"before\n<!-- table: {NAMES[0]} -->\nold\n<!-- end of table -->\nafter\n"
    first = with_tables(text)
    assert "old" not in first
    assert first.startswith("before\n")
    assert first.endswith("after\n")
    content["models"][0]["parameters"] += 1
    (tmp_path / f"{NAMES[0]}.json").write_text(json.dumps(content))
    monkeypatch.setattr("benchmarks.documents.KEPT", tmp_path)
    assert with_tables(text) != first


def test_a_table_without_a_result_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"nothing\.json: no such result"):
        with_tables("<!-- table: nothing -->\n<!-- end of table -->")
    assert main(["keep", "/nowhere", "x"]) == 2
    assert "give the folder of a finished run" in capsys.readouterr().err
