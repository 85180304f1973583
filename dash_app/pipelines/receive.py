"""What a webhook needs to know of its pipeline: how senders sign, with which secrets, and how much they may send.

Known pipelines are kept for as long as nothing changes: every change of a pipeline is announced, and while the
announcements cannot be heard nothing is kept for longer than a second.
"""

from __future__ import annotations

import hmac
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from dash_app.domain import ids
from dash_app.domain.changes import Change, PipelineChanged
from dash_app.domain.errors import Forbidden, NotFound
from dash_app.domain.events import Arrival
from dash_app.pipelines.rates import Rates
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.sources.encodings import decode_body
from dash_app.pipelines.sources.webhook import Webhook, senders
from dash_app.storage import catalog
from dash_app.storage.unit import Unit

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
_MAX_CHALLENGE = 1000


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a sender hears back instead of having something stored: a handshake, answered as plain text."""

    text: str


@dataclass(frozen=True, slots=True)
class Hook:
    """A pipeline that receives."""

    pipeline: UUID
    team: UUID
    source: Webhook
    secrets: tuple[str, ...]
    #: Networks that may send; without any, all may.
    networks: tuple[senders.Network, ...] = ()
    #: Headers that are not kept, in lower case.
    unkept: frozenset[str] = _UNKEPT
    #: Raises TooManyRequests where more comes than may.
    admit: Callable[[], None] = field(default=lambda: None)

    def check_sender(self, address: str) -> None:
        """Nothing, or Forbidden where this address may not send."""
        if self.networks and not senders.allows(self.networks, address):
            raise Forbidden("this address is not among those that may send to this webhook")

    def arrival(self, raw: bytes, headers: Mapping[str, str], source: str, now: float) -> Arrival | Challenge:
        """The payload that a request carries, or the challenge that it wants back; BadSignature, TooManyRequests,
        TooLarge or UnsupportedEncoding where it is refused.

        `headers`: names in lower case. The signature is checked on the raw bytes, before anything is undone, and only
        what is signed counts for the rate: strangers cannot use it up.
        """
        signature = self.source.signature
        signature.verify(raw, headers, self.secrets, now)
        self.admit()
        body = decode_body(raw, headers.get("content-encoding"), self.source.max_bytes)
        challenge = signature.challenge(body)
        if challenge is not None:
            return Challenge(challenge)
        return Arrival(
            pipeline=self.pipeline,
            team=self.team,
            body=body,
            content_type=headers.get("content-type", "application/json"),
            headers={name: value for name, value in headers.items() if name not in self.unkept},
            source=source,
            delivery=signature.delivery_id(headers, body),
            delivery_window=signature.delivery_window(),
        )

    @property
    def verifies(self) -> bool:
        """Whether a GET with the right token is answered with its challenge."""
        return bool(self.source.verify_token)

    def verified(self, token: str, challenge: str) -> str:
        """The challenge of a GET, as Meta's senders ask it once; Forbidden where the token is not ours."""
        right = hmac.compare_digest(token.encode("utf-8", "replace"), self.source.verify_token.encode())
        if not right or not self.verifies:
            raise Forbidden("hub.verify_token is not the one of this webhook")
        if not 0 < len(challenge) <= _MAX_CHALLENGE or not challenge.isascii() or not challenge.isprintable():
            raise Forbidden("hub.challenge is not up to 1,000 printable ASCII characters")
        return challenge

    def permits(self, origin: str) -> bool:
        """Whether an origin that asks by OPTIONS (CloudEvents) may send."""
        listed = {one.lower() for one in self.source.allowed_origins}
        return "*" in listed or origin.lower() in listed


def read_hook(resources: Resources, unit: Unit, identity: UUID, rates: Rates[UUID] | None = None) -> Hook:
    """How a pipeline receives; NotFound for unknown and archived ones, and those that do not receive."""
    pipeline = catalog.pipeline(unit, identity)
    kind = resources.sources[pipeline.source_kind]
    if not issubclass(kind, Webhook):
        raise NotFound
    kept = {name: resources.vault.get_all(unit, identity, name) for name in kind.secrets}
    hidden = {name: kind.secret_from_text(name, texts[0]) for name, texts in kept.items() if texts}
    source = kind.from_options({**pipeline.source_options, **hidden})
    admit = partial(rates.take, identity, source.rate_limit) if rates and source.rate_limit else lambda: None
    return Hook(
        pipeline=pipeline.id,
        team=pipeline.team,
        source=source,
        secrets=tuple(resources.vault.get_all(unit, identity, SECRET)),
        networks=senders.parse(source.allowed_senders),
        unkept=_UNKEPT | source.signature.secret_headers(),
        admit=admit,
    )


class Hooks:
    """The pipelines that receive, by id. `find` blocks where a pipeline is not known yet."""

    def __init__(self, resources: Resources, hearing: Callable[[], bool]) -> None:
        """`hearing`: whether changes are being heard right now."""
        self._resources = resources
        self._hearing = hearing
        self._known: OrderedDict[str, tuple[float, Hook | None]] = OrderedDict()
        self._rates: Rates[UUID] = Rates()
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
        # Other spellings of an id (capitals, braces, no dashes) would be known beside it, and outlive its changes.
        if identity is None or str(identity) != reference:
            return None
        with self._resources.database.ingest() as unit:
            try:
                return read_hook(self._resources, unit, identity, self._rates)
            except NotFound:
                return None

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
