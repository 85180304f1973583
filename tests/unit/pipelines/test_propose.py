"""The first dashboard of a pipeline, and what is accepted as one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from dash_app.demo.dashboards import dashboards as demo_dashboards
from dash_app.demo.definitions import pipelines as demo_pipelines
from dash_app.domain.errors import Invalid
from dash_app.domain.mapping import parse_mapping
from dash_app.domain.specs import Pipeline
from dash_app.pipelines.dashboards import check_dashboard
from dash_app.pipelines.propose import propose_dashboard


def pipeline(slug: str = "weather") -> Pipeline:
    return Pipeline(UUID(int=1), UUID(int=2), slug, slug.title(), "active", "webhook", {}, 1, {}, datetime.now(UTC), 1)


def field(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "path": f"$.{name}", "type": kind, **more}


def proposed(*fields: dict[str, Any], **counts: int) -> dict[str, Any]:
    return propose_dashboard(pipeline(), parse_mapping({"fields": list(fields)}), counts=counts)


def kinds(document: dict[str, Any]) -> list[str]:
    return [tile["kind"] for tile in document["tiles"]]


@pytest.mark.parametrize("definition", demo_pipelines("http://localhost:1"), ids=lambda one: str(one["slug"]))
def test_what_is_proposed_is_accepted_and_does_not_overlap(definition: dict[str, Any]) -> None:
    document = propose_dashboard(pipeline(definition["slug"]), parse_mapping(definition["mapping"]))
    assert check_dashboard(document)["uid"] == definition["slug"]
    taken: set[tuple[int, int]] = set()
    for tile in document["tiles"]:
        place = tile["gridPos"]
        cells = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert not taken & cells
        taken |= cells
    assert {"stat", "line", "table"} <= set(kinds(document))


def test_lines_are_grouped_by_the_dimension_with_the_fewest_values() -> None:
    fields = (field("n", "number", unit="m"), field("place", "text"), field("site", "text"))
    by_name = [tile for tile in proposed(*fields)["tiles"] if tile["kind"] == "line"]
    assert by_name[0]["query"]["by"] == ["site"]
    assert by_name[0]["options"]["unit"] == "m"
    counted = proposed(*fields, site=400, place=3)
    assert next(tile for tile in counted["tiles"] if tile["kind"] == "bar")["query"]["by"] == ["place"]


def test_kinds_go_before_yes_and_no_and_before_what_is_always_different() -> None:
    fields = (
        field("n", "number"),
        field("event_version", "text"),
        field("ok", "boolean"),
        field("region_name", "text"),
        field("customer_name", "text"),
    )
    assert [tile["query"]["by"] for tile in proposed(*fields)["tiles"] if tile["kind"] == "bar"] == [["region_name"]]
    assert [tile["query"]["by"] for tile in proposed(*fields[:3])["tiles"] if tile["kind"] == "bar"] == [["ok"]]
    assert "bar" not in kinds(proposed(fields[0], fields[1], fields[4]))


def test_ids_and_texts_alone_still_make_a_dashboard() -> None:
    document = check_dashboard(proposed(field("id", "text"), field("payload", "json")))
    assert kinds(document) == ["stat", "line", "table"]
    assert document["tiles"][2]["query"]["select"] == [{"field": "id"}]
    assert check_dashboard(proposed(field("payload", "json")))["tiles"]


def test_coordinates_and_sequences_are_not_what_one_wants_to_see_first() -> None:
    document = proposed(field("sequence", "integer"), field("latitude", "number"), field("magnitude", "number"))
    assert document["tiles"][0]["query"]["select"][0]["field"] == "magnitude"


def test_the_demos_own_dashboards_are_accepted() -> None:
    for document in demo_dashboards():
        assert check_dashboard(document)["tiles"] == document["tiles"]


def test_every_wrong_place_of_a_dashboard_is_named() -> None:
    tile = {
        "id": 1,
        "kind": "stat",
        "gridPos": {"x": 0, "y": 0, "w": 3, "h": 3},
        "query": {"pipeline": "w", "select": [{"agg": "count"}]},
    }
    wrong = {
        "title": " ",
        "uid": "No",
        "colour": 1,
        "time": {"from": "someday", "to": "now"},
        "tiles": [tile, tile, {**tile, "id": 2, "query": {**tile["query"], "from": "now-1h"}}, "tile"],
    }
    with pytest.raises(Invalid) as raised:
        check_dashboard(wrong)
    places = [place for place, _ in raised.value.problems]
    assert set(places) >= {"title", "uid", "colour", "time.from", "tiles[1].id", "tiles[2].query.from", "tiles[3]"}
    with pytest.raises(Invalid, match="at most"):
        check_dashboard({"title": "x", "description": "y" * 600_000})


def test_states_places_and_shares_are_shown_as_what_they_are() -> None:
    document = check_dashboard(
        proposed(
            field("device", "text"),
            field("status", "text"),
            field("region", "text"),
            field("temperature", "number", unit="°C"),
            field("lat", "number"),
            field("lon", "number"),
        )
    )
    by_kind = {tile["kind"]: tile for tile in document["tiles"]}
    assert set(by_kind) == {"stat", "line", "state", "bar", "pie", "map", "table"}
    assert by_kind["state"]["query"]["by"] == ["device"]
    assert by_kind["state"]["query"]["select"] == [{"field": "status", "agg": "last", "as": "status"}]
    assert by_kind["map"]["options"] == {
        "lat": "lat", "lon": "lon", "cluster": True, "value": "temperature", "unit": "°C", "label": "device",
    }  # fmt: skip
    variables = document["templating"]["list"]
    assert [(one["name"], one["query"]["field"], one["current"]) for one in variables] == [
        ("status", "status", "$__all"),
        ("region", "region", "$__all"),
    ]
    assert {tile["query"]["where"] for tile in document["tiles"]} == {"status in ($status) and region in ($region)"}


def test_a_variable_has_a_name_that_can_be_one() -> None:
    document = check_dashboard(proposed(field("n", "number"), field("Kind", "text"), field("end", "text")))
    assert [one["name"] for one in document["templating"]["list"]] == ["kind"]
    odd = check_dashboard(proposed(field("n", "number"), field("end", "text")))
    assert odd["tiles"][0]["query"]["where"] == '"end" in ($end)'
