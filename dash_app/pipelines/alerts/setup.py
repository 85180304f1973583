"""Alert rules, silences and maintenance windows as pages and the API write them: checked whole, and in the audit trail.

What is read stands in `dash_app.storage.alerts` (`get`, `lines`, `states`, `firing`, `history`) and
`dash_app.storage.alert_mutes` (`silences`, `windows`); a rule is tried over history by `alerts.backtest`.
Every function takes a team's unit and leaves the commit to its owner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from dash_app.domain import alert_mutes
from dash_app.domain.access import Principal
from dash_app.domain.alert_mutes import Silence, Window
from dash_app.domain.alerts import WATCH_LIMITS, AlertSpec, parse_alert, series_key
from dash_app.domain.errors import Invalid, NotFound, PreconditionFailed
from dash_app.domain.ids import slug_from
from dash_app.domain.plain_text import is_storable
from dash_app.domain.query import parse_query
from dash_app.domain.specs import FieldSpec, Pipeline
from dash_app.pipelines.alerts import mutes as muting
from dash_app.pipelines.alerts import words as alert_words
from dash_app.pipelines.alerts.ends import tell_ends
from dash_app.pipelines.query import check_query
from dash_app.pipelines.sinks import load_sinks
from dash_app.storage import alert_mutes as mutes
from dash_app.storage import alerts, catalog, dashboards, people, silver_read
from dash_app.storage import sinks as stored_sinks
from dash_app.storage.alerts import Alert
from dash_app.storage.unit import Unit

#: Rules of a team.
MOST_RULES = 20_000


def create_alert(unit: Unit, team: UUID, document: Mapping[str, Any], author: Principal) -> Alert:
    """Saves a new rule. Raises Invalid with each place that is wrong, and Conflict where the slug is taken."""
    spec, pipeline, sinks = check_alert(unit, document)
    made = alerts.create(unit, team, spec, pipeline.id, list(sinks.values()), author=author.email)
    people.record(unit, author, team, "alert.create", made.slug, {"name": made.name})
    return made


def update_alert(
    unit: Unit, ref: str, document: Mapping[str, Any], author: Principal, *, expected_revision: int | None = None
) -> Alert:
    """Saves a rule anew. Its states stay where it watches the same as before, and begin anew where it does not.

    Raises NotFound, Invalid, Conflict, and PreconditionFailed where another revision is stored.
    """
    before = alerts.get(unit, ref)
    spec, pipeline, sinks = check_alert(unit, {"slug": before.slug, **document})
    found = _expected(unit, before.id, expected_revision, also=[pipeline.id])
    afresh = found.pipeline != pipeline.id or any(found.document.get(key) != document.get(key) for key in _WATCHED)
    if afresh:
        tell_ends(unit, found, by=author.email, why="The rule watches something else from now on.")
    made = alerts.update(unit, found, spec, pipeline.id, list(sinks.values()), afresh=afresh, author=author.email)
    people.record(unit, author, author.team, "alert.update", made.slug, {"revision": made.revision})
    return made


#: What of a document says which series there are and what their values mean.
_WATCHED = ("query", "watch", "pipeline")


def set_enabled(
    unit: Unit, ref: str, author: Principal, *, enabled: bool, expected_revision: int | None = None
) -> Alert:
    """Turns a rule on or off; one that is off is not evaluated, and its states stand still."""
    found = alerts.get(unit, ref)
    document = {**found.document, "enabled": enabled}
    return update_alert(unit, ref, document, author, expected_revision=expected_revision)


def delete_alert(unit: Unit, ref: str, author: Principal, *, expected_revision: int | None = None) -> None:
    """Takes a rule away with its history; what fired is told to be over. Raises NotFound and PreconditionFailed."""
    found = _expected(unit, ref, expected_revision)
    tell_ends(unit, found, by=author.email, why="The rule was deleted.")
    alerts.delete(unit, found)
    people.record(unit, author, author.team, "alert.delete", found.slug, {"name": found.name})


def acknowledge(
    unit: Unit, ref: str, author: Principal, *, series: Mapping[str, Any] | None = None, note: str = ""
) -> int:
    """Says that somebody sees to the series that fire (one, or all): it is not told again until it fires anew.

    Answers how many there were. Raises NotFound, and Invalid where nothing fires there.
    """
    found = alerts.lock(unit, ref)
    if len(note) > 1000 or not is_storable(note):
        raise Invalid(problems=[("note", "a text of at most 1,000 characters, without NUL")])
    key = None if series is None else series_key(series)
    count = alerts.acknowledge(unit, found, key, by=author.email, note=note)
    if not count:
        raise Invalid(problems=[("series", "nothing fires there that could be acknowledged")])
    people.record(unit, author, author.team, "alert.acknowledge", found.slug, {"series": key, "note": note})
    return count


def forget_series(unit: Unit, ref: str, series: Mapping[str, Any], author: Principal) -> None:
    """Forgets a series that will not come back, such as a sensor that was taken down. Raises NotFound."""
    found = alerts.lock(unit, ref)
    tell_ends(unit, found, by=author.email, why="The series was taken off the rule.", series=series_key(series))
    if not alerts.forget(unit, found, series_key(series)):
        raise NotFound("this rule knows no such series")
    people.record(unit, author, author.team, "alert.forget", found.slug, {"series": series_key(series)})


# Checking ------------------------------------------------------------------------------------------------------------


def check_alert(unit: Unit, document: Mapping[str, Any]) -> tuple[AlertSpec, Pipeline, dict[str, UUID]]:
    """The rule in a document, the pipeline that it watches, and its sinks by the name that they have there.

    Raises Invalid with each place that is wrong: in the document itself, beside the pipeline's mapping, in the message.
    """
    spec = parse_alert(document)
    problems: list[tuple[str, str]] = []
    place = "pipeline" if spec.watch else "query.pipeline"
    pipeline = None
    try:
        pipeline = catalog.pipeline(unit, spec.pipeline)
    except NotFound:
        problems.append((place, f"there is no pipeline '{spec.pipeline[:60]}'"))
    fields = fields_of(unit, pipeline) if pipeline else {}
    if pipeline and not spec.watch:
        problems += query_problems(spec, fields)
    sinks = stored_sinks.find(unit, spec.sinks)
    named = alerts.kinds_of_sinks(unit, list(sinks.values()))
    kinds = load_sinks()
    for number, slug in enumerate(spec.sinks):
        if slug not in sinks:
            problems.append((f"sinks[{number}]", f"there is no sink '{slug[:60]}'"))
        elif (kind := named.get(sinks[slug], "")) not in kinds or not kinds[kind].tells_people:
            problems.append((f"sinks[{number}]", f"'{slug[:60]}' is of the kind {kind}, which takes records alone"))
    problems += [("message", what) for what in alert_words.problems(spec)]
    if problems or pipeline is None:
        raise Invalid(problems=problems)
    return spec, pipeline, sinks


def fields_of(unit: Unit, pipeline: Pipeline) -> dict[str, FieldSpec]:
    """A pipeline's fields by name, as its queries see them."""
    return {f.name: f for f in silver_read.newest_fields(catalog.versions(unit, pipeline.id))}


def query_problems(spec: AlertSpec, fields: Mapping[str, FieldSpec]) -> list[tuple[str, str]]:
    """What is wrong with a rule's query beside the fields that there are."""
    query = spec.document["query"]
    asked = {**query, "select": query.get("select") or [{"agg": "count"}]}
    try:
        parsed = parse_query(asked, datetime(2000, 1, 2, tzinfo=UTC))
        check_query(parsed, fields)
    except Invalid as error:
        return [(f"query.{where}" if where else "query", what) for where, what in error.problems]
    measure = parsed.select[0]
    if measure.agg in ("min", "max", "first", "last") and measure.field is not None:
        kind = fields[measure.field].type if measure.field in fields else "timestamp"
        if kind not in ("number", "integer"):
            numbers = ", ".join(f.name for f in fields.values() if f.type in ("number", "integer")) or "none"
            return [
                (
                    "query.select[0].field",
                    f"'{measure.field}' is {kind}, and a rule needs a number; fields that are numbers: {numbers}",
                )
            ]
    return []


@dataclass(frozen=True, slots=True)
class Shown:
    """A message as receivers would read it, and what is wrong with the rule's template, by place."""

    title: str
    text: str
    problems: Sequence[tuple[str, str]]


def preview_message(
    unit: Unit,
    document: Mapping[str, Any],
    *,
    state: alert_words.ExampleState = "firing",
    series: Mapping[str, Any] | None = None,
) -> Shown:
    """What a rule, saved or not, would tell, with an example of a value; `series`: values of its dimensions, to stand
    in it. Raises Invalid with each place of the document that is wrong."""
    spec = parse_alert(document)
    fields: Mapping[str, FieldSpec] = {}
    with suppress(NotFound):
        fields = fields_of(unit, catalog.pipeline(unit, spec.pipeline))
    counts = spec.measure is None or spec.measure.agg in ("count", "count_distinct")
    field = None if counts or spec.measure is None else fields.get(spec.measure.field or "")
    facts = alert_words.example(
        spec, datetime.now(UTC), state=state, series=series, unit=(field.unit or "") if field else ""
    )
    wrong = [("message", what) for what in alert_words.problems(spec)]
    text = alert_words.plain(facts) if wrong else alert_words.text_of(spec, facts)
    return Shown(alert_words.title_of(facts), text, wrong)


# From a tile ---------------------------------------------------------------------------------------------------------


def from_tile(unit: Unit, dashboard: str, tile: str) -> dict[str, Any]:
    """The document of a rule that watches what a tile of a dashboard shows, to be completed by somebody: a condition
    stands in it with a value of null. Raises NotFound, and Invalid where the tile shows nothing that can be watched."""
    found = dashboards.get(unit, dashboard)
    wanted = next((one for one in found.document.get("tiles", []) if str(one.get("id")) == tile), None)
    if wanted is None:
        raise NotFound(f"no tile '{tile[:60]}' in this dashboard")
    query = wanted.get("query") or next(iter(wanted.get("queries") or ()), None)
    measures = (query or {}).get("select") or ([{"agg": "count"}] if query else [])
    measure = next((one for one in measures if isinstance(one, Mapping) and one.get("agg")), None)
    if query is None or measure is None or str(query.get("pipeline", "")).startswith("$"):
        raise Invalid(problems=[("tile", "this tile shows no aggregate of a pipeline that a rule could watch")])
    title = str(wanted.get("title") or found.title)
    made: dict[str, Any] = {"pipeline": query["pipeline"], "select": [dict(measure)]}
    if query.get("by"):
        made["by"] = list(query["by"])
    # What a viewer chooses cannot decide what is watched.
    if isinstance(query.get("where"), str) and "$" not in query["where"]:
        made["where"] = query["where"]
    window = str(query.get("every") or "5m")
    return {
        "name": title,
        "slug": slug_from(title),
        "severity": "warning",
        "query": made,
        "condition": {"type": "threshold", "op": ">", "value": None},
        "window": window if window.endswith(("m", "h", "d")) else "5m",
        "for": "1m",
        "link": f"/dashboards/{found.uid}",
        "sinks": [],
    }


def watch_document(pipeline: Pipeline, watch: str) -> dict[str, Any]:
    """The document of a rule that watches a pipeline itself, under its usual limit."""
    return {
        "name": f"{pipeline.name}: {watch}",
        "slug": slug_from(f"{pipeline.slug}_{watch}"),
        "severity": "warning",
        "pipeline": pipeline.slug,
        "watch": watch,
        "condition": {"type": "threshold", "op": ">", "value": WATCH_LIMITS[watch]},
        "window": "15m",
        "sinks": [],
    }


# Silences and windows ------------------------------------------------------------------------------------------------


def create_silence(unit: Unit, team: UUID, document: Mapping[str, Any], author: Principal) -> Silence:
    """`{"matchers": {...}, "from": "now", "to" | "duration": …, "comment"}`. Raises Invalid."""
    spec = alert_mutes.parse_silence(document, datetime.now(UTC))
    made = mutes.create_silence(unit, team, spec, author=author.email)
    people.record(unit, author, team, "silence.create", str(made.id), {"matchers": dict(spec.matchers)})
    return made


def end_silence(unit: Unit, identity: UUID, author: Principal) -> None:
    """Ends a silence now. Raises NotFound."""
    mutes.end_silence(unit, author.team, identity, datetime.now(UTC))
    people.record(unit, author, author.team, "silence.end", str(identity), {})


def create_window(unit: Unit, team: UUID, document: Mapping[str, Any], author: Principal) -> Window:
    """`{"name", "matchers", "cron", "timezone", "duration"}`, or with `from` and `to`. Raises Invalid."""
    spec = muting.check_window(document, datetime.now(UTC))
    made = mutes.create_window(unit, team, spec, author=author.email)
    people.record(unit, author, team, "maintenance.create", str(made.id), {"name": made.name})
    return made


def update_window(
    unit: Unit, identity: UUID, document: Mapping[str, Any], author: Principal, *, expected_revision: int | None = None
) -> Window:
    """Raises NotFound, Invalid, PreconditionFailed."""
    spec = muting.check_window(document, datetime.now(UTC))
    made = mutes.update_window(unit, author.team, identity, spec, expected_revision=expected_revision)
    people.record(unit, author, author.team, "maintenance.update", str(identity), {"name": made.name})
    return made


def delete_window(unit: Unit, identity: UUID, author: Principal) -> None:
    """Raises NotFound."""
    mutes.delete_window(unit, author.team, identity)
    people.record(unit, author, author.team, "maintenance.delete", str(identity), {})


def _expected(unit: Unit, ref: str | UUID, revision: int | None, *, also: list[UUID] | None = None) -> Alert:
    found = alerts.lock(unit, ref, also=also or ())
    if revision is not None and found.revision != revision:
        raise PreconditionFailed(
            f"the rule is at revision {found.revision}, not {revision}; read it again", revision=found.revision
        )
    return found
