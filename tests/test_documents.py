"""The tables of the documents are those of the committed results."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.cli.citations import CITED, faults
from benchmarks.cli.docs_tables import (
    DOCUMENTS,
    KEPT,
    PICTURES,
    ROOT,
    TABLE,
    draw_pictures,
    kept_result,
    main,
    with_tables,
)
from data_prep.errors import InputError

NAMES = sorted(path.stem for path in KEPT.glob("*.json"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_table_and_number_comes_from_a_committed_result(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    if document.name != "results.md":
        assert {match["name"] for match in TABLE.finditer(text)} & set(NAMES)
        assert len(CITED.findall(text)) > 5
    assert with_tables(text) == text
    assert list(faults(text, kept_result)) == []


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_is_drawn_from_a_kept_result_and_shown(name: str) -> None:
    kept, _ = PICTURES[name]
    assert kept in NAMES
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert any(f"figures/{name}.png" in page.read_text() for page in pages)
    assert (ROOT / "docs/figures" / f"{name}.png").is_file()


@pytest.mark.slow
def test_pictures_are_drawn_again(tmp_path: Path) -> None:
    draw_pictures(tmp_path)
    for name in PICTURES:
        places = (tmp_path, ROOT / "docs/figures")
        drawn, shown = (Image.open(place / f"{name}.png").size for place in places)
        assert drawn == shown


def test_the_check_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    assert "every number comes from a kept result" in capsys.readouterr().out


WHERE = "test, teacher_forced"
PAIR = "ebt_published - transformer_published"
TURNED = "transformer_published - ebt_published"
CITATION = f"<!-- = next_frame_published: {PAIR}; {WHERE} -->"
RIGHT = f"-1.97 dB [-2.35, -1.60]{CITATION}"
LOSS = f"1.97 dB [1.60, 2.35]{CITATION}"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (RIGHT, None),
        (RIGHT.replace("-1.", "1.").replace("[-2.35, 1.60]", "[1.60, 2.35]"), None),  # a loss by
        ("at level 0.1 and levels up to 0.3, within 0.1 dB<!-- given --> of it", None),
        (RIGHT.replace("-1.97", "+1.97"), "mean is -1.9"),
        (RIGHT.replace("-1.60", "-1.62"), "high is -1.[56]"),
        (
            RIGHT.replace("transformer_published", "transformer_larger"),
            "no model transformer_larger",
        ),
        (RIGHT.replace("teacher_forced", "sampled"), "nothing was judged under"),
        (RIGHT.replace("next_frame_published", "nothing"), "no such result"),
        (
            f"29.33 dB<!-- = next_frame_published: ebt_published @ 9 steps; {WHERE} -->",
            "not judged there at 9",
        ),
        ("it gains 1.97 dB", "1.97 in .* cites no result"),
        (f"it is {LOSS} below the other", None),
        (f"it loses by {LOSS}, and is better elsewhere.", "the sentence says better"),
        (f"it loses by {LOSS}. It is better elsewhere.", None),
        (f"it is worse: by {LOSS} here, by {LOSS} there", None),
        (f"it is {LOSS} above the other", "is -1.9.*, the sentence says above"),
        (f"it is higher by {LOSS}.", "is -1.9.*, the sentence says higher"),
        (f"is it better?** Not so: it is {LOSS} below the other", None),
        (f"it is {LOSS.replace(PAIR, TURNED)} below it", r"is \+1.9.*, the sentence says below"),
        (f"the other is {LOSS.replace(PAIR, TURNED)} above it", None),
    ],
)
def test_a_number_that_its_result_does_not_give_is_named(text: str, fault: str | None) -> None:
    found = list(faults(text, kept_result))
    if fault is None:
        assert found == []
    else:
        assert len(found) == 1
        assert re.search(fault, found[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_result_is_small_and_says_how_it_was_made(name: str) -> None:
    assert (KEPT / f"{name}.json").stat().st_size < 5_000_000
    result = kept_result(name)
    assert result.environment["command"].startswith("python benchmarks/run.py --task ")
    assert len(result.environment["commit"]) == 40  # of a checkout without changes
    assert not re.search(
        r"(?:^|[\s=:\"])~?/\w", (KEPT / f"{name}.json").read_text()
    )  # no machine's
    used = "".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    assert f"<!-- table: {name} -->" in used or f"<!-- table: {name}, " in used


def test_another_number_changes_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.loads((KEPT / f"{NAMES[0]}.json").read_text())
    text = f"before\n<!-- table: {NAMES[0]} -->\nstale\n<!-- end of table -->\nafter\n"
    first = with_tables(text)
    assert "stale" not in first
    assert first.startswith("before\n")
    assert first.endswith("after\n")
    content["models"][0]["parameters"] += 1
    (tmp_path / f"{NAMES[0]}.json").write_text(json.dumps(content))
    monkeypatch.setattr("benchmarks.cli.docs_tables.KEPT", tmp_path)
    assert with_tables(text) != first


def test_a_table_without_a_result_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"nothing\.json: no such result"):
        with_tables("<!-- table: nothing -->\n<!-- end of table -->")
    assert main(["keep", "/nowhere", "x"]) == 2
    assert "give the folder of a finished run" in capsys.readouterr().err
