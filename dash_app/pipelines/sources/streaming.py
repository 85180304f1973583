"""Streams: sources to which one connects once, and which then send what comes.

A stream's frames (events, messages) come from an asynchronous generator that lives as long as one connection. What is
done with them is the same for all of them and stands in `pipelines/stream.py`: frames are gathered for a moment and
stored as payloads in one transaction, together with the token from which the source goes on after the connection is
lost. Only then the next frame is asked for, and only then is the other side told that these have arrived.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import param

from dash_app.pipelines.reach import Reach
from dash_app.pipelines.reach.urls import without_query, wrong_url
from dash_app.pipelines.sources.base import Source

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60}(; ?charset=[A-Za-z0-9-]{1,40})?")
#: Headers that belong to the connection or to the protocol.
_OURS = frozenset(
    {
        *("host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "trailer", "expect"),
        *("accept", "accept-encoding", "cache-control", "last-event-id", "authorization", "origin"),
    }
)


@dataclass(frozen=True, slots=True)
class Frame:
    """One event or message. Without data it is none, and brings its token alone.

    `about`: what stands beside the data (topic, event), the same for all frames of a payload. `id`: the sender's own id
    of it. `resume`: the token, in JSON, from which to go on after this frame; None where there is no new one. `stored`
    is called in the event loop once the frame is committed. `refused`: why it cannot be stored, and then it is only
    counted.
    """

    data: bytes
    about: Mapping[str, str | bool] = field(default_factory=dict)
    id: str = ""
    resume: Any = None
    stored: Callable[[], None] | None = None
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """What a source connects with.

    `client` names the pipeline to the other side, the same each time. `resume` is the token of the last frame that was
    stored, None where there is none. `connected` is to be called once the other side has accepted the connection.
    """

    reach: Reach
    client: str
    resume: Any = None
    connected: Callable[[], None] = lambda: None


class StreamSource(Source):
    """Base of the sources that stay connected."""

    envelope = param.Boolean(
        default=False,
        doc="Whether each record is an object with the message under data, beside its topic, event or id.",
    )
    content_type = param.String(
        default="",
        doc="What the messages are where they are not JSON, such as text/csv: each is then a payload of its own, "
        "without an envelope.",
    )

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        if self.content_type and not _MEDIA_TYPE.fullmatch(self.content_type):
            found.append(("content_type", "is no media type, such as text/csv or application/xml"))
        return found

    def frames(self, link: Link) -> AsyncIterator[Sequence[Frame]]:
        """What comes, as it comes, until the connection ends; closing the generator ends it in an orderly way.

        It holds few frames that were not asked for: where nobody asks, reading stops. Raises Transient where trying
        again can help (with `retry_after` where the server named a time), Permanent where somebody has to change
        something.
        """
        raise NotImplementedError

    def as_guest(self) -> Self:
        """The source for one who only looks: without a session that the other side would keep for it."""
        return self

    def address(self) -> str:
        """Where it connects to, without any secret: what payloads name as their source."""
        raise NotImplementedError

    def origin(self, frame: Frame) -> str:
        """Where a frame came from."""
        return self.address()

    def place(self) -> str:
        """Names what a resume token belongs to: another place makes it void."""
        return hashlib.sha256(self.address().encode()).hexdigest()[:16]


class HttpStream(StreamSource):
    """Base of the streams that begin as an HTTP request: its URL, headers and log-in."""

    #: The schemes of its URL.
    schemes: ClassVar[tuple[str, str]] = ("http", "https")
    secrets = frozenset({"secret_headers", "bearer_token", "password"})

    url = param.String(default="", doc="What to connect to: a URL without a log-in in it.")
    headers = param.Dict(default={}, doc="Headers to send, by name.")
    secret_headers = param.Dict(
        default={}, doc="Headers to send whose values are kept encrypted and never shown, such as X-Api-Key."
    )
    bearer_token = param.String(default="", doc="Sent as Authorization: Bearer; kept encrypted and never shown.")
    username = param.String(default="", doc="The name of a basic log-in.")
    password = param.String(default="", doc="The password of a basic log-in; kept encrypted and never shown.")

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        return super().json_schema() | {"required": ["url"]}

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        if wrong := wrong_url(self.url, self.schemes):
            found.append(("url", wrong))
        for option in ("headers", "secret_headers"):
            found += wrong_headers(option, getattr(self, option))
        if self.bearer_token and not _plain(self.bearer_token):
            found.append(("bearer_token", "may hold printable ASCII text without spaces at its ends"))
        if self.bearer_token and self.username:
            found.append(("bearer_token", "stands beside username: a request has one log-in"))
        if self.password and not self.username:
            found.append(("username", "is missing beside the password"))
        if ":" in self.username or not self.username.isprintable():
            found.append(("username", "may hold printable text without a colon"))
        return found

    def address(self) -> str:
        return without_query(self.url)

    def place(self) -> str:
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]

    def request_headers(self) -> dict[str, str]:
        """What every request carries, secrets among it."""
        made = {name.lower(): value for name, value in (self.headers | self.secret_headers).items()}
        if self.bearer_token:
            made["authorization"] = f"Bearer {self.bearer_token}"
        elif self.username:
            login = b64encode(f"{self.username}:{self.password}".encode()).decode()
            made["authorization"] = f"Basic {login}"
        return made


def wrong_headers(option: str, headers: Mapping[Any, Any]) -> list[tuple[str, str]]:
    """What is wrong with headers to send; values are not shown, for they may be secrets, mistyped."""
    found = []
    for name, value in headers.items():
        where = f"{option}.{str(name)[:60]}"
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            found.append((where, "is not a header's name"))
        elif name.lower() == "authorization":
            found.append((where, "is made of bearer_token, or of username and password"))
        elif name.lower() in _OURS or name.lower().startswith("sec-websocket-"):
            found.append((where, "is set by the connection itself"))
        elif not isinstance(value, str) or not _plain(value):
            found.append((where, "may hold printable ASCII text without spaces at its ends"))
    return found


def _plain(value: str) -> bool:
    return value.isascii() and value.isprintable() and value == value.strip()
