"""MQTT 3.1.1 and 5: topics of a broker, one session a pipeline, which the broker keeps while nobody is connected.

At QoS 1 the broker holds each message until it is acknowledged, and it is acknowledged once it is stored: whoever dies
in between leaves no gap, and the next owner of the stream may be given a few messages again. What was subscribed to is
stored as the resume token, so that a session that the broker has kept is not told anew, which would bring the retained
messages again, and topics that were taken out of the options are unsubscribed from.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ClassVar, Self

import param
from paho.mqtt import client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from dash_app.domain.errors import DashError, Permanent, Transient
from dash_app.pipelines.reach.mqtt import Broker, connect_properties, refused, wrong_filter, wrong_name
from dash_app.pipelines.sources.streaming import Frame, Link, StreamSource

CONNECT_SECONDS = 20.0
#: Messages that are with us and not acknowledged: with MQTT 5 the broker sends no more, and beyond as many that nobody
#: has asked for the socket is not read.
WINDOW = 1000
#: No more of a message is kept in memory. Brokers of MQTT 5 are told; what is beyond max_bytes is acknowledged and
#: counted as refused.
LARGEST = 16 << 20
_ROOM = 70_000
#: Connects, which blocks, apart from what else a process does in threads: brokers that let one wait hold up brokers.
_connecting = ThreadPoolExecutor(8, "mqtt-connect")
_SUCCESS = MQTTErrorCode.MQTT_ERR_SUCCESS


class Mqtt(Broker, StreamSource):
    kind = "mqtt"
    summary = "Topics of an MQTT broker; messages of a moment are a payload."
    secrets = Broker.broker_secrets
    example: ClassVar[Mapping[str, Any]] = {
        "url": "mqtts://broker.example.org",
        "topics": ["plant/+/temperature"],
        "username": "dash",
    }

    topics = param.List(
        default=[], item_type=str, doc="The topics to subscribe to; + stands for one level, # for all that follow."
    )
    qos: Any = param.Selector(
        default=1,
        objects=[1, 0],
        doc="1: a message is acknowledged once it is stored, and comes again until it is. 0: at most once.",
    )
    session_expiry_seconds = param.Integer(
        default=86_400,
        bounds=(0, 4_294_967_295),
        doc="How long the broker keeps the session, and with it what comes, while nobody is connected (MQTT 5; with "
        "3.1.1 the broker decides).",
    )
    client_id = param.String(
        default="",
        doc="How the broker knows us, and our session; two clients of one name throw each other out. Empty: a name "
        "made of the pipeline's id.",
    )
    keepalive_seconds = param.Integer(
        default=30, bounds=(5, 3600), doc="A ping after so many seconds; without an answer the connection is made anew."
    )
    skip_retained = param.Boolean(
        default=False, doc="Whether messages are left out that the broker has kept from before we subscribed."
    )
    envelope = param.Boolean(
        default=True, doc="Whether each record is an object with the message under data, beside its topic."
    )

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        return super().json_schema() | {"required": ["url", "topics"]}

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        if not self.topics:
            found.append(("topics", "is empty: at least one topic is needed; # is all of them"))
        for number, topic in enumerate(self.topics):
            if wrong := wrong_filter(topic):
                found.append((f"topics.{number}", wrong))
        if wrong := wrong_name(self.client_id):
            found.append(("client_id", wrong))
        return found

    def as_guest(self) -> Self:
        # Under the name of the stream it would throw the stream out.
        return self.from_options(self.to_options() | {"qos": 0, "client_id": ""})

    def address(self) -> str:
        return self.broker()

    def origin(self, frame: Frame) -> str:
        return f"{self.broker()}/{frame.about.get('topic', '')}"

    def place(self) -> str:
        return f"{self.broker()} {self.client_id}"

    def frames(self, link: Link) -> AsyncIterator[Sequence[Frame]]:
        return self._frames(link)

    async def _frames(self, link: Link) -> AsyncIterator[Sequence[Frame]]:
        session = Session(self, link)
        try:
            subscribed = await session.open()
            link.connected()
            yield [Frame(b"", resume=subscribed)]
            while True:
                yield await session.take()
        finally:
            await session.close()


class Session:
    """One connection to a broker, run by the event loop that it is made in."""

    def __init__(self, source: Mqtt, link: Link) -> None:
        self._source = source
        self._where = source.broker()
        self._loop = asyncio.get_running_loop()
        known = link.resume.get("topics") if isinstance(link.resume, dict) else None
        self._known: dict[str, int] = known if isinstance(known, dict) else {}
        self._client = source.client(
            link.reach,
            source.client_id or link.client,
            clean=source.qos == 0,
            keepalive=source.keepalive_seconds,
        )
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.on_socket_register_write = self._on_write_wanted
        self._accepted: asyncio.Future[bool] = self._loop.create_future()
        self._subscribed: asyncio.Future[list[ReasonCode]] = self._loop.create_future()
        self._got: deque[Frame] = deque()
        self._bytes = 0
        self._some = asyncio.Event()
        self._failure: DashError | None = None
        self._file: int | None = None
        self._reading = False
        self._upkeep: asyncio.Task[None] | None = None

    async def open(self) -> Mapping[str, Any]:
        """Connects and subscribes; answers the resume token. Raises Transient, Permanent."""
        properties = None
        if self._client.five:
            expiry = self._source.session_expiry_seconds if self._source.qos else 0
            properties = connect_properties(
                SessionExpiryInterval=expiry,
                ReceiveMaximum=WINDOW,
                MaximumPacketSize=max(LARGEST, self._source.max_bytes) + _ROOM,
            )
        await self._loop.run_in_executor(_connecting, self._client.open, CONNECT_SECONDS, properties)
        sock = self._client.socket()
        if sock is None:
            raise Transient(f"{self._where}: no connection")
        self._file = sock.fileno()
        self._read_on()
        self._write()
        self._upkeep = self._loop.create_task(self._keep_up())
        kept = await self._within(self._accepted, "the broker does not answer")
        wanted = {topic: int(self._source.qos) for topic in self._source.topics}
        if not (kept and self._known == wanted):
            if left := [topic for topic in self._known if topic not in wanted]:
                self._client.unsubscribe(left)
            await self._subscribe(wanted)
        return {"topics": wanted}

    async def take(self) -> list[Frame]:
        """What has come, at least one message. Raises Transient or Permanent once the connection is gone."""
        while not self._got:
            if self._failure is not None:
                raise self._failure
            self._some.clear()
            await self._some.wait()
        found = list(self._got)
        self._got.clear()
        self._bytes = 0
        if self._failure is None:
            self._read_on()
        return found

    async def close(self) -> None:
        """Takes leave of the broker, which goes on keeping the session, after what was acknowledged has gone out."""
        if self._upkeep is not None:
            self._upkeep.cancel()
        self._stop_reading()
        if self._failure is None and self._file is not None:
            self._client.disconnect()
            deadline = self._loop.time() + 1
            while self._client.want_write() and self._client.socket() is not None and self._loop.time() < deadline:
                self._client.loop_write()
                await asyncio.sleep(0.01)
        self._forget()
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    async def _within(self, future: asyncio.Future[Any], why: str) -> Any:
        try:
            return await asyncio.wait_for(asyncio.shield(future), CONNECT_SECONDS)
        except TimeoutError:
            raise Transient(f"{self._where}: {why} within {CONNECT_SECONDS:g} s") from None

    async def _subscribe(self, wanted: Mapping[str, int]) -> None:
        self._client.subscribe(list(wanted.items()))
        reasons = await self._within(self._subscribed, "the broker does not answer to a subscription")
        for topic, reason in zip(wanted, reasons, strict=False):
            if reason.is_failure:
                raise Permanent(f"{self._where} refuses the topic {topic[:200]}: {reason.getName().lower()}")

    # The socket ------------------------------------------------------------------------------------------------------

    def _read_on(self) -> None:
        if not self._reading and self._file is not None and self._failure is None:
            self._reading = True
            self._loop.add_reader(self._file, self._read)
            # TLS may hold bytes that were read from the socket already, of which no readiness tells.
            self._loop.call_soon(self._read)

    def _stop_reading(self) -> None:
        if self._reading and self._file is not None:
            self._reading = False
            self._loop.remove_reader(self._file)

    def _read(self) -> None:
        largest = max(LARGEST, self._source.max_bytes) + _ROOM
        for _ in range(WINDOW):
            if not self._reading:
                return
            before = len(self._got)
            if self._client.loop_read() is not _SUCCESS:
                self._fail(Transient(f"{self._where}: the connection broke"))
                return
            if self._client.coming_bytes() > largest:
                if self._client.five or not self._client.is_message():
                    # The broker was told not to send it.
                    self._fail(Permanent(f"{self._where}: a message is larger than {largest} bytes"))
                    return
                # Brokers of 3.1.1 cannot be told, and what is not acknowledged would come again for ever. It is read
                # past: what is kept of it is more than max_bytes, and so it is refused like any that is too large.
                self._client.shorten(largest)
            if len(self._got) >= WINDOW or self._bytes > self._source.max_bytes:
                self._stop_reading()
                return
            sock = self._client.socket()
            if len(self._got) == before and not (sock is not None and getattr(sock, "pending", int)()):
                return

    def _write(self) -> None:
        if self._file is None:
            return
        if self._client.loop_write() is not _SUCCESS:
            self._fail(Transient(f"{self._where}: the connection broke"))
        elif self._client.want_write():
            self._loop.add_writer(self._file, self._write)
        else:
            self._loop.remove_writer(self._file)

    async def _keep_up(self) -> None:
        while self._failure is None:
            await asyncio.sleep(1)
            if self._client.loop_misc() is not _SUCCESS:
                self._fail(Transient(f"{self._where}: the broker no longer answers"))

    def _fail(self, failure: DashError) -> None:
        if self._failure is None:
            self._failure = failure
        for future in (self._accepted, self._subscribed):
            if not future.done():
                future.set_exception(self._failure)
                future.exception()  # looked at: whoever waits gets it, and nobody may be waiting
        self._forget()
        self._some.set()

    def _forget(self) -> None:
        """The loop no longer looks at the socket, whose number may soon be another one's."""
        if self._file is not None:
            self._stop_reading()
            self._loop.remove_writer(self._file)
            self._file = None

    # What paho tells -------------------------------------------------------------------------------------------------

    def _on_write_wanted(self, _client: paho.Client, _data: Any, _sock: Any) -> None:
        # Also called from the thread that connects.
        self._loop.call_soon_threadsafe(self._write)

    def _on_connect(
        self, _client: paho.Client, _data: Any, flags: paho.ConnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            self._fail(refused(self._source, reason))
        elif not self._accepted.done():
            self._accepted.set_result(bool(flags.session_present))

    def _on_disconnect(
        self, _client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        said = reason.getName().lower() if reason.value >= 0x80 else "the connection ended"
        self._fail(Transient(f"{self._where}: {said}"))

    def _on_subscribe(
        self, _client: paho.Client, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        if not self._subscribed.done():
            self._subscribed.set_result(reasons)

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        stored = partial(self._acknowledge, message.mid) if message.qos else None
        try:
            topic = message.topic
        except UnicodeDecodeError:
            frame = Frame(b"", stored=stored, refused="a topic is not UTF-8")
        else:
            size = len(message.payload)
            if size > self._source.max_bytes:
                text = f"a message on {topic[:200]} is larger than {self._source.max_bytes} bytes (max_bytes)"
                frame = Frame(b"", stored=stored, refused=text)
            elif message.retain and self._source.skip_retained:
                frame = Frame(b"", stored=stored)
            else:
                about: dict[str, str | bool] = {"topic": topic}
                if message.retain:
                    about["retain"] = True
                frame = Frame(bytes(message.payload), about=about, stored=stored)
        self._got.append(frame)
        self._bytes += len(frame.data)
        self._some.set()

    def _acknowledge(self, number: int) -> None:
        if self._failure is None and self._file is not None:
            self._client.ack(number, 1)
