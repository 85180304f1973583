"""Comparing versions in a browser: the verdict, the choice that is the address, and a job that is left and found."""

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
from dash_app.domain.mapping import mapping_text, parse_mapping
from dash_app.pipelines import comparisons, dashboards, setup
from dash_app.pipelines.ingest import Ingest
from dash_app.pipelines.propose import propose_dashboard
from dash_app.settings import Settings
from dash_app.storage import catalog, drafts, embedded, payloads, people
from tests.e2e.pages.harness import EMAIL, PASSWORD, environment

ROOT = Path(__file__).parents[3]
HOSTILE = '<img src=x onerror="window.hacked=1">'
BEFORE: dict[str, Any] = {
    "fields": [
        {"name": "site", "path": "$.site", "type": "text"},
        {"name": "temperature", "path": "$.temperature", "type": "number", "unit": "°C"},
    ]
}
AFTER: dict[str, Any] = {
    "fields": [
        {"name": "temperature", "path": "$.temperature", "type": "number", "unit": "°C", "default": 0},
        {"name": "fahrenheit", "sql": "temperature * 1.8 + 32", "type": "number", "unit": "°F"},
    ],
    "where": "temperature < 9",
}
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
pytestmark = pytest.mark.timeout(240)


@dataclass
class House:
    url: str
    app: App
    team: UUID
    who: Principal

    def pipeline(self, name: str, *mappings: dict[str, Any]) -> UUID:
        first, *others = mappings
        with self.app.database.team(self.team) as unit:
            source = {"kind": "webhook", "options": {"scheme": "none"}}
            made, _ = setup.create_pipeline(
                unit, self.app, self.team, {"name": name, "source": source, "mapping": first}, self.who
            )
            for mapping in others:
                catalog.save_mapping(unit, made.id, mapping, note=f"Note {HOSTILE}", activate=False)
            unit.commit()
        return made.id

    def send(self, pipeline: UUID, *bodies: Any) -> None:
        with self.app.database.ingest() as unit:
            payloads.accept(unit, [Arrival(pipeline, self.team, json.dumps(body).encode()) for body in bodies])
            unit.commit()
        Ingest(self.app).run(pipeline)


@pytest.fixture(scope="module")
def house(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    name = "test_compare_pages"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    url = postgres.replace(f"/{embedded.DATABASE}?", f"/{name}?", 1)
    folder = str(tmp_path_factory.mktemp("pages"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.pages.harness", url, str(port), folder],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    app = None
    try:
        assert server.stdout is not None
        assert any(line.strip() == "ready" for line in server.stdout)
        # A node that has much to say would stand still once nobody reads it.
        threading.Thread(target=server.stdout.read, daemon=True).start()
        app = App.open(Settings.load([], environment(url, port, folder), program="serve"), url)
        with app.database.ingest() as unit:
            team = people.find_team(unit)
        with app.database.team(team) as unit:
            member = people.members(unit)[0]
        who = Principal(member.user, member.email, member.name, team, "main", "Main", Role.admin)
        made = House(f"http://127.0.0.1:{port}", app, team, who)
        weather = made.pipeline("Weather", BEFORE, AFTER, BEFORE)
        made.send(weather, *({"site": f"{n} {HOSTILE}", **({"temperature": n} if n % 4 else {})} for n in range(1, 13)))
        with app.database.team(team) as unit:
            found = catalog.pipeline(unit, weather)
            document = propose_dashboard(found, parse_mapping(BEFORE)) | {"title": f"Weather {HOSTILE}"}
            dashboards.create_dashboard(unit, team, document, who)
            unit.commit()
        made.pipeline("Lonely", BEFORE)
        made.pipeline("Quiet", BEFORE, AFTER)
        yield made
    finally:
        server.kill()
        server.communicate()
        if app is not None:
            app.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
        yield browser
        browser.close()


Opened = Callable[..., Page]


@pytest.fixture
def opened(house: House, browser: Browser) -> Iterator[Opened]:
    """Opens a browser that is logged in; the test fails on any console error and any request to another host."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def on_request(request: Any) -> None:
        if not request.url.startswith((house.url, "blob:", "data:")):
            complaints.append(f"asked elsewhere: {request.url}")

    def open_page(*, width: int = 1360, theme: Any = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: complaints.append(f"{m.type}: {m.text}") if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(f"thrown: {error}"))
        page.on("request", on_request)
        page.goto(f"{house.url}/login")
        page.fill("#email", EMAIL)
        page.fill("#password", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_url(f"{house.url}/")
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            assert page.evaluate("window.hacked") is None
        context.close()
    assert complaints == []


@pytest.mark.parametrize(("width", "theme"), [(1360, "light"), (390, "dark")])
def test_a_sample_is_compared_and_fits_the_screen(house: House, opened: Opened, width: int, theme: str) -> None:
    page = opened(width=width, theme=theme)
    answer = page.goto(f"{house.url}/pipelines/weather/compare?a=1&b=2")
    assert answer is not None
    assert answer.status == 200
    # Of twelve, three have no temperature and get the default, and three are nine degrees or warmer.
    expect(page.locator(".compare-verdict h2")).to_have_text("6 rows equal, 3 changed, 3 gone")
    expect(page.locator(".compare-legend")).to_contain_text("changed 3 25 %")
    expect(page.locator(".compare-verdict")).to_contain_text("affected")
    fields = page.locator(".compare-fields tbody tr")
    expect(fields).to_have_count(3)
    expect(fields.nth(0)).to_contain_text("3 null before")
    expect(fields.nth(0).locator(".example").first).to_contain_text("null→0")
    expect(fields.nth(1)).to_contain_text("added")
    expect(fields.nth(2)).to_contain_text(HOSTILE)
    # Numbers 1 to 11 without 4 and 8 before; then up to 7, and three zeros.
    totals = page.locator(".compare-totals tbody tr").first
    expect(totals).to_contain_text("54→24")
    expect(page.locator("#rows")).to_contain_text("left out by where")
    expect(page.locator("#mapping")).to_contain_text("every record→temperature < 9")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_tiles_that_break_are_named_and_lead_to_their_dashboard(house: House, opened: Opened) -> None:
    page = opened()
    page.goto(f"{house.url}/pipelines/weather/compare?a=1&b=2")
    broken = page.locator("#tiles li", has=page.locator(".badge.failing")).first
    expect(broken).to_contain_text("there is no field 'site'")
    expect(broken).to_contain_text(HOSTILE)
    broken.locator("a").first.click()
    page.wait_for_url("**/dashboards/weather*")


def test_a_choice_is_the_address_and_can_be_gone_back_from(house: House, opened: Opened) -> None:
    page = opened()
    page.goto(f"{house.url}/pipelines/weather/compare?a=1&b=2")
    page.locator("select[name=b]").select_option("3")
    page.wait_for_url("**/compare?a=1&b=3*")
    expect(page.locator(".compare-verdict h2")).to_have_text("No difference in 12 payloads")
    expect(page.locator("#mapping")).to_contain_text("Both say the same")
    page.locator("select[name=over]").select_option("20")
    page.wait_for_url("**over=20*")
    page.go_back()
    page.go_back()
    expect(page.locator(".compare-verdict h2")).to_contain_text("3 changed")
    page.get_by_role("link", name="Swap the two versions").click()
    page.wait_for_url("**/compare?a=2&b=1*")
    expect(page.locator(".compare-verdict h2")).to_have_text("6 rows equal, 3 changed, 3 new")
    page.locator(".example a").first.click()
    page.wait_for_url("**tab=payloads&payload=*")


def test_all_payloads_are_compared_by_a_worker_that_can_be_left_alone(house: House, opened: Opened) -> None:
    page = opened()
    page.goto(f"{house.url}/pipelines/weather/compare?a=1&b=2&over=all")
    expect(page.get_by_text("12 payloads to compare")).to_be_visible()
    page.get_by_role("button", name="Compare all payloads").click()
    page.wait_for_url("**job=*")
    expect(page.get_by_text("Waiting for a worker")).to_be_visible()
    job = UUID(page.url.rsplit("job=", 1)[1])
    page.goto(f"{house.url}/pipelines/weather")
    page.goto(f"{house.url}/pipelines/weather/compare?a=1&b=2&over=all")
    expect(page.locator("progress")).to_be_visible()
    # No worker runs beside this node; the test is one.
    comparisons.advance(house.app, job)
    expect(page.locator(".compare-verdict h2")).to_have_text("6 rows equal, 3 changed, 3 gone")
    expect(page.locator("progress")).to_have_count(0)
    page.goto(f"{house.url}/pipelines/weather/compare?a=1&b=3")
    other = page.locator(".compare-earlier li").first
    expect(other).to_contain_text("done")
    other.locator("a").click()
    page.wait_for_url("**job=*")
    expect(page.locator(".compare-verdict h2")).to_have_text("6 rows equal, 3 changed, 3 gone")


def test_one_that_is_not_wanted_any_more_is_cancelled(house: House, opened: Opened) -> None:
    page = opened()
    page.goto(f"{house.url}/pipelines/weather/compare?a=2&b=3&over=all")
    page.get_by_role("button", name="Compare all payloads").click()
    cancel = page.get_by_role("button", name="Cancel")
    cancel.focus()
    # The part is asked for anew again and again; who is at a button stays there.
    cancel.evaluate("button => (button.title = 'before')")
    expect(page.get_by_title("before")).to_have_count(0)
    expect(cancel).to_be_focused()
    cancel.press("Enter")
    expect(page.get_by_text("Cancelled after 0 of about 12 payloads")).to_be_visible()


def test_a_draft_is_compared_and_a_wrong_one_says_what_is_wrong(house: House, opened: Opened) -> None:
    with house.app.database.team(house.team) as unit:
        pipeline = catalog.pipeline(unit, "weather").id
        right = drafts.create(unit, house.team, pipeline, mapping_text(AFTER), base=3)
        wrong = drafts.create(unit, house.team, pipeline, "fields:\n  - {name: n, type: numbr}\n", base=3)
        unit.commit()
    page = opened()
    page.goto(f"{house.url}/pipelines/weather/compare?a=1&draft={right.id}")
    expect(page.locator(".compare-verdict h2")).to_have_text("6 rows equal, 3 changed, 3 gone")
    page.locator("select[name=a]").select_option("2")
    page.wait_for_url(f"**a=2&draft={right.id}*")
    expect(page.locator(".compare-verdict h2")).to_have_text("No difference in 12 payloads")
    page.goto(f"{house.url}/pipelines/weather/compare?a=1&draft={wrong.id}")
    expect(page.locator(".problem")).to_contain_text("'numbr' is unknown")


def test_where_there_is_nothing_to_compare_the_page_says_what_there_could_be(house: House, opened: Opened) -> None:
    page = opened()
    page.goto(f"{house.url}/pipelines/lonely/compare")
    expect(page.get_by_text("There is only one version")).to_be_visible()
    page.goto(f"{house.url}/pipelines/quiet/compare")
    expect(page.get_by_text("As soon as the first ones are here")).to_be_visible()
    expect(page.locator("#mapping")).to_contain_text("fahrenheit")
    page.goto(f"{house.url}/pipelines/weather/compare?a=1&b=2&from=2020-01-01T00:00&to=2020-02-01T00:00")
    expect(page.get_by_text("None was received in this range")).to_be_visible()
    page.goto(f"{house.url}/pipelines/weather/compare?a=1&b=2&from=2020-02-01T00:00&to=2020-01-01T00:00")
    expect(page.locator(".problem")).to_contain_text("ends before it begins")


def test_what_is_not_there_is_a_404(house: House, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{house.url}/login?next=/pipelines")
    page.fill("#email", EMAIL)
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url(f"{house.url}/pipelines")
    for query in ("a=1&b=9", "a=x&b=2", "draft=nothing", "job=nothing", f"job={UUID(int=1)}"):
        answer = page.goto(f"{house.url}/pipelines/weather/compare?{query}")
        assert answer is not None
        assert answer.status == 404, query
    context.close()
