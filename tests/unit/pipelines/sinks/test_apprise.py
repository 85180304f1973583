"""Apprise in its own process: it sends, it reaches nothing else, and it ends."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from dash_app.domain.errors import Invalid, Permanent, Transient
from dash_app.pipelines.reach import AddressNotAllowed, Reach
from dash_app.pipelines.sinks import apprise
from dash_app.pipelines.sinks.apprise import REFUSED, AppriseSink
from dash_app.pipelines.sinks.apprise_process import MOST_PROCESSES, Processes
from dash_app.pipelines.sinks.base import Busy, File, Message

ALERT = {"alert": "hot", "name": "Too hot", "state": "firing", "severity": "critical", "value": 31.5, "series": {}}
MESSAGE = Message(
    *(f"msg_{3:032x}", "alert", datetime(2026, 1, 5, tzinfo=UTC), "acme", "hot", "Firing: Too hot", "It is *hot*."),
    *(ALERT, "https://dash.example.org/alerts/hot", (File("chart.png", "image/png", b"PNG"),)),
)
OPEN = Reach.of(["127.0.0.0/8"])


@pytest.fixture(scope="module", autouse=True)
def processes() -> Iterator[Processes]:
    """One process for all of these tests."""
    yield apprise.PROCESSES
    apprise.PROCESSES.close()


def send(url: str, reach: Reach = OPEN, **options: Any) -> Any:
    return AppriseSink.from_options({"url": url, **options}).send(MESSAGE, reach)


def test_no_place_free_is_not_the_services_failure() -> None:
    full = Processes()
    assert all(full._places.acquire(blocking=False) for _ in range(MOST_PROCESSES))
    with pytest.raises(Busy):
        full.send(OPEN, "json://127.0.0.1/x", title="", body="", type="info", files=(), timeout=0)


def place(server: HTTPServer) -> str:
    return f"127.0.0.1:{server.port}"


def test_a_service_gets_the_message_with_its_picture(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook", method="POST").respond_with_data("ok")
    answer = send(f"json://{place(httpserver)}/hook")
    assert "JSON has taken it" in answer.response
    assert place(httpserver) not in answer.request
    sent = json.loads(httpserver.log[0][0].get_data())
    assert (sent["title"], sent["type"]) == ("Firing: Too hot", "failure")
    assert sent["message"].startswith("Firing · critical · 31.5\nIt is *hot*.")
    assert sent["attachments"][0]["filename"] == "chart.png"


@pytest.mark.parametrize("scheme", ["ntfy", "gotify", "form", "xml", "mmost", "rocket", "synology"])
def test_services_that_were_tried(httpserver: HTTPServer, scheme: str) -> None:
    path = {"gotify": "/AbCdEfGhIjKlMno", "mmost": "/3ccdd113474722377935511fc85d3dd4", "synology": "/token"}.get(
        scheme
    )
    url = f"{scheme}://{place(httpserver)}{path or '/topic'}"
    if scheme == "rocket":
        url = f"rocket://webhook1/token22@{place(httpserver)}/%23ops"
    httpserver.expect_request(re.compile(".*")).respond_with_json({"success": True})
    assert "has taken it" in send(url).response
    assert len(httpserver.log) == 1


def test_what_the_service_answers_is_told(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("secret details", status=503)
    with pytest.raises(Transient, match=r"JSON has not taken it: .*503") as error:
        send(f"json://{place(httpserver)}/hook")
    assert error.value.extra["answer"].status == 503


def test_redirects_are_not_followed(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("", status=302, headers={"location": "/elsewhere"})
    with pytest.raises(Transient):
        send(f"json://{place(httpserver)}/hook")
    assert [request.path for request, _ in httpserver.log] == ["/hook"]


@pytest.mark.parametrize("scheme", sorted(REFUSED))
def test_services_of_this_machine_are_refused(scheme: str) -> None:
    with pytest.raises(Invalid, match=f"{scheme}://"):
        AppriseSink.from_options({"url": f"{scheme}://localhost/secret-thing"})


@pytest.mark.parametrize("url", ["", "discord", "discord:// x", "json://a\nb", "file:/etc/passwd", "x" * 3000])
def test_what_is_no_service_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(Invalid) as error:
        AppriseSink.from_options({"url": url})
    assert "passwd" not in error.value.message


def test_unknown_services_and_urls_that_lack_something() -> None:
    for url in ("nosuchthing://token/secret", "tgram://no"):
        with pytest.raises(Permanent, match="knows no service"):
            send(url)


@pytest.mark.parametrize(
    "url",
    [
        "matrix://user:word@{host}/room",
        "irc://{host}/%23room",
        "gotify://{host}/AbCdEfGhIjKlMno",
        "kodi://{host}",
        "nclouds://user:word@{host}/to",
        "jsons://{host}/x?verify=no",
        "json://{host}/x?redirect=yes",
        "hassio://{host}/token",
        "mastodon://token@{host}",
        "signal://{host}/+15551234567/+15551234568",
    ],
)
def test_no_plugin_gets_inside(url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        for host in (f"127.0.0.1:{server.getsockname()[1]}", f"localhost:{server.getsockname()[1]}"):
            with pytest.raises((AddressNotAllowed, Transient)):
                send(url.format(host=host), Reach.of())
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize(
    "url",
    ["fcm://project@key/token?keyfile=/etc/passwd", "fcm://project/token?keyfile=file:///etc/hostname"],
)
def test_no_file_of_this_machine_is_read(url: str) -> None:
    with pytest.raises((Permanent, Transient)) as error:
        send(url, Reach.of())
    assert "root:" not in f"{error.value.extra}"


def test_one_that_hangs_is_ended_and_the_next_one_goes_on(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("ok")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(Transient, match="in time"):
            send(f"json://127.0.0.1:{port}/x?rto=30&cto=30", timeout_seconds=1)
    assert "has taken it" in send(f"json://{place(httpserver)}/hook").response
