"""The place of a record within its body, counted as mapping counts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest

from dash_app.domain.events import Payload
from dash_app.domain.paths import parse_path
from dash_app.pipelines.decode import Decoder, without_mark
from dash_app.pipelines.lineage import SHOWN, lay_out

JSON = "application/json"
CSV = "text/csv; charset=utf-8"
NDJSON = "application/x-ndjson"


def marked(body: str | bytes, kind: str, path: str | None, index: int) -> str:
    steps = parse_path(path) if path is not None else None
    found = lay_out(body if isinstance(body, bytes) else body.encode(), kind, steps, index)
    return found.record.strip().rstrip(",").strip()


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([{"n": 0}, {"n": 1}, {"n": 2}], None),
        ({"data": [{"n": 0}, {"n": 1}, {"n": 2}], "next": None}, "$.data"),
        ({"data": [{"n": 0}, {"n": 1}, {"n": 2}]}, "$.data[*]"),
        ({"a": {"x": {"n": 0}, "y": {"n": 1}, "z": {"n": 2}}}, "$.a.*"),
        ({"pages": [{"rows": [{"n": 0}]}, {"rows": [{"n": 1}, {"n": 2}]}]}, "$.pages[*].rows"),
        ([{"e": {"n": 0}}, {"other": 1}, {"e": {"n": 1}}, {"e": {"n": 2}}], "$[*].e"),
        ({"rows": [[{"n": 9}], [{"n": 0}, {"n": 1}, {"n": 2}]]}, "$.rows[-1]"),
    ],
)
def test_each_record_is_found_where_mapping_finds_it(document: object, path: str | None) -> None:
    body = json.dumps(document).encode()
    decoder = Decoder(records=parse_path(path) if path else None)
    payload = Payload(1, UUID(int=1), datetime.now(UTC), JSON, {}, body)
    decoder.payload(0, payload, without_mark(body))
    assert decoder.typed.indexes == [0, 1, 2]
    for index, record in zip(decoder.typed.indexes, decoder.typed.records, strict=True):
        text = marked(body, JSON, path, index)
        # A member's lines begin with its name.
        assert json.loads(text[text.index("{") :]) == record


def test_the_parts_are_the_whole_and_the_record_has_whole_lines() -> None:
    found = lay_out(b'{"data":[{"n":1},{"n":{"deep":true}},3]}', JSON, ("data",), 1)
    assert json.loads(found.text) == {"data": [{"n": 1}, {"n": {"deep": True}}, 3]}
    assert found.pretty
    assert found.record == '    {\n      "n": {\n        "deep": true\n      }\n    },\n'


def test_lines_and_rows_are_counted_without_blanks_and_header() -> None:
    assert marked('{"n":1}\n\n{"n":1}\r\n{"n":3}\n', NDJSON, None, 2) == '{"n":3}'
    # Equal lines are told apart by their place.
    found = lay_out(b'{"n":1}\n{"n":1}\n', NDJSON, None, 1)
    assert (found.before, found.record) == ('{"n":1}\n', '{"n":1}\n')
    lines = '{"r":[{"n":0},{"n":1}]}\n{nope\n{"r":[{"n":3}]}'
    assert marked(lines, NDJSON, "$.r", 1).startswith('{"r":[{"n":0}')
    assert marked(lines, NDJSON, "$.r", 2) == "{nope"
    assert marked(lines, NDJSON, "$.r", 3) == '{"r":[{"n":3}]}'
    assert marked('a,b\n1,2\n\n3,"x\ny"\n5,6\n', CSV, None, 1) == '3,"x\ny"'
    assert marked("a,b\n1,2\n5,6", CSV, None, 1) == "5,6"


@pytest.mark.parametrize(
    ("body", "kind", "path", "index"),
    [
        (b'{"a": 1}', JSON, "$.b", 0),
        (b"[1, 2", JSON, None, 0),
        (b"\xff\xfe", JSON, None, 0),
        (b"[]", JSON, None, 3),
        (b"a,b\n1,2", CSV, None, 5),
        (b'a,b\n1,"2', CSV, None, 0),
        (b"", NDJSON, None, 0),
        (b"a=1&b=2", "application/x-www-form-urlencoded", None, 0),
        (b"[" * 5000 + b"]" * 5000, JSON, None, 0),
    ],
)
def test_a_place_that_is_not_there_marks_nothing(body: bytes, kind: str, path: str | None, index: int) -> None:
    found = lay_out(body, kind, parse_path(path) if path else None, index)
    assert found.record == ""


def test_a_long_body_is_cut_around_the_record() -> None:
    records = [{"n": n, "filler": "x" * 100} for n in range(20_000)]
    body = json.dumps(records).encode()
    found = lay_out(body, JSON, None, 19_000)
    assert found.cut
    assert len(found.text) <= SHOWN
    assert '"n": 19000' in found.record
    plain = lay_out(body, JSON)
    assert plain.cut
    assert len(plain.text) == SHOWN
    assert plain.text.startswith("[\n  {\n")


def test_a_body_that_holds_what_looks_like_a_mark_is_shown_as_it_is() -> None:
    found = lay_out(b'{"a": "<mark>", "b": ["\\u0000", "\\"}"]}', JSON, None, 0)
    assert json.loads(found.text) == {"a": "<mark>", "b": ["\x00", '"}']}
