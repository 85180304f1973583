"""MQTT brokers: how one is named, and a client that reaches them through the gate.

The client is paho's, the one below aiomqtt. That acknowledges a message as soon as it is read and puts what it reads
into a queue that either grows without end or throws away; here a message is acknowledged when it is stored, and what
nobody asks for is not read. paho offers both; what aiomqtt adds to it stands in the way.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import httpx
import param
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from dash_app.domain.errors import DashError, Permanent, Transient
from dash_app.domain.kinds import Kind
from dash_app.pipelines.reach import Reach
from dash_app.pipelines.reach.urls import wrong_url

#: Given to paho in place of the host, which the gate resolves: should paho ever connect by itself, it finds nothing.
_NOWHERE = "host.invalid"
#: CONNACK reasons after which somebody has to change something.
_REFUSED = frozenset({0x81, 0x82, 0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C, 0x90, 0x95, 0x99, 0x9A, 0x9B})
_WRONG_VERSION = 0x84
#: The most that is read at once.
_PIECE = 1 << 16
#: The longest topic (in bytes) that the protocol knows.
_MAX_TOPIC = 65_535


class Broker(Kind):
    """What a source and a sink have in common: the broker, who we are there, and how TLS is checked."""

    broker_secrets: ClassVar[frozenset[str]] = frozenset({"password", "client_key"})

    shapes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        name: {"format": "pem"} for name in ("ca_certificate", "client_certificate", "client_key")
    }

    url = param.String(
        default="", doc="The broker: mqtt://host:1883, or mqtts://host:8883 with TLS. The port may be left out."
    )
    protocol: Any = param.Selector(default="5", objects=["5", "3.1.1"], doc="The version of MQTT that is spoken.")
    username = param.String(default="", doc="The name to log in with.")
    password = param.String(default="", doc="The password to log in with; kept encrypted and never shown.")
    ca_certificate = param.String(
        default="", doc="The authority that signed the broker's certificate, in PEM; without it the usual ones count."
    )
    client_certificate = param.String(default="", doc="A certificate to log in with, in PEM.")
    client_key = param.String(default="", doc="The key of client_certificate, in PEM; kept encrypted and never shown.")

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        return super().json_schema() | {"required": ["url"]}

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        wrong = wrong_url(self.url, ("mqtt", "mqtts"), path=False)
        if wrong:
            found.append(("url", wrong))
        elif not self.url.startswith("mqtts:"):
            found += [
                (name, "is of use with mqtts:// alone")
                for name in ("ca_certificate", "client_certificate", "client_key")
                if getattr(self, name)
            ]
        if self.password and not self.username and self.protocol != "5":
            found.append(("username", "is missing beside the password"))
        if bool(self.client_certificate) is not bool(self.client_key):
            missing = "client_key" if self.client_certificate else "client_certificate"
            found.append((missing, "is missing: client_certificate and client_key go together"))
        if wrong := wrong_name(self.username):
            found.append(("username", wrong))
        if not found:
            try:
                self.tls_context(Reach())
            except ValueError as error:
                found.append(("ca_certificate" if "ca_certificate" in str(error) else "client_certificate", str(error)))
        return found

    @property
    def host(self) -> str:
        return httpx.URL(self.url).host

    @property
    def port(self) -> int:
        url = httpx.URL(self.url)
        return url.port or (8883 if url.scheme == "mqtts" else 1883)

    def broker(self) -> str:
        """The broker for messages: without anything secret."""
        return self.url.rstrip("/")[:500]

    def tls_context(self, reach: Reach) -> ssl.SSLContext | None:
        """What TLS is made with, None without it. ValueError names the option that cannot be read."""
        if not self.url.startswith("mqtts:"):
            return None
        if not self.ca_certificate and not self.client_certificate:
            return reach.tls_context()
        context = (
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            if self.ca_certificate
            else httpx.create_ssl_context(trust_env=False)
        )
        if self.ca_certificate:
            try:
                context.load_verify_locations(cadata=self.ca_certificate)
            except (ssl.SSLError, ValueError, TypeError):
                # The last is said of what is not ASCII.
                raise ValueError("ca_certificate is not a certificate in PEM") from None
        if self.client_certificate:
            # OpenSSL reads these from files alone.
            with tempfile.TemporaryDirectory(prefix="dash-tls-") as folder:
                path = Path(folder, "client.pem")
                path.touch(mode=0o600)
                path.write_text(f"{self.client_certificate.strip()}\n{self.client_key.strip()}\n")
                try:
                    context.load_cert_chain(path, password=lambda: b"")
                except (ssl.SSLError, OSError, ValueError):
                    raise ValueError(
                        "client_certificate and client_key are not PEM, do not fit each other, or need a pass phrase"
                    ) from None
        return context

    def client(self, reach: Reach, client_id: str, *, clean: bool, keepalive: int = 60) -> Client:
        """A client that is not connected yet. `clean`: the broker is to keep nothing for it between connections."""
        made = Client(reach, self, client_id, clean, keepalive)
        if self.username or self.password:
            made.username_pw_set(self.username or None, self.password or None)
        return made


class Client(paho.Client):
    """paho's client on a socket that the gate has connected, with TLS that verifies the broker's name."""

    def __init__(self, reach: Reach, broker: Broker, client_id: str, clean: bool, keepalive: int) -> None:
        self.five = broker.protocol == "5"
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=paho.MQTTv5 if self.five else paho.MQTTv311,
            clean_session=None if self.five else clean,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self._reach = reach
        self._broker = broker
        self._clean = clean
        self._every = keepalive

    def open(self, timeout: float, properties: Properties | None = None) -> None:
        """Connects and sends CONNECT; blocks for `timeout` seconds or so. Raises Transient, Permanent."""
        self.connect_timeout = timeout
        where = self._broker.broker()
        start = {"clean_start": self._clean, "properties": properties} if self.five else {}
        try:
            self.connect(_NOWHERE, 1, self._every, **start)  # type: ignore[arg-type]
        except DashError:
            raise
        except ssl.SSLCertVerificationError as error:
            raise Transient(f"{where}: the broker's certificate is not accepted") from error
        except (OSError, ValueError) as error:
            raise Transient(f"{where}: no connection") from error

    def _create_socket_connection(self) -> socket.socket:
        sock = self._reach.connect(self._broker.host, self._broker.port, self.connect_timeout)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tls = self._broker.tls_context(self._reach)
            if tls is None:
                return sock
            sock = tls.wrap_socket(sock, server_hostname=self._broker.host, do_handshake_on_connect=False)
            _shake_hands(sock, self.connect_timeout)
            return sock
        except BaseException:
            sock.close()
            raise

    def _sock_recv(self, bufsize: int) -> bytes:
        # paho asks for all of a packet at once, and Python makes room for what is asked for.
        return super()._sock_recv(min(bufsize, _PIECE))

    def coming_bytes(self) -> int:
        """The size of the packet that is being read, as its beginning announces it; 0 between two."""
        return int(self._in_packet["remaining_length"])

    def is_message(self) -> bool:
        """Whether what is being read is a message, and nothing of the protocol's own."""
        return int(self._in_packet["command"]) & 0xF0 == paho.PUBLISH

    def shorten(self, most: int) -> None:
        """Keeps so many bytes of the packet that is being read: it ends where it would have, and is as good but for the
        end of its payload. (With MQTT 5 properties may be that long.)"""
        del self._in_packet["packet"][most:]


def _shake_hands(sock: ssl.SSLSocket, seconds: float) -> None:
    """TLS's handshake, for so long in all: on a read alone, a byte now and then would hold whoever waits for ever."""
    until, timeout = time.monotonic() + seconds, sock.gettimeout()
    sock.setblocking(False)
    with selectors.DefaultSelector() as selector:
        key = selector.register(sock, selectors.EVENT_READ)
        while True:
            try:
                sock.do_handshake()
                break
            except ssl.SSLWantReadError:
                events = selectors.EVENT_READ
            except ssl.SSLWantWriteError:
                events = selectors.EVENT_WRITE
            if key.events != events:
                key = selector.modify(sock, events)
            if not selector.select(max(0.0, until - time.monotonic())):
                raise TimeoutError(f"no TLS within {seconds:g} s")
    sock.settimeout(timeout)


def connect_properties(**values: int) -> Properties:
    """Properties of MQTT 5's CONNECT."""
    made = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(made, name, value)
    return made


def refused(broker: Broker, reason: ReasonCode) -> DashError:
    """The error for a CONNACK that is none."""
    text = f"{broker.broker()} refuses the connection: {reason.getName().lower()}"
    if reason.value == _WRONG_VERSION:
        other = "3.1.1" if broker.protocol == "5" else "5"
        text += f"; set protocol to {other}"
    return Permanent(text) if reason.value in _REFUSED else Transient(text)


def wrong_name(text: str) -> str | None:
    """What is wrong with a name that is sent to a broker, or None."""
    right = text.isprintable() and len(text.encode()) <= 1000
    return None if right else "may hold up to 1,000 bytes of printable text"


def wrong_filter(text: Any) -> str | None:
    """What is wrong with a topic filter, or None."""
    if not isinstance(text, str) or not text or "\0" in text or len(text.encode()) > _MAX_TOPIC:
        return "is no topic: 1 to 65,535 bytes of text"
    levels = text.split("/")
    if "#" in text and (text.count("#") > 1 or levels[-1] != "#"):
        return "has a # that does not stand alone as the last level"
    if any("+" in level and level != "+" for level in levels):
        return "has a + that does not stand alone in its level"
    return None


def wrong_topic(text: str) -> str | None:
    """What is wrong with a topic that is published to, or None."""
    if not text or "\0" in text or len(text.encode()) > _MAX_TOPIC:
        return "a topic has 1 to 65,535 bytes of text"
    if "#" in text or "+" in text:
        return "a topic that is published to has neither # nor +"
    if text.startswith("$"):
        return "topics that begin with $ are the broker's own"
    return None
