"""The states that a dashboard was saved in: listed, read, compared, saved with a note, restored."""

from __future__ import annotations

from typing import Any

from dash_app.domain.errors import BadRequest
from dash_app.pipelines import dashboards as saving
from dash_app.storage import dashboards
from dash_app.web.api import dashboard_shapes as shapes
from dash_app.web.api.dashboards import DOCUMENT, ONE, READ, TAG, WRITE
from dash_app.web.api.operation import PAGED, Call, Operation
from dash_app.web.api.schema import object_of, page_of


def list_versions(call: Call) -> Any:
    found = dashboards.get(call.unit, call.path["dashboard"])
    return call.page_of_all(dashboards.versions(call.unit, found.id), shapes.version_line, lambda one: one.revision)


def create_version(call: Call) -> Any:
    base = call.body.get("base")
    expected = call.expected_revision()
    if base is not None and expected is not None and base != expected:
        raise BadRequest("'base' and If-Match name different revisions")
    made = saving.update_dashboard(
        call.unit,
        call.path["dashboard"],
        call.body["dashboard"],
        call.principal,
        expected_revision=expected if base is None else base,
        note=call.body.get("note", ""),
    )
    return shapes.dashboard(made)


def get_version(call: Call) -> Any:
    found = dashboards.get(call.unit, call.path["dashboard"])
    return shapes.version(dashboards.version(call.unit, found.id, call.number("version")))


def compare_version(call: Call) -> Any:
    found = dashboards.get(call.unit, call.path["dashboard"])
    new = call.number("version")
    since = call.query["since"]
    old = new - 1 if since is None else since
    changed = saving.changes_between(call.unit, found, old, new)
    return {"from": old, "to": new, "changes": [shapes.change(one) for one in changed]}


def restore_version(call: Call) -> Any:
    made = saving.restore_version(
        call.unit,
        call.path["dashboard"],
        call.number("version"),
        call.principal,
        expected_revision=call.expected_revision(),
    )
    return shapes.dashboard(made)


_VERSION = f"{ONE}/versions/{{version}}"

OPERATIONS = (
    Operation(
        "GET",
        f"{ONE}/versions",
        "list_dashboard_versions",
        TAG,
        "The states that a dashboard was saved in, newest first",
        READ,
        list_versions,
        page_of(shapes.VERSION_LINE),
        query=PAGED,
        detail=f"The newest {dashboards.MOST_VERSIONS} are kept.",
    ),
    Operation(
        "POST",
        f"{ONE}/versions",
        "create_dashboard_version",
        TAG,
        "Save a dashboard anew, with a note",
        WRITE,
        create_version,
        shapes.DASHBOARD,
        status=201,
        keyed=True,
        tagged=True,
        matched=True,
        detail="As PUT of the dashboard does; a `base` that is not the newest revision is answered in the same way.",
        body=object_of(
            {
                "dashboard": DOCUMENT,
                "note": {"type": "string", "maxLength": 1000},
                "base": {"type": "integer", "minimum": 1, "description": "The revision that was worked on."},
            },
            required=("dashboard",),
            closed=True,
        ),
    ),
    Operation(
        "GET",
        _VERSION,
        "get_dashboard_version",
        TAG,
        "A dashboard as it was",
        READ,
        get_version,
        shapes.VERSION,
    ),
    Operation(
        "GET",
        f"{_VERSION}/changes",
        "compare_dashboard_version",
        TAG,
        "What a revision changed",
        READ,
        compare_version,
        shapes.CHANGES,
        query={
            "since": {
                "type": "integer",
                "minimum": 1,
                "description": "The revision to compare with; left out: the one before.",
            }
        },
    ),
    Operation(
        "POST",
        f"{_VERSION}/restore",
        "restore_dashboard_version",
        TAG,
        "Make an earlier state the newest one",
        WRITE,
        restore_version,
        shapes.DASHBOARD,
        tagged=True,
        matched=True,
        detail="It is saved as the next revision; nothing is lost.",
    ),
)
