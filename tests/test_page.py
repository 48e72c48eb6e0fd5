"""The page of a run: one file, without network, in which names are only text."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from browsing import opened
from PIL import Image
from playwright.sync_api import Browser

from benchmarks.record.costs import Cost
from benchmarks.record.results import Metric, Model, Result, Row, SettingRecord, Training
from benchmarks.reporting.charts import COSTS, compute_chart
from benchmarks.reporting.html import PAGE, Live
from benchmarks.reporting.page import Report, Section, bullets, write_report
from benchmarks.reporting.viewer import Scene, Tile, Viewer, viewers_html

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
    assert str(image["src"]).startswith("data:image/webp;base64,")
    assert seen.all("html")[0]["lang"] == "en"


def test_names_are_text_and_never_code(tmp_path: Path) -> None:
    text, seen = page_of(tmp_path)
    assert len(seen.all("script")) == 1  # the page's own
    assert text.count("alert(1)") >= 5
    assert EVIL not in text


VIEWER = Viewer(
    f"Rollouts of {EVIL}",
    "What is seen.",
    ["observed", "1 ahead", f"2 ahead {EVIL}"],
    [
        Scene(
            f"clip {number} {EVIL}",
            [
                Tile("truth", np.full((3, 4, 4, 3), 40 * number, np.uint8)),
                Tile(EVIL, np.zeros((1, 4, 4, 3), np.uint8), {}, ["a", "b", EVIL]),
            ],
        )
        for number in (1, 2)
    ],
)


def test_tables_sort_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    page_of(tmp_path)
    with opened(browser, tmp_path / PAGE) as tab:
        tab.locator("th button").nth(1).click()
        assert tab.locator("th").nth(1).get_attribute("aria-sort") == "descending"
        assert tab.locator("tbody td:last-child").all_inner_texts() == ["20.00", "–"]
        tab.locator("th button").nth(1).click()
        assert tab.locator("th").nth(1).get_attribute("aria-sort") == "ascending"


def test_one_slider_moves_all_pictures(browser: Browser, tmp_path: Path) -> None:
    page_of(tmp_path)
    report = Report("Clips", [Section("One", ["x"])], [], [], [], Live(viewers=[VIEWER]))
    write_report(tmp_path, report)
    assert EVIL not in (tmp_path / PAGE).read_text(encoding="utf-8")
    with opened(browser, tmp_path / PAGE) as tab:
        position, said = tab.locator(".viewer output"), tab.locator("[data-said]").first
        assert (position.inner_text(), said.inner_text()) == ("observed", "a")
        tab.locator(".viewer input").focus()
        tab.keyboard.press("ArrowRight")
        assert (position.inner_text(), said.inner_text()) == ("1 ahead", "b")
        where = "getComputedStyle(document.querySelector('.pictures')).backgroundPositionY"
        assert "50%" in tab.evaluate(where)
        tab.keyboard.press("End")
        assert said.inner_text() == EVIL
        tab.get_by_role("button", name="Play").click()
        tab.wait_for_function("document.querySelector('.viewer output').textContent !== '2 ahead'")
        tab.get_by_role("button", name="Pause").click()
        assert [scene.is_visible() for scene in tab.locator(".tiles").all()] == [True, False]
        tab.locator(".viewer select").select_option(index=1)
        assert [scene.is_visible() for scene in tab.locator(".tiles").all()] == [False, True]


def test_the_configuration_can_be_opened(browser: Browser, tmp_path: Path) -> None:
    report = Report("Clips", [Section("One", ["x"])], [], [], [])
    write_report(tmp_path, report, f"model: {EVIL}\n")
    with opened(browser, tmp_path / PAGE) as tab:
        assert not tab.locator("pre").is_visible()
        tab.locator("summary").click()
        assert tab.locator("pre").inner_text().strip() == f"model: {EVIL}"


def test_pictures_lose_quality_before_the_page_grows_too_large() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (8, 64, 64, 3), dtype=np.uint8)
    scenes = [Scene(f"clip {number}", [Tile("truth", noise)]) for number in range(9)]
    viewer = Viewer("Clips", "What is seen.", [str(i) for i in range(8)], scenes)
    (whole,) = viewers_html([viewer], 10**9)
    (small,) = viewers_html([viewer], len(whole) // 2)
    assert len(small) <= len(whole) // 2
    assert small.count("tiles") == whole.count("tiles") == 9
    (smallest,) = viewers_html([viewer], len(small) // 4)
    assert len(smallest) <= len(small) // 4
    assert "more are left out" in smallest


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


def test_a_chart_lets_the_reader_choose_the_cost(browser: Browser, tmp_path: Path) -> None:
    chart = chart_of(EVIL)
    points = chart["data"]["values"]
    assert {point["model"] for point in points} == {EVIL}  # a floor has no cost
    report = Report("Charts", [Section("One", ["x"])], [], [], [], Live([(EVIL, chart)]))
    write_report(tmp_path, report)
    text = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert EVIL not in text
    assert len(text) < 8e6
    with opened(browser, tmp_path / PAGE) as tab:
        drawn = tab.locator(".chart canvas, .chart svg").first
        before = drawn.screenshot()
        options = tab.locator("select option")
        assert options.evaluate_all("all => all.map(option => option.value)") == list(COSTS)
        tab.locator("select").select_option("latency_ms")
        assert drawn.screenshot() != before


def test_the_page_asks_for_nothing_outside_itself(tmp_path: Path) -> None:
    text, seen = page_of(tmp_path)
    assert not re.findall(r"https?://|url\((?!data:)|@import", text)
    assert not seen.all("link")
    assert not [a for tag, a in seen.tags if "src" in a and not str(a["src"]).startswith("data:")]
