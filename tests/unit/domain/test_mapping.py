"""Mapping documents: what they may hold, that every problem is named with its place, and their form as text."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.domain.errors import Invalid
from dash_app.domain.mapping import load_mapping_text, mapping_text, parse_mapping

CONTRACT = """
records: $.features[*]            # path to the records in a payload
time: {path: $.properties.time, format: epoch_ms}
key: [$.id]
on_duplicate: ignore
fields:
  - {name: magnitude, path: $.properties.mag, type: number, unit: Mw}
  - {name: place, path: $.properties.place, type: text, default: unknown}
  - {name: event, from: headers, path: $['x-github-event'], type: text}
  - {name: energy_j, sql: "pow(10, 1.5 * magnitude + 4.8)", type: number}
where: magnitude >= 0
on_error: reject
tests:
  - {name: a quake, payload: {a: 1}, records: [{magnitude: no}]}
"""
FIELD = {"name": "n", "path": "$.n", "type": "number"}


def problems(document: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        parse_mapping(document)
    return dict(caught.value.problems)


def field(**changes: Any) -> dict[str, Any]:
    return {"fields": [FIELD | changes]}


def test_the_documented_example_is_read() -> None:
    document = load_mapping_text(CONTRACT)
    spec = parse_mapping(document)
    assert spec.records == ("features", None)
    assert spec.time is not None
    assert (spec.time.path, spec.time.format) == (("properties", "time"), "epoch_ms")
    assert spec.key == (("id",),)
    assert [one.name for one in spec.metrics] == ["magnitude", "energy_j"]
    assert [one.name for one in spec.dimensions] == ["place", "event"]
    assert (spec.fields[2].origin, spec.fields[2].path) == ("headers", ("x-github-event",))
    assert (spec.fields[1].default, spec.fields[0].unit) == ("unknown", "Mw")
    assert spec.tests[0]["records"] == [{"magnitude": "no"}]
    assert spec.document == document


def test_role_follows_the_type_unless_it_is_given() -> None:
    spec = parse_mapping({"fields": [FIELD, {"name": "code", "path": "$.c", "type": "integer", "role": "dimension"}]})
    assert [one.role for one in spec.fields] == ["metric", "dimension"]


def test_every_problem_is_named_with_its_place() -> None:
    found = problems(
        {
            "fields": [
                FIELD,
                {"name": "N", "path": "$.n", "type": "numbr"},
                {"name": "1x", "path": "$.a[*]", "type": "text", "colour": "red"},
                {"name": "both", "path": "$.a", "sql": "1", "type": "number"},
                "x",
            ],
            "records": "features",
            "time": {"format": "%Q"},
            "key": "$.id",
            "on_error": "stop",
            "where": "",
            "colour": "red",
        }
    )
    assert found["fields[1].type"] == "'numbr' is unknown; one of number, integer, boolean, text, timestamp, json"
    assert "taken by fields[0]" in found["fields[1].name"]
    assert "not a field name" in found["fields[2].name"]
    assert "wildcard" in found["fields[2].path"]
    assert "unknown" in found["fields[2].colour"]
    assert "not both" in found["fields[3]"]
    assert {"fields[4]", "records", "time.path", "key", "on_error", "where", "colour"} <= found.keys()


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ([], ""),
        ({}, "fields"),
        ({"fields": []}, "fields"),
        ({"fields": [FIELD | {"name": f"f{n}"} for n in range(201)]}, "fields"),
        (field(name="time"), "fields[0].name"),
        (field(name="_x"), "fields[0].name"),
        (field(name="x" * 61), "fields[0].name"),
        (field(name="a b"), "fields[0].name"),
        (field(path=None), "fields[0]"),
        (field(path=5), "fields[0].path"),
        (field(unit="x" * 41), "fields[0].unit"),
        (field(role="measure"), "fields[0].role"),
        (field(type="text", role="metric"), "fields[0].role"),
        (field(**{"from": "body"}), "fields[0].from"),
        (field(path=None, sql="1", **{"from": "record"}), "fields[0].from"),
        (field(path="$.a.b", **{"from": "headers"}), "fields[0].path"),
        (field(default="x"), "fields[0].default"),
        (field(default=True), "fields[0].default"),
        (field(type="integer", default=1.5), "fields[0].default"),
        (field(type="integer", default=2**63), "fields[0].default"),
        (field(type="boolean", default=1), "fields[0].default"),
        (field(type="text", default=1), "fields[0].default"),
        (field(type="text", default="a\0"), "fields[0].default"),
        (field(type="timestamp", default="soon"), "fields[0].default"),
        (field(default=float("inf")), ""),
        (field(default={1, 2}), ""),
        ({"fields": [FIELD], "on_duplicate": "replace"}, "on_duplicate"),
        ({"fields": [FIELD], "key": ["$.a"] * 11}, "key"),
        ({"fields": [FIELD], "time": {"path": "$.a", "format": "soon"}}, "time.format"),
        ({"fields": [FIELD], "time": {"path": "$.a", "format": "%H:%M"}}, "time.format"),
        ({"fields": [FIELD], "time": {"path": "$.a", "format": "%Y-%m-%d %H:%M:%S.%f"}}, "time.format"),
        ({"fields": [FIELD], "time": {"path": "$.a", "format": "%Y %q"}}, "time.format"),
        ({"fields": [FIELD], "time": {"path": "$.a[*]"}}, "time.path"),
        ({"fields": [FIELD], "tests": [{"name": "x", "payload": 1}]}, "tests[0]"),
        ({"fields": [FIELD], "tests": [{"records": []}]}, "tests[0].name"),
        ({"fields": [FIELD], "tests": [{"name": "x", "payload": 1, "records": [1]}]}, "tests[0].records"),
        ({"fields": [FIELD], "where": "x" * 300_000}, ""),
    ],
)
def test_refused(document: Any, place: str) -> None:
    assert place in problems(document)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("number", 1), ("number", 1.5), ("integer", -1), ("boolean", False), ("text", ""), ("timestamp", "2024-01-01"),
        ("json", [1]),
    ],
)  # fmt: skip
def test_defaults_of_the_right_type(kind: str, value: Any) -> None:
    assert parse_mapping(field(type=kind, default=value)).fields[0].default == value


def test_an_unquoted_null_is_the_word_where_it_is_one() -> None:
    assert (
        parse_mapping(load_mapping_text("fields: [{name: n, path: $.n, type: number}]\non_error: null")).on_error
        == "null"
    )


def test_text_means_what_it_looks_like() -> None:
    loaded = load_mapping_text("a: no\nb: 2024-01-31\nc: 1e3\nd: 012\ne: true\nf: ~\ng: 0x1F\nh: .inf\ni: 1_000")
    assert loaded == {
        "a": "no", "b": "2024-01-31", "c": 1000.0, "d": "012", "e": True, "f": None, "g": "0x1F", "h": ".inf",
        "i": "1_000",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: &x 1\nb: *x", 2),
        ("a: [1\n", 2),
        ("\n\na: 1\na: 2", 4),
        ("a: !!python/object:os.system x", 1),
        ("a: " + "[" * 100, 1),
        ("? [1]\n: 2", 1),
        ("1: 2", 1),
        ("- a", 1),
        ("a: 'x", 1),
    ],
)
def test_bad_text_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(Invalid, match=f"^line {line}"):
        load_mapping_text(text)


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    bomb = "a: &a [x, x]\n" + "\n".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]" for n in range(20)
    )
    with pytest.raises(Invalid, match="aliases"):
        load_mapping_text(bomb)
    with pytest.raises(Invalid, match="bytes"):
        load_mapping_text("a: " + "x" * 300_000)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(
        st.characters(exclude_categories=["Cs", "Cc", "Cn"], exclude_characters="\u2028\u2029\x85\ufeff"), max_size=20
    ),
    st.sampled_from(["null", "no", "1", "1e5", "2024-01-31", "$['a']", "- x", "a: b", "", "~", "-", "on", "=", "<<"]),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
)


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=5), VALUES, max_size=4))
def test_a_document_is_the_same_after_a_trip_through_text(document: dict[str, Any]) -> None:
    assert load_mapping_text(mapping_text(document)) == document


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("18446744073709551616", "64 bits"), ("-9223372036854775809", "64 bits"), ("1e400", "too large"),
        (r'"\ud800"', "half a character"), (r'"\ud800x\udc00"', "half a character"),
    ],
)  # fmt: skip
def test_what_json_cannot_hold_is_refused_at_its_line(value: str, why: str) -> None:
    with pytest.raises(Invalid, match=f"^line 3, .*{why}"):
        load_mapping_text(f"fields: []\ntests:\n  - {value}\n")


def test_two_escapes_of_json_are_one_character() -> None:
    assert load_mapping_text(r'{"where": "a = \"\ud83d\ude00\""}') == {"where": 'a = "\U0001f600"'}
    assert load_mapping_text("most: 18446744073709551615\nleast: -9223372036854775808\n") == {
        "most": 2**64 - 1,
        "least": -(2**63),
    }


KEYS = "fields name path type sql time key tests records where default payload x"
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS.split(" ")), inner, max_size=5),
)


@given(DOCUMENTS)
def test_any_document_is_a_mapping_or_invalid(document: Any) -> None:
    with contextlib.suppress(Invalid):
        assert parse_mapping({"fields": [FIELD]} | document if isinstance(document, dict) else document).fields
