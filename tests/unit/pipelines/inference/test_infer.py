"""Proposals: right about the samples, careful about what is to come."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dash_app.domain.mapping import parse_mapping
from dash_app.pipelines.inference.infer import MAX_FIELDS, infer_mapping
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


def test_an_order_with_items_is_one_record() -> None:
    order = {"id": 1, "customer": "x", "sum": 5, "items": [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}]}
    assert "records" not in inferred(order)
    assert inferred({"id": 7, "jsonrpc": "2.0", "total": 2, "result": order["items"]})["records"] == "$.result[*]"


def test_a_count_beside_an_array_says_that_it_is_what_the_document_is_about() -> None:
    parts = [{"topic": "a", "lag": n} for n in range(3)]
    about = {"group": "g", "cluster": "c", "state": "OK", "owner": "o", "region": "eu", "lag": 5}
    assert (
        inferred({"status": {**about, "partition_count": 3, "partitions": parts}})["records"]
        == "$.status.partitions[*]"
    )
    assert "records" not in inferred({"status": {**about, "partition_count": 9, "partitions": parts}})


def test_objects_as_maps() -> None:
    sensors = {f"{n:024x}": {"model": "x", "temp": n} for n in range(3)}
    document = inferred({"version": 2, "sensors": sensors})
    assert document["records"] == "$.sensors[*]"
    assert types(document) == {"model": "text", "temp": "number"}
    assert inferred({"17": {"a": 1, "b": 2}, "18": {"a": 3, "b": 4}})["records"] == "$[*]"
    # Few names that a programmer could have chosen are members of a record, many that are alike are not.
    few = {name: {"value": 1.5, "unit": "C"} for name in ("inside", "outside", "water")}
    assert types(inferred(few)).keys() >= {"inside_value", "water_unit"}
    many = {f"plugin{chr(97 + n)}": {"name": "x", "size": n} for n in range(20)}
    assert inferred({"plugins": many})["records"] == "$.plugins[*]"


def test_maps_to_arrays() -> None:
    messages = [{"offset": 5, "timestamp": 1700000000123, "value": "x"}]
    document = inferred({"eventSource": "aws:kafka", "records": {"orders-0": messages}})
    assert document["records"] == "$.records[*][*]"
    assert document["time"] == {"path": "$.timestamp", "format": "epoch_ms"}


def test_envelopes_in_envelopes() -> None:
    spans = [{"name": "a", "duration": 5, "host": "h"}, {"name": "b", "duration": 6, "host": "h"}]
    scope = {"scope": {"name": "lib"}, "spans": spans}
    resource = {"resource": {"attributes": [{"key": "service", "value": {"text": "s"}}]}, "scopeSpans": [scope]}
    assert inferred({"resourceSpans": [resource]})["records"] == "$.resourceSpans[*].scopeSpans[*].spans[*]"
    assert inferred({"rows": [{"elements": [{"km": 5}, {"km": 6}]}, {"elements": [{"km": 7}]}]})["records"] == (
        "$.rows[*].elements[*]"
    )
    assert inferred([[{"a": 1}, {"a": 2}], [{"a": 3}]])["records"] == "$[*][*]"
    # What has an identity is a record, with whatever lists it has.
    station = {"station_id": "a", "docks": [{"kind": "x", "free": 5}]}
    assert inferred({"data": {"stations": [station, station]}})["records"] == "$.data.stations[*]"


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


def test_the_time_of_a_cloud_event_is_its_own() -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/s", "time": "2024-01-01T00:00:00Z",
             "data": {"timestamp": "2023-01-01T00:00:00Z", "v": 1}}  # fmt: skip
    assert inferred(event)["time"] == {"path": "$.time"}


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


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (["2010/01/01 00:00", "2010/12/31 23:59"], "%Y/%m/%d %H:%M"),
        (["31.12.2023", "01.01.2024"], "%d.%m.%Y"),
        (["Jan 1 2000", "Feb 29 2000"], "%b %d %Y"),
        (["Sun Aug 31 00:29:15 +0000 2014"], "%a %b %d %H:%M:%S %z %Y"),
        (["21/Apr/2020:15:08:21 +0000"], "%d/%b/%Y:%H:%M:%S %z"),
        (["2016-08-12 15:23:28 UTC"], "%Y-%m-%d %H:%M:%S UTC"),
        (["01/02/2024", "13/02/2024"], "%d/%m/%Y"),
        (["01/02/2024", "02/13/2024"], "%m/%d/%Y"),
        (["01/02/2024", "03/04/2024"], None),
        (["13/02/2024", "02/13/2024"], None),
        (["Jan 1 2000", "sometime"], None),
    ],
)
def test_times_in_other_ways(values: list[str], form: str | None) -> None:
    bodies = [{"when": value, "v": 1} for value in values]
    document = inferred(*bodies)
    assert document.get("time") == ({"path": "$.when", "format": form} if form else None)
    assert not compile_mapping(parse_mapping(document)).run(samples(*bodies)).rejects


def test_a_time_that_says_when_it_happened_may_stand_elsewhere() -> None:
    assert inferred({"Sns": {"Timestamp": "2024-01-01T00:00:00Z", "Message": "x"}})["time"] == {
        "path": "$.Sns.Timestamp"
    }
    moved = {"start": {"timestamp": 1700000000123}, "end": {"timestamp": 1700000009123}, "v": 1}
    assert inferred(moved)["time"] == {"path": "$.end.timestamp", "format": "epoch_ms"}
    for other in ("birth_date", "expires_at", "valid_until"):
        assert "time" not in inferred({other: "2024-01-01", "v": 1})
    assert "time" not in inferred(
        {"owner": {"last_login": "2024-01-01"}, "token": {"start_time": "2024-01-01"}, "v": 1}
    )


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


def test_a_place_with_objects_and_scalars_is_json() -> None:
    bodies = ({"id": 1, "v": 1}, {"id": {"$oid": "x"}, "v": 2})
    document = inferred(*bodies)
    assert types(document) == {"id": "json", "v": "number"}
    assert not compile_mapping(parse_mapping(document)).run(samples(*bodies)).rejects


def test_words_among_numbers_become_null() -> None:
    rows = "\n".join(["length_mm,site", *(f"{n}.5,a" for n in range(9)), "NA,b"])
    found = infer_mapping(samples(rows, kind="text/csv"))
    assert found is not None
    document, note = found
    assert document["on_error"] == "null"
    assert types(document) == {"length_mm": "number", "site": "text"}
    assert note.endswith("values that are no numbers, like 'NA' in length_mm, become null")
    mapped = compile_mapping(parse_mapping(document)).run(samples(rows, kind="text/csv"))
    assert mapped.frame["length_mm"].null_count() == 1
    assert mapped.frame.height == 10
    ratings = [*({"rating": 4.5} for _ in range(30)), {"rating": "Not yet rated"}]
    assert types(inferred(*ratings)) == {"rating": "number"}
    # As many words as this are values of their own.
    assert types(inferred(*({"v": n if n % 2 else f"w{n}"} for n in range(30)))) == {"v": "json"}
    assert "on_error" not in inferred(*({"v": n if n % 2 else f"w{n}"} for n in range(30)))


def test_numbers_written_as_texts() -> None:
    bodies = (
        {"price_eur": "0.2694", "version": "1.10", "sku": "0071"},
        {"price_eur": "3", "version": "1.2", "sku": "12"},
    )
    document = inferred(*bodies)
    assert types(document) == {"price_eur_text": "text", "price_eur": "number", "version": "text", "sku": "text"}
    assert document["fields"][1] == {
        "name": "price_eur",
        "sql": "try_cast(price_eur_text as number)",
        "type": "number",
        "unit": "EUR",
    }
    assert compile_mapping(parse_mapping(document)).run(samples(*bodies)).frame["price_eur"].to_list() == [0.2694, 3.0]


def test_lists() -> None:
    tagged = {
        "v": 1,
        "tags": ["a", "b"],
        "weather": [{"main": "Rain", "id": 500}],
        "points": list(range(300)),
    }
    document = inferred(tagged, tagged)
    assert types(document) == {"v": "number", "tags": "json", "weather_main": "text", "weather_id": "integer"}
    assert document["fields"][2]["path"] == "$.weather[0].main"


def test_columns_side_by_side_are_named() -> None:
    hourly = {"time": ["2024-01-01T00:00", "2024-01-01T01:00"], "temperature": [1.5, 2.5]}
    found = infer_mapping(samples({"latitude": 59.9, "hourly": hourly, "hourly_units": {"temperature": "°C"}}))
    assert found is not None
    assert types(found[0]) == {"latitude": "number", "hourly_units_temperature": "text"}
    assert found[1].endswith(
        "columns side by side in $.hourly (time, temperature) are not taken apart: a mapping reads rows"
    )
    alone = infer_mapping(samples({"lat": [1, 2, 3], "lon": [4, 5, 6]}))
    assert alone is not None
    assert types(alone[0]) == {"lat": "json", "lon": "json"}


def test_a_csv_without_a_header_is_named() -> None:
    found = infer_mapping(samples("Oslo,21.5\nBergen,19\n", kind="text/csv"))
    assert found is not None
    assert "the first row looks like data" in found[1]
    years = infer_mapping(samples("country,1990,1991\nNorway,4.2,4.3\n", kind="text/csv"))
    assert years is not None
    assert "looks like data" not in years[1]


def test_lines_that_are_arrays() -> None:
    body = '["a", 1.5]\n["b", 2]\n'
    document = inferred(body, kind="application/x-ndjson")
    assert [(field["path"], field["type"]) for field in document["fields"]] == [("$[0]", "text"), ("$[1]", "number")]


def test_what_comes_behind_the_records_that_were_looked_at_is_not_refused() -> None:
    body = "\n".join(['{"n": 1, "at": "2024-01-01"}'] * 600 + ['{"n": "many"}'])
    document = inferred(body, kind="application/x-ndjson")
    assert types(document)["n"] == "json"
    assert "time" not in document
    assert not compile_mapping(parse_mapping(document)).run(samples(body, kind="application/x-ndjson")).rejects


def test_few_whole_numbers_with_a_name_of_categories_are_a_dimension() -> None:
    document = inferred(*({"level": n % 4, "load": n % 4} for n in range(40)))
    assert [(field["type"], field.get("role")) for field in document["fields"]] == [
        ("integer", "dimension"),
        ("number", None),
    ]


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


FLAT = st.dictionaries(
    st.sampled_from(["time", "id", "price", "a", "B", "é", "x y"]),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(["2024-01-01T00:00:00Z", 1700000000, "1.5", "NA"])
    | st.dictionaries(st.sampled_from(["a", "time"]), st.integers(), max_size=2),
    max_size=5,
)


@given(st.lists(FLAT, min_size=1, max_size=8))
@settings(max_examples=80, deadline=None)
def test_no_record_is_refused(values: list[Any]) -> None:
    """Records without lists are all kept, whatever their values are."""
    some = samples(*map(json.dumps, values))
    found = infer_mapping(some)
    if found is not None and "records" not in found[0]:
        assert compile_mapping(parse_mapping(found[0])).run(some).rejects == []
