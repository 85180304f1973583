"""How rules, states, events, silences and maintenance windows look in JSON, each beside the schema that says so."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dash_app.domain.alert_machine import finite
from dash_app.domain.alert_mutes import Silence, Window
from dash_app.domain.alerts import SEVERITIES
from dash_app.pipelines.alerts import mutes as muting
from dash_app.storage.alerts import Alert, AlertEvent, AlertLine, AlertState
from dash_app.web.api.schema import Schema, array_of, define, nullable, object_of
from dash_app.web.api.shapes import COUNT, ID, OBJECT, SLUG, TEXT, TIME

NUMBER: Schema = {"type": "number"}
STATE: Schema = {"type": "string", "enum": ["ok", "pending", "firing", "no_data"]}
SEVERITY: Schema = {"type": "string", "enum": list(SEVERITIES)}
SERIES: Schema = {"type": "object", "description": "The values of the rule's `by`; empty where it has none."}

_RULE: dict[str, Schema] = {
    "id": ID,
    "slug": SLUG,
    "name": TEXT,
    "severity": SEVERITY,
    "labels": OBJECT,
    "pipeline": {"type": "string", "description": "The slug of the pipeline that is watched."},
    "enabled": {"type": "boolean"},
    "error": {"type": "string", "description": "Why it cannot be evaluated now; empty: it can."},
    "document": {"type": "object", "description": "As it was saved."},
    "revision": COUNT,
    "created_at": TIME,
    "created_by": TEXT,
    "updated_at": TIME,
    "updated_by": TEXT,
}
RULE = define("AlertRule", object_of(_RULE))
LINE = define(
    "AlertRuleLine",
    object_of(
        {
            **_RULE,
            "state": {**STATE, "enum": ["", *STATE["enum"]], "description": "The worst; empty: never looked at."},
            "firing": COUNT,
            "pending": COUNT,
            "no_data": COUNT,
            "series": COUNT,
            "changed_at": nullable(TIME),
        }
    ),
)


def rule(one: Alert) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "slug": one.slug,
        "name": one.name,
        "severity": one.severity,
        "labels": one.labels,
        "pipeline": one.pipeline_slug,
        "enabled": one.enabled,
        "error": one.error,
        "document": one.document,
        "revision": one.revision,
        "created_at": one.created_at,
        "created_by": one.created_by,
        "updated_at": one.updated_at,
        "updated_by": one.updated_by,
    }


def line(one: AlertLine) -> dict[str, Any]:
    return {
        **rule(one.alert),
        "state": one.state,
        "firing": one.firing,
        "pending": one.pending,
        "no_data": one.no_data,
        "series": one.series,
        "changed_at": one.changed_at,
    }


ALERT_STATE = define(
    "AlertState",
    object_of(
        {
            "alert": SLUG,
            "name": TEXT,
            "severity": SEVERITY,
            "labels": OBJECT,
            "pipeline": TEXT,
            "series": SERIES,
            "state": STATE,
            "since": nullable(TIME),
            "value": nullable(NUMBER),
            "acknowledged_at": nullable(TIME),
            "acknowledged_by": TEXT,
            "note": {"type": "string", "description": "What was written when it was acknowledged."},
        }
    ),
)


def state(one: AlertState) -> dict[str, Any]:
    return {
        "alert": one.slug,
        "name": one.name,
        "severity": one.severity,
        "labels": one.labels,
        "pipeline": one.pipeline_slug,
        "series": one.series,
        "state": one.state,
        "since": one.since,
        "value": finite(one.value),
        "acknowledged_at": one.acknowledged_at,
        "acknowledged_by": one.acknowledged_by,
        "note": one.note,
    }


EVENT = define(
    "AlertEvent",
    object_of(
        {
            "id": ID,
            "alert": SLUG,
            "series": SERIES,
            "at": TIME,
            "what": {
                "type": "string",
                "enum": [
                    "pending", "firing", "no_data", "resolved", "cleared", "repeated", "told", "acknowledged",
                ],
                "description": "cleared: good again before it fired. told: after a silence.",
            },
            "value": nullable(NUMBER),
            "told": {"type": "boolean", "description": "Whether the rule's sinks were told."},
            "muted": {"type": "string", "description": "What kept them from being told; empty: nothing."},
            "by": {"type": "string", "description": "Who acknowledged it."},
            "note": TEXT,
        }
    ),
)  # fmt: skip


def event(one: AlertEvent) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "alert": one.slug,
        "series": one.series,
        "at": one.at,
        "what": one.what,
        "value": finite(one.value),
        "told": one.told,
        "muted": one.muted,
        "by": one.by,
        "note": one.note,
    }


BACKTEST = define(
    "Backtest",
    object_of(
        {
            "from": TIME,
            "to": TIME,
            "step": {"type": "number", "description": "Seconds between two evaluations."},
            "fired": {**COUNT, "description": "How many times any series began to fire."},
            "minutes": {"type": "number", "description": "How long they fired, all together."},
            "series": COUNT,
            "intervals": array_of(
                object_of(
                    {
                        "series": SERIES,
                        "state": {"type": "string", "enum": ["firing", "no_data"]},
                        "from": TIME,
                        "to": {**nullable(TIME), "description": "null: it lasts."},
                        "value": {**nullable(NUMBER), "description": "When it began."},
                        "worst": nullable(NUMBER),
                    }
                )
            ),
            "points": array_of(
                object_of({"series": SERIES, "times": array_of(COUNT), "values": array_of(nullable(NUMBER))}),
                description="Values of some series, thinned to be drawn; times in milliseconds.",
            ),
            "truncated": {"type": "boolean", "description": "Whether series or intervals were left out."},
        }
    ),
)

MATCHERS: Schema = {
    "type": "object",
    "description": "Names with the text that an alert must have, or a list of which one is met: `alert` (a slug), "
    "`severity`, `pipeline`, the rule's labels, dimensions of its series. Empty: every alert.",
    "examples": [{"severity": "info"}, {"alert": "too_hot", "site": ["roof", "lab"]}],
}
SILENCE = define(
    "Silence",
    object_of(
        {
            "id": ID,
            "matchers": MATCHERS,
            "from": TIME,
            "to": TIME,
            "comment": TEXT,
            "created_at": TIME,
            "created_by": TEXT,
        }
    ),
)


def silence(one: Silence) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "matchers": one.matchers,
        "from": one.starts_at,
        "to": one.ends_at,
        "comment": one.comment,
        "created_at": one.created_at,
        "created_by": one.created_by,
    }


WINDOW = define(
    "MaintenanceWindow",
    object_of(
        {
            "id": ID,
            "name": TEXT,
            "document": OBJECT,
            "open": {"type": "boolean", "description": "Whether it is open now."},
            "next": {**nullable(TIME), "description": "When it begins next; null: not any more."},
            "revision": COUNT,
            "created_at": TIME,
            "created_by": TEXT,
        }
    ),
)


def window(one: Window, now: datetime) -> dict[str, Any]:
    spec = muting.read_window(one)
    return {
        "id": str(one.id),
        "name": one.name,
        "document": one.document,
        "open": muting.is_open(spec, now),
        "next": muting.next_begin(spec, now),
        "revision": one.revision,
        "created_at": one.created_at,
        "created_by": one.created_by,
    }
