"""The page of a run: one file, without network, in which names are only text."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks.measure.costs import Cost
from benchmarks.reporting.charts import COSTS, compute_chart
from benchmarks.reporting.html import PAGE
from benchmarks.reporting.page import Report, Section, bullets, write_report
from benchmarks.reporting.results import Metric, Model, Result, Row, SettingRecord, Training

EVIL = "<script>alert(1)</script>"


class Seen(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(folder: Path) -> tuple[str, Seen]:
    Image.new("RGB", (4, 3)).save(folder / "figure.png")
    table = (["model", "PSNR dB"], [[f"`{EVIL}`", "20.00"], [EVIL, "–"]])
    sections = [
        Section(f"What holds, {EVIL}", [bullets([f"{EVIL} beats all", "second"])]),
        Section("Tables", ["A sentence.", table]),
    ]
    figures = [("A figure", "figure.png")]
    write_report(folder, Report(f"A report of {EVIL}", sections, figures, [], []))
    text = (folder / PAGE).read_text(encoding="utf-8")
    seen = Seen()
    seen.feed(text)
    return text, seen


def test_the_page_holds_the_whole_report(tmp_path: Path) -> None:
    _, seen = page_of(tmp_path)
    assert len(seen.all("table")) == 1
    assert "A sentence." in seen.text
    assert [link["href"] for link in seen.all("a")] == ["#section-1", "#section-2", "#section-3"]
    assert [heading.get("id") for heading in seen.all("h2")] == [
        "section-1",
        "section-2",
        "section-3",
    ]
    (image,) = seen.all("img")
    assert image["alt"] == "A figure"
    assert str(image["src"]).startswith("data:image/png;base64,")
    assert seen.all("html")[0]["lang"] == "en"


def test_names_are_text_and_never_code(tmp_path: Path) -> None:
    text, seen = page_of(tmp_path)
    assert len(seen.all("script")) == 1  # the page's own
    assert text.count("alert(1)") >= 5
    assert EVIL not in text


def find_browser() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


def opened(browser: str, page: Path) -> Seen:
    """What a page becomes in a browser."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000"]
    command = [browser, *options, "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    seen = Seen()
    seen.feed(done.stdout)
    return seen


def test_tables_sort_in_a_browser(tmp_path: Path) -> None:
    if (browser := find_browser()) is None:
        pytest.skip("no chromium on this machine: the page is not opened in a browser")
    page_of(tmp_path)
    page = tmp_path / PAGE
    click = "document.querySelectorAll('th button')[1].click();"
    page.write_text(page.read_text().replace("</script>", f"{click}</script>"))
    seen = opened(browser, page)
    assert seen.all("th")[1]["aria-sort"] == "descending"
    assert len(seen.all("button")) == 2


CONDITION = {"split": "test"}


def chart_of(name: str) -> dict[str, Any]:
    """Quality against cost of one model."""
    metric = Metric(20.0, 19.0, 21.0, 4, True)
    rows = [
        Row(
            SettingRecord(f"{steps} steps", steps, False, {}),
            CONDITION,
            steps == 1,
            True,
            {"psnr": metric},
            Cost(steps, steps, 2.0 * steps, 100 * steps, 3.0, 1, 10),
        )
        for steps in (1, 2)
    ]
    floor = Model("floor", "floor", 0, None, rows[:1], [])
    model = Model(name, "energy", 5, Training(1, 1, 1.0), rows, [])
    result = Result("next_frame", {}, {}, {}, models=[model, floor])
    chart = compute_chart(result, CONDITION)
    assert chart is not None
    assert compute_chart(result, {"split": "other"}) is None
    return chart


def test_a_chart_lets_the_reader_choose_the_cost(tmp_path: Path) -> None:
    chart = chart_of(EVIL)
    points = chart["data"]["values"]
    assert {point["model"] for point in points} == {EVIL}  # a floor has no cost
    report = Report("Charts", [Section("One", ["x"])], [], [], [], [(EVIL, chart)])
    write_report(tmp_path, report)
    text = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert EVIL not in text
    assert len(text) < 8e6
    if (browser := find_browser()) is None:
        pytest.skip("no chromium on this machine: the chart is not drawn")
    seen = opened(browser, tmp_path / PAGE)
    assert [option["value"] for option in seen.all("option")] == list(COSTS)
    assert seen.all("canvas") or seen.all("svg")


def test_the_page_asks_for_nothing_outside_itself(tmp_path: Path) -> None:
    text, seen = page_of(tmp_path)
    assert not re.findall(r"https?://|url\(|@import", text)
    assert not seen.all("link")
    assert not [a for tag, a in seen.tags if "src" in a and not str(a["src"]).startswith("data:")]
