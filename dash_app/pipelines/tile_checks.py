"""A dashboard's queries beside the pipelines that they ask: what a document cannot tell by itself.

Whether there is such a pipeline, whether it has such fields, and whether they can be summed, compared or grouped by.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dash_app.domain import variables
from dash_app.domain.dashboards import check_dashboard
from dash_app.domain.errors import Invalid, NotFound
from dash_app.domain.query import parse_query
from dash_app.domain.specs import FieldSpec
from dash_app.domain.templating import check_templating
from dash_app.pipelines.query import check_query
from dash_app.storage import catalog, silver_read
from dash_app.storage.unit import Unit

Problems = list[tuple[str, str]]


def dashboard_problems(unit: Unit, document: Mapping[str, Any]) -> Problems:
    """(place, message) of all that is wrong with a document, by its own rules and beside the pipelines it asks."""
    found: Problems = []
    try:
        check_dashboard(document)
    except Invalid as error:
        found = list(error.problems) or [("", error.message)]
    known: dict[str, Mapping[str, FieldSpec] | None] = {}
    values = check_templating(document.get("templating"), []).likely
    tiles = document.get("tiles")
    for number, tile in enumerate(tiles if isinstance(tiles, list) else []):
        if not isinstance(tile, Mapping):
            continue
        several = tile.get("queries")
        asked = (
            [(f"tiles[{number}].queries[{at}]", one) for at, one in enumerate(several)]
            if isinstance(several, list)
            else [(f"tiles[{number}].query", tile.get("query"))]
        )
        for place, query in asked:
            # What is wrong by itself already is not asked of a pipeline.
            if isinstance(query, Mapping) and not any(where.startswith(place) for where, _ in found):
                found += [
                    (f"{place}.{where}" if where else place, what) for where, what in _asked(unit, query, values, known)
                ]
    return found


def _asked(
    unit: Unit,
    query: Mapping[str, Any],
    values: Mapping[str, Any],
    known: dict[str, Mapping[str, FieldSpec] | None],
) -> Problems:
    try:
        plain = variables.apply({key: part for key, part in query.items() if key != "name"}, values)
        every = {"every": "1m"} if plain.get("every") == "auto" else {}
        spec = parse_query({**plain, **every}, datetime.now(UTC))
        if spec.pipeline not in known:
            known[spec.pipeline] = fields_of(unit, spec.pipeline)
        fields = known[spec.pipeline]
        if fields is None:
            return [("pipeline", f"no pipeline '{spec.pipeline[:80]}'")]
        check_query(spec, fields)
    except Invalid as error:
        return list(error.problems) or [("", error.message)]
    return []


def fields_of(unit: Unit, ref: str) -> Mapping[str, FieldSpec] | None:
    """The fields that a pipeline's records have, by name, in the order of its mapping; None where there is no such
    pipeline."""
    try:
        pipeline = catalog.pipeline(unit, ref)
    except NotFound:
        return None
    return {field.name: field for field in silver_read.newest_fields(catalog.versions(unit, pipeline.id))}
