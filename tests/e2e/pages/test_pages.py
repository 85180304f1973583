"""Every page in a browser: it stands, it moves, it refuses, and nothing comes from elsewhere."""

from __future__ import annotations

import re
import urllib.error
import urllib.request

import pytest
from playwright.sync_api import expect

from dash_app.domain.access import Role
from dash_app.domain.mapping import parse_mapping
from dash_app.pipelines import dashboards
from dash_app.pipelines.propose import propose_dashboard
from dash_app.storage import catalog
from tests.e2e.conftest import Windows
from tests.e2e.pages.conftest import House, Opened, ready
from tests.e2e.pages.harness import PASSWORD

HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
MAPPING = {
    "fields": [
        {"name": "site", "path": "$.site", "type": "text"},
        {"name": "temperature", "path": "$.temperature", "type": "number", "unit": "°C"},
    ]
}
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def house(house: House) -> House:
    weather = house.pipeline("Weather", MAPPING)
    house.send(
        weather,
        *({"site": s, "temperature": 3 * n + i} for i in range(5) for n, s in enumerate(("Oslo", "Bergen"))),
    )
    door = house.pipeline(f"Door {HOSTILE}", MAPPING, "none")
    house.send(door, {"site": HOSTILE, "temperature": HOSTILE}, {"site": HOSTILE, "temperature": 1})
    with house.app.database.team(house.team) as unit:
        found = catalog.pipeline(unit, weather)
        document = propose_dashboard(found, parse_mapping(MAPPING)) | {"description": f"A note {HOSTILE}"}
        dashboards.create_dashboard(unit, house.team, document, house.who)
        unit.commit()
    return house


PAGES = ["/", "/pipelines", "/pipelines/weather", "/pipelines/weather?tab=records", "/pipelines/weather?tab=payloads",
         "/pipelines/weather?tab=rejects", "/pipelines/weather?tab=source", "/pipelines/weather/mapping",
         "/pipelines/new", "/pipelines/new?kind=http_poll", "/dashboards", "/dashboards/weather"]  # fmt: skip


@pytest.mark.parametrize(("width", "theme"), [(1360, "light"), (390, "dark")])
def test_every_page_stands_and_fits(house: House, opened: Opened, width: int, theme: str) -> None:
    page = opened(width=width, theme=theme)
    for path in PAGES:
        answer = page.goto(house.url + path)
        assert answer is not None
        assert answer.status == 200, path
        if path.endswith("/mapping"):
            ready(page)
        expect(page.locator("h1")).not_to_be_empty()
        expect(page.locator("nav.rail")).to_have_count(1)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_what_is_not_there_is_a_404_that_says_so(house: House, opened: Opened) -> None:
    page = opened()
    for path in ("/pipelines/nowhere", "/dashboards/nowhere", "/pipelines/nowhere/mapping", "/nowhere"):
        answer = page.goto(house.url + path)
        assert answer is not None
        assert answer.status == 404, path
        expect(page.locator("h1")).to_have_text("Not found")
    complaints = opened.complaints  # type: ignore[attr-defined]
    assert all("404" in each for each in complaints)
    complaints.clear()


@pytest.mark.parametrize(
    "path", ["/", "/pipelines/weather?tab=rejects", "/pipelines/weather/mapping", "/pipelines/new"]
)
def test_who_is_not_known_logs_in_and_comes_back(house: House, windows: Windows, path: str) -> None:
    page = windows.take()
    page.goto(house.url + path)
    assert page.url.startswith(f"{house.url}/login")
    page.fill("#email", house.email)
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url(house.url + path)


def status_of(request: urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


@pytest.mark.parametrize(
    "path", ["/dashboards/new/autoload.js?bokeh-autoload-element=x", "/pipelines/weather/mapping/metadata"]
)
def test_a_stranger_gets_no_part_of_a_document(house: House, path: str) -> None:
    request = urllib.request.Request(house.url + path)
    with urllib.request.urlopen(request) as answer:
        assert answer.url.startswith(f"{house.url}/login")


def test_a_strangers_socket_is_refused(house: House) -> None:
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    assert status_of(urllib.request.Request(f"{house.url}/dashboards/new/ws", headers=headers)) == 401


@pytest.mark.parametrize("path", ["..%2f..%2fsettings.py", "../../settings.py", "v-000000000000/../../app.py", "parts"])
def test_assets_give_nothing_else_away(house: House, path: str) -> None:
    assert status_of(urllib.request.Request(f"{house.url}/assets/{path}")) in (403, 404)


def test_a_slash_too_many_is_taken_away(house: House) -> None:
    with urllib.request.urlopen(f"{house.url}/pipelines/") as answer:
        assert answer.url.startswith(f"{house.url}/login?next=%2Fpipelines")
        assert not answer.url.endswith("%2F")


def test_a_pipeline_is_paused_at_once_and_the_undo_resumes_it(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Attic", MAPPING)
    page = opened()
    page.goto(f"{house.url}/pipelines/attic")
    with page.expect_response("**/actions/pause") as answer:
        page.get_by_role("button", name="Pause").click()
    assert answer.value.ok
    expect(page.locator("[data-health]")).to_have_text("Paused")
    expect(page.locator(".toast")).to_contain_text("Attic is paused")
    with house.app.database.team(house.team) as unit:
        assert catalog.pipeline(unit, pipeline).state == "paused"
    with page.expect_response("**/actions/resume") as answer:
        page.get_by_role("button", name="Undo").click()
    assert answer.value.ok
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page.locator("[data-health]")).to_have_text("Waiting for data")
    with house.app.database.team(house.team) as unit:
        assert catalog.pipeline(unit, pipeline).state == "active"


def test_a_dashboard_is_made_on_request(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Garden", MAPPING)
    house.send(pipeline, {"site": "garden", "temperature": 4})
    page = opened()
    page.goto(f"{house.url}/pipelines/garden")
    page.get_by_role("button", name="Create dashboard").click()
    page.wait_for_url("**/dashboards/garden")
    expect(page.locator(".tile").first).to_contain_text("Temperature")
    page.goto(f"{house.url}/pipelines/garden")
    expect(page.get_by_role("link", name="Open dashboard")).to_be_visible()


def test_counts_payloads_and_rejects_follow_without_a_reload(house: House, opened: Opened) -> None:
    pipeline = house.pipeline("Shed", MAPPING)
    page = opened()
    page.goto(f"{house.url}/pipelines/shed?tab=rejects")
    expect(page.get_by_text("Nothing was refused")).to_be_visible()
    house.send(pipeline, {"site": "shed", "temperature": HOSTILE})
    row = page.locator("table.rejects tbody tr")
    expect(row).to_contain_text("temperature", timeout=15_000)
    row.locator("a").last.click()
    expect(page.locator("#body")).to_contain_text("onerror")
    expect(page.locator(".became").last).to_contain_text("number expected, found text")


def test_a_viewer_sees_everything_and_changes_nothing(house: House, opened: Opened) -> None:
    house.member("viewer@example.org", Role.viewer, name="Vera")
    page = opened("viewer@example.org")
    page.goto(f"{house.url}/pipelines/weather")
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)
    expect(page.get_by_role("button", name="New secret")).to_have_count(0)
    post = """(headers) => fetch("/pipelines/weather/actions/pause", {method: "POST", headers}).then((a) => a.status)"""
    token = page.locator('meta[name="dash-xsrf"]').get_attribute("content")
    assert page.evaluate(post, {"X-XSRF-Token": token}) == 403
    answer = page.goto(f"{house.url}/pipelines/new")
    assert answer is not None
    assert answer.status == 403
    expect(page.locator("h1")).to_have_text("Forbidden")
    opened.complaints.clear()  # type: ignore[attr-defined]


def test_a_change_without_the_sessions_token_is_refused(house: House, opened: Opened) -> None:
    page = opened()
    page.goto(f"{house.url}/pipelines/weather")
    post = """(headers) => fetch("/pipelines/weather/actions/pause", {method: "POST", headers}).then((a) => a.status)"""
    assert page.evaluate(post, {}) == 403
    assert page.evaluate(post, {"X-XSRF-Token": "wrong"}) == 403
    with house.app.database.team(house.team) as unit:
        assert catalog.pipeline(unit, "weather").state == "active"
    opened.complaints.clear()  # type: ignore[attr-defined]


def test_keys_lead_from_page_to_page(house: House, opened: Opened) -> None:
    page = opened(path="/")
    page.keyboard.press("g")
    page.keyboard.press("p")
    page.wait_for_url("**/pipelines")
    page.keyboard.press("?")
    expect(page.locator("dialog.keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("d")
    page.wait_for_url("**/dashboards")


def test_the_cookie_is_nowhere_in_a_document(house: House, opened: Opened) -> None:
    page = opened()
    secret = next(c["value"] for c in page.context.cookies() if "dash" in c["name"])
    page.goto(f"{house.url}/dashboards/new")
    text = page.content()
    assert secret not in text
    import base64

    found = re.search(r'"token":"([^"]+)"', text)
    assert found
    head = found[1].split(".")[0]
    assert secret.encode() not in base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))


def test_the_theme_is_there_before_the_first_paint_and_stays(house: House, opened: Opened) -> None:
    page = opened(path="/")
    page.evaluate("localStorage.setItem('dash-theme', 'dark')")
    page.goto(f"{house.url}/pipelines")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 18, 22)"
