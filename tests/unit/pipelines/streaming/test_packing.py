"""Frames become payloads."""

from __future__ import annotations

import json
from uuid import UUID

from dash_app.pipelines.sources.mqtt import Mqtt
from dash_app.pipelines.sources.sse import Sse
from dash_app.pipelines.sources.streaming import Frame
from dash_app.pipelines.streaming.packing import pack

ID = UUID("01890000-0000-7000-8000-000000000001")
SSE = Sse.from_options({"url": "https://example.org/events?key=swordfish"})
MQTT = Mqtt.from_options({"url": "mqtt://example.org:1884", "topics": ["#"]})


def test_json_is_lines_as_it_was_sent() -> None:
    sent = [b'{"n": 1.10}', b'{\n  "n": 12345678901234567890\n}', b"7", b'"caf\xc3\xa9\\n"']
    (made,) = pack(ID, ID, SSE, [Frame(one, {"event": "message"}, id=str(n)) for n, one in enumerate(sent)])
    assert made.body == b'{"n": 1.10}\n{   "n": 12345678901234567890 }\n7\n"caf\xc3\xa9\\n"\n'
    assert made.content_type == "application/x-ndjson"
    assert made.headers == {"event": "message", "messages": "4", "first-id": "0", "last-id": "3"}
    assert made.source == "https://example.org/events"


def test_what_is_not_json_and_what_may_be_many_is_alone_and_in_order() -> None:
    bodies = [b'{"n": 1}', b'[{"n": 2}]', b'{"n": 3}', b'{"n": NaN}', b"plain", b"\xff", b'{"n": 4}', b'{"n": 5}']
    made = pack(ID, ID, SSE, [Frame(body) for body in bodies])
    assert [(one.body.strip(), one.content_type.split(";")[0]) for one in made] == [
        (b'{"n": 1}', "application/x-ndjson"),
        (b'[{"n": 2}]', "application/json"),
        (b'{"n": 3}', "application/x-ndjson"),
        (b'{"n": NaN}', "application/json"),
        (b"plain", "text/plain"),
        (b"\xff", "application/octet-stream"),
        (b'{"n": 4}\n{"n": 5}', "application/x-ndjson"),
    ]


def test_what_stands_beside_frames_parts_them_or_goes_into_each() -> None:
    frames = [
        Frame(b"1", {"topic": "a"}),
        Frame(b"2", {"topic": "b", "retain": True}),
        Frame(b"3", {"topic": "a"}),
        Frame(b"wet", {"topic": "a"}),
        Frame(b"\xff\x00", {"topic": "c"}),
    ]
    plain = Mqtt.from_options({"url": MQTT.url, "topics": ["#"], "envelope": False})
    made = pack(ID, ID, plain, frames)
    assert [(one.body, one.headers, one.source) for one in made[:2]] == [
        (b"1\n3\n", {"topic": "a", "messages": "2"}, "mqtt://example.org:1884/a"),
        (b"2\n", {"topic": "b", "retain": "true", "messages": "1"}, "mqtt://example.org:1884/b"),
    ]
    (one,) = pack(ID, ID, MQTT, frames)
    assert [json.loads(line) for line in one.body.splitlines()] == [
        {"topic": "a", "data": 1},
        {"topic": "b", "retain": True, "data": 2},
        {"topic": "a", "data": 3},
        {"topic": "a", "data": "wet"},
        {"topic": "c", "data_base64": "/wA="},
    ]
    assert one.source == "mqtt://example.org:1884"


def test_bounds_types_and_what_is_none() -> None:
    small = Sse.from_options({"url": SSE.url, "max_bytes": 20})
    made = pack(ID, ID, small, [Frame(b'{"n": 1}')] * 5)
    assert [len(one.body) for one in made] == [18, 18, 9]
    table = Sse.from_options({"url": SSE.url, "content_type": "text/csv"})
    assert [one.content_type for one in pack(ID, ID, table, [Frame(b"a,b\n1,2"), Frame(b"1")])] == ["text/csv"] * 2
    assert pack(ID, ID, SSE, [Frame(b"", resume=1), Frame(b"", refused="too large")]) == []
