"""What differs, and what is made of it: without a database."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dash_app.domain.mapping import MAX_FIELDS, MAX_METRICS, parse_mapping
from dash_app.pipelines.drift import evolved
from dash_app.pipelines.drift_notes import MAX_PATHS, fits, kinds_of, note, watched_paths
from dash_app.pipelines.drift_report import ABSENT, Difference, differences_of
from dash_app.pipelines.mapping import compile_mapping, sample_payload
from dash_app.storage.sightings import Look, Sighting

NOW = datetime(2024, 1, 1, tzinfo=UTC)
MAPPING: dict[str, Any] = {
    "time": {"path": "$.at"},
    "key": ["$.id"],
    "fields": [
        {"name": "n", "path": "$.n", "type": "number"},
        {"name": "raw", "path": "$.raw", "type": "json"},
        {"name": "main", "path": "$.weather[0].main", "type": "text"},
        {"name": "event", "path": "$['x-event']", "from": "headers", "type": "text"},
        {"name": "twice", "sql": "n * 2", "type": "number"},
    ],
}
RECORD = {"at": "2024-01-01T00:00:00Z", "id": "a", "n": 1, "raw": {"x": 1}, "weather": [{"main": "Rain"}]}


def noted(*records: Any, mapping: Any = None, known: bool = False) -> tuple[Look, dict[str, Sighting]]:
    at, seen = Look(), {}
    loaded = [sample_payload(json.dumps(record), number=n) for n, record in enumerate(records, 1)]
    spec = parse_mapping(mapping or MAPPING)
    note(loaded, spec, at, seen, known_until=None if known else datetime(1999, 1, 1, tzinfo=UTC))
    return at, seen


def different(at: Look, seen: dict[str, Sighting], mapping: Any = None) -> list[tuple[str, str, str]]:
    watched = watched_paths(parse_mapping(mapping or MAPPING))
    return [(one.what, one.path, one.after) for one in differences_of(watched, at, seen)]


def test_what_the_mapping_reads_is_no_difference() -> None:
    at, seen = noted(RECORD, RECORD)
    assert different(at, seen) == []
    assert set(seen) == {"$.at", "$.id", "$.n", "$.raw", "$.raw.x", "$.weather[0].main", "$.weather"}
    assert (seen["$.n"].kinds, seen["$.n"].payloads, seen["$.n"].example) == ({"integer": 2}, 2, "1")
    assert seen["$.at"].kinds == {"time": 2}


def test_new_paths_and_other_kinds() -> None:
    at, seen = noted(RECORD | {"n": "x", "at": "soon", "new": {"deep": [1]}, "id": 5, "none": None})
    assert different(at, seen) == [
        ("new", "$.new.deep", "array"),
        ("changed", "$.n", "text"),
        ("changed", "$.at", "text"),
    ]
    assert seen["$.new.deep"].proposal == [{"name": "new_deep", "path": "$.new.deep", "type": "json"}]


def test_what_was_known_is_no_difference() -> None:
    at, seen = noted(RECORD | {"n": "x", "new": 1}, known=True)
    assert different(at, seen) == []
    assert seen["$.new"].known == {"integer"}


def test_a_mapping_of_elements_watches_the_elements() -> None:
    page = {"name": "p", "path": "$.page", "from": "payload", "type": "number"}
    mapping = {"records": "$.data[*]", "fields": [{"name": "v", "path": "$.v", "type": "integer"}, page]}
    at, seen = noted({"page": 1, "data": [{"v": 1}, {"v": 1.5, "w": True}]}, mapping=mapping)
    assert different(at, seen, mapping) == [("new", "$.w", "boolean"), ("changed", "$.v", "number")]


def test_ids_as_keys_are_not_so_many_fields() -> None:
    at, seen = noted(RECORD | {"counts": {str(n): n for n in range(1000)}})
    assert different(at, seen) == []
    _, many = noted(*({f"field{chr(97 + n % 26)}{chr(97 + n // 26)}": 1} for n in range(MAX_PATHS + 50)))
    assert len(many) == MAX_PATHS


def test_endless_names_are_passed_over() -> None:
    _, seen = noted(RECORD | {"x" * 600: 1, "y" * 400: 1})
    assert [len(path) for path in seen if len(path) > 100] == [402]


def test_absence_is_told_apart_from_rarity() -> None:
    often = Sighting("$.n", NOW, NOW, {"integer": 100}, payloads=100, place=100)
    rare = Sighting("$.raw", NOW, NOW, {"object": 2}, payloads=2, place=100)
    seen = {"$.n": often, "$.raw": rare}
    assert different(Look(payloads=100 + ABSENT - 1), seen) == []
    assert different(Look(payloads=100 + ABSENT), seen) == [("vanished", "$.n", "")]
    assert different(Look(payloads=100 + 20 * 50), seen) == [("vanished", "$.n", ""), ("vanished", "$.raw", "")]
    often.missed = True
    assert different(Look(payloads=100 + ABSENT), seen) == []


@pytest.mark.parametrize(
    ("value", "wanted", "kind"),
    [
        (" 5 ", "", "integer"),
        ("5.5", "number", "number"),
        ("007", "", "text"),
        ("007", "number", "integer"),
        ("yes", "", "boolean"),
        ("1", "boolean", "boolean"),
        ("1", "", "integer"),
        ("2024-01-01", "", "time"),
        ("5", "text", "text"),
        ("n/a", "number", "text"),
    ],
)
def test_kinds_of_texts(value: str, wanted: str, kind: str) -> None:
    assert kinds_of([value], wanted, textual=True) == [kind]


def test_kinds_of_json() -> None:
    values = [True, 1, 1.0, 1.5, 2**70, "x", "2024-01-01T00:00:00Z", "2024", [], {}]
    assert kinds_of(values) == [
        "boolean", "integer", "integer", "number", "number", "text", "time", "text", "array", "object",
    ]  # fmt: skip
    assert fits("number", "integer")
    assert not fits("integer", "number")
    assert fits("text", "time")
    assert not fits("timestamp", "text")
    assert fits("json", "array")


def new(name: str, **more: Any) -> Difference:
    return Difference(
        "new", f"$.{name}", "", "number", NOW, [{"name": name, "path": f"$.{name}", "type": "number"} | more]
    )


def test_fields_are_added_behind_the_others_under_free_names() -> None:
    text = {"name": "n_text", "path": "$.N", "type": "text"}
    number = {"name": "n", "sql": "try_cast(n_text as number)", "type": "number"}
    grown, added = evolved(MAPPING, [Difference("new", "$.N", "", "text", NOW, [text, number]), new("twice")])
    assert grown["fields"][:5] == MAPPING["fields"]
    assert grown["fields"][5:] == [
        {"name": "n_text", "path": "$.N", "type": "text"},
        {"name": "n_2", "sql": "try_cast(n_text as number)", "type": "number"},
        {"name": "twice_2", "path": "$.twice", "type": "number"},
    ]
    assert added == {"$.N": ["n_text", "n_2"], "$.twice": ["twice_2"]}
    compile_mapping(parse_mapping(grown))
    assert len(MAPPING["fields"]) == 5


def test_a_mapping_grows_no_further_than_one_may() -> None:
    document: dict[str, Any] = {"fields": [{"name": "a", "path": "$.a", "type": "text"}]}
    for _ in range(10):
        names = [f"f{len(document['fields']) + n}" for n in range(60)]
        document, _ = evolved(document, [new(name) for name in names])
    spec = parse_mapping(document)
    assert len(spec.fields) == MAX_FIELDS
    assert len(spec.metrics) == MAX_METRICS
    compile_mapping(spec)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(["2024-01-01T00:00:00Z", "1.5", "\0"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["n", "raw", "a", "A", "é", "", "x y", "time", "'", "\0"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.lists(VALUES, max_size=4))
@settings(max_examples=80, deadline=None)
def test_whatever_comes_a_mapping_can_grow_by_what_is_new(values: list[Any]) -> None:
    at, seen = noted(*values)
    grown, _ = evolved(MAPPING, differences_of(watched_paths(parse_mapping(MAPPING)), at, seen))
    compile_mapping(parse_mapping(grown))
    for one in seen.values():
        assert "\0" not in one.path + one.example + json.dumps(one.proposal)
    assert not any(
        one.what == "new" and one.proposal for one in differences_of(watched_paths(parse_mapping(grown)), at, seen)
    )
