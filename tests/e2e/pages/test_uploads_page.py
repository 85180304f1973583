"""Files dropped in a browser: sent in chunks, resumed after a lost connection, and watched until they are records."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from dash_app.domain.access import Role
from dash_app.pipelines import uploads as road
from dash_app.pipelines.ingest import Ingest
from dash_app.storage import uploads
from tests.e2e.pages.conftest import House, Opened

NAME = 'rows <img src=x onerror="window.hacked=1">.csv'
MAPPING = {"fields": [{"name": "n", "path": "$.n", "type": "number"}]}
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def pipeline(house: House) -> UUID:
    house.member("viewer@example.org", Role.viewer)
    return house.pipeline("History", MAPPING, "none")


def work(house: House, pipeline: UUID) -> None:
    """What the workers of a whole installation do."""
    with house.app.database.ingest() as unit:
        found = uploads.of_pipeline(unit, pipeline, limit=20)
    for upload in found:
        while road.work(house.app, upload.id):
            Ingest(house.app).run(pipeline)


def pictured(page: Page, name: str) -> None:
    if folder := os.environ.get("DASH_TEST_PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png")


@pytest.mark.parametrize(("width", "theme"), [(1360, "light"), (390, "dark")])
def test_a_file_is_sent_and_becomes_records(
    house: House, pipeline: UUID, opened: Opened, tmp_path: Path, width: int, theme: str
) -> None:
    page = opened(width=width, theme=theme)
    page.goto(f"{house.url}/pipelines/history/uploads")
    expect(page.locator("[data-list][aria-busy=false]")).to_have_count(1)
    pictured(page, f"uploads-before-{width}-{theme}")
    good, bad = tmp_path / NAME.replace("/", "_"), tmp_path / "broken.json"
    good.write_bytes(b"n,site\n" + b"".join(b"%d,%s\n" % (n, b"oslo" * 20) for n in range(60_000)))
    bad.write_bytes(b'[{"n": 1}, {"n": 2}')
    page.locator("[data-choose]").set_input_files([good, bad])
    rows = page.locator(".upload-row")
    sent = rows.filter(has_text="rows").first
    expect(sent.locator(".badge")).to_have_text("Checking")
    expect(rows.filter(has_text="broken.json").first.locator(".badge")).to_have_text("Checking")
    pictured(page, f"uploads-under-way-{width}-{theme}")
    work(house, pipeline)
    expect(sent.locator(".badge")).to_have_text("Done")
    expect(sent).to_contain_text("60,000 records in")
    failed = rows.filter(has_text="broken.json").first
    expect(failed.locator(".badge")).to_have_text("Failed")
    expect(failed.locator(".upload-error")).to_contain_text("the array is not closed")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    pictured(page, f"uploads-after-{width}-{theme}")


def test_a_lost_connection_is_waited_for_and_nothing_is_sent_twice(
    house: House, pipeline: UUID, opened: Opened, tmp_path: Path
) -> None:
    page = opened()
    page.goto(f"{house.url}/pipelines/history/uploads")
    large = tmp_path / "large.csv"
    large.write_bytes(b"n,site\n" + b"".join(b"%d,%s\n" % (n, b"oslo" * 50) for n in range(60_000)))
    offsets: list[str] = []
    broken = [2]

    def interfere(route: object) -> None:
        request = route.request  # type: ignore[attr-defined]
        if request.method == "PATCH":
            offsets.append(request.headers["upload-offset"])
            if len(offsets) == 2:
                # The chunk arrives, and its answer does not.
                route.fetch()  # type: ignore[attr-defined]
                route.abort("connectionreset")  # type: ignore[attr-defined]
                return
        if len(offsets) >= 2 and broken[0] and request.method == "GET":
            broken[0] -= 1
            route.abort("internetdisconnected")  # type: ignore[attr-defined]
            return
        route.continue_()  # type: ignore[attr-defined]

    page.route("**/uploads/**", interfere)
    page.locator("[data-choose]").set_input_files(large)
    row = page.locator(".upload-row").filter(has_text="large.csv")
    expect(row.locator(".badge")).to_have_text("Waiting")
    expect(row).to_contain_text("goes on by itself")
    pictured(page, "uploads-waiting")
    expect(row.locator(".badge")).to_have_text("Checking", timeout=30_000)
    assert offsets == [str(n * (4 << 20)) for n in range(len(offsets))], "what had arrived was not sent again"
    work(house, pipeline)
    expect(row.locator(".badge")).to_have_text("Done")
    complaints = opened.complaints  # type: ignore[attr-defined]
    complaints[:] = [one for one in complaints if "ERR_" not in one]


def test_an_upload_that_was_left_goes_on_with_the_same_file(
    house: House, pipeline: UUID, opened: Opened, tmp_path: Path
) -> None:
    page = opened()
    page.goto(f"{house.url}/pipelines/history/uploads")
    left = tmp_path / "left.csv"
    left.write_bytes(b"n\n" + b"".join(b"%d\n" % n for n in range(900_000)))
    page.route("**/uploads/**", lambda route: route.abort() if route.request.method == "PATCH" else route.continue_())
    page.locator("[data-choose]").set_input_files(left)
    row = page.locator(".upload-row").filter(has_text="left.csv")
    expect(row.locator(".badge")).to_have_text("Waiting")
    page.unroute("**/uploads/**")
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    expect(row.locator(".badge")).to_have_text("Not finished")
    # Chosen as if it were new, the same file is known again.
    page.locator("[data-choose]").set_input_files(left)
    expect(row.locator(".badge")).to_have_text("Checking")
    expect(row).to_have_count(1)
    row.get_by_role("button", name="Cancel").click()
    expect(row.locator(".badge")).to_have_text("Cancelled")
    complaints = opened.complaints  # type: ignore[attr-defined]
    complaints[:] = [one for one in complaints if "ERR_" not in one]


def test_what_a_viewer_sees(house: House, pipeline: UUID, opened: Opened) -> None:
    page = opened("viewer@example.org")
    page.goto(f"{house.url}/pipelines/history/uploads")
    expect(page.locator("[data-list][aria-busy=false]")).to_have_count(1)
    expect(page.locator("[data-drop]")).to_have_count(0)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
