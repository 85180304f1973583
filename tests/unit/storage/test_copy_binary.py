"""The binary format against the one judge of it: PostgreSQL reads what was encoded, and answers the same values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import polars as pl
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dash_app.domain.errors import Permanent
from dash_app.storage import copy_binary
from dash_app.storage.copy_binary import array, encode
from dash_app.storage.silver_rollups import Array, ArrayDumper

COLUMNS: dict[str, tuple[str, pl.DataType]] = {
    "f8": ("float8", pl.Float64()),
    "i8": ("int8", pl.Int64()),
    "i4": ("int4", pl.Int32()),
    "i2": ("int2", pl.Int16()),
    "b": ("bool", pl.Boolean()),
    "t": ("timestamptz", pl.Datetime("us", "UTC")),
    "s": ("text", pl.String()),
    "j": ("jsonb", pl.String()),
    "y": ("bytea", pl.Binary()),
    "u": ("uuid", pl.Binary()),
}
_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=300)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "f8": st.floats(allow_nan=False),
    "i8": st.integers(-(2**63), 2**63 - 1),
    "i4": st.integers(-(2**31), 2**31 - 1),
    "i2": st.integers(-(2**15), 2**15 - 1),
    "b": st.booleans(),
    "t": st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda t: t.replace(tzinfo=UTC)),  # noqa: DTZ001
    "s": _texts,
    "j": st.sampled_from(['{"a": [1, 2]}', "null", '"é"', "[]", "1.5", '{"k": "' + "x" * 1000 + '"}']),
    "y": st.binary(max_size=70),
    "u": st.binary(min_size=16, max_size=16),
}


@pytest.fixture(scope="module", autouse=True)
def few() -> Iterator[None]:
    """Few rows are packed in another way than many: here so few that both ways are gone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copy_binary, "_FEW", 12)
        yield


@st.composite
def frames(draw: st.DrawFn) -> pl.DataFrame:
    names = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=8))
    height = draw(st.integers(0, 12) | st.integers(13, 24))
    columns = []
    for number, name in enumerate(names):
        values = VALUES[name] if draw(st.booleans()) else st.none() | VALUES[name]
        data = draw(st.lists(values, min_size=height, max_size=height))
        columns.append(pl.Series(f"{name}_{number}", data, COLUMNS[name][1]))
    return pl.DataFrame(columns)


@pytest.fixture(scope="module")
def connection(postgres: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres, autocommit=True, options="-c timezone=UTC") as made:
        made.adapters.register_dumper(Array, ArrayDumper)
        yield made


def kinds(frame: pl.DataFrame) -> list[str]:
    return [COLUMNS[name.split("_")[0]][0] for name in frame.columns]


def through(connection: psycopg.Connection[Any], frame: pl.DataFrame, types: list[str]) -> list[tuple[Any, ...]]:
    """The rows as PostgreSQL has them after a COPY, jsonb as text."""
    with connection.transaction(force_rollback=True), connection.cursor() as cursor:
        columns = ", ".join(f"c{i} {kind}" for i, kind in enumerate(types))
        cursor.execute(f"CREATE TEMP TABLE target ({columns})")
        with cursor.copy("COPY target FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(encode(frame, types))
        selected = ", ".join(f"c{i}::text" if kind == "jsonb" else f"c{i}" for i, kind in enumerate(types))
        return cursor.execute(f"SELECT {selected} FROM target").fetchall()


def expected(frame: pl.DataFrame, types: list[str]) -> list[tuple[Any, ...]]:
    return [
        tuple(UUID(bytes=v) if kind == "uuid" and v is not None else v for v, kind in zip(row, types, strict=True))
        for row in frame.iter_rows()
    ]


@settings(max_examples=60, deadline=None)
@given(frame=frames())
def test_postgresql_reads_what_was_encoded(connection: psycopg.Connection[Any], frame: pl.DataFrame) -> None:
    types = kinds(frame)
    assert through(connection, frame, types) == expected(frame, types)


@settings(max_examples=40, deadline=None)
@given(frame=frames())
def test_arrays_say_the_same(connection: psycopg.Connection[Any], frame: pl.DataFrame) -> None:
    for series, kind in zip(frame.get_columns(), kinds(frame), strict=True):
        text = "::text" if kind == "jsonb" else ""
        rows = connection.execute(
            f"SELECT v{text} FROM unnest(%b::{kind}[]) WITH ORDINALITY AS a(v, n) ORDER BY n", (Array(series, kind),)
        ).fetchall()
        assert rows == expected(series.to_frame(), [kind])


def test_long_texts_of_every_length(connection: psycopg.Connection[Any]) -> None:
    texts = ["é" * n for n in range(600)] + ["x" * 70_001, "", "y" * 65_536]
    frame = pl.DataFrame({"s": texts, "i": range(len(texts))}, schema={"s": pl.String, "i": pl.Int64})
    assert through(connection, frame, ["text", "int8"]) == list(frame.iter_rows())


def test_a_slice_begins_where_it_begins(connection: psycopg.Connection[Any]) -> None:
    frame = pl.DataFrame({"s": ["a", None, "ccc", "dd"], "f": [1.0, None, 3.0, 4.0], "b": [True, False, None, True]})[
        1:4
    ]
    assert through(connection, frame, ["text", "float8", "bool"]) == [
        (None, None, False),
        ("ccc", 3.0, None),
        ("dd", 4.0, True),
    ]


def test_not_a_number_and_infinity_stay_what_they_are(connection: psycopg.Connection[Any]) -> None:
    rows = through(connection, pl.DataFrame({"f": [math.nan, math.inf, -math.inf, -0.0]}), ["float8"])
    assert math.isnan(rows[0][0])
    assert [row[0] for row in rows[1:3]] == [math.inf, -math.inf]
    assert math.copysign(1, rows[3][0]) == -1


def test_other_types_are_cast_strictly(connection: psycopg.Connection[Any]) -> None:
    frame = pl.DataFrame({"a": pl.Series([1, None], dtype=pl.UInt8), "b": pl.Series([None, None], dtype=pl.Null)})
    assert through(connection, frame, ["int8", "text"]) == [(1, None), (None, None)]
    with pytest.raises(Permanent, match="column 'a' does not fit int4"):
        encode(pl.DataFrame({"a": [2**40]}), ["int4"])


def test_a_time_that_postgresql_does_not_know_names_its_column() -> None:
    frame = pl.DataFrame({"at": pl.Series([-(2**63) + 1], dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))})
    with pytest.raises(Permanent, match="'at'"):
        encode(frame, ["timestamptz"])


def test_a_uuid_has_sixteen_bytes() -> None:
    with pytest.raises(Permanent, match="'u'"):
        array(pl.Series("u", [b"short"]), "uuid")


def test_the_columns_and_types_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="zip"):
        encode(pl.DataFrame({"a": [1]}), ["int8", "int8"])
