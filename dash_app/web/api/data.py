"""What came in and what became of it: payloads, records, rejects, runs."""

from __future__ import annotations

from typing import Any

from dash_app.domain.errors import BadRequest, Invalid, NotFound
from dash_app.pipelines.query import frame_items, record_columns
from dash_app.storage import bronze, catalog, ledger, silver_read
from dash_app.storage.silver_columns import SYSTEM
from dash_app.web.api import shapes
from dash_app.web.api.operation import CURSOR, PAGED, Answer, Call, Operation
from dash_app.web.api.schema import page_of

#: Sent word for word to whoever may see it, and to no script: a payload can hold a web page.
_HARMLESS = {
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


def list_records(call: Call) -> Any:
    found = call.pipeline()
    versions = catalog.versions(call.unit, found.id)
    columns = record_columns({**SYSTEM, **{f.name: f for f in silver_read.newest_fields(versions)}})
    limit, payload = call.query["limit"], call.query["payload"]
    if payload is not None:
        return {"items": _of_payload(call, versions, payload, columns, limit), "next": None}
    try:
        answer = silver_read.latest(call.unit, versions, limit, call.query["cursor"])
    except Invalid as error:
        raise BadRequest(error.message) from None
    return {"items": frame_items(answer.frame, columns), "next": answer.next}


def _of_payload(call: Call, versions: Any, payload: str, columns: Any, limit: int) -> list[dict[str, Any]]:
    number = _payload_id(payload)
    if number is None:
        return []
    return frame_items(silver_read.records_of(call.unit, versions, number, limit=limit), columns)


def list_payloads(call: Call) -> Any:
    found = call.pipeline()
    limit = call.query["limit"] + 1
    recent = bronze.recent(call.unit, call.app.objects, found.id, limit=limit, before=call.after_id())
    return call.page(recent, shapes.payload, lambda one: one.id)


def get_payload(call: Call) -> Any:
    found = call.pipeline()
    payload = bronze.read_payload(call.unit, call.app.objects, call.number("payload"), pipeline=found.id)
    if payload is None:
        raise NotFound
    return Answer(
        payload.body,
        content_type=_content_type(payload.content_type),
        headers={
            **_HARMLESS,
            "Content-Disposition": f'attachment; filename="payload-{payload.id}"',
            "X-Received-At": payload.received_at.isoformat(),
        },
    )


def list_rejects(call: Call) -> Any:
    found = call.pipeline()
    payload = call.query["payload"]
    number = _payload_id(payload) if payload is not None else None
    if payload is not None and number is None:
        return {"items": [], "next": None}
    rejects = ledger.rejects(call.unit, found.id, limit=call.query["limit"] + 1, before=call.after_id(), payload=number)
    return call.page(rejects, lambda one: shapes.reject(one[1]), lambda one: one[0])


def list_runs(call: Call) -> Any:
    found = call.pipeline()
    runs = ledger.runs(call.unit, found.id, limit=call.query["limit"] + 1, before=call.after_id())
    return call.page(runs, shapes.run, lambda one: one.id)


def _payload_id(text: str) -> int | None:
    """A payload's id; None for what can be none: ids are opaque, and this one is nobody's."""
    if not text.isascii() or not text.isdecimal() or len(text) > 19 or int(text) >= 1 << 63:
        return None
    return int(text)


def _content_type(stored: str) -> str:
    """The sender's content type where it can stand in a header."""
    plain = stored.strip()
    return plain if plain and plain.isascii() and plain.isprintable() else "application/octet-stream"


_TAG = "Data"
_PATH = "/pipelines/{pipeline}"
_PAYLOAD = {"type": "string", "maxLength": 40, "description": "Only those of this payload."}
_RECORDS = {**PAGED, "cursor": CURSOR, "payload": _PAYLOAD}

OPERATIONS = (
    Operation(
        "GET",
        _PATH + "/records",
        "list_records",
        _TAG,
        "Records, newest first",
        "query.run",
        list_records,
        page_of(shapes.RECORD),
        query=_RECORDS,
        detail="With `payload`: what became of that payload, in its own order.",
    ),
    Operation(
        "GET",
        _PATH + "/payloads",
        "list_payloads",
        _TAG,
        "Payloads, newest first, without their bodies",
        "payloads.read",
        list_payloads,
        page_of(shapes.PAYLOAD),
        query=PAGED,
        detail="From the inbox and on into bronze: every payload that is kept.",
    ),
    Operation(
        "GET",
        _PATH + "/payloads/{payload}",
        "get_payload",
        _TAG,
        "A payload's body as it came",
        "payloads.read",
        get_payload,
        media=("*/*",),
        detail="From the inbox or from bronze, under the content type that it came with, as a download.",
    ),
    Operation(
        "GET",
        _PATH + "/rejects",
        "list_rejects",
        _TAG,
        "What the mapping could not use, newest first",
        "payloads.read",
        list_rejects,
        page_of(shapes.REJECT),
        query={**PAGED, "payload": _PAYLOAD},
    ),
    Operation(
        "GET",
        _PATH + "/runs",
        "list_runs",
        _TAG,
        "Runs of a poll, newest first",
        "pipelines.read",
        list_runs,
        page_of(shapes.RUN),
        query=PAGED,
    ),
)
