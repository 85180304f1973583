"""Sinks as somebody at a browser meets them: chosen, tried, made, looked at; and what a viewer may not do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import expect
from standardwebhooks.webhooks import Webhook

from dash_app.domain.access import Role
from dash_app.pipelines.delivery import setup as sink_setup
from dash_app.pipelines.delivery.deliver import Deliver
from dash_app.storage import sinks
from tests.e2e.pages.conftest import House, Opened

pytestmark = pytest.mark.timeout(240)

MAPPING: dict[str, Any] = {
    "fields": [
        {"name": "site", "path": "$.site", "type": "text"},
        {"name": "degrees", "path": "$.degrees", "type": "number", "unit": "°C"},
    ]
}
#: [address, body, token] → the status of a POST.
POST = """([address, body, token]) => fetch(address, {method: "POST", headers: {"X-XSRF-Token": token}, body})
  .then((answer) => answer.status)"""


class Receiver:
    """What takes messages on this machine. `status`: what it answers; `got`: (path, headers, body) of each."""

    def __init__(self) -> None:
        self.status, self.got = 200, []  # type: ignore[var-annotated]
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                said = b"thank you" if receiver.status == 200 else b"closed for repairs"
                self.send_response(receiver.status)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_sink_is_tried_made_and_shows_every_attempt(house: House, opened: Opened, receiver: Receiver) -> None:
    weather = house.pipeline("Weather", MAPPING)
    house.send(weather, {"site": "Oslo", "degrees": 21.5}, {"site": "Bergen", "degrees": 8})
    page = opened(path="/")
    page.keyboard.press("g")
    page.keyboard.press("s")
    expect(page.get_by_role("heading", name="No sinks yet")).to_be_visible()
    page.get_by_role("link", name="New sink").click()
    page.get_by_label("Search kinds").fill("post")
    page.get_by_label("Search kinds").fill("zapier")
    expect(page.locator(".kind:visible")).to_have_count(1)
    page.locator(".kind:visible").click()

    # What is wrong stands where it can be mended.
    page.get_by_label("URL", exact=True).fill("ftp://example.org")
    page.locator("#sink-name").fill("Operations hook")
    expect(page.get_by_label("Slug")).to_have_value("operations_hook")
    page.get_by_role("button", name="Create sink").click()
    expect(page.locator('[data-option="url"] .wrong')).to_be_visible()

    page.get_by_label("URL", exact=True).fill(receiver.url)
    page.get_by_text("More options").click()
    headers = page.locator('[data-option="secret_headers"]')
    headers.get_by_role("button", name="Add").click()
    headers.get_by_label("Name").fill("Authorization")
    headers.get_by_label("Value").fill("Bearer token-that-nobody-sees")
    page.get_by_label("Weather").check()
    page.locator("#sink-where").fill("degrees > 20")
    expect(page.locator("[data-preview]")).to_contain_text("1 of the last 2 records meet the condition")
    page.get_by_text("Words of its own").click()
    page.get_by_label("Title").fill("{{ records[0].site }} is warm")
    expect(page.locator("[data-preview] .preview-title")).to_have_text("Oslo is warm")
    page.get_by_label("Title").fill("{{ nothing_like_it }}")
    expect(page.locator('[data-place^="template"] .wrong').locator("visible=true").first).to_be_visible()
    page.get_by_label("Title").fill("{{ records[0].site }} is warm")

    page.get_by_role("button", name="Send a test").click()
    tested = page.locator("[data-tested]")
    expect(tested).to_contain_text("Accepted")
    expect(tested).to_contain_text("thank you")
    expect(tested).not_to_contain_text("token-that-nobody-sees")
    assert receiver.got[-1][1]["authorization"] == "Bearer token-that-nobody-sees"

    page.get_by_role("button", name="Create sink").click()
    secret = page.locator("#made-secret").inner_text()
    assert secret.startswith("whsec_")
    page.get_by_role("link", name="Open the sink").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Operations hook")
    assert secret not in page.content()

    # The record that comes is sent; what fails is shown with what came back, and sent again.
    receiver.status = 503
    house.send(weather, {"site": "Oslo", "degrees": 30}, {"site": "Oslo", "degrees": 3})
    with house.app.database.team(house.team) as unit:
        sink = sinks.get(unit, "operations_hook")
    deliver = Deliver(house.app)
    deliver.run(sink.id)
    expect(page.locator("[data-part]")).to_contain_text("The last attempt failed")
    page.get_by_role("link", name="Deliveries").click()
    page.get_by_role("link", name="1 record of weather").click()
    detail = page.locator(".delivery")
    expect(detail).to_contain_text("closed for repairs")
    expect(detail).to_contain_text("Next attempt")
    expect(detail).not_to_contain_text("token-that-nobody-sees")
    receiver.status = 200
    page.get_by_role("button", name="Cancel").click()
    expect(detail).to_contain_text("Cancelled")
    page.get_by_role("button", name="Send again").click()
    expect(detail.locator(".card-head")).to_contain_text("Waiting")
    deliver.run(sink.id)
    deliver.close()
    expect(detail.locator(".card-head")).to_contain_text("Delivered")
    expect(detail).to_contain_text("2 attempts")
    _, headers, body = receiver.got[-1]
    assert json.loads(body)["title"] == "Oslo is warm"
    assert headers["webhook-id"] == receiver.got[-2][1]["webhook-id"]
    Webhook(secret).verify(body, headers)

    # Paused and back; the way in again is the same address.
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("[data-standing-badge], [data-standing]").first).to_contain_text("Paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("[data-standing-badge], [data-standing]").first).to_contain_text("Active")

    # A name is changed, and the secrets that are kept stay.
    page.get_by_role("link", name="Settings").click()
    expect(page.get_by_label("Secret", exact=True)).to_have_value("")
    page.locator("#sink-name").fill("Hook of operations")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    page.get_by_role("button", name="Send a test").last.click()
    expect(page.locator("aside [data-tested]")).to_contain_text("Accepted")
    assert receiver.got[-1][1]["authorization"] == "Bearer token-that-nobody-sees"
    forgiven(opened, "422")


def forgiven(opened: Opened, *statuses: str) -> None:
    """A browser complains of every answer that says no, also of one that was asked for."""
    complaints = opened.complaints  # type: ignore[attr-defined]
    assert all(any(status in each for status in statuses) for each in complaints), complaints
    complaints.clear()


def test_a_viewer_sees_sinks_and_alerts_and_changes_nothing(house: House, opened: Opened) -> None:
    theirs = house.other_team("sinks_elsewhere")
    house.member("vera@example.org", Role.viewer)
    with house.app.database.team(house.team) as unit:
        made = {"name": "Seen", "kind": "webhook", "options": {"url": "http://127.0.0.1:9/x"}}
        sink_setup.create_sink(unit, house.app, house.team, made, house.who)
        unit.commit()
    with house.app.database.team(theirs) as unit:
        sink_setup.create_sink(unit, house.app, theirs, {**made, "name": "Not ours"}, "somebody")
        unit.commit()
    page = opened("vera@example.org", path="/sinks/seen")
    token = page.locator('meta[name="dash-xsrf"]').get_attribute("content")
    expect(page.get_by_role("heading", level=1)).to_have_text("Seen")
    for name in ("Pause", "Send a test"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    page.goto(f"{house.url}/sinks/seen?tab=settings")
    expect(page.get_by_label("URL", exact=True)).to_be_disabled()
    posts = {
        "/sinks/seen/actions/pause": 403,
        "/sinks/seen/actions/delete": 403,
        "/sinks/seen/actions/test": 403,
        "/sinks/seen/actions/resendall": 403,
        "/sinks/not_ours/actions/pause": 404,
        "/sinks/seen/actions/nothing": 404,
        "/alerts/list/silence": 403,
    }
    body = json.dumps({"document": {"matchers": {}, "duration": "1h"}})
    for address, status in posts.items():
        assert page.evaluate(POST, [address, body, token]) == status, address
    assert page.evaluate(POST, ["/sinks/seen/actions/pause", body, "not the token"]) == 403
    for address, status in {
        "/sinks/new": 403,
        "/alerts/new": 403,
        "/sinks/not_ours": 404,
        "/alerts/nothing": 404,
    }.items():
        answer = page.goto(house.url + address)
        assert answer is not None
        assert answer.status == status, address
    forgiven(opened, "403", "404")
