"""Who asks: log-in, sessions, tokens, XSRF, limits, and what is forgotten when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from dash_app.domain.access import Role
from dash_app.domain.errors import Unavailable
from dash_app.storage import people
from dash_app.web.access import PER_EMAIL, XSRF_HEADER
from tests.integration.rest import PASSWORD, House, opened


@pytest_asyncio.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with opened(database_url, tmp_path) as made:
        yield made


async def login(
    house: House, email: str = "admin@example.org", password: str = PASSWORD, **more: Any
) -> httpx.Response:
    form = {"email": email, "password": password, **more.pop("form", {})}
    return await house.client.post("/login", data=form, **more)


async def session(house: House) -> dict[str, Any]:
    answer = await house.call("GET", "/session", who=None)
    return dict(answer.json()) if answer.status_code == 200 else {}


async def test_logging_in_opens_a_session_that_the_api_knows(house: House) -> None:
    answer = await login(house, form={"next": "/pipelines?tab=live"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/pipelines?tab=live")
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("dash_session=")
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie
    assert "secure" not in cookie
    me = await session(house)
    assert (me["user"]["email"], me["via"]) == ("admin@example.org", "session")
    again = await house.client.get("/login?next=/dashboards")
    assert (again.status_code, again.headers["location"]) == (302, "/dashboards")


async def test_behind_tls_the_cookie_is_this_hosts_alone(database_url: str, tmp_path: Path) -> None:
    async with opened(database_url, tmp_path, DASH_PUBLIC_URL="https://dash.example.org") as house:
        cookie = (await login(house)).headers["set-cookie"]
        assert cookie.startswith("__Host-dash=")
        assert "Secure" in cookie
        assert "domain" not in cookie.lower()
        made = await house.pipeline()
        assert made["webhook_url"].startswith("https://dash.example.org/webhooks/")


async def test_a_write_with_a_session_needs_its_own_xsrf_token(house: House) -> None:
    await login(house)
    body = {"name": "x", "source": {"kind": "webhook"}}
    mine = (await session(house))["xsrf"]
    async with httpx.AsyncClient(base_url=house.url) as other:
        answer = await other.post("/login", data={"email": "editor@example.org", "password": PASSWORD})
        assert answer.status_code == 303
        theirs = (await other.get("/api/v1/session")).json()["xsrf"]
    for token in (None, "", "x", "ü", theirs, mine[:-1]):
        head = {XSRF_HEADER: token.encode()} if token is not None else {}
        refused = await house.client.post("/api/v1/pipelines", json=body, headers=head)
        assert refused.status_code == 403, token
        assert XSRF_HEADER in refused.json()["detail"]
    made = await house.client.post("/api/v1/pipelines", json=body, headers={XSRF_HEADER: mine})
    assert made.status_code == 201
    # Reading needs none, and neither does a token, even beside a cookie.
    assert (await house.client.get("/api/v1/pipelines")).status_code == 200
    assert (await house.call("POST", "/pipelines", {**body, "name": "y"})).status_code == 201


async def test_an_invalid_bearer_is_not_saved_by_a_cookie(house: House) -> None:
    await login(house)
    for bearer in ("Bearer nonsense", "Bearer " + "x" * 500, "Bearer ü"):
        answer = await house.client.get("/api/v1/session", headers={"Authorization": bearer.encode()})
        assert answer.status_code == 401


async def test_logging_out_ends_the_session_in_the_database_too(house: House) -> None:
    await login(house)
    cookie = house.client.cookies["dash_session"]
    token = (await session(house))["xsrf"]
    assert (await house.client.post("/logout")).status_code == 403
    assert await session(house)
    answer = await house.client.post("/logout", data={"_xsrf": token})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert "dash_session" not in house.client.cookies
    house.client.cookies.set("dash_session", cookie)
    assert not await session(house)
    assert (await house.client.get("/logout")).status_code == 405


async def test_logging_in_again_ends_the_session_before(house: House) -> None:
    await login(house)
    first = house.client.cookies["dash_session"]
    await login(house)
    second = house.client.cookies["dash_session"]
    assert first != second
    house.access.forget(str(house.users["admin"]))
    house.client.cookies.clear()
    house.client.cookies.set("dash_session", first)
    assert not await session(house)


async def test_wrong_and_unknown_get_the_same_page(house: House) -> None:
    wrong = await login(house, password="not the password")
    unknown = await login(house, email="nobody@example.org")
    with house.app.database.ingest() as unit:
        unit.execute("UPDATE users SET disabled = true WHERE email = 'editor@example.org'")
        unit.commit()
    disabled = await login(house, email="editor@example.org")
    assert {answer.status_code for answer in (wrong, unknown, disabled)} == {401}
    pages = {
        answer.text.replace(answer.headers["content-security-policy"].split("'nonce-")[1].split("'")[0], "").replace(
            email, ""
        )
        for answer, email in ((wrong, "admin@"), (unknown, "nobody@"), (disabled, "editor@"))
    }
    assert len(pages) == 1
    assert not house.client.cookies


async def test_tries_are_counted_by_address_and_by_email(house: House) -> None:
    for _ in range(PER_EMAIL.amount):
        assert (await login(house, password="wrong password")).status_code == 401
    refused = await login(house)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) >= 1
    # Somebody else is not held up by it, until the address as a whole has tried too often.
    assert (await login(house, email="viewer@example.org")).status_code == 303
    answers = [(await login(house, email=f"u{n}@example.org", password="x")).status_code for n in range(25)]
    assert answers[0] == 401
    assert answers[-1] == 429


async def test_a_form_of_another_site_is_refused(house: House) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert (await login(house, headers=headers)).status_code == 403
    ours = {"Origin": house.url, "Sec-Fetch-Site": "same-origin"}
    assert (await login(house, headers=ours)).status_code == 303


async def test_the_page_shows_what_was_typed_as_text_and_runs_nothing(house: House) -> None:
    answer = await login(house, email='"><script>alert(1)</script>@x', form={"next": '/"><img src=x>'})
    assert "<script>alert" not in answer.text
    assert "<img" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "frame-ancestors 'none'" in policy
    for elsewhere in (
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "",
    ):
        assert (await login(house, form={"next": elsewhere})).headers["location"] == "/"


async def test_a_change_of_access_counts_within_a_second_or_at_once_when_heard(house: House) -> None:
    assert (await house.call("GET", "/session", who="editor")).json()["role"] == "editor"
    with house.app.database.ingest() as unit:
        people.add_member(unit, house.teams["ours"], house.users["editor"], Role.viewer)
        unit.commit()
    assert (await house.call("GET", "/session", who="editor")).json()["role"] == "editor"  # believed for a moment
    house.access.forget(str(house.users["viewer"]))
    assert (await house.call("GET", "/session", who="editor")).json()["role"] == "editor"
    house.access.forget(str(house.users["editor"]))
    assert (await house.call("GET", "/session", who="editor")).json()["role"] == "viewer"


async def test_a_look_up_that_began_before_a_revocation_is_not_believed_after_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, read = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    look_up = house.access._read

    def slow(via: str, secret: str) -> Any:
        found = look_up(via, secret)
        loop.call_soon_threadsafe(reading.set)
        asyncio.run_coroutine_threadsafe(read.wait(), loop).result()
        return found

    monkeypatch.setattr(house.access, "_read", slow)
    first = asyncio.create_task(house.call("GET", "/session", who="viewer"))
    await reading.wait()
    with house.app.database.ingest() as unit:
        unit.execute("UPDATE users SET disabled = true WHERE email = 'viewer@example.org'")
        unit.commit()
    house.access.forget(str(house.users["viewer"]))
    monkeypatch.setattr(house.access, "_read", look_up)
    read.set()
    await first
    assert (await house.call("GET", "/session", who="viewer")).status_code == 401


async def test_a_lost_database_is_503_with_retry_after(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: Any) -> Any:
        raise Unavailable("the database cannot be reached at 10.0.0.7")

    monkeypatch.setattr(house.access, "_read", gone)
    answer = await house.call("GET", "/pipelines")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert "10.0.0.7" not in answer.text
