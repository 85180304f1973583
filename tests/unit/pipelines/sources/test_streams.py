"""What streams take as options, and what they say of wrong ones."""

from __future__ import annotations

from typing import Any

import pytest

from dash_app.domain.errors import Invalid
from dash_app.pipelines.sources import load_sources

SSE = {"url": "https://example.org/events"}
WEBSOCKET = {"url": "wss://example.org/feed"}
MQTT = {"url": "mqtts://example.org", "topics": ["a/#"]}

WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("sse", {}, "url", "is missing"),
    ("sse", {"url": "ws://example.org"}, "url", "http:// or https://"),
    ("sse", {"url": "https://user:secret@example.org"}, "url", "log-in"),
    ("sse", {"url": "https://example.org:99999/"}, "url", ""),
    ("sse", {**SSE, "headers": {"Authorization": "x"}}, "headers.Authorization", "bearer_token"),
    ("sse", {**SSE, "headers": {"Last-Event-ID": "4"}}, "headers.Last-Event-ID", "connection itself"),
    ("sse", {**SSE, "headers": {"a b": "x"}}, "headers.a b", "name"),
    ("sse", {**SSE, "secret_headers": {"x": "a\r\nb: c"}}, "secret_headers.x", "printable"),
    ("sse", {**SSE, "bearer_token": "a\nb"}, "bearer_token", "printable"),
    ("sse", {**SSE, "bearer_token": "a", "username": "b"}, "bearer_token", "one log-in"),
    ("sse", {**SSE, "password": "a"}, "username", "missing"),
    ("sse", {**SSE, "username": "a:b"}, "username", "colon"),
    ("sse", {**SSE, "events": [1]}, "events", ""),
    ("sse", {**SSE, "content_type": "csv"}, "content_type", "media type"),
    ("websocket", {"url": "https://example.org"}, "url", "ws:// or wss://"),
    ("websocket", {"url": "wss://example.org/#part"}, "url", "fragment"),
    ("websocket", {**WEBSOCKET, "messages": [7]}, "messages.0", "text, an object nor an array"),
    ("websocket", {**WEBSOCKET, "resume_path": "$.n"}, "resume_message", "missing"),
    ("websocket", {**WEBSOCKET, "resume_message": "{resume}"}, "resume_path", "missing"),
    ("websocket", {**WEBSOCKET, "resume_path": "$.n", "resume_message": "go"}, "resume_message", "{resume}"),
    ("websocket", {**WEBSOCKET, "resume_path": "$[", "resume_message": "{resume}"}, "resume_path", ""),
    ("websocket", {**WEBSOCKET, "subprotocols": ["a, b"]}, "subprotocols", "name"),
    ("websocket", {**WEBSOCKET, "headers": {"Sec-WebSocket-Key": "x"}}, "headers.Sec-WebSocket-Key", "itself"),
    ("mqtt", {"topics": ["a"]}, "url", "is missing"),
    ("mqtt", {"url": "mqtt://example.org/path", "topics": ["a"]}, "url", "path"),
    ("mqtt", {"url": "mqtts://example.org"}, "topics", "empty"),
    ("mqtt", {**MQTT, "topics": ["a/#/b"]}, "topics.0", "#"),
    ("mqtt", {**MQTT, "topics": ["a", "b+/c"]}, "topics.1", "+"),
    ("mqtt", {**MQTT, "topics": [""]}, "topics.0", "1 to 65,535"),
    ("mqtt", {**MQTT, "qos": 2}, "qos", ""),
    ("mqtt", {**MQTT, "protocol": "3.1.1", "password": "x"}, "username", "missing"),
    ("mqtt", {**MQTT, "ca_certificate": "no"}, "ca_certificate", "PEM"),
    ("mqtt", {**MQTT, "ca_certificate": "é"}, "ca_certificate", "PEM"),
    ("mqtt", {**MQTT, "client_certificate": "no"}, "client_key", "missing"),
    ("mqtt", {**MQTT, "client_certificate": "no", "client_key": "no"}, "client_certificate", "PEM"),
    ("mqtt", {**MQTT, "url": "mqtt://example.org", "ca_certificate": "no"}, "ca_certificate", "mqtts"),
    ("mqtt", {**MQTT, "client_id": "a\nb"}, "client_id", "printable"),
]


@pytest.mark.parametrize(
    "case", WRONG, ids=[f"{kind}-{number}-{where}" for number, (kind, _, where, _) in enumerate(WRONG)]
)
def test_wrong_options(case: tuple[str, dict[str, Any], str, str]) -> None:
    kind, options, where, said = case
    with pytest.raises(Invalid) as error:
        load_sources()[kind].from_options(options)
    assert [place for place, _ in error.value.problems] == [f"options.{where}"]
    assert said in error.value.problems[0][1]
    assert "secret" not in error.value.message.replace("secret_headers", "")


@pytest.mark.parametrize(("kind", "options"), [("sse", SSE), ("websocket", WEBSOCKET)], ids=["sse", "websocket"])
def test_where_a_stream_is_named(kind: str, options: dict[str, Any]) -> None:
    """A key in the query is in no payload, and yet another query is another place to go on from."""
    one = load_sources()[kind].from_options({"url": options["url"] + "?key=swordfish"})
    two = load_sources()[kind].from_options({"url": options["url"] + "?key=other"})
    assert one.address() == two.address() == options["url"]  # type: ignore[attr-defined]
    assert one.place() != two.place()  # type: ignore[attr-defined]
