"""Uploads: a file is begun, sent in chunks that can be resumed, and watched while it becomes payloads.

The way of sending is tus's: each chunk says where it begins, and what has arrived is never sent again.
"""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from dash_app.domain.errors import BadRequest, UnsupportedEncoding
from dash_app.pipelines import uploads as road
from dash_app.storage import catalog, uploads
from dash_app.storage.uploads import Upload
from dash_app.web.api import shapes
from dash_app.web.api.operation import PAGED, Answer, Call, Operation, uuid_of
from dash_app.web.api.schema import define, nullable, object_of, page_of

OFFSET = "Upload-Offset"
CHECKSUM = "Upload-Checksum"


def create_upload(call: Call) -> Any:
    body = call.body
    return shape(
        road.begin(
            call.unit, call.pipeline(), body["name"], body["size"], body.get("content_type") or "", call.principal
        )
    )


def list_uploads(call: Call) -> Any:
    after = call.after_text()
    before = uuid_of(after) if after else None
    found = uploads.of_pipeline(call.unit, call.pipeline().id, limit=call.query["limit"] + 1, before=before)
    return call.page(found, shape, lambda one: one.id)


def get_upload(call: Call) -> Any:
    return _answer(uploads.get(call.unit, _id(call), call.pipeline().id))


def append_upload(call: Call) -> Any:
    # A unit of its own: no transaction stays open while the chunk goes to the object store.
    with call.app.database.team(call.principal.team) as unit:
        found = uploads.get(unit, _id(call), catalog.pipeline(unit, call.path["pipeline"]).id)
    offset = _offset(call)
    if call.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedEncoding("chunks are taken as they are, without a Content-Encoding")
    road.check_chunk(found, offset, call.raw, _checksum(call))
    part = road.put_part(call.app, found, offset, call.raw)
    made = road.note_part(call.unit, found, part)
    if made.state != "receiving":
        call.then(partial(road.queue, call.app, made.id))
    return _answer(made)


def cancel_upload(call: Call) -> Any:
    found = uploads.get(call.unit, _id(call), call.pipeline().id)
    road.cancel(call.unit, found, call.principal)
    call.then(partial(road.queue, call.app, found.id))
    return Answer()


def _answer(found: Upload) -> Answer:
    return Answer(shape(found), headers={OFFSET: str(found.received)})


def _id(call: Call) -> UUID:
    made: UUID = uuid_of(call.path["upload"])
    return made


def _offset(call: Call) -> int:
    text = call.headers.get(OFFSET, "").strip()
    if not text.isascii() or not text.isdecimal() or len(text) > 15:
        raise BadRequest(f"{OFFSET} is missing: the byte of the file at which this chunk begins")
    return int(text)


def _checksum(call: Call) -> str:
    text = call.headers.get(CHECKSUM, "").strip()
    kind, _, value = text.partition(" ")
    if text and (kind.lower() != "sha256" or len(value.strip()) != 64):
        raise BadRequest(f"{CHECKSUM} is 'sha256' and 64 hexadecimal digits")
    return value.strip()


def shape(one: Upload) -> dict[str, Any]:
    done = one.received if one.state == "receiving" else one.consumed
    return {
        "id": str(one.id),
        "name": one.name,
        "content_type": one.content_type,
        "format": one.format,
        "size": one.size,
        "state": one.state,
        "offset": one.received,
        "progress": 1.0 if one.state == "done" else round(done / one.size, 4),
        "payloads": one.payloads,
        "records": one.records,
        "error": one.error,
        "author": one.author,
        "created_at": one.created_at,
        "updated_at": one.updated_at,
        "ended_at": one.ended_at,
    }


_UPLOAD = define(
    "Upload",
    object_of(
        {
            "id": shapes.ID,
            "name": shapes.TEXT,
            "content_type": shapes.TEXT,
            "format": {"type": "string", "enum": ["csv", "ndjson", "json", "parquet"]},
            "size": {"type": "integer"},
            "state": {
                "type": "string",
                "enum": ["receiving", "checking", "cutting", "done", "failed", "cancelled"],
                "description": "checking: read through, so that a broken file leaves nothing behind; cutting: its "
                "payloads are being accepted.",
            },
            "offset": {"type": "integer", "description": "The byte at which the next chunk begins."},
            "progress": {"type": "number", "description": "Of what the state does, from 0 to 1."},
            "payloads": {"type": "integer"},
            "records": {"type": "integer", "description": "Rows, lines or values, in payloads that were accepted."},
            "error": shapes.TEXT,
            "author": shapes.TEXT,
            "created_at": shapes.TIME,
            "updated_at": shapes.TIME,
            "ended_at": nullable(shapes.TIME),
        }
    ),
)
_CREATE = object_of(
    {
        "name": {"type": "string", "minLength": 1, "maxLength": 500, "description": "The file's name."},
        "size": {"type": "integer", "minimum": 1, "maximum": road.MOST_BYTES, "description": "Its bytes."},
        "content_type": {
            "type": ["string", "null"],
            "maxLength": 200,
            "description": "What it holds, such as `text/csv; charset=windows-1252`; left out: told by the name's "
            "ending (.csv, .ndjson, .jsonl, .json, .parquet).",
        },
    },
    required=("name", "size"),
    closed=True,
)
_TAG = "Uploads"
_READ, _WRITE = "pipelines.read", "pipelines.write"
_ONE = "/pipelines/{pipeline}/uploads/{upload}"

OPERATIONS = (
    Operation(
        "GET",
        "/pipelines/{pipeline}/uploads",
        "list_uploads",
        _TAG,
        "Files that were uploaded to a pipeline, newest first",
        _READ,
        list_uploads,
        page_of(_UPLOAD),
        query=PAGED,
    ),
    Operation(
        "POST",
        "/pipelines/{pipeline}/uploads",
        "create_upload",
        _TAG,
        "Begin to upload a file",
        _WRITE,
        create_upload,
        _UPLOAD,
        status=201,
        body=_CREATE,
        keyed=True,
        detail="Any pipeline takes CSV, NDJSON, JSON and Parquet files up to 2 GiB, whatever its source. The bytes "
        "follow with PATCH.",
    ),
    Operation(
        "GET",
        _ONE,
        "get_upload",
        _TAG,
        "How far an upload has come",
        _READ,
        get_upload,
        _UPLOAD,
        detail=f"The header `{OFFSET}` repeats `offset`; `HEAD` asks for nothing more.",
    ),
    Operation(
        "PATCH",
        _ONE,
        "append_upload",
        _TAG,
        "Send the next chunk of a file",
        _WRITE,
        append_upload,
        _UPLOAD,
        binary=road.MOST_CHUNK,
        reads={
            OFFSET: "The byte of the file at which the chunk begins; another one than `offset` answers 409 with it.",
            CHECKSUM: "`sha256` and the chunk's SHA-256 in hex, to have it checked; may be left out.",
        },
        detail=f"At most {road.MOST_CHUNK:,} bytes, and at least {road.LEAST_CHUNK:,} unless it is the last one. A "
        "chunk whose answer was lost is not sent again: ask for `offset` first. With the last chunk the work begins.",
    ),
    Operation(
        "DELETE",
        _ONE,
        "cancel_upload",
        _TAG,
        "Cancel an upload",
        _WRITE,
        cancel_upload,
        status=204,
        detail="Payloads that were accepted of it stay.",
    ),
)
