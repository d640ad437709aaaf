"""A headless Chromium for tests, where playwright and a Chromium of the system are there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NAMES = ("chromium", "chromium-headless-shell", "google-chrome", "chromium-browser")
WIDTHS = (360, 800, 1440)
SCHEMES = ("light", "dark")


@contextmanager
def chromium() -> Iterator[Any]:
    """A started browser; skips the test where it cannot be had."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        try:
            yield started
        finally:
            started.close()


def opened(browser: Any, url: str, **options: Any) -> tuple[Any, list[str]]:
    """A page at a URL, and what its console, its errors and its dialogs say."""
    page = browser.new_context(**options).new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.goto(url)
    return page, said


def overflow(page: Any) -> int:
    """How many pixels a page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))
