"""What an address of the records behind a number asks for."""

from __future__ import annotations

import json

import pytest

from dash_app.domain.errors import BadRequest, Invalid
from dash_app.pages.behind import behind
from dash_app.pages.dashboard import as_seen_by
from dash_app.pipelines.expressions import parse_filter
from dash_app.storage.filters import fields

RANGE = {"from": "2026-03-04T05:00:00Z", "to": "2026-03-04T05:05:00Z"}


def ask(**more: str) -> dict[str, object] | None:
    given = RANGE | more
    return behind("weather", lambda name: given.get(name, ""))


def test_dimensions_become_conditions_beside_the_tiles_own() -> None:
    found = ask(
        where="kind = 'a' or kind = 'b'", by='{"site": "O\'Hara", "floor": 3, "roof": null, "on": true}', mapping="2"
    )
    assert found is not None
    assert found["query"] == {
        "pipeline": "weather",
        "limit": 500,
        "where": "(kind = 'a' or kind = 'b') and \"site\" = 'O''Hara' and \"floor\" = 3 and \"roof\" is null"
        ' and "on" = true',
        "mapping": 2,
    }
    assert str(found["title"]).startswith("4 Mar 2026 05:00 – 4 Mar 2026 05:05 UTC · kind")


def test_a_dimension_may_be_named_like_a_word_of_the_language() -> None:
    names = ("case", "end", "from", "in", "is", "null", "true")
    found = ask(by=json.dumps({name: None if name == "end" else "v" for name in names}))
    assert found is not None
    read = parse_filter(found["query"]["where"], dict.fromkeys(names, "text"))  # type: ignore[index]
    assert fields(read) == set(names)


@pytest.mark.parametrize(
    ("begin", "every", "end"),
    [
        ("2026-01-31T23:00:00Z", "1M", "2026-02-28T23:00:00+00:00"),
        ("2026-03-28T23:00:00Z", "1d", "2026-03-29T22:00:00+00:00"),
        ("2026-10-24T22:00:00Z", "1d", "2026-10-25T23:00:00+00:00"),
        ("2026-03-04T05:20:00Z", "1h", "2026-03-04T06:00:00+00:00"),
    ],
)
def test_a_bucket_ends_where_the_calendar_says(begin: str, every: str, end: str) -> None:
    given = {"from": begin, "every": every, "timezone": "Europe/Oslo"}
    found = behind("weather", lambda name: given.get(name, ""))
    assert found is not None
    assert found["to"] == end
    # What was visible ended before the bucket did.
    given["to"] = begin.replace("00:00Z", "30:00Z")
    cut = behind("weather", lambda name: given.get(name, ""))
    assert cut is not None
    assert cut["to"] == given["to"]


def test_without_a_range_the_newest_records_are_shown() -> None:
    assert behind("weather", lambda name: "") is None


@pytest.mark.parametrize(
    "by",
    [
        "[1]", "{", '{"a b": 1}', '{"a": [1]}', '{"x\'--": 1}', "[" * 100_000, '{"a":' * 100_000,
        '{"a": ' + "1" * 5000 + "}",
        '{"\\ud800": 1}', '{"a": "\\ud800"}', '{"a": "\\u0000"}',
    ],
)  # fmt: skip
def test_what_are_no_dimensions_is_refused(by: str) -> None:
    with pytest.raises(BadRequest):
        ask(by=by)


def test_a_wrong_range_or_condition_is_refused() -> None:
    with pytest.raises(Invalid):
        ask(**{"from": "yesterday"})
    for every in ("5 parsecs", "99999y", "1" * 5000 + "d"):
        with pytest.raises(Invalid):
            ask(every=every)
    for mapping in ("1" * 5000, "two", "-1"):
        with pytest.raises(BadRequest):
            ask(mapping=mapping)


def test_only_the_tiles_of_that_pipeline_travel() -> None:
    tiles = [
        {"id": 1, "query": {"pipeline": "weather", "select": []}},
        {"id": 2, "query": {"pipeline": "orders"}},
        {"id": 3, "kind": "text"},
    ]
    document = {"title": "t", "tiles": tiles}
    seen = as_seen_by(document, {"weather": 3, "some-id": 3})
    assert [tile.get("query", {}).get("mapping") for tile in seen["tiles"]] == [3, None, None]
    assert "mapping" not in tiles[0]["query"]  # type: ignore[operator]
    assert as_seen_by(document, {}) is document
