"""Where a pipeline's data come from, as its tab "Source" shows it; frozen, and without a way back to the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from dash_app.storage.ledger import Poll, Run
    from dash_app.storage.streams import Stream

#: Who begins: senders come to us, we ask every so often, we stay connected, another pipeline feeds it, files come.
Direction = Literal["pushed", "polled", "streamed", "fed", "brought"]

DIRECTIONS: Mapping[str, str] = {
    "pushed": "Others send to Dash",
    "polled": "Dash asks every so often",
    "streamed": "Dash stays connected",
    "fed": "Another pipeline feeds it",
    "brought": "People or programs bring files",
}
#: Words that people look for a kind by, beside its name and summary.
ALSO: Mapping[str, str] = {
    "webhook": "http post github stripe slack shopify gitlab meta cloudevents push event api",
    "http_poll": "rest api json csv xml graphql get oauth pagination",
    "upload": "csv ndjson json parquet excel file import",
    "mqtt": "iot broker mosquitto topic sensor",
    "postgres": "sql database table query cdc timescale",
    "websocket": "ws stream ticker",
    "sse": "eventsource stream server-sent",
    "s3": "bucket object store r2 minio parquet",
    "folder": "directory file watch csv",
    "prometheus": "metrics exporter scrape openmetrics node_exporter",
    "rss": "atom feed news xml",
    "pipeline": "derive chain downstream",
}


@dataclass(frozen=True, slots=True)
class KindCard:
    """A kind of source to choose."""

    kind: str
    title: str
    summary: str
    direction: Direction

    @property
    def words(self) -> str:
        """What a search looks through."""
        return f"{self.title} {self.kind} {self.summary} {ALSO.get(self.kind, '')}".lower()


@dataclass(frozen=True, slots=True)
class Script:
    """A script that sends a sample. `secret` stands in it where it is shown this once, a placeholder otherwise."""

    name: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Sourced:
    """A pipeline's source.

    `form`: what the form's script needs (`parts.form.form_of`). `secret_from`: where the sender's own secret stands,
    where the sender makes it. `cursor`: how far a poll has come, as JSON, '' where it has not begun.
    """

    kind: str
    title: str
    summary: str
    direction: Direction
    form: Mapping[str, Any]
    scripts: Sequence[Script] = ()
    sample: str = ""
    secret_from: str = ""
    covers_body: bool = True
    runs: Sequence[Run] = ()
    poll: Poll | None = None
    cursor: str = ""
    stream: Stream | None = None
    upstream: str = ""
    triable: bool = False


_TITLES = {
    "http_poll": "HTTP poll",
    "sse": "Server-sent events",
    "mqtt": "MQTT",
    "rss": "RSS and Atom",
    "s3": "S3 bucket",
    "postgres": "PostgreSQL",
    "websocket": "WebSocket",
    "pipeline": "Another pipeline",
    "upload": "File upload",
    "folder": "Watched folder",
}


def kind_title(kind: str) -> str:
    words = kind.replace("_", " ")
    return _TITLES.get(kind, words[:1].upper() + words[1:])
