"""Sample payloads: searched, opened as trees, and asked what field a place in them would make."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import orjson
import pytest

from dash_app.domain.errors import Invalid, NotFound
from dash_app.domain.events import Payload
from dash_app.pipelines.mapping import sample_payload
from dash_app.pipelines.preview import preview
from dash_app.pipelines.samples import Samples, _Readings
from dash_app.pipelines.trees import MANY

QUAKE = {
    "type": "FeatureCollection",
    "meta": {"source": "usgs", "count": 2},
    "features": [
        {"id": f"us{n}", "properties": {"mag": n, "time": 1_700_000_000_123 + n, "place": "at sea", "felt": None},
         "geometry": {"coordinates": [1.5, 2.5, 10.0]}}
        for n in range(3)
    ],
}  # fmt: skip
RECORDS = {"records": "$.features[*]", "fields": [{"name": "mag", "path": "$.x", "type": "text"}]}


def of(body: Any, kind: str = "application/json", **more: Any) -> Samples:
    content = body if isinstance(body, str | bytes) else orjson.dumps(body)
    return Samples([sample_payload(content, content_type=kind, **more)])


def test_a_leaf_below_the_records_is_read_from_the_record() -> None:
    samples = of(QUAKE)
    field = samples.suggest(1, ["features", 1, "properties", "mag"], RECORDS)
    assert field == {"name": "properties_mag", "path": "$.properties.mag", "type": "number"}
    field = samples.suggest(1, ["features", 0, "geometry", "coordinates", 2], {"records": "$.features"})
    assert (field["path"], field["type"]) == ("$.geometry.coordinates[2]", "number")
    field = samples.suggest(1, ["meta", "source"], RECORDS)
    assert field == {"name": "source", "path": "$.meta.source", "from": "payload", "type": "text"}


def test_every_suggestion_gives_values() -> None:
    samples = of(QUAKE)
    mapping: dict[str, Any] = {"records": "$.features[*]", "fields": []}
    for path in (["features", 1, "id"], ["features", 1, "properties", "mag"], ["meta", "count"],
                 ["features", 0, "geometry", "coordinates", 2], ["features", 0, "properties"]):  # fmt: skip
        mapping["fields"].append(samples.suggest(1, path, mapping))
    mapping["time"] = samples.suggest_time(1, ["features", 0, "properties", "time"], mapping)
    mapping["key"] = samples.suggest_key(1, ["features", 2, "id"], mapping)
    made = preview(mapping, samples.payloads)
    assert made.mapped.rejects == []
    assert set(made.nulls.values()) == {0}
    assert mapping["time"] == {"path": "$.properties.time", "format": "epoch_ms"}
    assert mapping["key"] == ["$.id"]
    assert samples.suggest_key(1, ["features", 0, "id"], mapping) == []


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (True, {"type": "boolean"}), (2.5, {"type": "number"}), ("hei", {"type": "text"}), ({"a": 1}, {"type": "json"}),
        ([1], {"type": "json"}), (None, {"type": "text"}), ("2024-01-31T12:00:00Z", {"type": "timestamp"}),
    ],
)  # fmt: skip
def test_types_are_those_of_inference(value: Any, wanted: dict[str, str]) -> None:
    field = of({"v": value}).suggest(1, ["v"], {})
    assert {"type": field["type"]} == wanted
    assert of('{"v": 1000000000000000000000000}').suggest(1, ["v"], {})["type"] == "number"
    assert of({"temp_c": 3}).suggest(1, ["temp_c"], {})["unit"] == "°C"
    assert of({"user_id": 3}).suggest(1, ["user_id"], {})["role"] == "dimension"


def test_a_value_that_differs_elsewhere_is_seen() -> None:
    bodies = [{"v": 1}, {"v": "n/a"}]
    samples = Samples([sample_payload(orjson.dumps(body), number=n + 1) for n, body in enumerate(bodies)])
    assert samples.suggest(1, ["v"], {})["type"] == "json"


def test_lines_rows_and_forms() -> None:
    lines = of('{"a": {"b": 1}}\n{"a": {"b": 2}}\n', "application/x-ndjson")
    assert lines.suggest(1, [1, "a", "b"], {}) == {"name": "b", "path": "$.a.b", "type": "number"}
    with pytest.raises(Invalid, match="outside of the records"):
        lines.suggest(1, [0, "a", "b"], {"records": "$.items[*]"})
    rows = of("site,t\noslo,2\n", "text/csv")
    assert rows.suggest(1, [0, "t"], {})["path"] == "$.t"
    form = of("a=1&b=2", "application/x-www-form-urlencoded")
    assert form.suggest(1, ["b"], {})["path"] == "$.b"
    array = of([{"a": 1}, {"a": 2}])
    assert array.suggest(1, [1, "a"], {})["path"] == "$.a"
    assert array.suggest_records(1, []) is None


def test_a_list_offers_to_hold_the_records() -> None:
    samples = of({"a": [{"b": [{"c": 1}]}]})
    assert samples.suggest_records(1, ["a"]) == "$.a[*]"
    assert samples.suggest_records(1, ["a", 0, "b"]) == "$.a[*].b[*]"
    with pytest.raises(Invalid, match="only a list"):
        samples.suggest_records(1, ["a", 0])


def test_names_do_not_collide() -> None:
    samples = of({"a": {"id": 1}, "id": 2})
    mapping = {"fields": [{"name": "id"}]}
    assert samples.suggest(1, ["a", "id"], mapping)["name"] == "a_id"
    mapping["fields"].append({"name": "a_id"})
    assert samples.suggest(1, ["a", "id"], mapping)["name"] == "a_id_2"


def test_headers_are_fields_too() -> None:
    samples = of({"a": 1}, headers={"X-GitHub-Event": "push"})
    field = samples.suggest_header(1, "x-github-event", {})
    assert field == {"name": "github_event", "path": "$['x-github-event']", "from": "headers", "type": "text"}
    with pytest.raises(Invalid, match="no header"):
        samples.suggest_header(1, "cookie", {})


def test_what_is_no_time_or_lies_elsewhere_is_refused() -> None:
    samples = of(QUAKE)
    with pytest.raises(Invalid, match="no time"):
        samples.suggest_time(1, ["features", 0, "properties", "place"], RECORDS)
    with pytest.raises(Invalid, match="outside of it"):
        samples.suggest_key(1, ["meta", "source"], RECORDS)
    with pytest.raises(Invalid, match="mend it first"):
        samples.suggest(1, ["meta"], {"records": "features"})
    with pytest.raises(NotFound):
        samples.tree(99)


def test_a_tree_opens_a_level_at_a_time() -> None:
    samples = of({"many": list(range(100_000)), "deep": {"er": {"still": 1}}, "text": "x" * 5000, "big": 2**60})
    root = samples.tree(1)
    assert root.children is not None
    many, deep, text, big = root.children
    assert (many.kind, many.size, len(many.children or ())) == ("array", 100_000, 5)
    assert deep.children is not None
    assert (text.size, len(text.text)) == (5000, 200)
    assert big.text == "1152921504606846976", "not the float that a browser would make of it"
    page = samples.children(1, ["many"], 200)
    assert ([node.step for node in page[:2]], len(page)) == ([200, 201], MANY)
    assert samples.children(1, ["many"], 100_000) == []
    assert samples.children(1, ["nowhere"]) == []


def test_what_cannot_be_read_says_so() -> None:
    with pytest.raises(Invalid, match="not valid JSON"):
        of(b'{"a": ').tree(1)
    with pytest.raises(Invalid, match="has at most"):
        Samples.of_text(uuid4(), "x" * (2 << 20))


def test_search_looks_at_bodies_and_headers() -> None:
    samples = Samples([
        Payload(1, uuid4(), sample_payload("").received_at, "application/json", {"x-site": "Bergen"}, b'{"a": 1}'),
        sample_payload('{"site": "OSLO"}', number=2),
    ])  # fmt: skip
    assert samples.search("oslo") == [2]
    assert samples.search("bergen") == [1]
    assert samples.search("") == [2, 1]
    assert samples.search("nowhere") == []


def test_a_document_that_was_tried_is_answered_from_memory() -> None:
    samples = of({"mag": 1})
    document = {"fields": [{"name": "mag", "path": "$.mag", "type": "number"}]}
    assert samples.preview(document) is samples.preview(dict(document))


def test_readings_are_kept_for_those_who_were_here_last() -> None:
    readings = _Readings(250)
    first, second, third = (of(b"x" * 100) for _ in range(3))
    kept = [readings.of(one) for one in (first, second)]
    assert readings.of(first) is kept[0]
    readings.of(third)
    assert readings.of(first) is kept[0]
    assert readings.of(second) is not kept[1], "away for longest, and too much for the room"
    large = of(b"x" * 1000)
    assert readings.of(large) is readings.of(large), "whoever is here has room"
