"""Pages in a real browser: from disk, without network, in both themes, at both widths."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTHS = (390, 1300)
SCREEN = 900  # pixels of height
TALLEST = 5000  # pixels of a page at the larger width, before anything is opened
LARGEST = 8_000_000  # bytes


@contextmanager
def opened(
    browser: Browser, page: Path, width: int = WIDTHS[1], theme: Literal["light", "dark"] = "light"
) -> Iterator[Page]:
    """A page in a browser; it must ask for nothing and report no error."""
    context = browser.new_context(color_scheme=theme, viewport={"width": width, "height": SCREEN})
    tab, faults = context.new_page(), []
    tab.on("console", lambda message: faults.append(message.text))
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("request", lambda request: faults.append(request.url))
    tab.on("dialog", lambda dialog: faults.append(dialog.message))
    tab.goto(page.as_uri())
    yield tab
    own = ("data:", "blob:", page.as_uri())
    assert not [fault for fault in faults if not fault.startswith(own)]
    context.close()


def require_readable(browser: Browser, page: Path) -> None:
    """A page must answer first, fit both windows, and have no serious fault of accessibility."""
    assert page.stat().st_size < LARGEST
    for theme in THEMES:
        for width in WIDTHS:
            with opened(browser, page, width, theme) as tab:
                tab.wait_for_timeout(300)  # charts are drawn after loading
                assert tab.evaluate("document.documentElement.scrollWidth") <= width
                if width == WIDTHS[0]:
                    found = Axe().run(tab).response["violations"]
                    assert [f["id"] for f in found if f["impact"] in ("serious", "critical")] == []
                else:
                    require_first_screen(tab)


def require_first_screen(tab: Page) -> None:
    """The answer and the top of the picture are seen without scrolling, and all else is folded."""
    assert tab.evaluate("document.documentElement.scrollHeight") <= TALLEST
    answer = tab.locator("main > .scroll:has(table), main > ul").first.bounding_box()
    assert answer is not None
    assert answer["y"] + answer["height"] <= SCREEN
    for picture in tab.locator("main > figure").all()[:1]:
        place = picture.bounding_box()
        assert place is not None
        assert place["y"] < SCREEN
    assert tab.locator("main > details[open]").count() == 0
