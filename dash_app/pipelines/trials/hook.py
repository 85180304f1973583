"""A webhook tried: a sample is signed with the newest secret, and goes the road of every delivery.

What it is answered is what a sender would be answered: the signature is checked, the body is decoded, the payload is
committed and mapped. Only the network is left out, and with it the list of addresses that may send.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from uuid import UUID

from dash_app.domain.errors import DashError, Invalid, NotFound
from dash_app.domain.events import Arrival
from dash_app.pipelines.receive import Challenge, Hook, read_hook
from dash_app.pipelines.resources import Resources
from dash_app.storage import payloads

#: The largest sample, in characters.
MAX_SAMPLE = 256 << 10
HIDDEN = "…"


@dataclass(frozen=True, slots=True)
class HookTrial:
    """What was sent and what was answered. `headers`: those of the request, without what is secret in them.

    `answer` is the body of the answer: `{"payload_id", "duplicate"}`, or `{"detail"}` of a refusal.
    """

    status: int
    answer: Mapping[str, Any]
    headers: Mapping[str, str]
    content_type: str
    body: str
    seconds: float
    warnings: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        return self.status == HTTPStatus.OK


def sample_of(hook: Hook) -> str:
    """A body as this webhook's senders send it, with an id of its own."""
    return hook.source.signature.sample(secrets.token_hex(8))


def try_hook(
    app: Resources, team: UUID, pipeline: UUID, body: str | None = None, content_type: str = "application/json"
) -> HookTrial:
    """Sends `body`, or a sample of the scheme's own. NotFound where this pipeline receives nothing; Invalid for a body
    that is too large. It commits by itself."""
    with app.database.ingest() as unit:
        hook = read_hook(app, unit, pipeline)
    if hook.team != team:
        raise NotFound
    if body is not None and len(body) > MAX_SAMPLE:
        raise Invalid(problems=[("body", f"is longer than {MAX_SAMPLE:,} characters")])
    text = sample_of(hook) if body is None else body
    signature, now = hook.source.signature, time.time()
    raw = text.encode("utf-8", "replace")
    secret = hook.secrets[0] if hook.secrets else ""
    signed = signature.sign(raw, secret, f"test_{secrets.token_hex(8)}", now) if secret or not signature.signed else {}
    headers = {"content-type": content_type} | {name.lower(): value for name, value in signed.items()}
    began = time.perf_counter()
    status, answer = _deliver(app, hook, raw, headers, now)
    hidden = signature.secret_headers()
    return HookTrial(
        status=status,
        answer=answer,
        headers={name: HIDDEN if name in hidden else value for name, value in headers.items()},
        content_type=content_type,
        body=text,
        seconds=time.perf_counter() - began,
        warnings=_warnings(hook),
    )


def _deliver(
    app: Resources, hook: Hook, raw: bytes, headers: Mapping[str, str], now: float
) -> tuple[int, dict[str, Any]]:
    try:
        arrival = hook.arrival(raw, headers, "test", now)
        if isinstance(arrival, Challenge):
            return HTTPStatus.OK, {"challenge": arrival.text}
        accepted = _accept(app, arrival)
    except DashError as error:
        return error.status, {"title": error.title, "detail": error.message}
    return HTTPStatus.OK, {"payload_id": str(accepted.payload), "duplicate": accepted.duplicate}


def _accept(app: Resources, arrival: Arrival) -> Any:
    with app.database.ingest() as unit:
        (accepted,) = payloads.accept(unit, [arrival])
        unit.commit()
    return accepted


def _warnings(hook: Hook) -> tuple[str, ...]:
    found = []
    if hook.networks:
        found.append("Senders outside of allowed_senders are refused with 403; a test is not held against that list.")
    if not hook.source.signature.signed:
        found.append("Nothing is signed: anybody who knows the address can send.")
    return tuple(found)
