"""Replays: history mapped anew, watched, slowed down, paused, cancelled; the way back; payloads mapped again."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from dash_app.domain.errors import BadRequest, Invalid, NotFound
from dash_app.domain.query import parse_time
from dash_app.pipelines import rollout, setup
from dash_app.storage import catalog, generations, replays
from dash_app.web.api import shapes
from dash_app.web.api.operation import PAGED, Call, Operation, uuid_of
from dash_app.web.api.schema import array_of, define, nullable, object_of, page_of


def create_replay(call: Call) -> Any:
    found = call.pipeline()
    version = call.body.get("mapping_version")
    if version is None:
        version = found.mapping_version
    if version is None:
        raise Invalid(problems=[("mapping_version", "this pipeline has no mapping yet; save one first")])
    now = datetime.now(UTC)
    start, end = (
        parse_time(call.body[name], now, place=name) if call.body.get(name) is not None else None
        for name in ("from", "to")
    )
    made = rollout.begin_replay(
        call.unit,
        found,
        version,
        call.principal,
        start=start,
        end=end,
        throttle=call.body.get("throttle"),
        note=call.body.get("note") or "",
    )
    call.then(partial(setup.ring, call.app, found.id))
    return {"id": str(made)}


def list_replays(call: Call) -> Any:
    found = call.pipeline()
    after = call.after_text()
    before = None
    if after is not None:
        try:
            before = replays.get(call.unit, uuid_of(after)).created_at
        except NotFound:
            raise BadRequest("parameter 'cursor' is not one that `next` named") from None
    listed = replays.of_pipeline(call.unit, found.id, limit=call.query["limit"] + 1, before=before)
    return call.page(listed, shape, lambda one: one.id)


def get_replay(call: Call) -> Any:
    return shape(replays.get(call.unit, _id(call)))


def act_on_replay(action: str, call: Call) -> Any:
    moved = rollout.move_replay(call.unit, _id(call), action, call.principal)
    call.then(partial(setup.ring, call.app, moved.pipeline))
    return shape(moved)


def update_replay(call: Call) -> Any:
    return shape(rollout.throttle_replay(call.unit, _id(call), call.body["throttle"], call.principal))


def list_generations(call: Call) -> Any:
    found = call.pipeline()
    return {
        "items": [
            {
                "generation": one.generation,
                "state": one.state,
                "mapping_version": one.version,
                "created_at": one.created_at,
                "grace_until": one.grace_until,
            }
            for one in generations.generations(call.unit, found.id)
        ]
    }


def roll_back(call: Call) -> Any:
    return _moved(call, rollout.roll_back)


def discard(call: Call) -> Any:
    return _moved(call, rollout.discard)


def _moved(call: Call, move: Any) -> Any:
    made = move(call.unit, call.pipeline(), call.principal)
    call.then(partial(setup.close_view, call.app, made.id))
    call.then(partial(setup.ring, call.app, made.id))
    stats = catalog.stats(call.unit, [made.id])[made.id]
    return shapes.pipeline(made, call.app, call.base_url, stats)


def map_again(call: Call) -> Any:
    wanted = []
    for number, text in enumerate(call.body["payloads"]):
        if not text.isascii() or not text.isdecimal() or len(text) > 19 or int(text) >= 1 << 63:
            raise Invalid(problems=[(f"payloads[{number}]", "an id as a list of payloads or rejects shows it")])
        wanted.append(int(text))
    found = call.pipeline()
    call.then(partial(setup.ring, call.app, found.id))
    return {"payloads": rollout.map_again(call.unit, found, wanted, call.principal)}


def shape(one: replays.Replay) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "pipeline": str(one.pipeline),
        "mapping_version": one.version,
        "state": one.state,
        "from": one.from_time,
        "to": one.to_time,
        "files_done": one.files_done,
        "files_total": one.files_total,
        "payloads": one.payloads,
        "payloads_total": one.expected,
        "records": one.records,
        "rejects": one.rejects,
        "rate": one.rate,
        "eta": one.eta,
        "seconds": one.seconds,
        "throttle": one.throttle,
        "error": one.error,
        "author": one.author,
        "note": one.note,
        "created_at": one.created_at,
        "finished_at": one.finished_at,
    }


def _id(call: Call) -> UUID:
    found: UUID = uuid_of(call.path["replay"])
    return found


REPLAY = define(
    "Replay",
    object_of(
        {
            "id": shapes.ID,
            "pipeline": shapes.ID,
            "mapping_version": shapes.COUNT,
            "state": {"type": "string", "enum": ["queued", "running", "paused", "done", "failed", "cancelled"]},
            "from": nullable(shapes.TIME),
            "to": nullable(shapes.TIME),
            "files_done": {**shapes.COUNT, "description": "Parts, each of about a file of bronze."},
            "files_total": shapes.COUNT,
            "payloads": shapes.COUNT,
            "payloads_total": shapes.COUNT,
            "records": shapes.COUNT,
            "rejects": shapes.COUNT,
            "rate": {"type": ["number", "null"], "description": "Records a second while it ran."},
            "eta": {"type": ["number", "null"], "description": "Seconds until the end at this speed."},
            "seconds": {"type": "number", "description": "How long it has run, pauses left out."},
            "throttle": {"type": ["integer", "null"], "description": "Records a second at most."},
            "error": shapes.TEXT,
            "author": shapes.TEXT,
            "note": shapes.TEXT,
            "created_at": shapes.TIME,
            "finished_at": nullable(shapes.TIME),
        }
    ),
)
_GENERATION = object_of(
    {
        "generation": shapes.COUNT,
        "state": {"type": "string", "enum": ["active", "shadow", "grace", "ended"]},
        "mapping_version": {"type": ["integer", "null"]},
        "created_at": shapes.TIME,
        "grace_until": nullable(shapes.TIME),
    }
)
_THROTTLE = {
    "type": ["integer", "null"],
    "minimum": 1,
    "maximum": rollout.MOST_THROTTLE,
    "description": "Records a second at most; null: as fast as it goes.",
}
_MOMENT = {"type": ["string", "null"], "maxLength": 40, "description": "As in a query: ISO 8601, or such as now-7d."}
_TAG = "Replays"
_PIPELINE = "/pipelines/{pipeline}"
_READ, _WRITE = "pipelines.read", "pipelines.write"

OPERATIONS = (
    Operation(
        "GET",
        _PIPELINE + "/replays",
        "list_replays",
        _TAG,
        "Replays of a pipeline, newest first",
        _READ,
        list_replays,
        page_of(REPLAY),
        query=PAGED,
    ),
    Operation(
        "POST",
        _PIPELINE + "/replays",
        "create_replay",
        _TAG,
        "Map history anew, and swap it in at the end",
        _WRITE,
        create_replay,
        object_of({"id": shapes.ID}),
        status=202,
        keyed=True,
        body=object_of(
            {
                "mapping_version": {"type": ["integer", "null"], "description": "Left out: the active one."},
                "from": {**_MOMENT, "description": "Payloads received from then on; left out: from the first one."},
                "to": {**_MOMENT, "description": "Payloads received before; left out: up to now."},
                "throttle": _THROTTLE,
                "note": {"type": "string", "maxLength": 1000},
            },
            required=(),
            closed=True,
        ),
        detail="What came of payloads outside of the range, or whose files have expired, is carried over as it is.",
    ),
    Operation(
        "GET",
        "/replays/{replay}",
        "get_replay",
        _TAG,
        "A replay and how far it is",
        _READ,
        get_replay,
        REPLAY,
    ),
    Operation(
        "PATCH",
        "/replays/{replay}",
        "update_replay",
        _TAG,
        "Slow a replay down, or let it go",
        _WRITE,
        update_replay,
        REPLAY,
        body=object_of({"throttle": _THROTTLE}, closed=True),
    ),
    Operation(
        "POST",
        "/replays/{replay}/pause",
        "pause_replay",
        _TAG,
        "Pause a replay",
        _WRITE,
        partial(act_on_replay, "pause"),
        REPLAY,
        keyed=True,
        detail="The step in hand is finished; new payloads go on being written to what it fills.",
    ),
    Operation(
        "POST",
        "/replays/{replay}/resume",
        "resume_replay",
        _TAG,
        "Go on where a replay was paused or failed",
        _WRITE,
        partial(act_on_replay, "resume"),
        REPLAY,
        keyed=True,
    ),
    Operation(
        "POST",
        "/replays/{replay}/cancel",
        "cancel_replay",
        _TAG,
        "Cancel a replay",
        _WRITE,
        partial(act_on_replay, "cancel"),
        REPLAY,
        keyed=True,
        detail="What it has filled is dropped; what is read stays as it is.",
    ),
    Operation(
        "POST",
        _PIPELINE + "/rollback",
        "roll_back",
        _TAG,
        "Go back to what was read before the last swap",
        _WRITE,
        roll_back,
        shapes.PIPELINE,
        keyed=True,
        detail="In one commit, and with nothing missing: new payloads were written to both. A second call goes forward "
        "again. 409 where no replay was swapped in, or its grace of 24 hours is over.",
    ),
    Operation(
        "POST",
        _PIPELINE + "/discard",
        "discard_generation",
        _TAG,
        "End the grace of what was read before the last swap",
        _WRITE,
        discard,
        shapes.PIPELINE,
        keyed=True,
        detail="It is dropped, and new payloads are not written to it any more.",
    ),
    Operation(
        "GET",
        _PIPELINE + "/generations",
        "list_generations",
        _TAG,
        "Sets of tables of a pipeline: the one that is read, the one that is being filled, the one to go back to",
        _READ,
        list_generations,
        object_of({"items": array_of(_GENERATION)}),
    ),
    Operation(
        "POST",
        _PIPELINE + "/payloads/again",
        "map_again",
        _TAG,
        "Map payloads again",
        _WRITE,
        map_again,
        object_of({"payloads": shapes.COUNT}),
        status=202,
        keyed=True,
        body=object_of(
            {
                "payloads": {
                    "type": "array",
                    "items": {"type": "string", "maxLength": 40},
                    "minItems": 1,
                    "maxItems": rollout.MOST_AGAIN,
                }
            },
            closed=True,
        ),
        detail="Under the active mapping, as the pipeline's next work: records and rejects that came of them make "
        "place for what comes of them now.",
    ),
)
