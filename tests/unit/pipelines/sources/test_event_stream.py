"""text/event-stream, by the examples and rules of the HTML standard, in whatever pieces it comes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.pipelines.sources.event_stream import Event, EventStream

# The standard's own examples (9.2.6), and what its rules say of the corners.
EXAMPLES: dict[str, tuple[bytes, list[Event]]] = {
    "two lines": (b"data: YHOO\ndata: +2\ndata: 10\n\n", [Event("YHOO\n+2\n10")]),
    "comment and ids": (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        [Event("first event", id="1"), Event("second event"), Event(" third event")],
    ),
    "empty data": (b"data\n\ndata\ndata\n\ndata:", [Event(""), Event("\n")]),
    "space after the colon": (b"data:test\n\ndata: test\n\n", [Event("test"), Event("test")]),
    "types": (b"event: add\ndata: 1\n\ndata: 2\n\n", [Event("1", "add"), Event("2")]),
    "an id stays": (b"id: 7\ndata: a\n\ndata: b\n\n", [Event("a", id="7"), Event("b", id="7")]),
    "an id with a NUL is none": (b"id: 7\ndata: a\n\nid: 8\0\ndata: b\n\n", [Event("a", id="7"), Event("b", id="7")]),
    "ends of lines": (b"data: a\r\rdata: b\r\n\r\ndata: c\n\n", [Event("a"), Event("b"), Event("c")]),
    "a mark at the beginning": (b"\xef\xbb\xbfdata: a\n\n", [Event("a")]),
    "an id alone brings nothing": (b"id: 3\n\ndata: a\n\n", [Event("a", id="3")]),
    "other fields": (b"foo: bar\ndata: a\nretry: 1500\nretry: soon\n\n", [Event("a")]),
    "not UTF-8": (b"data: \xff\n\n", [Event("\ufffd")]),
    "nothing that has not ended": (b"data: a\n", []),
}


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_examples(example: tuple[bytes, list[Event]]) -> None:
    raw, events = example
    assert EventStream(1000).feed(raw) == events
    byte_by_byte = EventStream(1000)
    assert [event for n in range(len(raw)) for event in byte_by_byte.feed(raw[n : n + 1])] == events


@given(st.sampled_from([raw for raw, _ in EXAMPLES.values()]), st.lists(st.integers(0, 60), max_size=5))
def test_pieces_make_no_difference(raw: bytes, cuts: list[int]) -> None:
    stream, places = EventStream(1000), [0, *sorted(cuts), len(raw)]
    found = [event for one, two in pairwise(places) for event in stream.feed(raw[one:two])]
    assert found == EventStream(1000).feed(raw)


def test_retry_and_a_first_id() -> None:
    stream = EventStream(1000, "41")
    assert stream.feed(b"retry: 2500\ndata: a\n\n") == [Event("a", id="41")]
    assert stream.retry == 2.5


def test_what_is_too_large_is_not_held() -> None:
    stream = EventStream(10)
    assert stream.feed(b"data: 0123456789\n\n") == [Event("0123456789")]
    for _ in range(100):
        assert stream.feed(b"data: " + b"x" * 1000) == []
    assert sum(map(len, stream._line)) < 2000
    assert stream.feed(b"\nid: 9\n\ndata: ok\n\n") == [Event("", id="9", too_large=True), Event("ok", id="9")]
    assert stream.feed(b"data: 012345\ndata: 67890\ndata: 1\n\n") == [Event("", id="9", too_large=True)]
