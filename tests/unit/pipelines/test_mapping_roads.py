"""The two roads of a mapping agree on everything, and nothing depends on how payloads were cut into batches."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from dash_app.domain.events import Payload
from dash_app.domain.mapping import parse_mapping
from dash_app.pipelines.mapping import Mapped, compile_mapping

PIPELINE = UUID(int=1)
NDJSON = "application/x-ndjson"

DOCUMENT = {
    "time": {"path": "$.ts"},
    "key": ["$.id", "$.k"],
    "fields": [
        {"name": "n", "path": "$.n", "type": "number"},
        {"name": "i", "path": "$.i", "type": "integer"},
        {"name": "b", "path": "$.b", "type": "boolean"},
        {"name": "s", "path": "$.s", "type": "text", "default": "-"},
        {"name": "id", "path": "$.id", "type": "text"},
        {"name": "deep", "path": "$.a.n", "type": "number"},
        {"name": "deeper", "path": "$.a.s.a_rather_long_name", "type": "text"},
        {"name": "at", "path": "$.at", "type": "timestamp"},
        {"name": "twice", "sql": "n * 2", "type": "number"},
        {"name": "part", "sql": "1 / i", "type": "number"},
        {"name": "said", "sql": "cast(s as number)", "type": "number"},
    ],
    "where": "coalesce(n, 1) >= 0",
}
PLANS = [
    (compile_mapping(parse_mapping(document), strict=True), compile_mapping(parse_mapping(document), strict=False))
    for document in (
        DOCUMENT,
        DOCUMENT | {"on_error": "null", "key": None},
        DOCUMENT | {"time": {"path": "$.n", "format": "epoch_ms"}, "key": ["$.i"], "where": None},
        DOCUMENT | {"time": {"path": "$.i", "format": "epoch_ns"}, "key": ["$.n", "$.b"], "where": "n > 1 or b"},
        {"fields": [{"name": "n", "path": "$.n", "type": "number"}]},
        {"fields": [{"name": "s", "path": "$.s", "type": "text"}], "key": ["$.k"]},
        {"fields": [{"name": "s", "path": "$['s t']", "type": "text"}, {"name": "e", "path": "$['']", "type": "text"}]},
        {"fields": [{"name": "v", "path": "$[1]", "type": "number"}, {"name": "w", "path": "$", "type": "json"}]},
    )
]

NAMES = ["ts", "n", "i", "b", "s", "id", "k", "a", "at", "a_rather_long_name", "x_rather_long_name", "s t", "", "xn"]
SCALARS = [
    *[
        "1",
        "0",
        "-0",
        "-0.0",
        "1.0",
        "1.5",
        "-1",
        "1e3",
        "1E-400",
        "1e999",
        "-1e999",
        "NaN",
        "Infinity",
        "-Infinity",
        "01",
        "1.",
        "+1",
        ".5",
        "tru",
        "true",
        "false",
        "null",
    ],
    *["9007199254740993", "9007199254740993.0", "9223372036854775807", "9223372036854775808", "-9223372036854775808"],
    *["-9223372036854775809", "18446744073709551616", "123456789012345678901234567890"],
    *['""', '"x"', '"1"', '"2024-01-01T00:00:00Z"', '"2024-02-30T00:00:00Z"', '"0000-01-01T00:00:00Z"', '"n"', '"s"'],
    *['"9999-12-31T23:59:59.9999999Z"', '"2016-12-31T23:59:60Z"', '"ü€😀"', "[]", "[1,2]", '["x"]', "{}"],
    *[r'"a\u0000b"', r'"\ud83d\ude00"', r'"\ud800"', r'"\n\"n\":"', r'"a\\"', r'"\/"'],
    *['{"n":3}', '{"n":"x","n":4}', '{"n":null}', '{"s":{"a_rather_long_name":1}}', '{"s":{"x_rather_long_name":"z"}}'],
    '{"s": {"a_rather_long_name": "y"}}',
    '{"s":{"a_rather_long_name":"p"},"n":2.5,"m":{"n":1}}',
    '" 7 "',
    '"2024-01-01 10:00:00.5+02:00"',
    '"2024-01-01T00:00:00 UTC"',
    '"a : b"',
    '"tab\tin it"',
    '"\x7f"',
    '"\x1f"',
    '"' + "k" * 300 + '"',
    "1" * 320,
    "[" * 99 + "]" * 99,
    "[" * 100 + "]" * 100,
    "[" * 5000 + "]" * 5000,
]
BLANKS = st.sampled_from(["", "", "", " ", "\t", "  ", "\r"])


@st.composite
def objects(draw: st.DrawFn) -> str:
    """An object with the keys that mappings read, in any order and number, and any values, some of them no JSON."""
    members = draw(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(SCALARS)), max_size=8))
    good = [("ts", '"2024-05-01T00:00:00Z"'), ("id", '"7"'), ("k", "7"), ("n", "3.5"), ("i", "2"), ("s", '"12"')]
    members = draw(st.permutations(members + draw(st.sampled_from([[], good, good, good[:3]]))))
    parts = []
    for name, value in members:
        written = draw(st.sampled_from([name] * 6 + ["\\u006e" if name == "n" else name]))
        parts.append(f'{draw(BLANKS)}"{written}"{draw(st.sampled_from(["", "", "", " "]))}:{draw(BLANKS)}{value}')
    return "{" + ",".join(parts) + draw(BLANKS) + "}"


LINES = st.one_of(
    objects(),
    objects(),
    objects(),
    st.sampled_from(
        ["", " ", "\r", "x", "{", "}", "{}", "[]", "[1,2]", "5", "null", '"s"', "{} {}", '{"n":1', "\x00", "\ufeff{}"]
    ),
    st.text(max_size=12),
)
BODIES = st.lists(LINES, max_size=12).map("\n".join)


@st.composite
def payloads(draw: st.DrawFn) -> list[Payload]:
    made = []
    for number in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from([NDJSON, NDJSON, "application/json"]))
        text = draw(BODIES) if kind == NDJSON else draw(LINES)
        body = text.encode("utf-8", "surrogatepass")
        if draw(st.integers(0, 15)) == 0:
            at = draw(st.integers(0, len(body)))
            body = body[:at] + draw(st.binary(max_size=3)) + body[at + draw(st.integers(0, 2)) :]
        made.append(payload(body, number + 1, kind))
    return made


def payload(body: bytes, number: int, kind: str = NDJSON) -> Payload:
    return Payload(number, PIPELINE, datetime(2024, 5, 1, 12, number // 60, number % 60, tzinfo=UTC), kind, {}, body)


def joined(parts: list[Mapped]) -> Mapped:
    rejects = [reject for part in parts for reject in part.rejects]
    return Mapped(pl.concat(part.frame for part in parts), rejects, sum(part.filtered for part in parts))


def assert_same(one: Mapped, other: Mapped) -> None:
    assert one.rejects == other.rejects
    assert one.filtered == other.filtered
    assert_frame_equal(one.frame, other.frame, check_exact=True)


@pytest.mark.parametrize("number", range(len(PLANS)))
@given(some=payloads())
@settings(max_examples=40, deadline=None)
def test_both_roads_agree(number: int, some: list[Payload]) -> None:
    strict, loose = PLANS[number]
    assert_same(strict.run(some), loose.run(some))


@given(some=payloads(), number=st.integers(0, len(PLANS) - 1))
@settings(max_examples=60, deadline=None)
def test_batches_can_be_cut_anywhere(some: list[Payload], number: int) -> None:
    plan, _ = PLANS[number]
    assert_same(plan.run(some), joined([plan.run([one]) for one in some]))


@given(some=payloads(), number=st.integers(0, len(PLANS) - 1))
@settings(max_examples=60, deadline=None)
def test_every_payload_leaves_a_trace(some: list[Payload], number: int) -> None:
    plan, _ = PLANS[number]
    mapped = plan.run(some)
    traced = set(mapped.frame["_payload"]) | {reject.payload for reject in mapped.rejects}
    assert traced == {one.id for one in some}
    places = [*mapped.frame.select("_payload", "_index").iter_rows(), *((r.payload, r.index) for r in mapped.rejects)]
    assert len(places) == len(set(places))
    for reject in mapped.rejects:
        assert "\0" not in reject.excerpt + reject.reason
        (reject.excerpt + reject.reason).encode()


@pytest.mark.parametrize("number", [0, 3])
def test_every_value_in_every_field_comes_out_the_same(number: int) -> None:
    """Each alone in a batch with a sound line, so that no fault of one hides what the strict road makes of another."""
    strict, loose = PLANS[number]
    sound = '{"ts": "2024-05-01T00:00:00Z", "id": "a", "k": "b", "n": 1, "i": 2, "b": true, "s": "3"}'
    bodies = [
        f'{sound}\n{{"{name}":{gap}{value}, "ts": "2024-05-01T00:00:00Z", "n": 2, "id": "7"}}'.encode()
        for name in ("k", "s", "n")
        for gap in ("", "\t", "  ", "\r")
        for value in ("1", '"1"', "null", "true")
    ]
    bodies += [
        f'{sound}\n{{"{name}": {value}, "ts": "2024-05-01T00:00:00Z", "id": "7", "k": 7, "n": 2}}'.encode()
        for name in ("ts", "n", "i", "b", "s", "id", "k", "a", "\\u006e")
        for value in SCALARS
    ]
    some = [payload(body, place) for place, body in enumerate(bodies, 1)]
    assert_same(joined([strict.run([one]) for one in some]), loose.run(some))


def test_a_large_clean_batch_goes_the_strict_road() -> None:
    """Many payloads of many lines with some poison: the same on both roads, with every line in its place."""
    strict, loose = PLANS[0]
    lines = [
        f'{{"ts": "2024-05-01T00:00:{n % 60:02}Z", "id": "{n}", "k": {n}, "n": {n}, "s": "{n}"}}' for n in range(600)
    ]
    poison = {
        50: "oops",
        120: lines[0].replace('"n": 0', '"n": NaN'),
        200: lines[1].replace('"n": 1', '"n": "1"'),
        333: "",
    }
    bodies = [
        "\n".join(poison.get((n + number * 7) % 600, line) for n, line in enumerate(lines)) for number in range(4)
    ]
    some = [payload(body.encode(), number) for number, body in enumerate(bodies, 1)]
    mapped = strict.run(some)
    assert_same(mapped, loose.run(some))
    assert_same(mapped, compile_mapping(strict.spec).run(some))
    assert mapped.frame.height == 4 * 596
    assert [(r.field, r.index) for r in mapped.rejects if r.payload == 1] == [("body", 50), ("body", 120), ("n", 200)]
