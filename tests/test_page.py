"""The page of a run: one file, without network, in which names are only text."""

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from browsing import opened, require_first_screen
from PIL import Image
from playwright.sync_api import Browser
from rich.console import Console

from benchmarks.cli.docs_tables import KEPT
from benchmarks.domains.registry import load_domain
from benchmarks.record.contrasts import Answer
from benchmarks.record.costs import Cost
from benchmarks.record.model_names import TITLES, title_of
from benchmarks.record.results import (
    Metric,
    Model,
    Result,
    Row,
    SettingRecord,
    Training,
    parse_result,
)
from benchmarks.reporting.charts import Chart, spread_out
from benchmarks.reporting.compute import COSTS, compute_chart
from benchmarks.reporting.grid import Cell, Grid, Line
from benchmarks.reporting.html import PAGE
from benchmarks.reporting.page import LINES, REPORT, print_report, write_report
from benchmarks.reporting.report import Picture, Report, Section, bullets
from benchmarks.reporting.viewer import Scene, Tile, Viewer, viewers_html
from benchmarks.tasks.registry import load_task

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


GRID = Grid(
    ["question", "in distribution", "out of it"],
    [
        Line(
            f"Is {EVIL} better?",
            "one against other",
            [
                Cell("better", "+1.00 [+0.50, +1.50] dB", Answer.BETTER, details="Tables"),
                Cell("undecided", "+0.10 [-0.50, +0.70] dB", Answer.UNDECIDED),
            ],
        )
    ],
)


def page_of(folder: Path) -> tuple[str, Seen]:
    Image.new("RGB", (4, 3)).save(folder / "figure.png")
    table = (["model", "PSNR dB"], [[f"`{EVIL}`", "20.00"], [EVIL, "–"]])
    sections = [
        Section("Tables", ["A sentence.", table, Picture("A figure", "figure.png")]),
        Section(f"More of {EVIL}", ["text"]),
    ]
    opening = [GRID, bullets([f"{EVIL} beats all", "second"])]
    write_report(folder, Report(f"A report of {EVIL}", opening, sections))
    text = (folder / PAGE).read_text(encoding="utf-8")
    seen = Seen()
    seen.feed(text)
    return text, seen


def test_the_page_holds_the_whole_report(tmp_path: Path) -> None:
    _, seen = page_of(tmp_path)
    assert len(seen.all("table")) == 2
    assert "A sentence." in seen.text
    assert [link["href"] for link in seen.all("a")] == ["#tables"]
    assert next(section.get("id") for section in seen.all("details")) == "tables"
    (image,) = seen.all("img")
    assert image["alt"] == "A figure"
    assert str(image["src"]).startswith("data:image/webp;base64,")
    assert seen.all("html")[0]["lang"] == "en"


def test_markdown_follows_the_order_of_the_page(tmp_path: Path) -> None:
    page_of(tmp_path)
    lines = (tmp_path / REPORT).read_text(encoding="utf-8").splitlines()
    places = [
        next(i for i, line in enumerate(lines) if said in line)
        for said in ("better: +1.00 [+0.50, +1.50] dB", "- second", "## Tables", "![A figure]")
    ]
    assert places == sorted(places)


def test_names_are_text_and_never_code(tmp_path: Path) -> None:
    text, seen = page_of(tmp_path)
    assert len(seen.all("script")) == 1  # the page's own
    assert text.count("alert(1)") >= 5
    assert EVIL not in text


def test_a_link_opens_what_it_leads_to_and_printing_opens_all(
    browser: Browser, tmp_path: Path
) -> None:
    page_of(tmp_path)
    with opened(browser, tmp_path / PAGE) as tab:
        said, more = tab.get_by_text("A sentence."), tab.get_by_text("text", exact=True)
        assert not said.is_visible()
        tab.get_by_role("link", name="better").click()
        said.wait_for(state="visible")
        assert not more.is_visible()
        tab.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert more.is_visible()
        tab.evaluate("dispatchEvent(new Event('afterprint'))")
        assert said.is_visible()
        assert not more.is_visible()


def test_the_first_column_stays_where_a_table_scrolls(browser: Browser, tmp_path: Path) -> None:
    header = ["model", *(f"condition {number}" for number in range(30))]
    table = (header, [["EBT, published", *("20.00" for _ in header[1:])]])
    write_report(tmp_path, Report("Wide", [table]))
    with opened(browser, tmp_path / PAGE) as tab:
        tab.locator(".scroll").evaluate("place => { place.scrollLeft = 800; }")
        place = tab.get_by_text("EBT, published").bounding_box()
        assert place is not None
        assert 0 <= place["x"] < 100


@pytest.mark.parametrize("models", [3, 100])
def test_the_terminal_shows_few_lines(models: int) -> None:
    rows = [[f"model {number}", "20.00"] for number in range(models)]
    lines = [*GRID.lines] * 8
    table = Section("Next frame", [(["model", "PSNR dB"], rows)])
    report = Report("Next frame", [Grid(GRID.header, lines)], [], table)
    console = Console(width=120, file=io.StringIO())
    print_report(console, report, ["report: runs/1/report.html"])
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue().splitlines()
    assert len(said) <= LINES
    places = [
        next(i for i, line in enumerate(said) if word in line) for word in ("better", "model 2")
    ]
    assert places == sorted(places)
    assert said[-1] == "report: runs/1/report.html"
    assert ("more in the report" in said[-2]) == (models == 100)


@pytest.mark.parametrize("domain", ["video", "image"])
def test_every_declared_model_has_a_name_for_readers(domain: str) -> None:
    names = [spec.name for spec in load_domain(domain).declared]
    assert [name for name in names if name not in TITLES] == []
    assert len({title_of(name) for name in names}) == len(names)
    assert title_of("my_own") == "my_own"


def test_labels_of_curves_do_not_cover_one_another() -> None:
    found = spread_out([3.0, 1.0, 1.0, 9.9, 10.0], 1.0, (0.0, 10.0))
    assert sorted(found) == pytest.approx([0.5, 1.5, 3.0, 9.0, 10.0])
    assert found[0] == 3.0


BLACK = np.zeros((1, 4, 4, 3), np.uint8), {"error": np.zeros((1, 4, 4, 3), np.uint8)}
VIEWER = Viewer(
    f"Rollouts of {EVIL}",
    "What is seen.",
    ["observed", "1 ahead", f"2 ahead {EVIL}"],
    [
        Scene(
            f"clip {number} {EVIL}",
            [
                Tile("truth", np.full((3, 4, 4, 3), 40 * number, np.uint8)),
                Tile(EVIL, *BLACK, ["a", "b", EVIL]),
            ],
        )
        for number in (1, 2)
    ],
)


def test_tables_sort_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    page_of(tmp_path)
    with opened(browser, tmp_path / PAGE) as tab:
        assert tab.locator(".grid th button").count() == 0  # its questions have an order
        tab.get_by_text("Tables").click()
        table = tab.locator("details table")
        table.locator("th button").nth(1).click()
        assert table.locator("th").nth(1).get_attribute("aria-sort") == "descending"
        assert table.locator("tbody td:last-child").all_inner_texts() == ["20.00", "–"]
        table.locator("th button").nth(1).click()
        assert table.locator("th").nth(1).get_attribute("aria-sort") == "ascending"


def test_one_slider_moves_all_pictures(browser: Browser, tmp_path: Path) -> None:
    write_report(tmp_path, Report("Clips", [VIEWER]))
    assert EVIL not in (tmp_path / PAGE).read_text(encoding="utf-8")
    with opened(browser, tmp_path / PAGE) as tab:
        position, said = tab.locator(".viewer output"), tab.locator("[data-said]").first
        assert (position.inner_text(), said.inner_text()) == ("observed", "a")
        tab.locator(".viewer input[type=range]").focus()
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
        errors = tab.locator(".map").first
        assert not errors.is_visible()
        tab.get_by_label("errors").check()
        assert errors.is_visible()
        tab.locator(".viewer select").select_option(index=1)
        assert [scene.is_visible() for scene in tab.locator(".tiles").all()] == [False, True]


def test_the_configuration_can_be_opened(browser: Browser, tmp_path: Path) -> None:
    write_report(tmp_path, Report("Clips", ["x"]), f"model: {EVIL}\n")
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


def chart_of(name: str) -> Chart:
    """Quality against cost of one model."""
    metric = Metric(20.0, 19.0, 21.0, 4, True)
    rows = [
        Row(
            SettingRecord(f"{steps} steps", steps, False, {}),
            CONDITION,
            steps == 1,
            True,
            {"psnr": metric},
            Cost(steps, steps, 2.0 * steps, 100 * steps, 3.0 if steps == 1 else None, 1, 10),
        )
        for steps in (1, 2)
    ]
    floor = Model("floor", "floor", 0, None, rows[:1], [])
    model = Model(name, "energy", 5, Training(1, 1, 1.0), rows, [])
    result = Result("next_frame", {}, {}, {}, models=[model, floor])
    chart = compute_chart(result, CONDITION, EVIL, "compute")
    assert chart is not None
    assert compute_chart(result, {"split": "other"}, "None", "none") is None
    return chart


def test_a_chart_lets_the_reader_choose_the_cost(browser: Browser, tmp_path: Path) -> None:
    chart = chart_of(EVIL)
    write_report(tmp_path, Report("Charts", [chart], [Section("Folded", [chart_of("ebt_linear")])]))
    assert Image.open(tmp_path / chart.path).width > 1000  # where no page is
    text = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert EVIL not in text
    assert "EBT, linear" in text
    assert len(text) < 8e6
    with opened(browser, tmp_path / PAGE) as tab:
        drawn = tab.locator(".chart canvas, .chart svg").first
        before = drawn.screenshot()
        options = tab.locator("select").first.locator("option")
        assert options.evaluate_all("all => all.map(option => option.value)") == list(COSTS)
        tab.locator("select").first.select_option("latency_ms")
        assert drawn.screenshot() != before
        tab.get_by_text("Folded").click()
        place = tab.locator(".chart canvas, .chart svg").nth(1).bounding_box()
        assert place is not None
        assert place["width"] > 1000  # though it was drawn while it was hidden


@pytest.mark.parametrize(
    "name",
    [
        "denoise_published",
        "thinking_balls",
        *(
            pytest.param(n, marks=pytest.mark.slow)
            for n in ("next_frame_published", "probe_images")
        ),
    ],
)
def test_a_result_of_an_earlier_version_has_a_page_that_answers_first(
    browser: Browser, tmp_path: Path, name: str
) -> None:
    result = parse_result(KEPT / f"{name}.json")
    write_report(tmp_path, load_task(result.task, result.domain).report(tmp_path, result))
    with opened(browser, tmp_path / PAGE) as tab:
        tab.wait_for_timeout(300)  # charts are drawn after loading
        require_first_screen(tab)


def test_the_page_asks_for_nothing_outside_itself(tmp_path: Path) -> None:
    text, seen = page_of(tmp_path)
    assert not re.findall(r"https?://|url\((?!data:)|@import", text)
    assert not seen.all("link")
    assert not [a for tag, a in seen.tags if "src" in a and not str(a["src"]).startswith("data:")]


def test_a_name_that_parts_cells_stays_in_its_own(tmp_path: Path) -> None:
    table = (["model", "PSNR dB"], [["bare | `quoted|`", "20.0"]])
    write_report(tmp_path, Report("A run", [table], [], Section("First", [])))
    page = Seen()
    page.feed((tmp_path / PAGE).read_text())
    assert len(page.all("td")) == 2
    assert "bare | quoted|" in page.text
