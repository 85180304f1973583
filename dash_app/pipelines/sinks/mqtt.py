"""MQTT: each record, or each message, is published to a topic of a broker.

The topic may hold names of fields: `plant/{site}/alarm`. A value cannot lead into another level or become a wildcard.
At QoS 1 and 2 an attempt has succeeded when the broker has acknowledged all of it; after one that broke off all is
published again.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import orjson
import param
from paho.mqtt import client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from dash_app.domain.errors import DashError, Permanent, Transient
from dash_app.pipelines.reach import Reach
from dash_app.pipelines.reach.mqtt import Broker, Client, refused, wrong_topic
from dash_app.pipelines.sinks.base import Answer, Message, Sink

_NAME = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,99})\}")
#: What would change the topic's shape.
_SHAPE = re.compile(r"[/+#\0]")
#: PUBACK reasons after which somebody has to change something: not authorized, topic name, packet too large, format.
_NEVER = frozenset({0x87, 0x90, 0x95, 0x99, 0x9A, 0x9B})
_SHOWN = 2000


class MqttSink(Broker, Sink):
    kind = "mqtt"
    summary = "Publishes each record, or each message, to a topic of an MQTT broker."
    secrets = Broker.broker_secrets
    example: ClassVar[Mapping[str, Any]] = {
        "url": "mqtts://broker.example.org",
        "topic": "dash/{site}/temperature",
        "username": "dash",
    }

    topic = param.String(
        default="",
        doc="Where to: {name} becomes the record's field of that name; for alerts and reports what their message holds "
        "(alert, state, severity, report …), a dimension or a label; and origin and type for all.",
    )
    qos: Any = param.Selector(
        default=1, objects=[0, 1, 2], doc="0: sent and forgotten; 1: at least once; 2: once, as far as the broker goes."
    )
    retain = param.Boolean(default=False, doc="Whether the broker keeps the last one of a topic for who comes later.")
    body: Any = param.Selector(
        default="json",
        objects=["json", "text"],
        doc="json: records one by one, other messages whole. text: what the sink's template made, one a message.",
    )

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        return super().json_schema() | {"required": ["url", "topic"]}

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        plain = _NAME.sub("x", self.topic)
        if "{" in plain or "}" in plain:
            found.append(("topic", "holds a brace that is not part of a {name} of letters, digits and _"))
        elif wrong := wrong_topic(plain):
            found.append(("topic", wrong if self.topic else f"is missing: {wrong}"))
        return found

    def send(self, message: Message, reach: Reach) -> Answer:
        deadline = time.monotonic() + self.timeout_seconds
        sending = self._publications(message)
        attempt = _Attempt(self, reach, deadline)
        try:
            attempt.connect()
            attempt.publish(sending, self._properties(message))
        finally:
            attempt.close()
        topics = list(dict.fromkeys(topic for topic, _ in sending))
        request = "\n".join(f"PUBLISH {topic}\n{body.decode()}" for topic, body in sending[:20])
        what = "sent" if self.qos == 0 else "acknowledged"
        response = (
            f"{len(sending)} {what} by {self.broker()} on {len(topics)} topics" if self.qos else f"{len(sending)} sent"
        )
        return Answer(0, request[:_SHOWN], response)

    def _publications(self, message: Message) -> list[tuple[str, bytes]]:
        """What is published where. Permanent where a topic cannot be made."""
        payload = dict(message.payload)
        about: dict[str, Any] = {"origin": message.origin, "type": message.type}
        records = payload.get("records")
        if self.body == "json" and message.type == "records" and isinstance(records, list):
            return [(self._topic(message, about | record), orjson.dumps(record)) for record in records]
        for name in ("labels", "series"):
            about |= payload[name] if isinstance(payload.get(name), dict) else {}
        if isinstance(records, list) and records:
            about |= records[0]
        topic = self._topic(message, about | payload)
        if self.body == "text":
            return [(topic, message.text.encode())]
        whole = {
            "id": message.id,
            "type": message.type,
            "at": message.at,
            "origin": message.origin,
            "title": message.title,
            "text": message.text,
            "link": message.link,
            "payload": payload,
        }
        return [(topic, orjson.dumps(whole, default=str))]

    def _topic(self, message: Message, values: Mapping[str, Any]) -> str:
        def value(found: re.Match[str]) -> str:
            one = values.get(found[1])
            if isinstance(one, dict | list):
                raise Permanent(f"the topic {self.topic} needs {found[1]}, which is an object or an array here")
            if (one is None or one == "") and message.type == "test":
                return "test"
            if one is None or one == "":
                raise Permanent(f"the topic {self.topic} needs {found[1]}, which this message has not")
            text = str(one).lower() if isinstance(one, bool) else str(one)
            return _SHAPE.sub("_", text)

        topic = _NAME.sub(value, self.topic)
        if wrong := wrong_topic(topic):
            raise Permanent(f"the topic {topic[:200]}: {wrong}")
        return topic

    def _properties(self, message: Message) -> Properties | None:
        if self.protocol != "5":
            return None
        made = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        made.UserProperty = [("message-id", message.id), ("message-type", message.type)]
        made.ContentType = "application/json" if self.body == "json" else "text/plain; charset=utf-8"
        return made


class _Attempt:
    """One connection, run by the thread that it is made in."""

    def __init__(self, sink: MqttSink, reach: Reach, deadline: float) -> None:
        self._sink = sink
        self._where = sink.broker()
        self._deadline = deadline
        # A name of its own: two attempts at a time must not throw each other out.
        self._client: Client = sink.client(reach, f"dash{secrets.token_hex(9)}", clean=True)
        self._client.max_inflight_messages_set(100)
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish
        self._accepted = False
        self._failure: DashError | None = None
        self._open: set[int] = set()
        self._early: set[int] = set()

    def connect(self) -> None:
        self._client.open(max(0.1, self._deadline - time.monotonic()))
        self._until(lambda: self._accepted, "the broker does not answer")

    def publish(self, sending: list[tuple[str, bytes]], properties: Properties | None) -> None:
        for topic, body in sending:
            sent = self._client.publish(topic, body, self._sink.qos, self._sink.retain, properties)
            if sent.mid not in self._early:
                self._open.add(sent.mid)
        self._until(lambda: not self._open, "the broker does not acknowledge")

    def close(self) -> None:
        if self._client.socket() is not None:
            self._client.disconnect()
            self._client.loop(0.05)
            sock = self._client.socket()
            if sock is not None:
                sock.close()

    def _until(self, done: Callable[[], bool], why: str) -> None:
        while not done():
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise Transient(f"{self._where}: {why} within {self._sink.timeout_seconds:g} s")
            state = self._client.loop(min(left, 0.5))
            if self._failure is not None:
                raise self._failure
            if state is not MQTTErrorCode.MQTT_ERR_SUCCESS and not done():
                raise Transient(f"{self._where}: the connection broke")

    def _on_connect(
        self, _client: paho.Client, _data: Any, _flags: paho.ConnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        self._accepted = not reason.is_failure
        if reason.is_failure:
            self._failure = refused(self._sink, reason)

    def _on_publish(
        self, _client: paho.Client, _data: Any, number: int, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            text = f"{self._where} refuses a message: {reason.getName().lower()}"
            self._failure = Permanent(text) if reason.value in _NEVER else Transient(text)
        # It may be acknowledged before `publish` has come back.
        (self._open.discard if number in self._open else self._early.add)(number)
