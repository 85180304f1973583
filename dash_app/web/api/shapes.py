"""How things look in JSON, each beside the schema that says so. Ids are texts, times ISO 8601 with an offset."""

from __future__ import annotations

from typing import Any

from dash_app.domain.access import Principal, Role
from dash_app.domain.events import PayloadInfo, Reject
from dash_app.domain.specs import MappingVersion, Pipeline, PipelineStats
from dash_app.pipelines.resources import Resources
from dash_app.storage.ledger import Run
from dash_app.storage.people import Member, Membership, Token
from dash_app.web.api.schema import Schema, array_of, define, nullable, object_of

ID: Schema = {"type": "string", "description": "Opaque."}
TEXT: Schema = {"type": "string"}
TIME: Schema = {"type": "string", "format": "date-time"}
COUNT: Schema = {"type": "integer", "minimum": 0}
ROLE: Schema = {"type": "string", "enum": [role.name for role in Role]}
SLUG: Schema = {
    "type": "string",
    "pattern": "^[a-z][a-z0-9_]{0,40}$",
    "description": "1 to 41 of a-z, 0-9 and _, beginning with a letter",
}
OBJECT: Schema = {"type": "object"}

PROBLEM = define(
    "Problem",
    object_of(
        {
            "type": TEXT,
            "title": TEXT,
            "status": {"type": "integer"},
            "detail": TEXT,
            "errors": array_of(
                object_of({"place": TEXT, "message": TEXT}), description="Each place of a document that is not valid."
            ),
            "request_id": {
                "type": "string",
                "description": "With a status of 500 or more: what to look for in the log.",
            },
        },
        required=("type", "title", "status", "detail"),
        description="RFC 9457.",
    ),
)

# People --------------------------------------------------------------------------------------------------------------

TEAM = define(
    "Team",
    object_of(
        {
            "id": ID,
            "slug": SLUG,
            "name": TEXT,
            "role": ROLE,
            "schema": {"type": "string", "description": "The team's schema in PostgreSQL."},
        }
    ),
)


def team(one: Membership) -> dict[str, Any]:
    return {
        "id": str(one.team),
        "slug": one.slug,
        "name": one.name,
        "role": one.role.name,
        "schema": f"team_{one.slug}",
    }


SESSION = define(
    "Session",
    object_of(
        {
            "user": object_of({"id": ID, "email": TEXT, "name": TEXT}),
            "team": TEAM,
            "role": ROLE,
            "via": {"type": "string", "enum": ["session", "token"]},
            "actions": array_of(TEXT, description="What this role may do."),
            "xsrf": {
                "type": ["string", "null"],
                "description": "For the header X-XSRF-Token of writes with a session cookie; null for a token.",
            },
        }
    ),
)


def session(who: Principal, actions: list[str], xsrf: str) -> dict[str, Any]:
    return {
        "user": {"id": str(who.user), "email": who.email, "name": who.name},
        "team": team(Membership(who.team, who.team_slug, who.team_name, who.role)),
        "role": who.role.name,
        "via": who.via,
        "actions": actions,
        "xsrf": xsrf if who.via == "session" else None,
    }


MEMBER = define(
    "Member", object_of({"id": ID, "email": TEXT, "name": TEXT, "role": ROLE, "disabled": {"type": "boolean"}})
)


def member(one: Member) -> dict[str, Any]:
    return {"id": str(one.user), "email": one.email, "name": one.name, "role": one.role.name, "disabled": one.disabled}


_TOKEN: dict[str, Schema] = {
    "id": ID,
    "name": TEXT,
    "hint": {"type": "string", "description": "How the token begins."},
    "role": ROLE,
    "created_at": TIME,
    "last_used_at": nullable(TIME),
    "revoked_at": nullable(TIME),
}
TOKEN = define("Token", object_of(_TOKEN))
NEW_TOKEN = define("NewToken", object_of({**_TOKEN, "token": {"type": "string", "description": "Shown this once."}}))


def token(one: Token) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "name": one.name,
        "hint": one.hint,
        "role": one.role.name,
        "created_at": one.created_at,
        "last_used_at": one.last_used_at,
        "revoked_at": one.revoked_at,
    }


AUDIT = define(
    "AuditEntry", object_of({"id": ID, "at": TIME, "actor": TEXT, "action": TEXT, "target": TEXT, "detail": OBJECT})
)

# Pipelines -----------------------------------------------------------------------------------------------------------

STATS = define(
    "PipelineStats",
    object_of(
        {
            "payloads": COUNT,
            "records": COUNT,
            "rejects": COUNT,
            "pending": {**COUNT, "description": "Payloads that wait to be mapped, or are held while paused."},
            "lag_seconds": {
                "type": ["number", "null"],
                "description": "Age of the oldest payload that waits; 0: none does.",
            },
            "last_received": nullable(TIME),
            "bronze_files": COUNT,
            "bronze_bytes": COUNT,
        }
    ),
)
_PIPELINE: dict[str, Schema] = {
    "id": ID,
    "slug": SLUG,
    "name": TEXT,
    "state": {"type": "string", "enum": ["active", "paused", "archived"]},
    "source": object_of(
        {"kind": TEXT, "options": {"type": "object", "description": "Without the options that are write-only."}}
    ),
    "mapping_version": {"type": ["integer", "null"], "description": "The version that new payloads are mapped with."},
    "retention": OBJECT,
    "note": {"type": "string", "description": "Why it is as it is."},
    "created_at": TIME,
    "revision": {"type": "integer", "description": "Also the ETag."},
    "webhook_url": {"type": ["string", "null"], "description": "Where senders post; null for a source that is polled."},
    "stats": STATS,
}
PIPELINE = define("Pipeline", object_of(_PIPELINE, required=tuple(name for name in _PIPELINE if name != "stats")))
NEW_PIPELINE = define(
    "NewPipeline",
    object_of(
        {
            **_PIPELINE,
            "secret": {"type": ["string", "null"], "description": "What senders sign with, shown this once."},
        },
        required=(*(name for name in _PIPELINE if name != "stats"), "secret"),
    ),
)


def pipeline(one: Pipeline, resources: Resources, base_url: str, stats: PipelineStats | None = None) -> dict[str, Any]:
    kind = resources.sources[one.source_kind]
    made = {
        "id": str(one.id),
        "slug": one.slug,
        "name": one.name,
        "state": one.state,
        "source": {
            "kind": one.source_kind,
            "options": {name: value for name, value in one.source_options.items() if name not in kind.secrets},
        },
        "mapping_version": one.mapping_version,
        "retention": one.retention,
        "note": one.note,
        "created_at": one.created_at,
        "revision": one.revision,
        "webhook_url": f"{base_url}/webhooks/{one.id}" if kind.pushed else None,
    }
    if stats is not None:
        made["stats"] = {name: getattr(stats, name) for name in stats.__slots__}
    return made


MAPPING = define(
    "MappingVersion",
    object_of(
        {
            "version": {"type": "integer"},
            "mapping": OBJECT,
            "note": TEXT,
            "author": TEXT,
            "created_at": TIME,
            "active": {"type": "boolean"},
        }
    ),
)


def mapping(one: MappingVersion, active: int | None) -> dict[str, Any]:
    return {
        "version": one.version,
        "mapping": one.document,
        "note": one.note,
        "author": one.author,
        "created_at": one.created_at,
        "active": one.version == active,
    }


# What came in --------------------------------------------------------------------------------------------------------

RECORD = define(
    "Record",
    object_of(
        {"_time": TIME, "_received": TIME, "_payload": ID, "_index": COUNT},
        description="And every field of the mapping, null where there is no value.",
    ),
)
PAYLOAD = define(
    "Payload",
    object_of(
        {
            "id": ID,
            "received_at": TIME,
            "content_type": TEXT,
            "size": COUNT,
            "state": {"type": "string", "enum": ["waiting", "held", "ingested"]},
            "source": TEXT,
        }
    ),
)


def payload(one: PayloadInfo) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "received_at": one.received_at,
        "content_type": one.content_type,
        "size": one.size,
        "state": one.state,
        "source": one.source,
    }


REJECT = define(
    "Reject",
    object_of(
        {
            "payload": ID,
            "index": {
                "type": "integer",
                "description": "The record's place in its payload; -1: the payload as a whole.",
            },
            "field": TEXT,
            "reason": TEXT,
            "excerpt": TEXT,
            "mapping_version": COUNT,
            "at": nullable(TIME),
        }
    ),
)


def reject(one: Reject) -> dict[str, Any]:
    return {
        "payload": str(one.payload),
        "index": one.index,
        "field": one.field,
        "reason": one.reason,
        "excerpt": one.excerpt,
        "mapping_version": one.mapping_version,
        "at": one.at,
    }


RUN = define(
    "Run",
    object_of(
        {
            "id": ID,
            "kind": TEXT,
            "state": {"type": "string", "enum": ["running", "done", "failed", "lost"]},
            "started_at": TIME,
            "finished_at": nullable(TIME),
            "pages": COUNT,
            "payloads": COUNT,
            "bytes": COUNT,
            "error": TEXT,
        }
    ),
)


def run(one: Run) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__slots__} | {"id": str(one.id)}
