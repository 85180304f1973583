"""Frames: what a browser gets."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import polars as pl
import pytest
from tornado.websocket import WebSocketProtocol13, _WebSocketParams

from dash_app.live.frames import Table, encode, encode_error, packet


def test_columns_are_json_whatever_is_in_them() -> None:
    frame = pl.DataFrame(
        {
            "time": [datetime(2026, 1, 1, tzinfo=UTC), None],
            "x": [float("nan"), float("inf")],
            "n": [1, None],
            "who": ["<b>", None],
        }
    )
    columns = [{"name": name, "type": "text"} for name in frame.columns]
    got = json.loads(encode("k", 3, "update", Table(frame, columns, ("time",), 1, 2, 60_000), at=5))
    assert got["data"] == [[1767225600000, None], [None, None], [1, None], ["<b>", None]]
    assert (got["topic"], got["seq"], got["kind"], got["key"]) == ("k", 3, "update", ["time"])
    assert (got["from"], got["to"], got["every"], got["at"]) == (1, 2, 60_000, 5)


def test_an_empty_table_has_its_columns() -> None:
    frame = pl.DataFrame({"n": pl.Series([], dtype=pl.Int64)})
    got = json.loads(encode("k", 0, "snapshot", Table(frame, [{"name": "n", "type": "integer"}], extra={"last": 7})))
    assert got["data"] == [[]]
    assert got["last"] == 7


def test_an_error_says_what_and_why() -> None:
    assert json.loads(encode_error("k", "Not found", "no pipeline 'x'")) == {
        "topic": "k",
        "kind": "error",
        "title": "Not found",
        "detail": "no pipeline 'x'",
    }


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
def test_a_packet_is_what_the_server_would_write(length: int) -> None:
    written: list[bytes] = []

    class Stream:
        def write(self, data: bytes) -> None:
            written.append(data)

    protocol = WebSocketProtocol13(None, False, _WebSocketParams())  # type: ignore[arg-type]
    protocol.stream = Stream()  # type: ignore[assignment]
    message = b"x" * length
    protocol._write_frame(True, 0x1, message)
    assert packet(message) == written[0]
