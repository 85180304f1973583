"""Alert rules: made, changed, tried over history; where their series stand, and what has happened to them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dash_app.domain.query import parse_time
from dash_app.pipelines.alerts import backtest
from dash_app.pipelines.alerts import setup as alert_setup
from dash_app.storage import alerts, catalog
from dash_app.web.api import alert_shapes as shapes
from dash_app.web.api.operation import PAGED, Answer, Call, Operation
from dash_app.web.api.schema import Schema, array_of, object_of, page_of
from dash_app.web.api.shapes import COUNT


def list_alerts(call: Call) -> Any:
    wanted = call.query["pipeline"]
    pipeline = catalog.pipeline(call.unit, wanted).id if wanted else None
    found = alerts.lines(
        call.unit,
        search=call.query["search"],
        pipeline=pipeline,
        limit=call.query["limit"] + 1,
        after=call.after_text() or "",
    )
    return call.page(found, shapes.line, lambda one: one.alert.slug)


def create_alert(call: Call) -> Any:
    return shapes.rule(alert_setup.create_alert(call.unit, call.principal.team, call.body, call.principal))


def get_alert(call: Call) -> Any:
    return shapes.rule(alerts.get(call.unit, call.path["alert"]))


def update_alert(call: Call) -> Any:
    return shapes.rule(
        alert_setup.update_alert(
            call.unit, call.path["alert"], call.body, call.principal, expected_revision=call.expected_revision()
        )
    )


def delete_alert(call: Call) -> Any:
    alert_setup.delete_alert(call.unit, call.path["alert"], call.principal, expected_revision=call.expected_revision())
    return Answer()


def list_states(call: Call) -> Any:
    found = alerts.get(call.unit, call.path["alert"])
    return {"items": [shapes.state(one) for one in alerts.states(call.unit, found.id)]}


def list_firing(call: Call) -> Any:
    found = alerts.firing(call.unit, pending=call.query["pending"])
    return {"items": [shapes.state(one) for one in found]}


def list_history(call: Call) -> Any:
    found = alerts.get(call.unit, call.path["alert"])
    events = alerts.history(call.unit, found.id, limit=call.query["limit"] + 1, before=call.after_id())
    return call.page(events, shapes.event, lambda one: one.id)


def acknowledge_alert(call: Call) -> Any:
    count = alert_setup.acknowledge(
        call.unit,
        call.path["alert"],
        call.principal,
        series=call.body.get("series"),
        note=call.body.get("note", ""),
    )
    return {"acknowledged": count}


def forget_series(call: Call) -> Any:
    alert_setup.forget_series(call.unit, call.path["alert"], call.body["series"], call.principal)
    return Answer()


def run_backtest(call: Call) -> Any:
    now = datetime.now(UTC)
    start, end = (
        parse_time(call.body[name], now, place=name) if call.body.get(name) is not None else None
        for name in ("from", "to")
    )
    return backtest.run(call.unit, call.body["document"], start=start, end=end, now=now).as_json()


_TAG = "Alerts"
_READ, _WRITE = "alerts.read", "alerts.write"
_ONE = "/alerts/{alert}"
_DURATION: Schema = {"description": "A number and one of s m h d w.", "examples": ["5m"]}
#: The parser of rules says what is wrong with one, with places; this is what a reader needs.
_DOCUMENT: Schema = {
    "type": "object",
    "properties": {
        "name": {"examples": ["Too hot"]},
        "slug": {"examples": ["too_hot"]},
        "severity": {"description": "info, warning or critical.", "default": "warning"},
        "labels": {"description": "Texts by name, for silences and messages.", "examples": [{"service": "web"}]},
        "query": {
            "description": "One aggregate: `pipeline`, `select`, and perhaps `by` (one alert for each series), "
            "`where`, `timezone`.",
            "examples": [{"pipeline": "weather", "select": [{"field": "temp", "agg": "avg"}], "by": ["site"]}],
        },
        "pipeline": {"description": "With `watch`, in place of a query: the pipeline that is watched itself."},
        "watch": {"description": "stale, failing, rejects, drift or lag."},
        "condition": {
            "description": "threshold (`op`, `value`, `recover`), change (`by`, `over`, `op`, `value`), missing, "
            "quantile (`op`, `quantile`, `over`) or anomaly (`weeks`, `deviations`).",
            "examples": [{"type": "threshold", "op": ">", "value": 30, "recover": 28}],
        },
        "window": {**_DURATION, "default": "5m"},
        "for": {"description": "How long it must be bad before it fires.", "default": "0s"},
        "keep_firing_for": {"description": "How long it must be good before it is over.", "default": "0s"},
        "no_data_state": {"description": "ok, no_data, firing or keep.", "default": "no_data"},
        "every": {"description": "At most once in so long it is evaluated.", "default": "1s"},
        "message": {"description": "A template of the message's text."},
        "link": {"description": "An address that goes along with the message."},
        "sinks": {"description": "Slugs of the sinks that are told."},
        "repeat": {"description": "After so long a firing alert is told again; 0s: never.", "default": "4h"},
        "enabled": {"default": True},
    },
    "required": ["name", "slug"],
}
_PENDING: Schema = {"type": "boolean", "default": True, "description": "With those that are about to fire."}

OPERATIONS = (
    Operation(
        "GET",
        "/alerts",
        "list_alerts",
        _TAG,
        "Alert rules with where they stand",
        _READ,
        list_alerts,
        page_of(shapes.LINE),
        query={
            **PAGED,
            "search": {"type": "string", "maxLength": 200, "default": "", "description": "In name, slug, pipeline."},
            "pipeline": {"type": "string", "maxLength": 100, "default": "", "description": "Of this one: slug or id."},
        },
    ),
    Operation(
        "POST",
        "/alerts",
        "create_alert",
        _TAG,
        "Make a rule",
        _WRITE,
        create_alert,
        shapes.RULE,
        status=201,
        body=_DOCUMENT,
        keyed=True,
        tagged=True,
    ),
    Operation("GET", _ONE, "get_alert", _TAG, "A rule", _READ, get_alert, shapes.RULE, tagged=True),
    Operation(
        "PUT",
        _ONE,
        "update_alert",
        _TAG,
        "Save a rule anew",
        _WRITE,
        update_alert,
        shapes.RULE,
        body={**_DOCUMENT, "required": ["name"]},
        tagged=True,
        matched=True,
        detail="Where it watches something else than before, its series begin anew.",
    ),
    Operation(
        "DELETE",
        _ONE,
        "delete_alert",
        _TAG,
        "Delete a rule with its history",
        _WRITE,
        delete_alert,
        status=204,
        matched=True,
    ),
    Operation(
        "GET",
        f"{_ONE}/states",
        "list_alert_states",
        _TAG,
        "Where the series of a rule stand",
        _READ,
        list_states,
        object_of({"items": array_of(shapes.ALERT_STATE)}),
    ),
    Operation(
        "GET",
        f"{_ONE}/history",
        "list_alert_history",
        _TAG,
        "What happened to a rule, newest first",
        _READ,
        list_history,
        page_of(shapes.EVENT),
        query=PAGED,
    ),
    Operation(
        "POST",
        f"{_ONE}/acknowledge",
        "acknowledge_alert",
        _TAG,
        "Say that somebody sees to what fires",
        _WRITE,
        acknowledge_alert,
        object_of({"acknowledged": COUNT}),
        keyed=True,
        body=object_of(
            {
                "series": {"type": "object", "description": "The one series; left out: all that fire."},
                "note": {"type": "string", "maxLength": 1000},
            },
            required=(),
            closed=True,
        ),
        detail="It is not repeated to its sinks until it fires anew.",
    ),
    Operation(
        "POST",
        f"{_ONE}/forget",
        "forget_alert_series",
        _TAG,
        "Forget a series that will not come back",
        _WRITE,
        forget_series,
        status=204,
        body=object_of({"series": {"type": "object"}}, closed=True),
    ),
    Operation(
        "POST",
        "/alerts/backtest",
        "run_backtest",
        _TAG,
        "Try a rule over history",
        _READ,
        run_backtest,
        shapes.BACKTEST,
        body=object_of(
            {
                "document": {"type": "object", "description": "A rule, as it would be saved."},
                "from": {"type": "string", "maxLength": 100, "description": "As in a query; default: 30 days before."},
                "to": {"type": "string", "maxLength": 100, "description": "As in a query; default: now."},
            },
            required=("document",),
            closed=True,
        ),
    ),
    Operation(
        "GET",
        "/alerts/firing",
        "list_firing_alerts",
        _TAG,
        "Every series that fires or lacks data, the worst first",
        _READ,
        list_firing,
        object_of({"items": array_of(shapes.ALERT_STATE)}),
        query={"pending": _PENDING},
    ),
)
