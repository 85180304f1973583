"""Kinds of tile: what their options may be, what is said of wrong ones, and that all who speak of them agree."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dash_app.domain.errors import Invalid
from dash_app.domain.tiles import TILES, TileKind
from dash_app.domain.tiles.shapes import problems, record

ROOT = Path(__file__).parents[4]
DOCS = (ROOT / "docs" / "tiles.md").read_text()
KINDS = list(TILES)


def named(kind: type[TileKind]) -> str:
    return kind.kind


def test_the_ten_kinds_are_there() -> None:
    assert TILES.names() == ["bar", "gauge", "heatmap", "line", "map", "pie", "stat", "state", "table", "text"]
    with pytest.raises(Invalid, match="sankey"):
        TILES["sankey"]


@pytest.mark.parametrize("kind", KINDS, ids=named)
def test_a_kind_says_what_it_is_and_its_example_is_right(kind: type[TileKind]) -> None:
    assert kind.title
    assert kind.summary
    assert kind.needs
    options = kind.example.get("options", {})
    assert kind.from_options(options).to_options() == options
    assert all(parameter.doc for parameter in kind.options().values())
    schema = kind.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(options, schema)
    assert kind.example["kind"] == kind.kind
    assert ("query" in kind.example) == (kind.queries != "none")


@pytest.mark.parametrize("kind", KINDS, ids=named)
def test_the_browser_draws_it_and_names_the_same_needs(kind: type[TileKind]) -> None:
    module = (ROOT / "dash_app" / "assets" / "tiles" / f"{kind.kind}.js").read_text()
    found = re.search(r'^export const needs = "(.*)";$', module, re.MULTILINE)
    assert found is not None
    assert found[1] == kind.needs
    assert ("export const withoutQuery = true" in module) == (kind.queries == "none")


def documented(kind: type[TileKind]) -> dict[str, str]:
    """The table of options in the kind's section of docs/tiles.md: name → what it says of the default."""
    section = re.search(rf"^## {re.escape(kind.title)}$(.*?)(?=^## |\Z)", DOCS, re.MULTILINE | re.DOTALL)
    assert section is not None, f"docs/tiles.md has no section for {kind.title}"
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]*?) \|", section[1], re.MULTILINE))


COMMON = {"unit", "decimals", "thresholds"}


@pytest.mark.parametrize("kind", KINDS, ids=named)
def test_the_docs_name_every_option_with_its_values(kind: type[TileKind]) -> None:
    table = documented(kind)
    options = kind.options()
    assert set(table) == set(options) - COMMON
    for name, values in table.items():
        schema = kind.json_schema()["properties"][name]
        default = options[name].default
        if "enum" in schema:
            assert values.split(" ") == [f"**{v}**" if v == default else v for v in schema["enum"]], name
        elif isinstance(default, bool):
            assert values == ("**true** false" if default else "true **false**"), name
        elif isinstance(default, int | float):
            assert f"**{default}**" in values, name
    assert kind.needs in DOCS


def test_the_docs_have_the_examples() -> None:
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", DOCS, re.DOTALL)]
    for kind in KINDS:
        assert kind.example in shown, kind.kind


@pytest.mark.parametrize(
    ("kind", "options", "place", "words"),
    [
        ("line", {"stacked": "up"}, "options.stacked", "percent"),
        ("line", {"colour": "red"}, "options.colour", "no such option"),
        ("line", {"min": 4, "max": 4}, "options.max", "above min"),
        ("line", {"log": True, "min": 0}, "options.min", "above 0"),
        ("line", {"log": True, "stacked": True}, "options.log", "no meaning"),
        ("line", {"series": {"a": {"axis": "top"}}}, "options.series.a.axis", "left, right"),
        ("line", {"series": {"a": "red"}}, "options.series.a", "an object"),
        ("stat", {"thresholds": [{"value": "9", "color": "red"}]}, "options.thresholds[0].value", "a number"),
        ("stat", {"thresholds": [{"value": 9}]}, "options.thresholds[0].color", "is needed"),
        ("stat", {"thresholds": [{"color": "url(x)"}]}, "options.thresholds[0].color", "green, yellow"),
        ("stat", {"decimals": 40}, "options.decimals", "12"),
        ("stat", {"unit": 3}, "options.unit", "String"),
        ("gauge", {"min": 200}, "options.max", "above min"),
        ("table", {"columns": [{"title": "x"}]}, "options.columns[0].field", "is needed"),
        ("table", {"columns": [{"field": "a"}, {"field": "a"}]}, "options.columns[1].field", "already"),
        ("table", {"columns": [{"field": "a", "color": "rainbow"}]}, "options.columns[0].color", "heat"),
        ("table", {"pageSize": 5000}, "options.pageSize", "500"),
        ("state", {"colors": {"open": "pinkish"}}, "options.colors.open", "#rrggbb"),
        ("text", {"markdown": "x" * 20_001}, "options.markdown", "20,000"),
        ("text", {"unit": "m"}, "options.unit", "no such option"),
    ],
)
def test_a_wrong_option_is_named_with_what_would_be_right(
    kind: str, options: dict[str, Any], place: str, words: str
) -> None:
    with pytest.raises(Invalid) as raised:
        TILES[kind].from_options(options)
    found = dict(raised.value.problems)
    assert place in found
    assert words in found[place]


def test_what_was_written_before_there_were_names_is_still_read() -> None:
    assert TILES["line"].from_options({"stacked": True}).to_options() == {"stacked": "normal"}
    assert TILES["line"].from_options({"stacked": False}).to_options() == {}
    assert TILES["bar"].from_options({"stacked": False}).to_options() == {"stacked": "none"}


@pytest.mark.parametrize("color", ["green", "series-8", "accent", "#abc", "#A1b2C3"])
def test_colours_that_are_known(color: str) -> None:
    options = {"thresholds": [{"value": None, "color": color}]}
    assert TILES["stat"].from_options(options).to_options() == options
    jsonschema.validate(options, TILES["stat"].json_schema())


def test_parts_are_checked_by_the_schema_that_describes_them() -> None:
    schema: dict[str, Any] = {
        "type": "array",
        "maxItems": 2,
        "items": record(("a",), a={"type": "integer", "minimum": 1}),
    }
    values: list[Any] = [[], [{"a": 1}], [{"a": 0}], [{"a": True}], [{"b": 1}], [{}], "x", [{"a": 1}] * 3, [{"a": 1.5}]]
    for value in values:
        wrong = list(problems(value, schema, "v"))
        assert bool(wrong) != jsonschema.Draft202012Validator(schema).is_valid(value), value
