"""A browser and the harness for the tests of the tiles.

A page may speak to the harness alone, and says nothing on the console.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.e2e.tiles.harness import Server

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
Scheme = Literal["light", "dark"]
OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def server() -> Iterator[Server]:
    served = Server()
    served.start()
    yield served
    served.stop()


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[OpenPage]:
    """Opens pages of the harness; afterwards fails on anything the page complained of or asked of another host."""
    complaints: list[str] = []
    contexts = []

    def opened(
        path: str = "/dashboard",
        *,
        width: int = 1360,
        height: int = 1130,
        scheme: Scheme = "light",
        forgive: tuple[str, ...] = (),
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            locale="en-GB",
            timezone_id="Europe/Oslo",
            accept_downloads=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on(
            "console",
            lambda message: (
                complaints.append(f"console: {message.text}")
                if message.type in {"error", "warning"} and not any(word in message.text for word in forgive)
                else None
            ),
        )
        page.on(
            "request",
            lambda request: (
                complaints.append(f"foreign: {request.url}")
                if not request.url.startswith((server.url, "data:", "blob:"))
                else None
            ),
        )
        page.goto(server.url + path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
