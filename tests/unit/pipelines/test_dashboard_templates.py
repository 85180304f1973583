"""Templates: each fills with the fields of pipelines as they are, and what it asks of them is asked without a fault."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from dash_app.demo.definitions import pipelines as demo_pipelines
from dash_app.domain import variables
from dash_app.domain.dashboards import check_dashboard, queries_of
from dash_app.domain.mapping import parse_mapping
from dash_app.domain.query import parse_query
from dash_app.domain.specs import FieldSpec
from dash_app.domain.templating import declared, defaults
from dash_app.pipelines.dashboard_templates import Template, all_templates, fill, guess, template
from dash_app.pipelines.query import check_query
from tests.unit.pipelines.test_propose import field, pipeline

TEMPLATES = pytest.mark.parametrize("chosen", all_templates(), ids=lambda one: one.name)
SPAN = {"from": "now-1h", "to": "now"}


def fields(*documents: dict[str, Any]) -> tuple[FieldSpec, ...]:
    return parse_mapping({"fields": list(documents)}).fields


def asked(document: dict[str, Any], found: tuple[FieldSpec, ...]) -> int:
    """Asks every query of a dashboard beside the fields of its pipeline; how many there are."""
    by_name = {one.name: one for one in found}
    count = 0
    for tile in document["tiles"]:
        for query in queries_of(tile):
            whole = variables.apply({key: part for key, part in query.items() if key != "name"}, defaults(document))
            every = {"every": "1m"} if whole.get("every") == "auto" else {}
            check_query(parse_query({**SPAN, **whole, **every}, datetime.now(UTC)), by_name)
            count += 1
    for one in declared(document):
        if one["type"] == "query":
            assert one["query"]["field"] in by_name
    return count


def test_there_are_the_four_that_were_promised() -> None:
    assert {one.name for one in all_templates()} == {"web_shop", "device_fleet", "github_repository", "weather"}


@TEMPLATES
def test_with_all_of_its_inputs_a_template_is_whole(chosen: Template) -> None:
    found = fields(*(field(one.guess[0], one.types[0], unit="u") for one in chosen.inputs))
    inputs = guess(chosen, found)
    assert inputs == {one.name: one.guess[0] for one in chosen.inputs}
    made = check_dashboard({**fill(chosen, pipeline("all"), found, inputs), "uid": "x"})
    layout = [tile for row in chosen.layout["rows"] for tile in row if "without" not in tile]
    assert len(made["tiles"]) == len(layout)
    assert asked(made, found) >= len(layout)
    assert "{" not in str([tile["title"] for tile in made["tiles"]])
    assert len({tile["kind"] for tile in made["tiles"]}) >= 5
    assert declared(made)
    ends: dict[int, int] = {}
    for tile in made["tiles"]:
        at = tile["gridPos"]
        ends[at["y"]] = max(ends.get(at["y"], 0), at["x"] + at["w"])
    assert set(ends.values()) == {12}


@TEMPLATES
def test_with_what_it_needs_alone_the_rest_is_left_out(chosen: Template) -> None:
    needed = [one for one in chosen.inputs if one.needed]
    found = fields(*(field(f"f{number}", one.types[0]) for number, one in enumerate(needed)))
    made = check_dashboard({**fill(chosen, pipeline("few"), found, guess(chosen, found)), "uid": "x"})
    assert asked(made, found) >= 5
    assert "{" not in str(made["tiles"]).replace("{'", "").replace("{}", "")


@pytest.mark.parametrize("definition", demo_pipelines("http://localhost:1"), ids=lambda one: str(one["slug"]))
@TEMPLATES
def test_on_real_mappings(chosen: Template, definition: dict[str, Any]) -> None:
    found = parse_mapping(definition["mapping"]).fields
    made = check_dashboard({**fill(chosen, pipeline(definition["slug"]), found, guess(chosen, found)), "uid": "x"})
    assert asked(made, found) >= 5


def test_fields_are_guessed_by_name_and_type_and_taken_once() -> None:
    found = fields(
        field("id", "text"),
        field("customerId", "integer"),
        field("total_price", "number", unit="EUR"),
        field("price", "number"),
        field("shipping_country", "text"),
        field("status", "text"),
        field("lat", "text"),
    )
    assert guess(template("web_shop"), found) == {
        "amount": "total_price",
        "customer": "customerId",
        "country": "shipping_country",
        "status": "status",
    }


def test_a_field_named_like_a_word_of_conditions_stands_in_quotes() -> None:
    found = fields(field("end", "text"), field("amount", "number"))
    made = fill(template("web_shop"), pipeline("odd"), found, {"amount": "amount", "country": "end"})
    assert made["tiles"][0]["query"]["where"] == '"end" in ($country)'
    assert asked(check_dashboard({**made, "uid": "x"}), found)


def test_a_template_about_something_else_is_not_filled_by_types_alone() -> None:
    ride = fields(field("power", "number"), field("effort", "text"))
    shop = template("web_shop")
    # Whoever names the template gets the likeliest field; a page says that nothing is called so.
    assert guess(shop, ride) == {"amount": "power"}
    assert guess(shop, ride, by_name=True) == {}
    assert guess(shop, fields(field("order_total", "number")), by_name=True) == {"amount": "order_total"}
