"""The fields of a pipeline in a browser: what was seen, how it differs from the mapping, and what is done about it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from dash_app.app import App
from dash_app.domain.events import Arrival
from dash_app.pipelines import drift, setup
from dash_app.pipelines.ingest import Ingest
from dash_app.settings import Settings
from dash_app.storage import catalog, embedded, payloads, people, sightings
from tests.e2e.pages.harness import EMAIL, PASSWORD, environment

ROOT = Path(__file__).parents[2]
HOSTILE = '<img src=x onerror="window.hacked=1">'
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
pytestmark = pytest.mark.timeout(240)


@dataclass
class House:
    """A running node and its database."""

    url: str
    app: App
    team: UUID

    def pipeline(self, name: str) -> UUID:
        with self.app.database.team(self.team) as unit:
            source = {"kind": "webhook", "options": {"scheme": "none"}}
            made, _ = setup.create_pipeline(unit, self.app, self.team, {"name": name, "source": source}, "test")
            unit.commit()
        return made.id

    def send(self, pipeline: UUID, *bodies: Any) -> None:
        """Has payloads accepted, mapped and looked at."""
        with self.app.database.ingest() as unit:
            payloads.accept(unit, [Arrival(pipeline, self.team, json.dumps(body).encode()) for body in bodies])
            unit.commit()
        Ingest(self.app).run(pipeline)
        drift.look(self.app, pipeline, settle=timedelta(seconds=-1))

    def policy(self, pipeline: UUID) -> str:
        with self.app.database.team(self.team) as unit:
            return sightings.look(unit, pipeline).policy


@pytest.fixture(scope="module")
def house(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    name = "test_fields"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    url = postgres.replace(f"/{embedded.DATABASE}?", f"/{name}?", 1)
    folder = str(tmp_path_factory.mktemp("fields"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.e2e.pages.harness", url, str(port), folder]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    app = None
    try:
        assert server.stdout is not None
        assert any(line.strip() == "ready" for line in server.stdout)
        # A node that has much to say would stand still once nobody reads it.
        threading.Thread(target=server.stdout.read, daemon=True).start()
        app = App.open(Settings.load([], environment(url, port, folder), program="serve"), url)
        with app.database.ingest() as unit:
            team = people.find_team(unit)
        yield House(f"http://127.0.0.1:{port}", app, team)
    finally:
        server.kill()
        server.communicate()
        if app is not None:
            app.close()


@pytest.fixture
def page(house: House) -> Iterator[Page]:
    """A browser that is logged in; the test fails on any console error and any request to another host."""
    complaints: list[str] = []
    ours = (house.url, house.url.replace("http", "ws", 1), "blob:", "data:")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
        page = browser.new_page(viewport={"width": 1360, "height": 900})
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith(ours) else complaints.append(r.url))
        page.goto(f"{house.url}/login")
        page.fill("#email", EMAIL)
        page.fill("#password", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_url(f"{house.url}/")
        yield page
        assert page.evaluate("window.hacked") is None
        browser.close()
    assert complaints == []


def test_differences_are_shown_and_dismissed(house: House, page: Page) -> None:
    pipeline = house.pipeline("Boilers")
    house.send(pipeline, {"site": "Oslo", "temp_c": 61.5})
    page.goto(f"{house.url}/pipelines/boilers?tab=fields")
    expect(page.locator(".drift")).to_contain_text("What comes is as the mapping expects it.")
    house.send(pipeline, {"site": 7, "temp_c": 60, "load_pct": 40, HOSTILE: HOSTILE})
    page.reload()
    rows = page.locator(".drift .rows > li")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("$.load_pct")
    expect(rows.nth(0)).to_contain_text("integer")
    expect(rows.filter(has_text="$.site")).to_contain_text("integer, and the mapping says text")
    expect(page.locator("main")).to_contain_text(HOSTILE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1360
    page.get_by_role("button", name="Dismiss $.load_pct").click()
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="Dismiss all").click()
    expect(page.locator(".drift")).to_contain_text("What comes is as the mapping expects it.")
    field = page.get_by_role("row").filter(has=page.get_by_text("$.load_pct", exact=True)).first
    expect(field).to_contain_text("not mapped")


def test_the_policy_is_chosen_and_works(house: House, page: Page) -> None:
    pipeline = house.pipeline("Meters")
    house.send(pipeline, {"site": "Oslo", "power_kw": 3.5})
    page.goto(f"{house.url}/pipelines/meters?tab=fields")
    select = page.get_by_label("New fields and changed types")
    expect(select).to_have_value("keep")
    select.select_option("evolve")
    expect(page.get_by_text("are shown, new fields added to the mapping.")).to_be_visible()
    assert house.policy(pipeline) == "evolve"
    house.send(pipeline, {"site": "Oslo", "power_kw": 3.5, "voltage_v": 229})
    page.reload()
    expect(select).to_have_value("evolve")
    expect(page.locator(".drift")).to_contain_text("What comes is as the mapping expects it.")
    event = page.get_by_role("row").filter(has_text="added in version 2")
    expect(event).to_contain_text("$.voltage_v")
    with house.app.database.team(house.team) as unit:
        assert catalog.pipeline(unit, pipeline).mapping_version == 2


REFRESHED = """async () => {
  const before = window.fetch;
  let asked = 0;
  window.fetch = (...what) => { asked += 1; return before(...what); };
  document.querySelector("[data-part]").dispatchEvent(new CustomEvent("part:refresh"));
  await new Promise((done) => setTimeout(done, 0));
  window.fetch = before;
  return asked;
}"""


def test_a_list_of_choices_that_is_open_stays(house: House, page: Page) -> None:
    house.pipeline("Choices")
    page.goto(f"{house.url}/pipelines/choices?tab=fields")
    select = page.get_by_label("New fields and changed types")
    select.dispatch_event("pointerdown")
    assert page.evaluate(REFRESHED) == 0
    select.dispatch_event("focusout")
    assert page.evaluate(REFRESHED) == 1


def test_the_page_fits_a_phone(house: House, page: Page) -> None:
    pipeline = house.pipeline("Phone")
    house.send(pipeline, {"site": "Oslo"})
    house.send(pipeline, {"site": 1, "a_rather_long_name_of_a_field_that_somebody_has_chosen": {"and": {"more": 1.5}}})
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{house.url}/pipelines/phone?tab=fields")
    expect(page.locator(".drift .rows > li")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
