"""Expressions: a closed language, typed, with positions; what it computes; and that every function is documented."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.domain.errors import Invalid
from dash_app.pipelines.expression_plan import program
from dash_app.pipelines.expressions import (
    Call,
    Cast,
    Column,
    Literal,
    columns_of,
    parse_condition,
    parse_expression,
    parse_filter,
    text_growth,
)
from dash_app.pipelines.functions import ALIASES, FUNCTIONS, PARTS, WIDTHS

COLUMNS = {"x": "number", "n": "integer", "site": "text", "ok": "boolean", "at": "timestamp", "doc": "json"}
MOMENT = datetime(2024, 2, 29, 13, 45, 10, 250000, tzinfo=UTC)
ROW: dict[str, Any] = {"x": 2.5, "n": 7, "site": "b-c-d", "ok": True, "at": MOMENT, "doc": "{}"}
NULLS: dict[str, Any] = dict.fromkeys(ROW)
DTYPES = {
    "x": pl.Float64,
    "n": pl.Int64,
    "site": pl.String,
    "ok": pl.Boolean,
    "at": pl.Datetime("us", "UTC"),
    "doc": pl.String,
}


def value(text: str, row: dict[str, Any] = ROW) -> Any:
    """What an expression gives for a row; 'failed' where the row fails."""
    made = program(parse_expression(text, COLUMNS), "_s")
    frame, _ = made.columns(pl.DataFrame([row], schema=DTYPES))
    flags = frame.select(value=made.value, failed=pl.lit(False) if made.failed is None else made.failed)
    return "failed" if flags["failed"][0] else flags["value"][0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x + n * 2 - 1", 15.5),
        ("7 / 2", 3.5),
        ("n / 2", 3.5),
        ("-7 % 3", -1.0),
        ("mod(7, -3)", 1.0),
        ("-n", -7.0),
        ("- - n", 7.0),
        ("2 * (3 + 4)", 14.0),
        ("abs(-x)", 2.5),
        ("sign(-x)", -1.0),
        ("ceil(x) + ceiling(x) + floor(x)", 8.0),
        ("trunc(-x)", -2.0),
        ("round(x)", 3.0),
        ("round(-x)", -3.0),
        ("round(2.345, 2)", 2.35),
        ("sqrt(9) + cbrt(8)", 5.0),
        ("log10(1000)", 3.0),
        ("log2(8)", 3.0),
        ("ln(exp(2))", 2.0),
        ("pow(n, 2)", 49.0),
        ("power(2, -1)", 0.5),
        ("degrees(pi())", 180.0),
        ("sin(radians(90))", 1.0),
        ("cos(0) + tan(0) + asin(0) + acos(1) + atan(0)", 1.0),
        ("atan2(1, 1)", math.pi / 4),
        ("least(x, n, null)", 2.5),
        ("greatest(n, 8)", 8),
        ("least('b', site)", "b"),
        ("coalesce(null, n)", 7),
        ("ifnull(null, n)", 7),
        ("nullif(n, 7)", None),
        ("nullif(n, 8)", 7),
        ("upper(site) || lower('É')", "B-C-Dé"),
        ("trim('  a\t') || ltrim(' b ') || rtrim(' c ')", "ab  c"),
        ("length('größe')", 5),
        ("char_length(site)", 5),
        ("left(site, 2) || right(site, 1)", "b-d"),
        ("left(site, 0) || right(site, 0)", ""),
        ("substr(site, 3) || substring(site, 2, 1)", "c-d-"),
        ("replace(site, '-', '+')", "b+c+d"),
        ("concat('a', null, 'b')", "ab"),
        ("'a' || null", None),
        ("starts_with(site, 'b') and ends_with(site, 'd') and contains(site, '-c')", True),
        ("strpos('größe', 'ß')", 4),
        ("strpos(site, 'z')", 0),
        ("split_part(site, '-', 2)", "c"),
        ("split_part(site, '-', 9)", ""),
        ("regexp_like(site, '^[a-c]-')", True),
        ("year(at) * 100 + month(at)", 202402.0),
        ("extract(day from at)", 29.0),
        ("date_part('second', at)", 10.25),
        ("dow(at) * 10 + isodow(at)", 44.0),
        ("doy(at)", 60.0),
        ("epoch(at)", 1709214310.25),
        ("date_trunc('hour', at)", datetime(2024, 2, 29, 13, tzinfo=UTC)),
        ("date_trunc('week', at)", datetime(2024, 2, 26, tzinfo=UTC)),
        ("to_timestamp(0.5)", datetime(1970, 1, 1, 0, 0, 0, 500000, tzinfo=UTC)),
        ("to_timestamp(1e300)", "failed"),
        ("n = 7 and n <> 8 and n != 8 and n < 8 and n <= 7 and n > 6 and n >= 7", True),
        ("n = 7.0", True),
        ("x between 2 and 3 and x not between 3 and 4", True),
        ("n in (1, 7) and site not in ('x')", True),
        ("n in (1, null)", None),
        ("site like 'b%' and site like '_-c-_' and site not like 'c%'", True),
        ("'50%' like '50\\%' and '500' not like '50\\%'", True),
        ("'a.b' like 'a_b' and 'axb' not like 'a.b'", True),
        ("site ilike 'B%'", True),
        ("'a\nb' like 'a%b'", True),
        ("at > '2024-01-01' and at < '2024-03-01T00:00:00+01:00'", True),
        ("case when n > 7 then 'a' when n > 6 then 'b' else 'c' end", "b"),
        ("case n when 1 then 'a' when 7 then 'b' end", "b"),
        ("case when null then 1 else 2 end", 2),
        ("cast('12' as integer) + cast(' 1.5e1 ' as number) + '3'::number", 30.0),
        ("cast('yes' as boolean)", True),
        ("cast('x' as number)", "failed"),
        ("try_cast('x' as number)", None),
        ("cast('1e999' as number)", "failed"),
        ("cast('2024-01-01' as timestamp)", datetime(2024, 1, 1, tzinfo=UTC)),
        ("cast(x as integer)", 2),
        ("cast(3.5 as integer)", 4),
        ("cast(1e30 as integer)", "failed"),
        ("x::text || n::text || (n * 1)::text || ok::text", "2.577true"),
        ("ok::integer + ok::number", 2.0),
        ("n::boolean", True),
        ("at::text", "2024-02-29T13:45:10.250000Z"),
        ("case when n = 7 then 1 else cast('x' as number) end", 1.0),
        ("case when n = 8 then 1 else cast('x' as number) end", "failed"),
        ("coalesce(x, cast('x' as number))", 2.5),
        ("coalesce(null, cast('x' as number))", "failed"),
        ("N = 7 and \"ok\"", True),
        ("doc is not null", True),
        ("1 / 0", math.inf),
        ("'it''s'", "it's"),
    ],
)  # fmt: skip
def test_computes(text: str, expected: Any) -> None:
    got = value(text)
    assert got == pytest.approx(expected, abs=1e-12) if isinstance(expected, float) else got == expected
    assert type(got) is type(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x + 1", None),
        ("ok and false", False),
        ("ok or true", True),
        ("not ok", None),
        ("x is null", True),
        ("x = null", None),
        ("concat(site, 'a')", "a"),
        ("upper(site)", None),
        ("split_part(site, '-', 1)", None),
        ("strpos(site, 'a')", None),
        ("cast(site as number)", None),
        ("case when ok then 1 else 2 end", 2),
        ("greatest(n, 3)", 3),
    ],
)
def test_null(text: str, expected: Any) -> None:
    assert value(text, NULLS) == expected


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("", 1, "expected, found the end"),
        ("1 +", 4, "expected"),
        ("(1", 3, r"\) expected"),
        ("1 2", 3, "unexpected"),
        ("nope > 1", 1, "there is no field 'nope'"),
        ("n + site", 3, r"takes number, found site \(text\)"),
        ("site || n", 6, "takes text"),
        ("n = site", 3, "one type"),
        ("doc = 1", 5, "one type"),
        ("ok and n", 4, "takes boolean"),
        ("sum(n)", 1, "aggregates"),
        ("row_number()", 1, "aggregates"),
        ("now()", 1, "no clock"),
        ("random()", 1, "no random"),
        ("log(n)", 1, "ln, log2 or log10"),
        ("read_csv('x')", 1, "there is no function"),
        ("pg_sleep(1)", 1, "there is no function"),
        ("select 1", 1, "there is no field"),
        ("(select 1)", 2, "there is no field"),
        ("n over ()", 3, "unexpected"),
        ("1 -- x", 3, "comments"),
        ("1 /* x */", 3, "comments"),
        ("n; drop table x", 2, "no meaning"),
        ("'a", 1, "never closed"),
        ("1e999", 1, "too large"),
        ("12abc", 1, "no meaning"),
        ("n in ()", 3, "at least one"),
        ("site like site", 11, "written down"),
        ("substr(site, 0)", 1, "counts from 1"),
        ("substr(site, n)", 1, "written down"),
        ("left(site, -1)", 1, "written down"),
        ("replace(site, '', 'x')", 1, "empty"),
        ("replace(site, site, 'x')", 1, "written down"),
        ("split_part(site, '-', 0)", 1, "counts from 1"),
        ("round(x, 16)", 1, "at most 15"),
        ("abs()", 1, r"takes \(number\)"),
        ("abs(1, 2)", 1, r"takes \(number\)"),
        ("date_part('eon', at)", 1, "none of year"),
        ("date_trunc('second', at)", 1, "none of minute"),
        ("at > 'soon'", 4, "not an ISO 8601 time"),
        ("at + 1", 4, "takes number"),
        ("cast(at as number)", 1, "cannot be cast"),
        ("cast(n as json)", 11, "a type expected"),
        ("case end", 6, "expected"),
        ("case 1 end", 8, "at least one when"),
        ("n ! 1", 3, "no meaning"),
        ("n not 1", 7, "in, between or like expected"),
        ("+".join(["1"] * 150), 200, "at most 200"),
        ("(" * 51 + "1" + ")" * 51, 51, "nested more than 50"),
        ("not " * 60 + "ok", 201, "nested more than 50"),
        ("- " * 60 + "n", 101, "nested more than 50"),
        ("case " * 60, 251, "nested more than 50"),
    ],
)
def test_refuses_with_the_position(text: str, position: int, reason: str) -> None:
    with pytest.raises(Invalid, match=f"^position {position}: .*{reason}"):
        parse_expression(text, COLUMNS)


def test_lengths_are_bounded() -> None:
    with pytest.raises(Invalid, match="4,000 characters"):
        parse_expression("1" * 4001, COLUMNS)
    with pytest.raises(Invalid, match="at most 1000 characters"):
        parse_expression("'" + "x" * 1001 + "'", COLUMNS)


def test_a_part_written_once_and_needed_often_counts_each_time() -> None:
    deep = "x"
    for _ in range(30):
        deep = f"case when {deep} between 1 and 2 then 1.0 else 0.0 end"
    with pytest.raises(Invalid, match="at most 200"):
        parse_expression(deep, COLUMNS)


def test_a_long_chain_of_casts_stays_linear() -> None:
    assert value("x" + "::text::number" * 40) == 2.5


def test_conditions_are_boolean() -> None:
    assert parse_condition("null", COLUMNS) == Literal(None, "null")
    with pytest.raises(Invalid, match="true or false"):
        parse_condition("n + 1", COLUMNS)


def test_filters_leave_out_what_the_database_answers_otherwise() -> None:
    with pytest.raises(Invalid, match="in a filter"):
        parse_filter("regexp_like(site, 'a')", COLUMNS)
    assert columns_of(parse_filter("n > 1 and upper(site) = 'A'", COLUMNS)) == {"n", "site"}


def test_the_tree_is_as_documented() -> None:
    assert parse_expression("N between 1 and x", COLUMNS) == Call(
        "and",
        (
            Call("ge", (Column("n", "integer"), Literal(1, "integer")), "boolean"),
            Call("le", (Column("n", "integer"), Column("x", "number")), "boolean"),
        ),
        "boolean",
    )
    assert parse_expression("try_cast(site as int)", COLUMNS) == Cast(Column("site", "text"), "integer", True)
    moment = parse_expression("at = '2024-01-01T01:00:00+01:00'", COLUMNS)
    assert isinstance(moment, Call)
    assert moment.args[1] == Literal(datetime(2024, 1, 1, tzinfo=UTC), "timestamp")


def test_growth_of_texts_is_known_before() -> None:
    def growth(text: str) -> float:
        return text_growth(parse_expression(text, COLUMNS), {})

    assert growth("site || site") == 2
    assert growth("replace(site, 'a', 'aaaa')") == 4
    assert growth("replace(replace(site, 'a', 'aaaa'), 'a', 'aaaa')") == 16
    assert growth("left(site, 2)") == 1
    assert text_growth(parse_expression("site || site", COLUMNS), {"site": 8.0}) == 16


def test_every_function_is_documented_and_can_be_called() -> None:
    page = (Path(__file__).parents[3] / "docs" / "mapping.md").read_text()
    for name in [*FUNCTIONS, *ALIASES]:
        assert f"`{name}" in page, name
    for word in [*PARTS, *WIDTHS]:
        assert f"`{word}`" in page, word
    samples = {
        "number": "x",
        "text": "site",
        "timestamp": "at",
        "boolean": "ok",
        "any": "n",
        "'text'": "'a'",
        "'n'": "1",
    }
    for name, function in FUNCTIONS.items():
        args = [samples[take.strip("[]…")] for take in function.takes]
        if name in ("date_part", "date_trunc"):
            args[0] = "'hour'"
        if name == "nullif":
            args[1] = "1"
        assert value(f"{name}({', '.join(args)})") is not None, name


WORDS = (
    "x n site ok at doc 1 2.5 'a' null true ( ) , + - * / % = < || :: and or not is in between like case when then else"
    " end cast as text number abs( coalesce( concat( least( round( year( substr("
)


@given(st.lists(st.sampled_from(WORDS.split(" ")), max_size=14))
def test_any_text_gives_a_value_or_invalid(words: list[str]) -> None:
    """What the checker lets through, Polars computes, with the type that was announced."""
    text = " ".join(words)
    try:
        tree = parse_expression(text, COLUMNS)
    except Invalid:
        return
    made = program(tree, "_s")
    frame, _ = made.columns(pl.DataFrame([ROW, NULLS], schema=DTYPES))
    out = frame.select(made.value.alias("value"))["value"]
    expected = {"number": pl.Float64, "integer": pl.Int64, "null": pl.Null, "timestamp": pl.Datetime("us", "UTC")}
    assert out.dtype == expected.get(tree.type, pl.Boolean if tree.type == "boolean" else pl.String)


def test_a_text_in_a_filter_is_read_as_what_stands_beside_it() -> None:
    """Values of variables are texts, whatever they mean; in a mapping a text stays a text."""
    five = Call("gt", (Column("x", "number"), Literal(5, "integer")), "boolean")
    assert parse_filter("x > '5'", COLUMNS) == five
    assert parse_filter("n in ('-7', ' 8 ')", COLUMNS) == Call(
        "in", (Column("n", "integer"), Literal(-7, "integer"), Literal(8, "integer")), "boolean"
    )
    assert parse_filter("ok = 'TRUE'", COLUMNS) == Call(
        "eq", (Column("ok", "boolean"), Literal(True, "boolean")), "boolean"
    )
    assert parse_filter("site = '5'", COLUMNS).args[1] == Literal("5", "text")  # type: ignore[union-attr]
    for text, says in [
        ("x = 'five'", "not a number"),
        ("ok = 'yes'", "neither true nor false"),
        ("x = '1e999'", "too"),
    ]:
        with pytest.raises(Invalid, match=says):
            parse_filter(text, COLUMNS)
    with pytest.raises(Invalid, match="one type"):
        parse_filter("x = site", COLUMNS)
    with pytest.raises(Invalid, match="one type"):
        parse_condition("x > '5'", COLUMNS)


def test_a_filter_may_list_a_thousand_values() -> None:
    listed = ", ".join(f"'value {n}'" for n in range(1000))
    assert len(parse_filter(f"site in ({listed}) and n > 1", COLUMNS).args[0].args) == 1001  # type: ignore[union-attr]
    for text in (f"site in ({listed}, {listed})", " and ".join(["n > 1"] * 200)):
        with pytest.raises(Invalid, match="at most 200 operations"):
            parse_filter(text, COLUMNS)
    with pytest.raises(Invalid, match="at most 4,000 characters"):
        parse_condition(f"site in ({listed})", COLUMNS)
