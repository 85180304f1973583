"""A running node, people of two teams, and browsers that are logged in, for the tests of single pages."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from dash_app.app import App
from dash_app.domain.access import Principal, Role
from dash_app.domain.events import Arrival
from dash_app.pipelines import setup
from dash_app.pipelines.ingest import Ingest
from dash_app.settings import Settings
from dash_app.storage import embedded, payloads, people
from tests.e2e.pages.harness import EMAIL, PASSWORD, environment

ROOT = Path(__file__).parents[3]
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class House:
    """A running node with its database. `who`: the admin of the team `main`."""

    url: str
    app: App
    team: UUID
    who: Principal

    def pipeline(self, name: str, mapping: Any = None, scheme: str = "github", team: UUID | None = None) -> UUID:
        team = team or self.team
        with self.app.database.team(team) as unit:
            source = {"kind": "webhook", "options": {"scheme": scheme}}
            made, _ = setup.create_pipeline(
                unit, self.app, team, {"name": name, "source": source, "mapping": mapping}, self.who
            )
            unit.commit()
        return made.id

    def send(self, pipeline: UUID, *bodies: Any, headers: dict[str, str] | None = None) -> None:
        """Has payloads accepted and mapped."""
        arrivals = [
            Arrival(pipeline, self.team, b if isinstance(b, bytes) else json.dumps(b).encode(), headers=headers or {})
            for b in bodies
        ]
        with self.app.database.ingest() as unit:
            payloads.accept(unit, arrivals)
            unit.commit()
        Ingest(self.app).run(pipeline)

    def member(self, email: str, role: Role, team: UUID | None = None) -> None:
        with self.app.database.ingest() as unit:
            people.add_member(unit, team or self.team, people.create_user(unit, email, PASSWORD), role)
            unit.commit()

    def other_team(self, slug: str) -> UUID:
        with self.app.database.ingest() as unit:
            made = people.create_team(unit, slug, slug.title())
            unit.commit()
        return made


@pytest.fixture(scope="module")
def house(postgres: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[House]:
    name = request.module.__name__.rsplit(".", 1)[-1] + "_pages"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    url = postgres.replace(f"/{embedded.DATABASE}?", f"/{name}?", 1)
    folder = str(tmp_path_factory.mktemp("pages"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.pages.harness", url, str(port), folder],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    app = None
    try:
        assert server.stdout is not None
        # Read to the line that says so; an end of the stream is a node that did not start.
        assert any(line.strip() == "ready" for line in server.stdout)
        # A node that has much to say would stand still once nobody reads it.
        threading.Thread(target=server.stdout.read, daemon=True).start()
        app = App.open(Settings.load([], environment(url, port, folder), program="serve"), url)
        with app.database.ingest() as unit:
            team = people.find_team(unit)
        with app.database.team(team) as unit:
            member = people.members(unit)[0]
        who = Principal(member.user, member.email, member.name, team, "main", "Main", Role.admin)
        yield House(f"http://127.0.0.1:{port}", app, team, who)
    finally:
        server.kill()
        server.communicate()
        if app is not None:
            app.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
        yield made
        made.close()


Opened = Callable[..., Page]


@pytest.fixture
def opened(house: House, browser: Browser) -> Iterator[Opened]:
    """Opens a browser that is logged in; the test fails on any console error and any request to another host. What a
    test expects to be complained of it takes out of `opened.complaints`."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []
    ours = (house.url, house.url.replace("http", "ws", 1), "blob:", "data:")

    def open_page(email: str = EMAIL, *, width: int = 1360, theme: Any = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: complaints.append(f"{m.type}: {m.text}") if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(f"thrown: {error}"))
        page.on("request", lambda r: None if r.url.startswith(ours) else complaints.append(f"asked elsewhere: {r.url}"))
        page.goto(f"{house.url}/login")
        page.fill("#email", email)
        page.fill("#password", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_url(f"{house.url}/")
        return page

    open_page.complaints = complaints  # type: ignore[attr-defined]
    yield open_page
    for context in contexts:
        for page in context.pages:
            assert page.evaluate("window.hacked") is None
        context.close()
    assert complaints == []


def ready(page: Page) -> None:
    """Waits until a Panel page stands."""
    page.wait_for_function("window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle")
    expect(page.locator("[data-waiting]")).to_have_count(0)
