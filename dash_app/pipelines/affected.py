"""Whom a mapping changes: the tiles that show a pipeline and the alerts that watch it, held against what two mappings
make of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from dash_app.domain import variables
from dash_app.domain.alerts import parse_alert
from dash_app.domain.dashboards import queries_of
from dash_app.domain.errors import Invalid
from dash_app.domain.query import parse_query
from dash_app.domain.specs import Dashboard, FieldSpec, MappingSpec, Pipeline, QuerySpec
from dash_app.domain.templating import defaults
from dash_app.domain.variables import Value
from dash_app.pipelines.alerts.setup import query_problems
from dash_app.pipelines.difference import Difference, FieldDifference
from dash_app.pipelines.expressions import parse_filter
from dash_app.pipelines.mapping_difference import renamed
from dash_app.pipelines.query import check_query
from dash_app.storage import filters
from dash_app.storage.alerts import Alert

#: `breaks`: its query is refused under the new mapping; `changes`: it shows something else.
Effect = Literal["breaks", "changes"]
_SYSTEM = ("_time", "_received", "_payload", "_index")


@dataclass(frozen=True, slots=True)
class AffectedTile:
    """A tile that will show something else. `fields`: those of the pipeline that it uses, and `why`: sentences."""

    dashboard: str
    dashboard_title: str
    tile: str
    title: str
    effect: Effect
    fields: tuple[str, ...]
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AffectedAlert:
    """A rule that will be evaluated on something else, or not at all. Otherwise as `AffectedTile`."""

    alert: str
    name: str
    effect: Effect
    fields: tuple[str, ...]
    why: tuple[str, ...]


def affected_alerts(
    rules: Iterable[Alert], a: MappingSpec, b: MappingSpec, difference: Difference
) -> list[AffectedAlert]:
    """Of these rules of one pipeline, those that will break or see something else, those that break first."""
    subject = _Subject(a, b, difference)
    found = []
    for rule in rules:
        try:
            spec = parse_alert(rule.document)
        except Invalid:
            continue  # of a version before some rule: it is not evaluated now either
        query = spec.document.get("query")
        if query is None:
            continue  # it watches how the pipeline fares, and no field
        asked = {**query, "select": query.get("select") or [{"agg": "count"}], "from": "now-1h", "to": "now"}
        try:
            parsed = parse_query(asked, datetime.now(UTC))
        except Invalid:
            continue
        refused = [
            [what for _, what in query_problems(spec, {field.name: field for field in one.fields})] for one in (a, b)
        ]
        effect: Effect
        if refused[1] and not refused[0]:
            names = renamed(a, b)
            hints = [f"{name} is called {names[name]} now" for name in subject.used(parsed) if name in names]
            effect, why = "breaks", [*refused[1], *hints]
        else:
            effect, why = subject.effect(parsed, {})
        if why:
            found.append(AffectedAlert(rule.slug, rule.name, effect, tuple(subject.used(parsed)), tuple(why)))
    return sorted(found, key=lambda one: (one.effect != "breaks", one.name.lower()))


def affected_tiles(
    dashboards: Iterable[Dashboard], pipeline: Pipeline, a: MappingSpec, b: MappingSpec, difference: Difference
) -> list[AffectedTile]:
    """Tiles of these dashboards that show the pipeline and will break or change, those that break first."""
    subject = _Subject(a, b, difference)
    found = []
    for dashboard in dashboards:
        values = defaults(dashboard.document)
        for tile in dashboard.document.get("tiles") or ():
            made = _affected(dashboard, tile, values, pipeline, subject)
            if made is not None:
                found.append(made)
    return sorted(found, key=lambda one: (one.effect != "breaks", one.dashboard_title.lower()))


def _affected(
    dashboard: Dashboard, tile: Mapping[str, Any], values: Mapping[str, Value], pipeline: Pipeline, subject: _Subject
) -> AffectedTile | None:
    """What becomes of one tile, all its queries together; None where nothing does."""
    effects: set[Effect] = set()
    names: dict[str, None] = {}
    reasons: dict[str, None] = {}
    for query in queries_of(tile):
        spec = _parsed(dashboard.document, tile, query, values)
        if spec is None or spec.pipeline not in (pipeline.slug, str(pipeline.id)):
            continue
        effect, why = subject.effect(spec, tile)
        if why:
            effects.add(effect)
            names |= dict.fromkeys(subject.used(spec))
            reasons |= dict.fromkeys(why)
    if not effects:
        return None
    title = str(tile.get("title") or tile.get("kind") or "")
    worst: Effect = "breaks" if "breaks" in effects else "changes"
    return AffectedTile(dashboard.uid, dashboard.title, str(tile.get("id")), title, worst, tuple(names), tuple(reasons))


def _parsed(
    dashboard: Mapping[str, Any], tile: Mapping[str, Any], query: Mapping[str, Any], values: Mapping[str, Value]
) -> QuerySpec | None:
    """A query of a tile as it is asked before anybody chooses a variable."""
    span = tile.get("time") or dashboard.get("time") or {}
    try:
        asked = variables.apply({key: part for key, part in query.items() if key != "name"}, values)
        whole = {**span, "timezone": dashboard.get("timezone", "UTC"), **asked}
        if whole.get("every") == "auto":
            whole["every"] = "1m"
        return parse_query(whole, datetime.now(UTC))
    except Invalid:
        return None  # a document from before some rule: it shows nothing now either


@dataclass(frozen=True)
class _Subject:
    a: MappingSpec
    b: MappingSpec
    difference: Difference

    def used(self, spec: QuerySpec) -> list[str]:
        """The fields that a query names, in its order."""
        names = [measure.field for measure in spec.select if measure.field] + list(spec.by)
        if spec.where:
            for mapping in (self.a, self.b):
                try:
                    tree = parse_filter(spec.where, {field.name: field.type for field in mapping.fields})
                except Invalid:
                    continue
                names += sorted(filters.fields(tree))
                break
        if not spec.aggregated and not spec.select:
            names += [field.name for field in self.a.fields]
        return [name for name in dict.fromkeys(names) if name not in _SYSTEM]

    def effect(self, spec: QuerySpec, tile: Mapping[str, Any]) -> tuple[Effect, list[str]]:
        before, after = _refusal(spec, self.a), _refusal(spec, self.b)
        if after and not before:
            names = renamed(self.a, self.b)
            hints = [f"{name} is called {names[name]} now" for name in self.used(spec) if name in names]
            return "breaks", [*after, *hints]
        if before and not after:
            return "changes", ["it is refused now, and will work"]
        if before:
            return "changes", []
        changes = {one.name: one for one in self.difference.fields}
        why = [said for name in self.used(spec) if name in changes for said in _told(changes[name], tile)]
        why += self._rows(spec)
        return "changes", why

    def _rows(self, spec: QuerySpec) -> list[str]:
        """What is to be said of the rows themselves, which every tile shows one way or another."""
        found = []
        if self.difference.gone:
            found.append(f"{_count(self.difference.gone, 'row')} gone")
        if self.difference.new:
            found.append(f"{_count(self.difference.new, 'new row')}")
        moved = self.difference.time.differing
        if moved:
            found.append(f"{_count(moved, 'row')} at another time")
        return found


def _refusal(spec: QuerySpec, mapping: MappingSpec) -> list[str]:
    """Why a query is refused under a mapping."""
    fields: dict[str, FieldSpec] = {field.name: field for field in mapping.fields}
    try:
        check_query(spec, fields)
    except Invalid as error:
        return [what for _, what in error.problems] or [error.message]
    return []


def _told(change: FieldDifference, tile: Mapping[str, Any]) -> list[str]:
    """What became of one field, as far as a tile shows it."""
    before, after = change.before, change.after
    if before is None or after is None:
        return [f"{change.name} is {'new' if before is None else 'gone'}"]
    found = []
    if before.type != after.type:
        found.append(f"{change.name} is {after.type} and no longer {before.type}")
    if before.unit != after.unit:
        own = (tile.get("options") or {}).get("unit")
        kept = f"; the tile goes on to say {own}" if own and own != after.unit else ""
        found.append(f"{change.name} is in {after.unit or 'no unit'} and no longer in {before.unit or 'none'}{kept}")
    if before.role != after.role:
        found.append(f"{change.name} is a {after.role} and no longer a {before.role}")
    if change.differing:
        found.append(f"{_count(change.differing, 'value')} of {change.name} differ{'s' * (change.differing == 1)}")
    return found


def _count(number: int, one: str) -> str:
    return f"{number:,} {one if number == 1 else one + 's'}"
