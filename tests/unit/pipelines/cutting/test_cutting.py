"""Files become payloads at the borders of their records, whatever the windows, and from any place on."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.domain.errors import Invalid
from dash_app.domain.events import Payload
from dash_app.pipelines import cutting
from dash_app.pipelines.cutting import Damaged, base, lines, rows, values, windows
from dash_app.pipelines.decode import Decoder, without_mark
from dash_app.storage import parquet_apart

MOST = 4096


class Memory:
    """A file in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, start: int, stop: int) -> bytes:
        return self.data[start:stop]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small windows and payloads, so that small files have many of them."""
    monkeypatch.setattr(windows, "WIDTH", 256)
    for module in (base, lines, rows, values):
        monkeypatch.setattr(module, "TARGET", 100)


def cut(data: bytes, format: str, content_type: str = "", *, most: int = MOST) -> list[cutting.Piece]:
    """All pieces of a file; begun anew at every step, which must not change them."""
    whole = list(cutting.steps(Memory(data), format, content_type, {}, most=most))
    resumed: list[cutting.Step] = []
    position: Mapping[str, Any] = {}
    while True:
        step = next(cutting.steps(Memory(data), format, content_type, position, most=most), None)
        if step is None:
            break
        position = json.loads(json.dumps(step.position))
        resumed.append(step)
    assert resumed == whole
    assert [step.consumed for step in whole] == sorted(step.consumed for step in whole)
    return [piece for step in whole for piece in step.pieces]


def records(pieces: list[cutting.Piece]) -> list[Any]:
    """What the decoder makes of the pieces; none of them may be refused."""
    found: list[Any] = []
    for number, piece in enumerate(pieces):
        decoder = Decoder(scalars=True)
        body = without_mark(piece.body)
        payload = Payload(number, UUID(int=1), datetime(2024, 1, 1, tzinfo=UTC), piece.content_type, {}, body)
        decoder.payload(0, payload, body)
        assert not decoder.refusals, decoder.refusals
        made = decoder.typed.records + decoder.texts.records
        assert len(made) == piece.records
        found += made
    return found


# CSV -----------------------------------------------------------------------------------------------------------------

texts = st.text(st.sampled_from('ab,"\n\r éü5'), max_size=12)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=60), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_csv_rows_come_whole_and_once(given_rows: list[tuple[str, str]], ending: str, mark: bool) -> None:
    out = io.StringIO(newline="")

    writer = csv.writer(out, lineterminator=ending, quoting=csv.QUOTE_ALL)
    writer.writerow(["first", "se\ncond"])
    writer.writerows(given_rows)
    data = (b"\xef\xbb\xbf" if mark else b"") + out.getvalue().encode()
    expected = [{"first": one or None, "se\ncond": other or None} for one, other in given_rows]
    pieces = cut(data, "csv")
    assert records(pieces) == expected
    assert all(len(piece.body) <= MOST for piece in pieces)


def test_csv_pieces_have_the_header_and_bounded_size() -> None:
    data = b"n,site\n" + b"".join(b"%d,oslo\n" % n for n in range(200))
    pieces = cut(data, "csv")
    assert len(pieces) > 10
    assert all(piece.body.startswith(b"n,site\n") and len(piece.body) <= 100 for piece in pieces)
    assert [int(one["n"]) for one in records(pieces)] == list(range(200))


def test_csv_quotes_within_plain_values_are_themselves() -> None:
    data = b"size,n\n" + b'5" pipe,1\n7" pipe,2\n' * 40
    assert len(records(cut(data, "csv"))) == 80


def test_csv_keeps_its_charset() -> None:
    pieces = cut("name\nø\n".encode("latin-1"), "csv", "text/csv; charset=iso-8859-1")
    assert records(pieces) == [{"name": "ø"}]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b'a,b\n1,2\n"3,4\n5,6\n', "never closed"),
        (b'a,b\n"1"x,2\n', "line 2"),
        (b"a\n\xff\n", "byte 2 is not UTF-8"),
        (b"a\n" + b"x" * 9000 + b"\n", "4,096"),
        ("a\n1\n".encode("utf-16"), "UTF-16"),
        (b"a\x00,b\n1,2\n", "zero byte"),
    ],
    ids=["open quote", "text behind a quote", "not utf-8", "row too large", "utf-16", "binary"],
)
def test_csv_that_is_none(data: bytes, why: str) -> None:
    with pytest.raises(Damaged, match=why):
        cut(data, "csv")


# NDJSON --------------------------------------------------------------------------------------------------------------


def test_lines_come_whole_and_once_and_wrong_ones_are_left_to_the_mapping() -> None:
    written = [json.dumps({"n": n, "text": "ü" * (n % 50)}) for n in range(150)]
    data = "\n".join([*written[:70], "", "{broken", *written[70:]]).encode()
    pieces = cut(data, "ndjson")
    assert b"".join(piece.body for piece in pieces) == data
    assert sum(piece.records for piece in pieces) == 151
    assert all(piece.body.endswith(b"\n") for piece in pieces[:-1])


def test_a_file_of_another_kind_is_no_ndjson() -> None:
    with pytest.raises(Damaged, match="first line is not JSON"):
        cut(b"\x89PNG\r\n\x1a\n" + b"\x00" * 500, "ndjson")
    with pytest.raises(Damaged, match="4,096"):
        cut(b'{"n": 1}\n{"text": "' + b"x" * 9000 + b'"}\n', "ndjson")


# JSON ----------------------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(st.text(max_size=3), json_values, min_size=1, max_size=3), max_size=40), st.booleans())
def test_an_array_becomes_arrays(elements: list[dict[str, Any]], pretty: bool) -> None:
    data = json.dumps(elements, indent=2 if pretty else None, ensure_ascii=False).encode()
    pieces = cut(data, "json")
    assert [one for piece in pieces for one in json.loads(piece.body)] == elements
    assert sum(piece.records for piece in pieces) == len(elements)


@given(st.lists(st.dictionaries(st.text(max_size=3), json_values, min_size=1, max_size=3), min_size=2, max_size=40))
def test_values_that_follow_one_another_become_lines(elements: list[dict[str, Any]]) -> None:
    data = "\n".join(json.dumps(one, indent=2) for one in elements).encode()
    assert [json.loads(line) for piece in cut(data, "json") for line in piece.body.splitlines()] == elements


def test_one_value_stays_as_it_is() -> None:
    data = json.dumps({"items": [{"n": n} for n in range(100)]}, indent=1).encode()
    assert cut(b"  " + data + b"\n", "json") == [cutting.Piece(data, "application/json", 1)]


def test_what_the_decoder_refuses_stands_alone() -> None:
    good = [json.dumps({"n": n}) for n in range(40)]
    data = ("[" + ",".join([*good[:20], '{"n": NaN}', *good[20:]]) + "]").encode()
    pieces = cut(data, "json")
    assert b'[{"n": NaN}]' in [piece.body for piece in pieces]
    assert sum(piece.records for piece in pieces) == 41


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"[" + b'{"n": 1},' * 50, "not closed"),
        (b"[" + b'{"n": 1},' * 50 + b"]", "a value is expected"),
        (b'[{"n": 1} {"n": 2}]', "byte 10"),
        (b'[{"n": 1}] {"n": 2}', "follows the end"),
        (b"[" + b'{"n": 1},' * 50 + b'{"n": tru}]', "byte 457"),
        (b'{"text": "' + b"x" * 9000 + b'"}', "one value a line"),
        (b"[" * 100_000, "nested too deep|not closed|no record ends"),
        (b"<html></html>", "byte 0"),
    ],
    ids=["cut off", "comma at the end", "no comma", "more behind", "no value", "too large", "deep", "html"],
)
def test_json_that_is_none(data: bytes, why: str) -> None:
    with pytest.raises(Damaged, match=why):
        cut(data, "json")


# Parquet -------------------------------------------------------------------------------------------------------------


def parquet(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def test_parquet_rows_become_lines() -> None:
    frame = pl.DataFrame(
        {
            "n": range(500),
            "at": [datetime(2024, 1, 1, tzinfo=UTC)] * 500,
            "price": pl.Series(["1.50"] * 500).str.to_decimal(scale=2),
            "raw": [b"text"] * 499 + [b"\xff"],
            "tags": [["a", "b"]] * 500,
            "gap": [float("nan")] * 500,
        }
    )
    found = records(cut(parquet(frame.to_arrow(), row_group_size=120), "parquet"))
    assert [one["n"] for one in found] == list(range(500))
    assert found[0] == {
        "n": 0,
        "at": "2024-01-01T00:00:00+00:00",
        "price": 1.5,
        "raw": "text",
        "tags": ["a", "b"],
        "gap": None,
    }
    assert found[-1]["raw"] == "/w=="


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"PAR1 and then nothing of the kind PAR1", "not a Parquet file"),
        (b"a,b\n1,2\n", "not a Parquet file"),
        (parquet(pa.table({"n": [1, 2], "raw": pa.array([[b"a"], []], pa.list_(pa.binary()))})), "'raw' holds bytes"),
    ],
    ids=["no footer", "csv", "nested bytes"],
)
def test_parquet_that_cannot_be_used(data: bytes, why: str) -> None:
    with pytest.raises(Damaged, match=why):
        cut(data, "parquet")


def test_parquet_that_is_damaged_within_is_noticed() -> None:
    data = bytearray(
        parquet(pa.table({"text": [f"value {n}" for n in range(3000)]}), compression="none", write_page_checksum=True)
    )
    data[2000] ^= 0xFF
    with pytest.raises(Damaged, match="row group 0"):
        cut(bytes(data), "parquet")


def test_parquet_that_unpacks_to_far_more_is_read_in_small_parts() -> None:
    late = pa.table({"text": ["a"] * 3 + ["x" * 300_000] * 100})
    shared = pa.table({"text": pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int32()), ["x" * 300_000])})
    for table in (late, shared):
        data = parquet(table, compression="zstd")
        assert len(data) < 2000
        found = list(cutting.steps(Memory(data), "parquet", "", {}, most=1 << 20))
        assert sum(piece.records for step in found for piece in step.pieces) == table.num_rows
        assert max(sum(len(piece.body) for piece in step.pieces) for step in found) < 17 << 20


def test_a_parquet_row_that_is_too_large_ends_no_more_than_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_apart, "MEMORY", 384 << 20)
    parquet_apart.close()
    try:
        texts = pa.array(["x" * 50_000]).take(pa.array([0] * 8000))
        many = pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts)
        with pytest.raises(Damaged, match="needs more memory"):
            cut(parquet(pa.table({"list": many}), compression="zstd"), "parquet")
        assert len(records(cut(parquet(pa.table({"n": [1, 2]})), "parquet"))) == 2
    finally:
        parquet_apart.close()


def test_a_parquet_row_has_a_largest_size() -> None:
    with pytest.raises(Damaged, match=r"row 1 of the row group 0 has 70,0.* at most 67,108,864 are taken"):
        cut(parquet(pa.table({"text": ["x" * 70_000_000]}), compression="zstd"), "parquet")


def test_a_process_that_is_ended_from_outside_says_nothing_of_the_file() -> None:
    data = parquet(pa.table({"n": list(range(30_000))}), row_group_size=10_000)
    parquet_apart.close()
    steps = cutting.steps(Memory(data), "parquet", "", {}, most=1 << 20)
    next(steps)
    (child,) = (one for one in multiprocessing.active_children() if one.name == "parquet")
    child.kill()
    with pytest.raises(parquet_apart.DecoderLost, match="SIGKILL"):
        list(steps)


# Numbers -------------------------------------------------------------------------------------------------------------


def test_a_number_of_very_many_digits_costs_no_other_record() -> None:
    data = b'[{"n": 1}, {"n": ' + b"9" * 5000 + b'}, {"n": 2}]'
    pieces = [piece for step in cutting.steps(Memory(data), "json", "", {}, most=1 << 20) for piece in step.pieces]
    assert [piece.records for piece in pieces] == [1, 1, 1]


# What a file is ------------------------------------------------------------------------------------------------------


def test_what_a_file_holds_is_told_by_type_or_name() -> None:
    assert cutting.format_of("a.bin", "text/csv; charset=latin1") == "csv"
    assert cutting.format_of("A.CSV", "application/vnd.ms-excel") == "csv"
    assert cutting.format_of("a.jsonl") == "ndjson"
    assert cutting.format_of("a.parquet", "application/octet-stream") == "parquet"
    for name in ("a.xlsx", "a.csv.gz", "data"):
        with pytest.raises(Invalid, match=r"\.parquet"):
            cutting.format_of(name, "application/octet-stream")
