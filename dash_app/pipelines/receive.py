"""What a webhook needs to know of its pipeline: how senders sign, with which secrets, and how much they may send.

Known pipelines are kept for as long as nothing changes: every change of a pipeline is announced, and while the
announcements cannot be heard nothing is kept for longer than a second.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from dash_app.domain import ids
from dash_app.domain.changes import Change, PipelineChanged
from dash_app.domain.errors import NotFound
from dash_app.domain.events import Arrival
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.sources.encodings import decode_body
from dash_app.pipelines.sources.webhook import Webhook
from dash_app.storage import catalog

#: What a signature scheme stores its secrets under.
SECRET = "webhook"
#: Headers that belong to the connection or identify the sender's account, and not to the payload.
_UNKEPT = frozenset(
    [
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
    ]
)
_LISTENING_SECONDS = 300.0
_DEAF_SECONDS = 1.0
_MOST_KNOWN = 20_000


@dataclass(frozen=True, slots=True)
class Hook:
    """A pipeline that receives."""

    pipeline: UUID
    team: UUID
    source: Webhook
    secrets: tuple[str, ...]

    def arrival(self, raw: bytes, headers: Mapping[str, str], source: str, now: float) -> Arrival:
        """The payload that a request carries; BadSignature, TooLarge or UnsupportedEncoding where it is refused.

        `headers`: names in lower case. The signature is checked on the raw bytes, before anything is undone.
        """
        self.source.signature.verify(raw, headers, self.secrets, now)
        body = decode_body(raw, headers.get("content-encoding"), self.source.max_bytes)
        return Arrival(
            pipeline=self.pipeline,
            team=self.team,
            body=body,
            content_type=headers.get("content-type", "application/json"),
            headers={name: value for name, value in headers.items() if name not in _UNKEPT},
            source=source,
            delivery=self.source.signature.delivery_id(headers, body),
        )


class Hooks:
    """The pipelines that receive, by id. `find` blocks where a pipeline is not known yet."""

    def __init__(self, resources: Resources, hearing: Callable[[], bool]) -> None:
        """`hearing`: whether changes are being heard right now."""
        self._resources = resources
        self._hearing = hearing
        self._known: OrderedDict[str, tuple[float, Hook | None]] = OrderedDict()
        self._lock = threading.Lock()
        self._epoch = 0

    def known(self, reference: str) -> Hook | None:
        """The hook if it is known and fresh; None says nothing. NotFound where it is known that there is none."""
        found = self._known.get(reference)
        if found is None:
            return None
        at, hook = found
        if time.monotonic() - at > (_LISTENING_SECONDS if self._hearing() else _DEAF_SECONDS):
            return None
        if hook is None:
            raise NotFound
        return hook

    def find(self, reference: str) -> Hook:
        """The hook from the database; NotFound for unknown and archived pipelines, and those that do not receive."""
        epoch = self._epoch
        hook = self._read(reference)
        with self._lock:
            # A change that came while this was being read may not be in it.
            if epoch == self._epoch:
                self._known[reference] = (time.monotonic(), hook)
                while len(self._known) > _MOST_KNOWN:
                    self._known.popitem(last=False)
        if hook is None:
            raise NotFound
        return hook

    def _read(self, reference: str) -> Hook | None:
        identity = ids.as_uuid(reference)
        if identity is None:
            return None
        with self._resources.database.ingest() as unit:
            try:
                pipeline = catalog.pipeline(unit, identity)
            except NotFound:
                return None
            kind = self._resources.sources[pipeline.source_kind]
            if not issubclass(kind, Webhook):
                return None
            secrets = self._resources.vault.get_all(unit, identity, SECRET)
            return Hook(pipeline.id, pipeline.team, kind.from_options(pipeline.source_options), tuple(secrets))

    def changed(self, change: Change) -> None:
        if isinstance(change, PipelineChanged):
            with self._lock:
                self._epoch += 1
                self._known.pop(change.pipeline, None)

    def returned(self) -> None:
        """Changes may have been missed."""
        with self._lock:
            self._epoch += 1
            self._known.clear()
