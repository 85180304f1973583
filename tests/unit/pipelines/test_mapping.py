"""A compiled mapping: what each type takes, times, keys, defaults, computed fields, conditions, rejects, tests."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.domain.errors import Invalid
from dash_app.domain.events import Payload
from dash_app.domain.mapping import load_mapping_text, parse_mapping
from dash_app.pipelines import times
from dash_app.pipelines.mapping import Mapped, Plan, compile_mapping, run_tests, sample_payload

NDJSON = "application/x-ndjson"


def plan(*fields: dict[str, Any], **document: Any) -> Plan:
    """A mapping of these fields, each at its own name unless it says where; on the strict road wherever it can."""
    placed = [field if "sql" in field else {"path": f"$.{field['name']}", **field} for field in fields]
    return compile_mapping(parse_mapping({"fields": placed, **document}), strict=True)


def run(compiled: Plan, *bodies: str | bytes, kind: str = NDJSON, headers: dict[str, str] | None = None) -> Mapped:
    return compiled.run(
        [sample_payload(body, number=n, content_type=kind, headers=headers) for n, body in enumerate(bodies, 1)]
    )


def reasons(mapped: Mapped) -> list[tuple[int, int, str]]:
    return [(reject.payload, reject.index, reject.field) for reject in mapped.rejects]


N = {"name": "n", "type": "number"}


@pytest.mark.parametrize("scheme", ["line", "array", "pretty"])
@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        ("number", "1", 1.0),
        ("number", "-1.5e3", -1500.0),
        ("number", "9007199254740993", 9007199254740992.0),
        ("number", "18446744073709551616", 1.8446744073709552e19),
        ("number", "null", None),
        ("number", '"1"', "number expected, found text '1'"),
        ("number", "true", "number expected, found boolean true"),
        ("number", "[1]", "number expected, found an array"),
        ("integer", "9223372036854775807", 2**63 - 1),
        ("integer", "-9223372036854775808", -(2**63)),
        ("integer", "1e3", 1000),
        ("integer", "5.0", 5),
        ("integer", "5.5", "integer expected, found number 5.5"),
        ("integer", "9223372036854775808", "integer of at most 64 bits expected, found 9223372036854775808"),
        ("integer", "-9223372036854775809", "integer expected, found number -9.223372036854776e+18"),
        ("integer", '"5"', "integer expected, found text '5'"),
        ("boolean", "true", True),
        ("boolean", "1", "boolean expected, found number 1"),
        ("text", '"a\\u00e9\\n"', "aé\n"),
        ("text", '""', ""),
        ("text", "5", "text expected, found number 5"),
        ("text", '{"a":1}', "text expected, found an object"),
        ("text", '"a\\u0000"', "text with the character U+0000, which cannot be stored"),
        ("timestamp", '"2024-01-01T01:00:00+01:00"', datetime(2024, 1, 1, tzinfo=UTC)),
        ("timestamp", "1700000000", "text with a time expected, found number 1700000000"),
        ("timestamp", '"soon"', "ISO 8601 time between the years 1 and 9999 expected, found text 'soon'"),
        ("json", '{"b": [1, 2.50], "a": null}', '{"a":null,"b":[1,2.5]}'),
        ("json", '"x"', '"x"'),
        ("json", '{"a": "\\u0000"}', "JSON with the character U+0000, which cannot be stored"),
        ("json", '{"a": "\\\\u0000"}', '{"a":"\\\\u0000"}'),
    ],
)
def test_types_from_json(scheme: str, kind: str, written: str, value: Any) -> None:
    line = f'{{"v": {written}}}'
    body = {"line": line, "array": f"[{line}]", "pretty": f"\n{line}\n"}[scheme]
    mapped = run(plan({"name": "v", "type": kind}), body, kind=NDJSON if scheme == "line" else "application/json")
    if isinstance(value, str) and not mapped.frame.height:
        assert (mapped.rejects[0].field, mapped.rejects[0].reason) == ("v", value)
    else:
        assert mapped.frame["v"].to_list() == [value]
        assert not mapped.rejects


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        ("number", " 1.5 ", 1.5),
        ("number", "+.5", 0.5),
        ("number", "", None),
        ("number", "nan", "number expected, found text 'nan'"),
        ("number", "1e999", "number expected, found text '1e999'"),
        ("number", "1_000", "number expected, found text '1_000'"),
        ("integer", "-007", -7),
        ("integer", "+9223372036854775807", 2**63 - 1),
        ("integer", "0" * 60 + "5", 5),
        ("integer", "9223372036854775808", "integer of at most 64 bits expected, found text '9223372036854775808'"),
        ("integer", "1.0", "integer of at most 64 bits expected, found text '1.0'"),
        ("boolean", "Yes", True),
        ("boolean", "0", False),
        ("boolean", "2", "boolean expected, found text '2'"),
        ("text", "1", "1"),
        ("timestamp", "2024-01-01", datetime(2024, 1, 1, tzinfo=UTC)),
        ("json", "[1]", "[1]"),
        ("json", "null", None),
        ("json", "[", "not valid JSON"),
    ],
)
@pytest.mark.parametrize("origin", ["csv", "headers"])
def test_types_from_texts(origin: str, kind: str, written: str, value: Any) -> None:
    if origin == "csv":
        mapped = run(plan({"name": "v", "type": kind}), f'v,w\n"{written}",1\n', kind="text/csv")
    else:
        field = {"name": "v", "type": kind, "from": "headers", "path": "$['X-V']"}
        mapped = run(plan(field), "{}", headers={"x-v": written})
    if isinstance(value, str) and not mapped.frame.height:
        assert mapped.rejects[0].field == "v"
        assert value in mapped.rejects[0].reason
    else:
        assert mapped.frame["v"].to_list() == [value]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-31T12:30:05Z", datetime(2024, 1, 31, 12, 30, 5, tzinfo=UTC)),
        ("2024-01-31t12:30:05.1234567z", datetime(2024, 1, 31, 12, 30, 5, 123456, tzinfo=UTC)),
        ("2024-01-31 12:30:05+0130", datetime(2024, 1, 31, 11, 0, 5, tzinfo=UTC)),
        ("2024-01-31T12:30:05-08", datetime(2024, 1, 31, 20, 30, 5, tzinfo=UTC)),
        ("2024-01-31T12:30:05 +01:00", datetime(2024, 1, 31, 11, 30, 5, tzinfo=UTC)),
        ("2024-01-31T12:30:05,5", datetime(2024, 1, 31, 12, 30, 5, 500000, tzinfo=UTC)),
        ("2024-01-31T12:30", datetime(2024, 1, 31, 12, 30, tzinfo=UTC)),
        ("2024-01-31", datetime(2024, 1, 31, tzinfo=UTC)),
        ("20240131T123005Z", datetime(2024, 1, 31, 12, 30, 5, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999999Z", datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        ("1969-12-31T23:59:59.9999999Z", datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        *(
            (text, None)
            for text in (
                "", "soon", "2024-02-30", "2024-13-01", "2024-01-01T24:00:00Z", "2024-01-01T00:00:61Z", " 2024-01-01",
                "2024-01-01 ", "2024-1-1", "24-01-01", "12024-01-01", "+12024-01-01T00:00:00Z", "-0001-01-01",
                "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "2024-W01-1",
                "2024-001", "2024-01-01T00:00:00 UTC", "2024-01-01T00:00:00+99:00", "2024-01-01T00:00:00.Z",
                "2024-01-01T", "2024-01-01Z", "２０２４-01-01", "9" * 500,
            )
        ),
    ],
)  # fmt: skip
def test_iso8601(text: str, moment: datetime | None) -> None:
    """The same alone, among others, and as an expression."""
    alone = times.iso8601_series(pl.Series("t", [text])).to_list()
    among = times.iso8601_series(pl.Series("t", ["2024-01-01T00:00:00Z", None, text, "x"])).to_list()
    assert alone == [moment] == among[2:3]
    micros = pl.DataFrame({"t": [text]}).with_columns(times.iso8601(pl.col("t")))
    assert micros.select(times.in_range(pl.col("t"))).item() == moment


@given(st.text(alphabet="0123456789-:T+.Z ", max_size=32))
def test_no_text_breaks_a_time(text: str) -> None:
    found = times.iso8601_series(pl.Series("t", [text])).to_list()[0]
    assert found is None or 1 <= found.year <= 9999


@pytest.mark.parametrize(
    ("form", "written", "moment"),
    [
        ("epoch_s", "1700000000", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("epoch_s", "1700000000.123456", datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)),
        ("epoch_s", "-0.5", datetime(1969, 12, 31, 23, 59, 59, 500000, tzinfo=UTC)),
        ("epoch_s", "253402300800", None),
        ("epoch_s", "1e300", None),
        ("epoch_ms", "1700000000123.4", datetime(2023, 11, 14, 22, 13, 20, 123400, tzinfo=UTC)),
        ("epoch_us", "1700000000123456", datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)),
        ("epoch_us", "1.5", None),
        ("epoch_us", "9223372036854775807", None),
        ("epoch_us", "-9223372036854775808", None),
        ("epoch_ns", "1700000000123456789", datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)),
        ("epoch_ns", "-1", datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        ("epoch_s", '"1700000000"', None),
        ("epoch_s", "null", None),
        ("%d.%m.%Y %H:%M", '"31.01.2024 12:30"', datetime(2024, 1, 31, 12, 30, tzinfo=UTC)),
        ("%d.%m.%Y %H:%M %z", '"31.01.2024 12:30 +0200"', datetime(2024, 1, 31, 10, 30, tzinfo=UTC)),
        ("%Y-%m-%d", '"2024-01-31"', datetime(2024, 1, 31, tzinfo=UTC)),
        ("%d/%b/%Y:%H:%M:%S %z", '"10/Oct/2000:13:55:36 -0700"', datetime(2000, 10, 10, 20, 55, 36, tzinfo=UTC)),
        ("%I:%M %p, %B %e, %Y", '"01:02 PM, January 5, 2024"', datetime(2024, 1, 5, 13, 2, tzinfo=UTC)),
        ("%Y-%m-%dT%H:%M:%S%.f", '"2024-01-31T12:30:05.25"', datetime(2024, 1, 31, 12, 30, 5, 250000, tzinfo=UTC)),
        ("%Y-%m-%d", '"31.01.2024"', None),
        ("%Y-%m-%d", "5", None),
    ],
)
def test_time_formats(form: str, written: str, moment: datetime | None) -> None:
    compiled = plan(N, time={"path": "$.t", "format": form})
    for body, kind in ((f'{{"t": {written}}}', NDJSON), (f'[{{"t": {written}}}]', "application/json")):
        mapped = run(compiled, body, kind=kind)
        assert mapped.frame["_time"].to_list() == ([] if moment is None else [moment])
        assert [reject.field for reject in mapped.rejects] == (["time"] if moment is None else [])


def test_a_record_without_time_is_rejected_and_no_time_is_when_it_came() -> None:
    mapped = run(plan(N, time={"path": "$.t"}, on_error="null"), '{"n": 1}\n{"n": 2, "t": "2024-01-01"}')
    assert [(r.index, r.field, r.reason) for r in mapped.rejects] == [(0, "time", "no value at $.t")]
    mapped = run(plan(N), '{"n": 1}')
    assert mapped.frame["_time"].to_list() == mapped.frame["_received"].to_list() == [datetime(2000, 1, 1, tzinfo=UTC)]


def test_a_pattern_that_is_no_time_is_refused() -> None:
    with pytest.raises(Invalid, match="time"):
        plan(N, time={"path": "$.t", "format": "%d/%m/%Y %H"})


def test_keys_tell_types_apart_and_equal_numbers_not() -> None:
    written = [
        "5",
        '"5"',
        "5.0",
        "5.5",
        "true",
        '"true"',
        '"a\x1fb"'.replace("\x1f", "\\u001f"),
        '"a\\\\ub"',
        "null",
        "{}",
        '"\\u0000"',
    ]
    lines = [f'{{"k": {one}, "l": "x"}}' for one in written]
    for bodies, kind in ((["\n".join(lines)], NDJSON), (lines, NDJSON), ([f"[{','.join(lines)}]"], "application/json")):
        mapped = run(plan(N, key=["$.k", "$.l"]), *bodies, kind=kind)
        keys = mapped.frame["_key"].to_list()
        assert keys[0] == keys[2] == "n5\x1fsx"
        assert len(set(keys)) == 7
        assert [reject.field for reject in mapped.rejects] == ["key"] * 3


def test_long_keys_are_hashed_on_both_roads() -> None:
    lines = [f'{{"k": "{"x" * size}"}}' for size in (256, 257, 5000)]
    keys = run(plan(N, key=["$.k"]), "\n".join(lines)).frame["_key"].to_list()
    assert keys == run(plan(N, key=["$.k"]), f"[{','.join(lines)}]", kind="application/json").frame["_key"].to_list()
    assert [len(key) for key in keys] == [257, 65, 65]


def test_schema_and_columns() -> None:
    compiled = plan(N | {"unit": "V"}, {"name": "s", "type": "text"}, {"name": "j", "type": "json"}, key=["$.s"])
    assert compiled.schema()[0] == {"name": "n", "type": "number", "unit": "V", "role": "metric"}
    for body in ("", '{"s": "a"}'):
        frame = run(compiled, body).frame
        assert dict(frame.schema) == {
            "_time": pl.Datetime("us", "UTC"), "_received": pl.Datetime("us", "UTC"),
            "_payload": pl.Int64, "_index": pl.Int32,
            "n": pl.Float64, "s": pl.String, "j": pl.String, "_key": pl.String,
        }  # fmt: skip
    assert dict(compiled.run([]).frame.schema) == dict(frame.schema)


def test_rows_come_in_the_order_of_arrival() -> None:
    bodies = ['{"n": 1}\n{"n": "x"}\n{"n": 3}', '[{"n": 4}, {"n": 5}]', '{"n": 6}']
    kinds = [NDJSON, "application/json", "application/json"]
    some = [sample_payload(b, number=9 - n, content_type=k) for n, (b, k) in enumerate(zip(bodies, kinds, strict=True))]
    mapped = plan(N).run(some)
    assert list(mapped.frame.select("_payload", "_index", "n").iter_rows()) == [
        (7, 0, 6.0), (8, 0, 4.0), (8, 1, 5.0), (9, 0, 1.0), (9, 2, 3.0),
    ]  # fmt: skip
    assert reasons(mapped) == [(9, 1, "n")]


def test_defaults_stand_in_for_null() -> None:
    fields = [
        {"name": "s", "type": "text", "default": "-"},
        {"name": "at", "type": "timestamp", "default": "2024-01-01T01:00:00+01:00"},
        {"name": "j", "type": "json", "default": {"b": 1, "a": 2}},
        {"name": "d", "sql": "1 / nullif(length(s), 1)", "type": "number", "default": -1},
    ]
    row = run(plan(*fields), '{"s": null}').frame.to_dicts()[0]
    assert (row["s"], row["at"], row["j"], row["d"]) == ("-", datetime(2024, 1, 1, tzinfo=UTC), '{"a":2,"b":1}', -1.0)


def test_on_error_null_keeps_the_record() -> None:
    fields = [N, {"name": "at", "type": "timestamp"}, {"name": "c", "sql": "cast(s as number)", "type": "number"}]
    fields.insert(2, {"name": "s", "type": "text", "default": "-"})
    mapped = run(plan(*fields, on_error="null"), '{"n": "x", "at": "soon", "s": 5}\n{"n": 1, "s": "2"}\nnope')
    assert [list(row) for row in mapped.frame.select("n", "at", "s", "c").iter_rows()] == [
        [None, None, "-", None],
        [1.0, None, "2", 2.0],
    ]
    assert reasons(mapped) == [(1, 2, "body")]


def test_the_first_fault_is_told() -> None:
    compiled = plan(N, {"name": "s", "type": "text"}, time={"path": "$.t"}, key=["$.k"])
    cases = {
        '{"t": 5, "n": "x"}': "time",
        '{"t": "2024-01-01", "n": "x", "s": 1}': "n",
        '{"t": "2024-01-01", "n": 1, "s": 1}': "s",
        '{"t": "2024-01-01", "n": 1}': "key",
        '{"t": "soon", "n": 1}': "time",
    }
    assert [reject.field for reject in run(compiled, *cases).rejects] == list(cases.values())


def test_computed_fields() -> None:
    compiled = plan(
        N,
        {"name": "twice", "sql": "n * 2", "type": "number"},
        {"name": "four", "sql": "TWICE * 2", "type": "integer"},
        {"name": "label", "sql": "case when four > 10 then 'big' else 'small' end", "type": "text"},
        {"name": "constant", "sql": "'x'", "type": "text"},
    )
    mapped = run(compiled, '{"n": 1}\n{"n": 3}\n{"n": 0.1}\n{}')
    assert list(mapped.frame.select("twice", "four", "label", "constant").iter_rows()) == [
        (2.0, 4, "small", "x"), (6.0, 12, "big", "x"), (None, None, "small", "x"),
    ]  # fmt: skip
    assert [(r.index, r.field, r.reason) for r in mapped.rejects] == [
        (2, "four", "a whole number below 2^53 expected, found number 0.4")
    ]


@pytest.mark.parametrize("sql", ["1 / n", "sqrt(n - 1)", "ln(n)", "pow(10, 400 + n)", "cast('x' as number) + n"])
def test_what_is_no_number_is_rejected(sql: str) -> None:
    mapped = run(plan(N, {"name": "v", "sql": sql, "type": "number"}), '{"n": 0}')
    assert reasons(mapped) == [(1, 0, "v")]


def test_expressions_are_checked_when_compiling() -> None:
    with pytest.raises(Invalid) as caught:
        plan(
            N,
            {"name": "a", "sql": "later + 1", "type": "number"},
            {"name": "later", "sql": "n", "type": "text"},
            {"name": "s", "type": "text"},
            {"name": "r", "sql": "regexp_like(s, '(')", "type": "boolean"},
            {"name": "j", "sql": "n", "type": "json"},
            where="n + 1",
        )
    found = dict(caught.value.problems)
    assert found.keys() == {"fields[1].sql", "fields[2].sql", "fields[4].sql", "fields[5].sql", "where"}
    assert "position 1" in found["fields[1].sql"]
    assert "unclosed group" in found["fields[4].sql"]


def test_texts_cannot_grow_without_end() -> None:
    chain = [{"name": "s0", "type": "text"}]
    chain += [{"name": f"s{n}", "sql": f"s{n - 1} || s{n - 1}", "type": "text"} for n in range(1, 8)]
    with pytest.raises(Invalid, match="16 times"):
        plan(*chain)
    assert run(plan(*chain[:5]), '{"s0": "ab"}').frame["s4"].to_list() == ["ab" * 16]


def test_where_filters_and_leaves_a_trace() -> None:
    mapped = run(plan(N, where="n > 1"), '{"n": 1}\n{"n": 2}', '{"n": 0}\n{}', '{"n": "x"}\n{"n": 0}')
    assert mapped.frame["n"].to_list() == [2.0]
    assert mapped.filtered == 4
    assert [(r.payload, r.index, r.field, r.reason) for r in mapped.rejects] == [
        (2, -1, "where", "all its 2 records were left out by where"),
        (3, 0, "n", "number expected, found text 'x'"),
    ]
    assert reasons(run(plan(N, {"name": "s", "type": "text"}, where="cast(s as number) > n"), '{"s": "x"}')) == [
        (1, 0, "where")
    ]


def test_fields_from_payload_and_headers() -> None:
    document = load_mapping_text(
        """
        records: $.readings[*]
        fields:
          - {name: v, path: $.v, type: number}
          - {name: device, from: payload, path: $.device.id, type: text}
          - {name: event, from: headers, path: $['X-Event'], type: text}
        """
    )
    compiled = compile_mapping(parse_mapping(document))
    bodies = [
        '{"device": {"id": "a"}, "readings": [{"v": 1}, {"v": 2}]}',
        '{"device": {"id": 5}, "readings": [{"v": 3}]}',
    ]
    mapped = run(compiled, *bodies, kind="application/json", headers={"X-Event": "push"})
    assert list(mapped.frame.select("v", "device", "event").iter_rows()) == [(1.0, "a", "push"), (2.0, "a", "push")]
    assert reasons(mapped) == [(2, 0, "device")]


def test_scalar_records() -> None:
    compiled = plan({"name": "v", "path": "$", "type": "number"})
    assert run(compiled, "[1, 2.5]", kind="application/json").frame["v"].to_list() == [1.0, 2.5]
    assert run(compiled, "3\n4").frame["v"].to_list() == [3.0, 4.0]
    assert reasons(run(plan(N), "3")) == [(1, 0, "records")]


def test_excerpts_are_the_record_as_it_came() -> None:
    line = '{"n":  "x", "s": "ü"}'
    mapped = run(plan(N, time={"path": "$.t"}), f'\n{line}\r\n{{"n": 1}}')
    assert [reject.excerpt for reject in mapped.rejects] == [line, '{"n": 1}']
    assert run(plan(N), f"[{line}]", kind="application/json").rejects[0].excerpt == '{"n":"x","s":"ü"}'


def test_rejects_carry_the_version() -> None:
    compiled = compile_mapping(parse_mapping({"fields": [N | {"path": "$.n"}]}), version=7)
    assert run(compiled, "nope").rejects[0].mapping_version == 7


def test_lone_bodies_of_every_kind_do_not_raise() -> None:
    bodies = [
        b"",
        b"\0",
        b"\xff",
        b"{",
        b"[" * 10_000,
        b"{}" * 3,
        b"\n\n",
        b'"',
        b"a,b\n1",
        b"=&=",
        b"\xef\xbb\xbf",
        b"{\r}",
    ]
    for kind in ("", "application/json", NDJSON, "text/csv", "application/x-www-form-urlencoded", "x/y; charset=\0"):
        some = [
            Payload(n, sample_payload(b"").pipeline, datetime.now(UTC), kind, {}, b) for n, b in enumerate(bodies, 1)
        ]
        mapped = plan(N, key=["$.n"]).run(some)
        assert {reject.payload for reject in mapped.rejects} == {one.id for one in some}


def test_one_plan_serves_several_threads() -> None:
    compiled = plan(N, {"name": "v", "sql": "n * 2", "type": "number"})
    found: list[list[float]] = []
    body = "\n".join(f'{{"n": {n}}}' for n in range(500))
    threads = [
        threading.Thread(target=lambda: found.append(run(compiled, body).frame["v"].to_list())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[n * 2.0 for n in range(500)]] * 4


TESTED = """
time: {path: $.at}
fields:
  - {name: t, path: $.t, type: number}
  - {name: j, path: $.j, type: json}
tests:
  - name: a reading and a fault
    payload: [{at: 2024-01-01, t: 21.5, j: {b: 1, a: 2}}, {at: 2024-01-01, t: hot}]
    records: [{t: 21.5, _time: "2024-01-01T00:00:00Z", j: {a: 2, b: 1}}]
    rejects: [{index: 1, field: t, reason: number expected}]
  - {name: a file, content_type: text/csv, payload: "at,t\\n2024-01-01,3\\n", records: [{t: 3.0000000000001}]}
"""


def test_tests_that_hold() -> None:
    assert run_tests(parse_mapping(load_mapping_text(TESTED))) == []


@pytest.mark.parametrize(
    ("old", "new", "failure"),
    [
        ("records: [{t: 21.5,", "records: [{t: 21.6,", "record 0, t: number 21.6 expected, found number 21.5"),
        ('"2024-01-01T00:00:00Z"', "2025-01-01", "record 0, _time"),
        ("j: {a: 2, b: 1}}]", "j: {a: 2}}]", "record 0, j"),
        ("j: {a: 2, b: 1}}]", "nope: 1}]", "record 0 has no field nope"),
        ("index: 1, field: t,", "index: 0, field: t,", "reject 0, index: 0 expected, found 1"),
        ("reason: number", "reason: integer", "'integer expected' expected in its reason"),
        ("t: hot}]", "t: 1}]", "1 records expected, found 2"),
        ("records: [{t: 3.0000000000001}]", "records: []", "0 records expected, found 1"),
    ],
)
def test_tests_that_fail(old: str, new: str, failure: str) -> None:
    assert old in TESTED
    assert any(failure in found for found in run_tests(parse_mapping(load_mapping_text(TESTED.replace(old, new)))))


def test_a_quotient_does_not_depend_on_what_else_is_in_the_batch() -> None:
    # 3 / 10 is 0.3; as 3 × 0.1 it would be 0.30000000000000004.
    mapping = {
        "fields": [
            {"name": "n", "path": "$.n", "type": "number"},
            {"name": "tenth", "sql": "n / 10", "type": "number"},
            {"name": "at", "path": "$.at", "type": "timestamp"},
            {"name": "seconds", "sql": "date_part('epoch', at)", "type": "number"},
        ]
    }
    plan = compile_mapping(parse_mapping(mapping))
    texts = [f'{{"n": {n / 7}, "at": "2026-03-04T05:06:07.{n:06d}Z"}}' for n in range(1, 300)]
    alone = [plan.run([sample_payload(text)]).frame.select("tenth", "seconds").row(0) for text in texts]
    together = plan.run([sample_payload(text, number=n) for n, text in enumerate(texts, 1)]).frame
    assert together.select("tenth", "seconds").rows() == alone
    assert [tenth for tenth, _ in alone] == [n / 7 / 10 for n in range(1, 300)]
