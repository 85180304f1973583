"""Proposals: right about the samples, careful about what is to come."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dash_app.domain.mapping import parse_mapping
from dash_app.pipelines.infer import MAX_FIELDS, infer_mapping
from dash_app.pipelines.mapping import compile_mapping, sample_payload
from dash_app.pipelines.names import field_name, snake_case, unit_of


def inferred(*bodies: Any, kind: str = "application/json", headers: dict[str, str] | None = None) -> dict[str, Any]:
    found = infer_mapping(samples(*bodies, kind=kind, headers=headers))
    assert found is not None
    return found[0]


def samples(*bodies: Any, kind: str = "application/json", headers: dict[str, str] | None = None) -> list[Any]:
    texts = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
    return [sample_payload(text, number=n, content_type=kind, headers=headers) for n, text in enumerate(texts, 1)]


def types(document: dict[str, Any]) -> dict[str, str]:
    return {field["name"]: field["type"] for field in document["fields"]}


def test_a_reading() -> None:
    body = {
        "ts": "2024-01-01T00:00:00Z",
        "temp_c": 21,
        "load_pct": 3.5,
        "site": "a",
        "ok": True,
        "device": {"id": 5, "model": "x"},
    }
    found = infer_mapping(samples(body, body))
    assert found is not None
    document, note = found
    assert note == "inferred from the first 2 payloads: 6 fields, time from $.ts"
    assert document["time"] == {"path": "$.ts"}
    assert "key" not in document
    assert types(document) == {
        "temp_c": "number",
        "load_pct": "number",
        "site": "text",
        "ok": "boolean",
        "device_id": "integer",
        "device_model": "text",
    }
    assert document["fields"][0]["unit"] == "°C"
    assert document["fields"][4]["role"] == "dimension"


def test_whole_numbers_may_get_fractions_later() -> None:
    document = inferred({"v": 5})
    mapped = compile_mapping(parse_mapping(document)).run(samples({"v": 5.5}))
    assert mapped.frame["v"].to_list() == [5.5]


@pytest.mark.parametrize("name", ["data", "items", "results", "readings"])
def test_records_in_an_array_of_a_usual_name(name: str) -> None:
    document = inferred({"total": 2, "page": 1, "next": None, name: [{"v": 1}, {"v": 2}]})
    assert document["records"] == f"$.{name}[*]"
    assert types(document) == {"v": "number"}


def test_nested_arrays() -> None:
    assert inferred({"response": {"data": [{"v": 1}]}})["records"] == "$.response.data[*]"
    assert inferred({"stations": [{"v": 1}]})["records"] == "$.stations[*]"
    assert "records" not in inferred({"id": 1, "customer": "x", "total": 5, "lines": [{"sku": "a"}]})


def test_geojson() -> None:
    feature = {
        "type": "Feature",
        "id": "us7000",
        "properties": {"mag": 4.5, "place": "x", "time": 1700000000123, "updated": 1700000009999, "url": "https://x/y"},
        "geometry": {"type": "Point", "coordinates": [10.5, 59.9, 3.0]},
    }
    document = inferred({"type": "FeatureCollection", "metadata": {"count": 1}, "features": [feature, feature]})
    assert document["records"] == "$.features[*]"
    assert document["time"] == {"path": "$.properties.time", "format": "epoch_ms"}
    assert types(document) == {
        "id": "text",
        "mag": "number",
        "place": "text",
        "longitude": "number",
        "latitude": "number",
        "altitude": "number",
    }


def test_github_events_keep_their_kind_and_are_one_record() -> None:
    body = {
        "ref": "refs/heads/main",
        "commits": [{"id": "x"}],
        "repository": {"id": 5, "name": "r", "created_at": "2020-01-01T00:00:00Z", "url": "https://x"},
    }
    document = inferred(body, headers={"X-GitHub-Event": "push"})
    assert "records" not in document
    assert "time" not in document
    assert document["fields"][0] == {"name": "event", "path": "$['x-github-event']", "from": "headers", "type": "text"}
    assert "repository_url" not in types(document)


def test_cloudevents() -> None:
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "/s",
        "type": "t",
        "time": "2024-01-01T00:00:00Z",
        "data": {"v": 1},
    }
    document = inferred(event, kind="application/cloudevents+json")
    assert document["key"] == ["$.source", "$.id"]
    assert document["time"] == {"path": "$.time"}
    assert types(document) == {"id": "text", "source": "text", "type": "text", "v": "number"}


def test_texts() -> None:
    document = inferred("date,temp,code,open,who\n2024-01-01,5,007,yes,a\n2024-01-02,6.5,008,no,\n", kind="text/csv")
    assert document["time"] == {"path": "$.date"}
    assert types(document) == {"temp": "number", "code": "text", "open": "boolean", "who": "text"}
    assert types(inferred("n=5&who=x", kind="application/x-www-form-urlencoded")) == {"n": "number", "who": "text"}


@pytest.mark.parametrize(
    ("name", "value", "form"),
    [
        ("time", 1700000000, "epoch_s"),
        ("timestamp", 1700000000.5, "epoch_s"),
        ("ts", 1700000000123, "epoch_ms"),
        ("createdAt", 1700000000123456, "epoch_us"),
        ("event_time", 1700000000123456789, "epoch_ns"),
        ("when", "2024-01-01 10:00:00", None),
        ("day", "2024-01-01", None),
    ],
)
def test_times_by_name_and_size(name: str, value: Any, form: str | None) -> None:
    time = inferred({name: value, "v": 1})["time"]
    assert time == {"path": f"$.{name}"} | ({"format": form} if form else {})


def test_no_time_where_one_record_lacks_it_or_nothing_says_so() -> None:
    assert "time" not in inferred({"ts": "2024-01-01", "v": 1}, {"v": 1})
    assert "time" not in inferred({"v": 1700000000})
    assert "time" not in inferred({"time": 5})
    assert "time" not in inferred({"user": {"created_at": "2024-01-01"}, "v": 1})


def test_a_key_only_where_it_is_an_event_for_sure() -> None:
    assert inferred(*({"event_id": f"e{n}", "v": 1} for n in range(3)))["key"] == ["$.event_id"]
    assert "key" not in inferred(*({"event_id": "same", "v": 1} for n in range(3)))
    assert "key" not in inferred(*({"event_id": f"e{n}", "v": 1} for n in range(2)))
    assert "key" not in inferred(*({"id": f"sensor{n}", "v": 1} for n in range(30)))
    assert "key" not in inferred(*({"id": str(UUID(int=n)), "v": 1} for n in range(5)))
    assert inferred(*({"id": str(UUID(int=n)), "v": 1} for n in range(20)))["key"] == ["$.id"]


def test_many_places_become_the_most_telling_fields() -> None:
    body: dict[str, Any] = {f"v{n}": n for n in range(50)} | {"deep": {"er": {"text": "x"}}, "long": "x" * 500}
    found = types(inferred(body))
    assert len(found) == MAX_FIELDS
    assert "deep_er_text" not in found
    assert "long" not in found


def test_names_are_valid_and_unique() -> None:
    found = types(
        inferred(
            {"time": 5, "Time": 6, "1x": 7, "é": 8, "x" * 90: 9, "a b": 1, "a-b": 2, "": 3, "data": {"v": 1}, "v": 2}
        )
    )
    assert len(found) == 10
    assert {
        "time_value",
        "time_value_2",
        "field_1x",
        "e",
        "x" * 60,
        "a_b",
        "a_b_2",
        "value",
        "v",
        "v_2",
    } == found.keys()


def test_mixed_types_are_json_and_scalars_are_values() -> None:
    assert types(inferred({"a": 1}, {"a": "x"})) == {"a": "json"}
    assert inferred("[1, 2]")["fields"] == [{"name": "value", "path": "$", "type": "number"}]


@pytest.mark.parametrize(
    "bodies", [(), ("",), ("nope", "[", "NaN"), ("[]",), ("{}",), ("null",), ('{"a": null}',), ('{"a": []}',)]
)
def test_nothing_usable(bodies: tuple[str, ...]) -> None:
    assert infer_mapping(samples(*bodies)) is None


def test_unusable_payloads_are_passed_over() -> None:
    found = infer_mapping(samples("nope", '{"v": 1}', ""))
    assert found is not None
    assert found[1] == "inferred from the first payload: 1 field, time is when it was received"


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("temp_c", "°C"),
        ("latency_ms", "ms"),
        ("load_pct", "%"),
        ("size_bytes", "B"),
        ("wind_m_s", "m/s"),
        ("c", ""),
        ("abc", ""),
        ("music", ""),
    ],
)
def test_units(name: str, unit: str) -> None:
    assert unit_of(name) == unit


def test_words() -> None:
    assert snake_case("bodyTempC") == "body_temp_c"
    assert snake_case("HTTPStatus-Code") == "http_status_code"
    assert field_name(["a", 0, "b"], set()) == "a_0_b"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["2024-01-01T00:00:00Z", 1700000000]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["time", "id", "data", "a", "B", "é", "", "x y"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=4))
@settings(max_examples=80, deadline=None)
def test_a_proposal_fits_its_samples(values: list[Any]) -> None:
    """Whatever comes: nothing, or a valid mapping that makes records of these payloads."""
    some = samples(*map(json.dumps, values))
    found = infer_mapping(some)
    if found is not None:
        mapped = compile_mapping(parse_mapping(found[0])).run(some)
        assert mapped.frame.height
