"""A stream is tried out: what came, or why nothing did."""

from __future__ import annotations

import json
from pathlib import Path

from pytest_httpserver import HTTPServer

from dash_app.pipelines.reach import Reach
from dash_app.pipelines.sources.mqtt import Mqtt
from dash_app.pipelines.sources.sse import Sse
from dash_app.pipelines.streaming.trial import first_payloads
from tests.brokers import mosquitto, needs_mosquitto

LOOPBACK = Reach.of(["127.0.0.0/8"])


def test_what_came_before_the_stream_ended_is_enough(httpserver: HTTPServer) -> None:
    body = b'data: {"n": 1}\n\ndata: {"n": 2}\n\n'
    httpserver.expect_request("/events").respond_with_data(body, content_type="text/event-stream")
    (made,), problem = first_payloads(LOOPBACK, Sse.from_options({"url": httpserver.url_for("/events")}))
    assert (made.body, made.headers["messages"], problem) == (b'{"n": 1}\n{"n": 2}\n', "2", "")


def test_why_nothing_came(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/events").respond_with_data(b"", 403)
    source = Sse.from_options({"url": httpserver.url_for("/events")})
    made, problem = first_payloads(LOOPBACK, source)
    assert made == []
    assert problem.endswith("answered 403 Forbidden")
    assert first_payloads(Reach.of(), source) == ([], "address not allowed: localhost")


@needs_mosquitto
def test_of_a_broker_one_is_a_guest(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        broker.publish([(f"plant/{n}", b"21.5") for n in range(30)], retain=True)
        source = Mqtt.from_options({"url": broker.url, "topics": ["plant/#"], "client_id": "the-stream"})
        (made,), problem = first_payloads(LOOPBACK, source)
        assert problem == ""
        first = json.loads(made.body.splitlines()[0])
        assert (first["retain"], first["data"]) == (True, 21.5)
        assert made.headers["messages"] == "20"
    assert (source.qos, source.client_id) == (1, "the-stream")
