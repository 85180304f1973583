"""Reading bodies, parameters and Accept headers, and the schemas they are held against."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.domain.errors import BadRequest, Invalid
from dash_app.domain.strict_json import holds_nul, read_json
from dash_app.web.api.documents import read_body, read_query
from dash_app.web.api.operation import PAGED
from dash_app.web.api.querying import ARROW, CSV, JSON, preferred
from dash_app.web.api.schema import array_of, nullable, object_of, problems_of

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
SCHEMA = object_of(
    {
        "name": {"type": "string", "minLength": 1, "maxLength": 5},
        "count": {"type": "integer", "minimum": 1, "maximum": 9},
        "kind": {"type": "string", "enum": ["a", "b"]},
        "tags": array_of({"type": "string"}, maxItems=2),
        "inner": object_of({"on": nullable({"type": "boolean"})}, closed=True),
    },
    required=("name",),
    closed=True,
)


@given(st.dictionaries(st.text(), JSON_VALUES, max_size=5))
def test_what_python_writes_is_read_back(document: dict[str, Any]) -> None:
    assert read_json(json.dumps(document).encode()) == document


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_a_bad_request(body: bytes) -> None:
    with suppress(BadRequest):
        assert isinstance(read_json(body), dict)


def test_a_problem_names_line_and_column_or_the_key() -> None:
    with pytest.raises(BadRequest, match="line 2, column 3"):
        read_json(b"{\n  nope}")
    with pytest.raises(BadRequest, match="'a' stands twice"):
        read_json(b'{"x": {"a": 1, "a": 2}}')


@given(JSON_VALUES)
def test_the_schema_accepts_what_json_schema_accepts(value: Any) -> None:
    document = (
        value if isinstance(value, dict) else {"name": value, "count": value, "tags": value, "inner": {"on": value}}
    )
    theirs = jsonschema.Draft202012Validator(SCHEMA).is_valid(document)
    # One difference is meant: 1.0 is an integer for JSON Schema and none for us.
    if not any(isinstance(one, float) for one in document.values()):
        assert (not problems_of(SCHEMA, document)) == theirs


def test_every_wrong_place_is_named() -> None:
    wrong = {"name": "", "count": True, "kind": "c", "tags": ["x", 1], "inner": {"on": 1, "off": 2}, "more": 1}
    with pytest.raises(Invalid) as raised:
        read_body(json.dumps(wrong).encode(), SCHEMA)
    places = [place for place, _ in raised.value.problems]
    assert places == ["name", "count", "kind", "tags[1]", "inner.on", "inner.off", "more"]


def test_parameters_have_defaults_and_bounds() -> None:
    assert read_query({}, PAGED) == {"limit": 100, "cursor": None}
    assert read_query({"limit": [b"7"]}, PAGED)["limit"] == 7
    for given_value in (b"0", b"1001", b"7.0", b" 7", b"", b"\xd9\xa7"):
        with pytest.raises(BadRequest, match="limit"):
            read_query({"limit": [given_value]}, PAGED)


def test_nul_is_found_wherever_it_hides() -> None:
    assert holds_nul({"a": [{"b": "x\x00"}]})
    assert holds_nul({"a\x00": 1})
    assert not holds_nul({"a": ["b", 1, None, {"c": "d"}]})


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("text/csv", CSV),
        (f"{ARROW}, application/json;q=0.9", ARROW),
        ("text/csv;q=0.1, application/json;q=0.2", JSON),
        ("text/csv;q=zero", JSON),
        ("image/png", JSON),
    ],
)
def test_the_best_content_type_is_taken(accept: str, wanted: str) -> None:
    assert preferred(accept) == wanted
