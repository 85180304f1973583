"""Reports: a dashboard that is drawn on a calendar and sent to sinks."""

from __future__ import annotations

from typing import Any

from dash_app.pipelines import reports as setup
from dash_app.storage import reports
from dash_app.storage.reports import Report, Run
from dash_app.web.api import shapes as common
from dash_app.web.api.operation import LIMIT, PAGED, Answer, Call, Operation
from dash_app.web.api.schema import Schema, array_of, define, nullable, object_of, page_of

TEXT: Schema = {"type": "string"}
TIME: Schema = {"type": "string", "format": "date-time"}

RUN = define(
    "ReportRun",
    object_of(
        {
            "id": TEXT,
            "state": {"type": "string", "enum": ["queued", "done", "failed"]},
            "due_at": TIME,
            "asked_by": {"type": "string", "description": "Who asked for it; empty: the calendar."},
            "attempts": {"type": "integer"},
            "error": TEXT,
            "messages": array_of(TEXT, description="Ids of the messages that were put into its sinks' outboxes."),
            "bytes": {"type": "integer", "description": "Of its files."},
            "done_at": nullable(TIME),
        }
    ),
)
_DOCUMENT: dict[str, Schema] = {
    "name": {"type": "string", "minLength": 1, "maxLength": 200},
    "slug": {
        **nullable(common.SLUG),
        "description": "1 to 41 of a-z, 0-9 and _, beginning with a letter; left out: made from the name",
    },
    "dashboard": {"type": "string", "maxLength": 80, "description": "The uid of a dashboard."},
    "range": {
        "description": "Such as now-24h (until now), or from and to; left out: the dashboard's own.",
        "anyOf": [
            {"type": "string", "maxLength": 60},
            {
                "type": "object",
                "additionalProperties": False,
                "required": ["from"],
                "properties": {"from": {"type": "string"}, "to": {"type": "string"}},
            },
            {"type": "null"},
        ],
    },
    "variables": nullable({"type": "object", "description": "Values of the dashboard's variables, by name."}),
    "format": nullable(array_of({"type": "string", "enum": list(setup.FORMATS)}, maxItems=3)),
    "cron": {"type": "string", "maxLength": 200, "description": "Five fields, such as 0 7 * * 1."},
    "timezone": nullable({"type": "string", "maxLength": 60, "description": "An IANA zone; left out: UTC."}),
    "sinks": nullable(
        array_of({"type": "string", "maxLength": 100}, maxItems=setup.MOST_SINKS, description="Slugs or ids.")
    ),
    "message": nullable({"type": "string", "maxLength": setup.MOST_MESSAGE, "description": "Words above the picture."}),
    "enabled": {"type": "boolean"},
}
REPORT = define(
    "Report",
    object_of(
        {
            "id": TEXT,
            **{name: schema for name, schema in _DOCUMENT.items() if name != "slug"},
            "slug": common.SLUG,
            "next_at": nullable({**TIME, "description": "When it is due; null while it is off."}),
            "last_run": nullable(RUN),
            "revision": {"type": "integer"},
            "created_at": TIME,
            "updated_at": TIME,
            "updated_by": TEXT,
        }
    ),
)


def run_shape(one: Run) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "state": one.state,
        "due_at": one.due_at,
        "asked_by": one.asked_by,
        "attempts": one.attempts,
        "error": one.error,
        "messages": list(one.messages),
        "bytes": one.bytes,
        "done_at": one.done_at,
    }


def _shown(call: Call, found: list[Report]) -> list[dict[str, Any]]:
    last = reports.last_runs(call.unit, [one.id for one in found])
    return [
        {
            "id": str(one.id),
            **setup.document_of(one),
            "enabled": one.enabled,
            "next_at": one.next_at,
            "last_run": run_shape(last[one.id]) if one.id in last else None,
            "revision": one.revision,
            "created_at": one.created_at,
            "updated_at": one.updated_at,
            "updated_by": one.updated_by,
        }
        for one in found
    ]


def list_reports(call: Call) -> Any:
    found = reports.reports(call.unit, limit=call.query["limit"] + 1, after=call.after_text())
    page = call.page(found, lambda one: one, lambda one: one.slug)
    return {**page, "items": _shown(call, page["items"])}


def create_report(call: Call) -> Any:
    made = setup.create_report(call.unit, call.app, call.principal.team, call.body, call.principal)
    return _shown(call, [made])[0]


def get_report(call: Call) -> Any:
    return _shown(call, [reports.get(call.unit, call.path["report"])])[0]


def update_report(call: Call) -> Any:
    made = setup.update_report(
        call.unit,
        call.app,
        call.path["report"],
        call.body,
        call.principal,
        expected_revision=call.expected_revision(),
    )
    return _shown(call, [made])[0]


def delete_report(call: Call) -> Any:
    setup.delete_report(call.unit, call.path["report"], call.principal, expected_revision=call.expected_revision())
    return Answer()


def send_report(call: Call) -> Any:
    return run_shape(setup.send_now(call.unit, call.path["report"], call.principal))


def list_runs(call: Call) -> Any:
    found = reports.get(call.unit, call.path["report"])
    return {"items": [run_shape(one) for one in reports.runs(call.unit, found.id, limit=call.query["limit"])]}


_BODY = object_of(_DOCUMENT, required=("name", "dashboard", "cron"), closed=True)
_TAG = "Reports"
READ, WRITE = "alerts.read", "alerts.write"
ONE = "/reports/{report}"

OPERATIONS = (
    Operation(
        "GET",
        "/reports",
        "list_reports",
        _TAG,
        "The team's reports, by slug",
        READ,
        list_reports,
        page_of(REPORT),
        query=PAGED,
    ),
    Operation(
        "POST",
        "/reports",
        "create_report",
        _TAG,
        "Make a report",
        WRITE,
        create_report,
        REPORT,
        status=201,
        body=_BODY,
        keyed=True,
        tagged=True,
    ),
    Operation("GET", ONE, "get_report", _TAG, "A report", READ, get_report, REPORT, tagged=True),
    Operation(
        "PUT",
        ONE,
        "update_report",
        _TAG,
        "Change a report",
        WRITE,
        update_report,
        REPORT,
        body=_BODY,
        tagged=True,
        matched=True,
        detail="The whole document anew; its slug stays.",
    ),
    Operation(
        "DELETE",
        ONE,
        "delete_report",
        _TAG,
        "Delete a report",
        WRITE,
        delete_report,
        status=204,
        matched=True,
        detail="What is in the outbox is still sent.",
    ),
    Operation(
        "POST",
        f"{ONE}/send",
        "send_report",
        _TAG,
        "Make and send a report now",
        WRITE,
        send_report,
        RUN,
        status=202,
        keyed=True,
        detail="Beside its calendar, and whether it is on or off; what becomes of it stands among its runs.",
    ),
    Operation(
        "GET",
        f"{ONE}/runs",
        "list_report_runs",
        _TAG,
        "What became of a report, newest first",
        READ,
        list_runs,
        object_of({"items": array_of(RUN)}),
        query={"limit": LIMIT},
    ),
)
