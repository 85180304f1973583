"""What a sink has delivered and has not: messages with every attempt, sent again, taken back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from dash_app.domain.errors import NotFound
from dash_app.domain.query import parse_time
from dash_app.pipelines.delivery import setup as sink_setup
from dash_app.pipelines.delivery.outbox import delivery_of
from dash_app.storage import delivery_history, sinks
from dash_app.web.api import sink_shapes as shapes
from dash_app.web.api.operation import PAGED, Answer, Call, Operation, uuid_of
from dash_app.web.api.schema import array_of, object_of, page_of
from dash_app.web.api.shapes import COUNT
from dash_app.web.api.sinks import ONE, READ, WRITE


def list_deliveries(call: Call) -> Any:
    found = sinks.get(call.unit, call.path["sink"])
    after = call.after_text()
    listed = delivery_history.listed(
        call.unit,
        found.id,
        state=call.query["state"],
        limit=call.query["limit"] + 1,
        before=uuid_of(after) if after else None,
    )
    return call.page(listed, shapes.delivery_line, lambda one: one.id)


def get_delivery(call: Call) -> Any:
    return _whole(call, _named(call))


def resend_delivery(call: Call) -> Any:
    named = _named(call)
    sink_setup.resend(call.unit, call.path["sink"], call.principal, delivery=named)
    return _whole(call, named)


def cancel_delivery(call: Call) -> Any:
    sink_setup.cancel(call.unit, call.path["sink"], _named(call), call.principal)
    return Answer()


def resend_deliveries(call: Call) -> Any:
    now = datetime.now(UTC)
    since, until = (
        parse_time(call.body[name], now, place=name) if call.body.get(name) is not None else None
        for name in ("from", "to")
    )
    count = sink_setup.resend(
        call.unit,
        call.path["sink"],
        call.principal,
        states=tuple(call.body.get("states") or ("dead",)),
        since=since,
        until=until,
        limit=call.body.get("limit", sink_setup.MOST_RESENT),
    )
    return {"messages": count}


def _named(call: Call) -> UUID:
    found = delivery_of(call.path["delivery"])
    if found is None:
        raise NotFound
    return found


def _whole(call: Call, named: UUID) -> dict[str, Any]:
    one, payload = delivery_history.get(call.unit, sinks.get(call.unit, call.path["sink"]).id, named)
    return shapes.delivery(one, payload, delivery_history.attempts(call.unit, named))


_TAG = "Sinks"
_MANY = f"{ONE}/deliveries"
_EACH = f"{_MANY}/{{delivery}}"
_WHEN = {"type": ["string", "integer"], "description": "When it was put into the outbox; as in a query."}

OPERATIONS = (
    Operation(
        "GET",
        _MANY,
        "list_deliveries",
        _TAG,
        "A sink's messages, newest first",
        READ,
        list_deliveries,
        page_of(shapes.DELIVERY_LINE),
        query={
            **PAGED,
            "state": {"type": "string", "enum": list(shapes.DELIVERY_STATES), "description": "Those in this state."},
        },
    ),
    Operation("GET", _EACH, "get_delivery", _TAG, "A message with every attempt", READ, get_delivery, shapes.DELIVERY),
    Operation(
        "POST",
        f"{_EACH}/resend",
        "resend_delivery",
        _TAG,
        "Send a message again",
        WRITE,
        resend_delivery,
        shapes.DELIVERY,
        keyed=True,
        detail="Under the same id, with the schedule from its beginning.",
    ),
    Operation(
        "POST",
        f"{_EACH}/cancel",
        "cancel_delivery",
        _TAG,
        "Take back a message that waits",
        WRITE,
        cancel_delivery,
        status=204,
    ),
    Operation(
        "POST",
        f"{ONE}/resend",
        "resend_deliveries",
        _TAG,
        "Send messages again: all dead letters, or by state and time",
        WRITE,
        resend_deliveries,
        object_of({"messages": COUNT}),
        keyed=True,
        body=object_of(
            {
                "states": array_of({"type": "string", "enum": ["dead", "sent", "cancelled"]}, minItems=1, maxItems=3),
                "from": _WHEN,
                "to": _WHEN,
                "limit": {"type": "integer", "minimum": 1, "maximum": sink_setup.MOST_RESENT},
            },
            required=(),
            closed=True,
        ),
        detail=f"The oldest first, {sink_setup.MOST_RESENT:,} a call at most.",
    ),
)
