"""What a body is by its content type, which records are in it, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.domain.events import Payload
from dash_app.domain.paths import parse_path
from dash_app.pipelines import decode
from dash_app.pipelines.decode import MAX_DEPTH, Decoder, Unreadable, parse_json, records_in, value_at


def decoded(
    body: str | bytes, kind: str = "application/json", *, path: str | None = None, scalars: bool = False
) -> Decoder:
    raw = body.encode() if isinstance(body, str) else body
    decoder = Decoder(None if path is None else parse_path(path), scalars)
    payload = Payload(1, UUID(int=0), datetime(2024, 1, 1, tzinfo=UTC), kind, {}, raw)
    decoder.payload(0, payload, decode.without_mark(raw))
    return decoder


def refused(decoder: Decoder) -> list[tuple[int, str]]:
    return [(one.index, one.field) for one in decoder.refusals]


@pytest.mark.parametrize(
    ("body", "kind", "records"),
    [
        ('{"a":1}', "application/json", [{"a": 1}]),
        ('{\n"a":\n1}\n', "application/json; charset=utf-8", [{"a": 1}]),
        ('[{"a":1},{"a":2}]', "application/json", [{"a": 1}, {"a": 2}]),
        ('\ufeff{"a":1}', "application/json", [{"a": 1}]),
        ('{"a":1}', "text/plain", [{"a": 1}]),
        ('{"a":1}', "", [{"a": 1}]),
        ('{"a":1}', "application/vnd.api+json", [{"a": 1}]),
        ('{"a":1}\n\n {"a":2} \r\n', "application/x-ndjson", [{"a": 1}, {"a": 2}]),
        ('{"a":1}\n{"a":2}', "Application/JSONL", [{"a": 1}, {"a": 2}]),
        ('{"id":"1","data":{}}', "application/cloudevents+json", [{"id": "1", "data": {}}]),
        ('[{"id":"1"},{"id":"2"}]', "application/cloudevents-batch+json", [{"id": "1"}, {"id": "2"}]),
    ],
)
def test_json(body: str, kind: str, records: list[Any]) -> None:
    decoder = decoded(body, kind)
    assert decoder.typed.records == records
    assert decoder.typed.indexes == list(range(len(records)))
    assert not decoder.refusals


@pytest.mark.parametrize(
    ("body", "kind", "records"),
    [
        ("a,b\n1,x\n2,\n", "text/csv", [{"a": "1", "b": "x"}, {"a": "2", "b": None}]),
        ('a;b, c \r\n"x, ""y""\n","1"\r\n', "text/csv", [{"a;b": 'x, "y"\n', "c": "1"}]),
        ("\ufeffa\n\n1\n", "text/csv", [{"a": "1"}]),
        ("a=1&b=&c=x+y%20z&a=2", "application/x-www-form-urlencoded", [{"a": "2", "b": None, "c": "x y z"}]),
    ],
)
def test_texts(body: str, kind: str, records: list[Any]) -> None:
    decoder = decoded(body, kind)
    assert decoder.texts.records == records
    assert not decoder.refusals


def test_charset_of_a_csv() -> None:
    assert decoded("a\nø\n".encode("latin1"), "text/csv; charset=ISO-8859-1").texts.records == [{"a": "ø"}]
    assert refused(decoded(b"a\n\xff\n", "text/csv")) == [(-1, "body")]
    assert refused(decoded("a\n1\n", "text/csv; charset=utf-7")) == [(-1, "body")]


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        ("", "application/json", [(-1, "body")]),
        ("  \n", "application/json", [(-1, "body")]),
        ("nope", "application/json", [(-1, "body")]),
        ('{"n": NaN}', "application/json", [(-1, "body")]),
        ('{"n": 1e999}', "application/json", [(-1, "body")]),
        ('{"s": "\\ud800"}', "application/json", [(-1, "body")]),
        (b'{"s": "\xff"}', "application/json", [(-1, "body")]),
        ('{"a":1}\n{"a":2}', "application/json", [(-1, "body")]),
        ("[]", "application/json", [(-1, "records")]),
        ("null", "application/json", [(0, "records")]),
        ("5", "application/json", [(0, "records")]),
        (
            '[{}, 5, null, "x", [1]]',
            "application/json",
            [(1, "records"), (2, "records"), (3, "records"), (4, "records")],
        ),
        ('{"a":1}\nnope\n{"a":\n2}\n', "application/x-ndjson", [(1, "body"), (2, "body"), (3, "body")]),
        ("\n \n", "application/x-ndjson", [(-1, "records")]),
        ("", "text/csv", [(-1, "records")]),
        ("a,b\n", "text/csv", [(-1, "records")]),
        ("a,b\n1\n1,2\n1,2,3\n", "text/csv", [(0, "body"), (2, "body")]),
        ("a,a\n1,2\n", "text/csv", [(0, "body"), (-1, "records")]),
        ('a\n"x\n', "text/csv", [(0, "body")]),
        ('a\n1\n"x"y\n2\n', "text/csv", [(1, "body")]),
        ("", "application/x-www-form-urlencoded", [(-1, "body")]),
        ("a=%ff", "application/x-www-form-urlencoded", [(-1, "body")]),
    ],
)
def test_refused(body: str | bytes, kind: str, expected: list[tuple[int, str]]) -> None:
    assert refused(decoded(body, kind)) == expected


@pytest.mark.parametrize(
    ("value", "path", "found"),
    [
        ([1, 2], None, [1, 2]),
        ({"a": [1, 2]}, "$.a", [1, 2]),
        ({"a": [1, 2]}, "$.a[*]", [1, 2]),
        ({"a": [[1], [2, 3]]}, "$.a[*][*]", [1, 2, 3]),
        ({"a": [[1], [2, 3]]}, "$.a[*]", [[1], [2, 3]]),
        ({"a": {"x": 1, "y": 2}}, "$.a.*", [1, 2]),
        ({"a": [{"b": [1]}, {"c": 1}, {"b": [2]}]}, "$.a[*].b", [1, 2]),
        ({"a": {"b": 1}}, "$.a", [{"b": 1}]),
        ({"a": None}, "$.a", []),
        ({"a": '{"b": 1}'}, "$.a.b", []),
        ([[1, 2], [3]], "$[-1]", [3]),
        ({"a": 1}, "$.b[*]", []),
    ],
)
def test_records_in(value: Any, path: str | None, found: list[Any]) -> None:
    assert records_in(value, None if path is None else parse_path(path)) == found


def test_a_path_is_applied_to_each_line() -> None:
    decoder = decoded('{"d":[{"a":1},{"a":2}]}\n{"x":1}\n{"d":[{"a":3}]}', "application/x-ndjson", path="$.d[*]")
    assert list(zip(decoder.typed.indexes, decoder.typed.records, strict=True)) == [
        (0, {"a": 1}),
        (1, {"a": 2}),
        (3, {"a": 3}),
    ]
    assert refused(decoder) == [(2, "records")]


def test_records_may_be_scalars_where_a_path_wants_them() -> None:
    assert decoded("[1, [2], null]", scalars=True).typed.records == [1, [2]]


def test_depth_is_the_same_wherever_it_is() -> None:
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert parse_json(deep.encode())
    for raw in (f"[{deep}]", '{"a":' * MAX_DEPTH + "[]" + "}" * MAX_DEPTH, "[" * 100_000, f"[{'[],' * 200}{deep}]"):
        with pytest.raises(Unreadable):
            parse_json(raw.encode())
    assert parse_json(f"[{'[],' * 5000}[]]".encode()) == [[]] * 5001
    with pytest.raises(Unreadable, match="nested more than 100 deep"):
        parse_json(f"[{deep}]".encode())


TRICKS = ["1],[2", "1]", "[1", "", ",", "]" * 924 + "[" * 924, "]" * 924 + "," + "[" * 924]


@given(st.binary(max_size=40), st.sampled_from(TRICKS))
def test_brackets_around_a_deep_text_let_nothing_in(noise: bytes, trick: str) -> None:
    """Texts with many brackets are read within others; only what is JSON by itself may come out of it."""
    raw = noise + b"[[],[]]" * 60 + trick.encode()
    with pytest.raises(Unreadable):
        parse_json(raw)


def test_too_many_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MAX_RECORDS", 3)
    assert refused(decoded("[{},{},{},{}]")) == [(-1, "body")]
    assert refused(decoded("{}\n{}\n{}\n{}", "application/x-ndjson")) == [(-1, "body")]
    assert refused(decoded('{"a":[{},{},{},{}]}', path="$.a")) == [(-1, "body")]
    assert len(decoded("[{},{},{}]").typed.records) == 3
    monkeypatch.setattr(decode, "MAX_BRACKETS", 4)
    assert refused(decoded('{"a":[[],[],[]]}')) == [(-1, "body")]
    assert refused(decoded('{"a":[[],[],[]]}\n{}', "application/x-ndjson")) == [(0, "body")]
    assert refused(decoded("a\n1\n2\n3\n4\n5\n", "text/csv")) == [(4, "body")]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", {"a": [1, {"b": 2}]}),
        ("$.a[0]", 1),
        ("$.a[-1].b", 2),
        ("$.a[2]", None),
        ("$.a[-3]", None),
        ("$.a.b", None),
        ("$.c", None),
    ],
)
def test_value_at(path: str, found: Any) -> None:
    assert value_at({"a": [1, {"b": 2}]}, parse_path(path)) == found


def test_excerpts_are_short_and_can_be_stored() -> None:
    decoder = decoded(("x" * 5000 + "\0").encode())
    assert len(decoder.refusals[0].excerpt) == 4097
    assert "\0" not in decoded(b"\0\xff nope").refusals[0].excerpt
