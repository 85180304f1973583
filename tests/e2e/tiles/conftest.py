"""A browser and the harness for the tests of the tiles.

A page may speak to the harness alone, and says nothing on the console.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import pytest
from playwright.sync_api import Page

from tests.e2e.conftest import Windows
from tests.e2e.tiles.harness import Server

Scheme = Literal["light", "dark"]
OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def server_of_module() -> Iterator[Server]:
    served = Server()
    served.start()
    yield served
    served.stop()


@pytest.fixture
def server(server_of_module: Server) -> Server:
    """The module's server, which remembers nothing of other tests."""
    server_of_module.state.forget()
    return server_of_module


@pytest.fixture
def open_page(windows: Windows, server: Server) -> Iterator[OpenPage]:
    """Opens pages of the harness; afterwards fails on anything the page complained of or asked of another host."""
    complaints: list[str] = []

    def opened(
        path: str = "/dashboard",
        *,
        width: int = 1360,
        height: int = 1130,
        scheme: Scheme = "light",
        forgive: tuple[str, ...] = (),
    ) -> Page:
        page = windows.take(
            width=width,
            height=height,
            theme=scheme,
            locale="en-GB",
            timezone_id="Europe/Oslo",
            accept_downloads=True,
        )
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
    # What a page complains of when it is left counts as well.
    windows.give_back()
    assert complaints == []
