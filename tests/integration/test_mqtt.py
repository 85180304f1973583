"""The MQTT source's and sink's ways with a real broker: TLS, log-ins, what is published."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from dash_app.domain.errors import DashError, Permanent, Transient
from dash_app.pipelines.reach import Reach
from dash_app.pipelines.sinks import Message
from dash_app.pipelines.sinks.mqtt import MqttSink
from dash_app.pipelines.sources.mqtt import Mqtt
from dash_app.pipelines.sources.streaming import Frame, Link
from tests.brokers import Mosquitto, mosquitto, needs_mosquitto
from tests.certificates import Authority

pytestmark = needs_mosquitto

LOOPBACK = Reach.of(["127.0.0.0/8"])
#: Every name leads to the loopback, as a broker's own name would somewhere else.
NAMED = Reach.of(["127.0.0.0/8"], resolver=lambda _host, _port: ["127.0.0.1"])


def message(*records: dict[str, Any], kind: Any = "records", **payload: Any) -> Message:
    payload = payload or {"pipeline": "weather", "records": list(records)}
    at = datetime(2024, 5, 1, tzinfo=UTC)
    return Message("msg_" + "0" * 32, kind, at, "acme", "weather", "Title", "It is warm", payload)


class Listener:
    """A client with MQTT 5 that hears what is published."""

    def __init__(self, broker: Mosquitto) -> None:
        self.heard: SimpleQueue[paho.MQTTMessage] = SimpleQueue()
        subscribed: SimpleQueue[bool] = SimpleQueue()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.on_message = lambda _client, _data, one: self.heard.put(one)
        self._client.on_subscribe = lambda *_: subscribed.put(True)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        self._client.subscribe("#", 2)
        subscribed.get(timeout=20)

    def take(self, many: int) -> list[paho.MQTTMessage]:
        return [self.heard.get(timeout=20) for _ in range(many)]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path) as made:
        yield made


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture
def listener(broker: Mosquitto) -> Iterator[Listener]:
    made = Listener(broker)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize(("protocol", "qos"), [("5", 0), ("5", 1), ("5", 2), ("3.1.1", 1)])
def test_records_are_published_one_by_one(broker: Mosquitto, listener: Listener, protocol: str, qos: int) -> None:
    sink = MqttSink.from_options(
        {"url": broker.url, "topic": "dash/{site}/{type}", "qos": qos, "protocol": protocol, "retain": True}
    )
    answer = sink.send(message({"site": "oslo/#", "n": 1.5}, {"site": "bergen", "n": 2}), LOOPBACK)
    one, two = listener.take(2)
    # A value does not lead into another level, nor become a wildcard.
    assert [(m.topic, json.loads(m.payload)) for m in (one, two)] == [
        ("dash/oslo__/records", {"site": "oslo/#", "n": 1.5}),
        ("dash/bergen/records", {"site": "bergen", "n": 2}),
    ]
    if protocol == "5":
        assert ("message-id", "msg_" + "0" * 32) in one.properties.UserProperty  # type: ignore[union-attr]
    assert "PUBLISH dash/bergen/records" in answer.request
    assert answer.response.startswith("2 ")


def test_an_alert_is_published_whole_or_as_its_text(broker: Mosquitto, listener: Listener) -> None:
    told = message(kind="alert", alert="hot", state="firing", severity="critical", series={"site": "roof"})
    whole = MqttSink.from_options({"url": broker.url, "topic": "alerts/{severity}/{site}"})
    whole.send(told, LOOPBACK)
    MqttSink.from_options({"url": broker.url, "topic": "say/{alert}", "body": "text"}).send(told, LOOPBACK)
    # A test is published whatever the topic needs.
    whole.send(message(kind="test", sink="here", text="A test"), LOOPBACK)
    one, text, test = listener.take(3)
    assert (one.topic, json.loads(one.payload)["payload"]["state"]) == ("alerts/critical/roof", "firing")
    assert (text.topic, text.payload) == ("say/hot", b"It is warm")
    assert test.topic == "alerts/test/test"


def test_what_cannot_be_published_is_named(broker: Mosquitto) -> None:
    sink = MqttSink.from_options({"url": broker.url, "topic": "dash/{site}"})
    with pytest.raises(Permanent, match="needs site"):
        sink.send(message({"n": 1}), LOOPBACK)
    with pytest.raises(DashError) as refused:
        sink.send(message({"site": "oslo"}), Reach.of())
    assert refused.value.message == "address not allowed: 127.0.0.1"
    broker.stop()
    with pytest.raises(Transient, match="no connection"):
        sink.send(message({"site": "oslo"}), LOOPBACK)


async def first(source: Mqtt, reach: Reach) -> None:
    """Connects and takes leave."""
    frames = source.frames(Link(reach, "dashtest"))
    try:
        await anext(frames)
    finally:
        await frames.aclose()  # type: ignore[attr-defined]


async def test_a_log_in_that_is_wrong_is_named(tmp_path: Path) -> None:
    with mosquitto(tmp_path, "allow_anonymous false") as broker:
        options = {"url": broker.url, "topics": ["#"], "username": "dash", "password": "swordfish"}
        for protocol in ("5", "3.1.1"):
            with pytest.raises(Permanent, match="refuses the connection: not authorized") as error:
                await first(Mqtt.from_options(options | {"protocol": protocol}), LOOPBACK)
            assert "swordfish" not in error.value.message


async def test_tls_verifies_the_name_and_brings_a_certificate(tmp_path: Path) -> None:
    authority, other = Authority(), Authority()
    server, client = authority.sign("broker.example.org"), authority.sign("dash")
    for name, text in {"ca": authority.certificate, "crt": server.certificate, "key": server.key}.items():
        (tmp_path / name).write_text(text)
    os.chmod(tmp_path, 0o755)
    lines = (
        f"cafile {tmp_path}/ca",
        f"certfile {tmp_path}/crt",
        f"keyfile {tmp_path}/key",
        "require_certificate true",
        "allow_anonymous true",
    )
    with mosquitto(tmp_path, *lines) as broker:
        good = {
            "url": f"mqtts://broker.example.org:{broker.port}",
            "topics": ["#"],
            "ca_certificate": authority.certificate,
            "client_certificate": client.certificate,
            "client_key": client.key,
        }
        await first(Mqtt.from_options(good), NAMED)
        with pytest.raises(Transient, match="certificate is not accepted"):
            await first(Mqtt.from_options(good | {"url": f"mqtts://other.example.org:{broker.port}"}), NAMED)
        with pytest.raises(Transient, match="certificate is not accepted"):
            await first(Mqtt.from_options(good | {"ca_certificate": other.certificate}), NAMED)
        without = {name: value for name, value in good.items() if not name.startswith("client_")}
        with pytest.raises(Transient):
            await first(Mqtt.from_options(without), NAMED)


async def test_a_message_beyond_all_bounds_is_read_past(broker: Mosquitto) -> None:
    options = {"url": broker.url, "topics": ["#"], "qos": 1, "protocol": "3.1.1", "max_bytes": 1024}
    frames = Mqtt.from_options(options).frames(Link(LOOPBACK, "dashtest"))
    got: list[Frame] = []
    try:
        async with asyncio.timeout(60):
            await anext(frames)
            await asyncio.to_thread(broker.publish, [("big", bytes(48 << 20)), ("small", b"1")])
            while len(got) < 2:
                got += await anext(frames)
    finally:
        await frames.aclose()  # type: ignore[attr-defined]
    big, small = got
    assert "a message on big is larger than 1024 bytes" in big.refused
    assert (big.data, small.data) == (b"", b"1")
    assert big.stored is not None


def test_a_broker_that_never_ends_its_handshake_is_left(listening: socket.socket) -> None:
    left = threading.Event()

    def drip() -> None:
        connection, _ = listening.accept()
        with connection, suppress(OSError):
            # A record of 16 KiB, of which a byte comes now and then.
            connection.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")
            for _ in range(300):
                connection.sendall(b"\0")
                threading.Event().wait(0.05)
            return
        left.set()

    server = threading.Thread(target=drip)
    server.start()
    source = Mqtt.from_options({"url": f"mqtts://127.0.0.1:{listening.getsockname()[1]}", "topics": ["#"]})
    with pytest.raises(Transient, match="no connection"):
        source.client(LOOPBACK, "dashtest", clean=True).open(0.5)
    server.join(30)
    assert left.is_set()
