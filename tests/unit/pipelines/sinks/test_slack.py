"""Slack messages as Slack gets them: bounded, without mentions made of data, with files through a bot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dash_app.domain.errors import DashError, Invalid, Permanent, Transient
from dash_app.pipelines.delivery.messages import wording
from dash_app.pipelines.reach import Reach
from dash_app.pipelines.sinks import slack
from dash_app.pipelines.sinks.base import File, Gone, Message
from dash_app.pipelines.sinks.cards import card_of
from dash_app.pipelines.sinks.slack import MOST_SECTION, SlackSink, cut, layout

TOKEN = "xoxb-1234567890-abcdef"
ALERT = {
    "alert": "hot",
    "name": "Too hot",
    "state": "firing",
    "severity": "warning",
    "value": 31.5,
    "unit": "°C",
    "series": {},
}


def message(**more: Any) -> Message:
    made = Message(
        *(f"msg_{3:032x}", "alert", datetime(2026, 1, 5, tzinfo=UTC), "acme", "hot", "Firing: Too hot", "It is hot."),
        *(ALERT, "https://dash.example.org/alerts/hot"),
    )
    return replace(made, **more)


def reach() -> Reach:
    return Reach.of(["127.0.0.0/8"])


def texts(value: Any) -> list[str]:
    """Every text of a layout."""
    if isinstance(value, Mapping):
        return [text for one in value.values() for text in texts(one)]
    if isinstance(value, list):
        return [text for one in value for text in texts(one)]
    return [value] if isinstance(value, str) else []


def test_a_webhook_gets_blocks(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/services/T/B/X", method="POST").respond_with_data("ok")
    made = SlackSink.from_options({"url": httpserver.url_for("/services/T/B/X")})
    answer = made.send(message(), reach())
    assert answer.status == 200
    assert "/services/T/B/X" not in answer.request
    sent = json.loads(httpserver.log[0][0].get_data())
    (attachment,) = sent["attachments"]
    assert [block["type"] for block in attachment["blocks"]] == ["header", "section", "actions", "context"]
    assert attachment["blocks"][1]["text"]["text"] == "*Firing · warning* · *31.5\u00a0°C*\n\nIt is hot."
    assert attachment["blocks"][2]["elements"][0]["url"] == "https://dash.example.org/alerts/hot"
    assert sent["text"].startswith("Firing: Too hot")


@pytest.mark.parametrize("hostile", ["<!channel>", "<@U123>", "<#C1|x>", "<https://evil.example|here>", "&lt;!here>"])
def test_nobody_is_called_by_what_records_hold(hostile: str) -> None:
    payload = {**ALERT, "name": hostile, "series": {hostile: hostile}, "labels": {"a": hostile}, "unit": hostile}
    records = {"pipeline": hostile, "records": [{"_time": "2026-01-05", hostile: hostile, "n": 1}]}
    for one in (
        message(title=hostile, text=hostile, payload=payload, origin=hostile),
        message(type="records", title=wording(records)[0], text=wording(records)[1], payload=records, origin=hostile),
        message(type="report", title=hostile, text=hostile, payload={"dashboard": hostile}, origin=hostile),
    ):
        for text in texts(layout(card_of(one), one, files_come=True)):
            assert "<" not in text
            assert ">" not in text


def test_everything_keeps_to_the_bounds() -> None:
    long = "&" * 5000
    payload = {**ALERT, "name": long, "labels": {f"{n}{long}"[:3000]: long for n in range(30)}}
    records = {"pipeline": "p", "records": [{"_time": "2026-01-05", **{f"f{n}": long for n in range(9)}}] * 200}
    for one in (
        message(title=long, text=long, payload=payload),
        message(type="records", title="records", text=wording(records)[1], payload=records),
    ):
        made = layout(card_of(one), one, files_come=False)
        blocks = made["attachments"][0]["blocks"]
        assert len(blocks) < 50
        assert len(made["text"]) <= 1000
        for block in blocks:
            if block["type"] == "header":
                assert len(block["text"]["text"]) <= 150
            if block["type"] == "section":
                assert len(block.get("text", {}).get("text", "")) <= MOST_SECTION
                assert len(block.get("fields", [])) <= 10
                assert all(len(field["text"]) <= 2000 for field in block.get("fields", []))
    assert cut("ab&amp;cd", 6) == "ab…"


def test_a_bot_posts_and_brings_files(httpserver: HTTPServer) -> None:
    calls: list[tuple[str, Any]] = []

    def api(request: Request) -> Response:
        method = request.path.rpartition("/")[2]
        assert method == "up" or request.headers["authorization"] == f"Bearer {TOKEN}"
        calls.append((method, request.get_json(silent=True) or dict(request.form) or request.get_data()))
        answers = {
            "files.getUploadURLExternal": {"ok": True, "upload_url": httpserver.url_for("/up"), "file_id": "F1"},
            "chat.postMessage": {"ok": True, "channel": "C42", "ts": "17.1"},
            "files.completeUploadExternal": {"ok": True},
        }
        return Response(json.dumps(answers.get(method, {})), content_type="application/json")

    httpserver.expect_request("/up").respond_with_handler(api)
    for method in ("files.getUploadURLExternal", "chat.postMessage", "files.completeUploadExternal"):
        httpserver.expect_request(f"/api/{method}").respond_with_handler(api)
    made = SlackSink.from_options({"token": TOKEN, "channel": "#ops", "api_url": httpserver.url_for("/api")})
    answer = made.send(message(files=(File("chart.png", "image/png", b"PNG"),)), reach())
    assert TOKEN not in f"{answer}"
    assert "with 1 files" in answer.response
    assert [name for name, _ in calls] == [
        *("files.getUploadURLExternal", "up", "chat.postMessage", "files.completeUploadExternal"),
    ]
    assert calls[0][1] == {"filename": "chart.png", "length": "3"}
    assert calls[1][1] == b"PNG"
    assert calls[2][1]["channel"] == "#ops"
    assert calls[3][1] == {"files": [{"id": "F1", "title": "chart.png"}], "channel_id": "C42", "thread_ts": "17.1"}


def test_files_that_are_lost_do_not_say_it_twice(httpserver: HTTPServer) -> None:
    place = {"ok": True, "upload_url": httpserver.url_for("/up"), "file_id": "F1"}
    httpserver.expect_request("/api/files.getUploadURLExternal").respond_with_json(place)
    httpserver.expect_request("/up").respond_with_data("")
    httpserver.expect_request("/api/chat.postMessage").respond_with_json({"ok": True, "channel": "C42", "ts": "17.1"})
    httpserver.expect_request("/api/files.completeUploadExternal").respond_with_json({"ok": False, "error": "oh"})
    made = SlackSink.from_options({"token": TOKEN, "channel": "C42", "api_url": httpserver.url_for("/api")})
    assert "its files are missing" in made.send(message(files=(File("a", "image/png", b"x"),)), reach()).response


def test_all_calls_have_one_time_and_nothing_is_posted_after_it(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uploads take their time; when it is over nothing is posted, and no request has longer than what is left."""
    clock, allowed = [100.0], list[float]()
    monkeypatch.setattr(slack, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def upload(request: Request) -> Response:
        clock[0] += 2.0
        return Response("")

    send = httpx.Client.send

    def noted(self: httpx.Client, request: httpx.Request, **more: Any) -> httpx.Response:
        allowed.append(request.extensions["timeout"]["read"])
        return send(self, request, **more)

    monkeypatch.setattr(httpx.Client, "send", noted)
    place = {"ok": True, "upload_url": httpserver.url_for("/up"), "file_id": "F1"}
    httpserver.expect_request("/api/files.getUploadURLExternal").respond_with_json(place)
    httpserver.expect_request("/up").respond_with_handler(upload)
    httpserver.expect_request("/api/chat.postMessage").respond_with_json({"ok": True, "channel": "C42", "ts": "17.1"})
    httpserver.expect_request("/api/files.completeUploadExternal").respond_with_json({"ok": True})
    options = {"token": TOKEN, "channel": "C42", "api_url": httpserver.url_for("/api"), "timeout_seconds": 4}
    made, file = SlackSink.from_options(options), File("a", "image/png", b"x")
    with pytest.raises(Transient, match=r"no time was left for chat.postMessage: 4 s are over"):
        made.send(message(files=(file, file)), reach())
    assert allowed == [4.0, 4.0, 2.0, 2.0]
    assert "/api/chat.postMessage" not in [request.path for request, _ in httpserver.log]
    assert made.send(message(files=(file,)), reach()).status == 200


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"ok": False, "error": "channel_not_found"}, Transient),
        ({"ok": False, "error": "invalid_blocks"}, Permanent),
        ({"ok": False, "error": "token_revoked"}, Gone),
        (["odd"], Transient),
    ],
)
def test_what_the_api_refuses(httpserver: HTTPServer, answer: Any, kind: type[DashError]) -> None:
    httpserver.expect_request("/api/chat.postMessage").respond_with_json(answer)
    made = SlackSink.from_options({"token": TOKEN, "channel": "C42", "api_url": httpserver.url_for("/api")})
    with pytest.raises(kind) as error:
        made.send(message(), reach())
    assert type(error.value) is kind


def test_slack_says_when_to_come_back(httpserver: HTTPServer) -> None:
    for path in ("/api/chat.postMessage", "/hook"):
        httpserver.expect_request(path).respond_with_data("", status=429, headers={"retry-after": "31"})
    for options in (
        {"token": TOKEN, "channel": "C42", "api_url": httpserver.url_for("/api")},
        {"url": httpserver.url_for("/hook")},
    ):
        with pytest.raises(Transient) as error:
            SlackSink.from_options(options).send(message(), reach())
        assert error.value.retry_after == 31


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({}, "url"),
        ({"url": "https://hooks.slack.com/x", "token": TOKEN, "channel": "#a"}, "url"),
        ({"url": "ftp://hooks.slack.com/x"}, "url"),
        ({"token": TOKEN}, "channel"),
        ({"token": "a b", "channel": "#a"}, "token"),
        ({"token": TOKEN, "channel": "<!channel>"}, "channel"),
    ],
)
def test_wrong_options(options: dict[str, Any], place: str) -> None:
    with pytest.raises(Invalid) as error:
        SlackSink.from_options(options)
    assert f"options.{place}" in [where for where, _ in error.value.problems]
