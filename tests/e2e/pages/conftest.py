"""One running node for all tests of pages, a team of its own for each module, and browsers that are logged in.

Teams see nothing of each other, which is the product's own promise; so modules can share a node, whose start is the
dearest part of them.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from playwright.sync_api import Page, expect

from dash_app.app import App
from dash_app.domain.access import Principal, Role
from dash_app.domain.events import Arrival
from dash_app.pipelines import setup
from dash_app.pipelines.ingest import Ingest
from dash_app.settings import Settings
from dash_app.storage import embedded, payloads, people
from tests.e2e.conftest import Windows
from tests.e2e.pages.harness import EMAIL, PASSWORD, environment

ROOT = Path(__file__).parents[3]


@dataclass
class Node:
    """A web node in a process of its own, and the app of the same database in this one."""

    url: str
    app: App


@dataclass
class House:
    """A team on the running node. `who`: its admin, whose address is `email`."""

    url: str
    app: App
    team: UUID
    who: Principal
    email: str
    #: Addresses as tests call them, and as they are: one that is used in several modules is not the same person.
    known: dict[str, str] = field(default_factory=dict)

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

    def member(self, email: str, role: Role, team: UUID | None = None, name: str = "") -> None:
        """Somebody who can log in as `email`."""
        address = self.known[email] = email.replace("@", f"+{self.who.team_slug}@")
        with self.app.database.ingest() as unit:
            people.add_member(unit, team or self.team, people.create_user(unit, address, PASSWORD, name=name), role)
            unit.commit()

    def other_team(self, slug: str) -> UUID:
        with self.app.database.ingest() as unit:
            made = people.create_team(unit, slug, slug.title())
            unit.commit()
        return made

    def session(self, email: str) -> str:
        """The secret of a new browser session of somebody's."""
        with self.app.database.ingest() as unit:
            found = people.verify_password(unit, self.known.get(email, email), PASSWORD)
            assert found is not None, email
            team = people.memberships(unit, found.user)[0].team
        with self.app.database.team(team) as unit:
            secret = people.open_session(unit, team, found.user)
            unit.commit()
        return secret


@pytest.fixture(scope="session")
def node(postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    name = "pages"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        connection.execute(f"GRANT CREATE ON DATABASE {name} TO dash_owner, dash_ingest")
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
        yield Node(f"http://127.0.0.1:{port}", app)
    finally:
        server.kill()
        server.communicate()
        if app is not None:
            app.close()


@pytest.fixture(scope="module")
def house(node: Node, request: pytest.FixtureRequest) -> House:
    slug = request.module.__name__.rsplit(".", 1)[-1].removeprefix("test_")
    email = EMAIL.replace("@", f"+{slug}@")
    with node.app.database.ingest() as unit:
        team = people.create_team(unit, slug, slug.replace("_", " ").title())
        user = people.create_user(unit, email, PASSWORD, name="Kari")
        people.add_member(unit, team, user, Role.admin)
        unit.commit()
    who = Principal(user, email, "Kari", team, slug, slug.title(), Role.admin)
    return House(node.url, node.app, team, who, email, {EMAIL: email})


Opened = Callable[..., Page]


@pytest.fixture
def opened(house: House, windows: Windows) -> Iterator[Opened]:
    """Opens an empty page that is logged in, or the one at `path`; the test fails on any console error and any request
    to another host. What a test expects to be complained of it takes out of `opened.complaints`."""
    complaints: list[str] = []
    ours = (house.url, house.url.replace("http", "ws", 1), "blob:", "data:")

    def open_page(email: str = EMAIL, *, path: str = "", **options: Any) -> Page:
        page = windows.take(**options)
        # Logging in by hand has its own tests; here it would only take time.
        page.context.add_cookies([{"name": "dash_session", "value": house.session(email), "url": house.url}])
        page.on("console", lambda m: complaints.append(f"{m.type}: {m.text}") if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(f"thrown: {error}"))
        page.on("request", lambda r: None if r.url.startswith(ours) else complaints.append(f"asked elsewhere: {r.url}"))
        if path:
            page.goto(house.url + path)
        return page

    open_page.complaints = complaints  # type: ignore[attr-defined]
    yield open_page
    for page in windows.pages:
        assert page.evaluate("window.hacked") is None
    # What a page complains of when it is left counts as well.
    windows.give_back()
    assert complaints == []


def ready(page: Page) -> None:
    """Waits until a Panel page stands."""
    page.wait_for_function("window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle")
    expect(page.locator("[data-waiting]")).to_have_count(0)
