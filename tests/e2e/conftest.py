"""What all tests in a browser share: Chromium, and windows that are made once and used again.

A window (a context of Playwright) keeps the files that it has fetched; so a test gets one that another test has left
behind, without anything of that test in it.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

# Several processes share the machine: what is waited for comes, and says so when it does not.
expect.set_options(timeout=20_000)

CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# No longer than a module: Playwright's own event loop runs for as long, and other tests need theirs.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
        yield made
        made.close()


class Windows:
    """Windows of one browser: `take` one, and `give_back` all that were taken."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._free: dict[str, list[BrowserContext]] = defaultdict(list)
        self._taken: list[tuple[str, BrowserContext]] = []

    def take(self, *, width: int = 1360, height: int = 900, theme: Any = "light", **options: Any) -> Page:
        """An empty page in a window that nobody else has. `options`: those of Playwright's contexts."""
        kind = repr(sorted(options.items()))
        free = self._free[kind]
        # What moves is not yet where it belongs: a picture or a look at colours would catch it on its way.
        context = free.pop() if free else self._browser.new_context(reduced_motion="reduce", **options)
        self._taken.append((kind, context))
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=theme)
        return page

    @property
    def pages(self) -> list[Page]:
        """All pages in the windows that are taken."""
        return [page for _, context in self._taken for page in context.pages]

    def give_back(self) -> None:
        """Closes all pages, and forgets who was logged in and what was kept in the browser."""
        for kind, context in self._taken:
            for page in context.pages:
                if page.url.startswith("http"):
                    origin = "/".join(page.url.split("/", 3)[:3])
                    kept = {"origin": origin, "storageTypes": "local_storage,indexeddb,cache_storage,service_workers"}
                    context.new_cdp_session(page).send("Storage.clearDataForOrigin", kept)
                page.close()
            context.clear_cookies()
            self._free[kind].append(context)
        self._taken.clear()


@pytest.fixture(scope="module")
def windows_of_module(browser: Browser) -> Windows:
    return Windows(browser)


@pytest.fixture
def windows(windows_of_module: Windows) -> Iterator[Windows]:
    """The windows of this test."""
    yield windows_of_module
    windows_of_module.give_back()
