"""What may be asked within an embed: what its dashboard asks, narrowed at most."""

from __future__ import annotations

from typing import Any

import pytest

from dash_app.domain.embeds import ORIGIN, Embed, permit, shown_document, shown_tiles
from dash_app.domain.errors import Forbidden

SITES: dict[str, Any] = {
    "pipeline": "weather",
    "select": [{"field": "temp", "agg": "avg"}],
    "by": ["site"],
    "where": "site = $site",
}
HOURLY: dict[str, Any] = {**SITES, "every": "1h"}
RECORDS: dict[str, Any] = {"pipeline": "weather", "limit": 50}
CHOSEN = {"pipeline": "$which", "select": [{"agg": "count"}], "every": "auto"}
_OF_SITE = {"pipeline": "weather", "field": "site"}
SITE: dict[str, Any] = {"name": "site", "type": "query", "query": _OF_SITE, "includeAll": True, "multi": True}
OWN = {"name": "tenant", "type": "text", "current": "acme", "hide": True}
ONE: dict[str, Any] = {"name": "city", "type": "query", "query": {"pipeline": "$source", "field": "city"}}
SOURCE = {"name": "source", "type": "text", "current": "weather"}
NOTES = {"name": "Notes", "source": "query", "query": {"pipeline": "$source", "where": "tenant = $tenant"}}
OFF = {"name": "Off", "source": "replays", "enable": False}
DOCUMENT: dict[str, Any] = {
    "tiles": [
        {"id": "a", "kind": "bar", "query": SITES},
        {"id": 2, "kind": "line", "queries": [{**CHOSEN, "name": "counts"}, HOURLY]},
        {"id": "t", "kind": "table", "query": RECORDS},
        {"id": "x", "kind": "text"},
    ],
    "templating": {
        "list": [
            SITE,
            {"name": "which", "type": "custom", "options": ["weather", {"value": "orders"}]},
            OWN,
            ONE,
            SOURCE,
        ]
    },
    "annotations": {"list": [NOTES, OFF]},
}
ALL = Embed("d", None, None, 0, "id")


def may(embed: Embed, **request: Any) -> bool:
    try:
        permit(embed, DOCUMENT, request)
    except Forbidden:
        return False
    return True


@pytest.mark.parametrize(
    "request_",
    [
        {"kind": "bar", "query": SITES, "variables": {"site": ["roof", "it's"]}},
        {"kind": "bar", "query": SITES, "variables": {"site": "$__all"}, "range": {"from": "now-9y", "to": "now"}},
        {"kind": "line", "query": HOURLY, "filters": [{"field": "site", "op": "!=", "value": "a"}]},
        {"kind": "line", "query": CHOSEN, "variables": {"which": "orders", "site": "a"}},
        {"kind": "table", "query": {**RECORDS, "limit": 9, "order": "-temp", "cursor": "x"}},
        {"kind": "table", "query": RECORDS, "filters": [{"field": "anything", "value": 1}]},
        {"kind": "values", "dashboard": "d", "variable": {**SITE, "label": "Where"}},
        {"kind": "annotations", "dashboard": "d", "variables": {"site": "a"}},
        {"kind": "annotations", "dashboard": "d", "sources": ["Notes"], "variables": {"source": "weather"}},
        {"kind": "values", "dashboard": "d", "variable": ONE, "variables": {"source": ["weather"], "tenant": "acme"}},
        {"kind": "bar", "query": SITES, "variables": {"city": "a", "tenant": "acme"}},
    ],
)
def test_what_the_dashboard_asks(request_: dict[str, Any]) -> None:
    permit(ALL, DOCUMENT, request_)


@pytest.mark.parametrize(
    "request_",
    [
        {"kind": "bar", "query": {**SITES, "pipeline": "orders"}},
        {"kind": "bar", "query": {**SITES, "where": "true"}},
        {"kind": "bar", "query": {**SITES, "by": ["site", "owner"]}},
        {"kind": "bar", "query": {**SITES, "every": "1s"}},
        {"kind": "bar", "query": {key: value for key, value in SITES.items() if key != "where"}},
        {"kind": "bar", "query": SITES, "variables": {"other": "a"}},
        {"kind": "line", "query": CHOSEN, "variables": {"which": "secrets"}},
        {"kind": "table", "query": {**RECORDS, "where": "true"}},
        {"kind": "table", "query": {**RECORDS, "select": [{"field": "owner"}]}},
        {"kind": "bar"},
        {"kind": "bar", "query": "weather"},
        {"kind": "records", "query": RECORDS},
        {"kind": "pipelines"},
        {"kind": "replays", "query": {"pipeline": "weather"}},
        {"kind": "dashboard", "dashboard": "d"},
        {"kind": "annotations", "dashboard": "other"},
        {"kind": "values", "dashboard": "other", "variable": SITE},
        {"kind": "values", "dashboard": "d", "variable": {**SITE, "query": {"pipeline": "weather", "field": "owner"}}},
        {"kind": "values", "dashboard": "d", "variable": None},
        # A variable that names a pipeline is not for choosing.
        {"kind": "annotations", "dashboard": "d", "variables": {"source": "salaries"}},
        {"kind": "values", "dashboard": "d", "variable": ONE, "variables": {"source": "salaries"}},
        # What is hidden, single, or without All stays so.
        {"kind": "annotations", "dashboard": "d", "variables": {"tenant": "other"}},
        {"kind": "bar", "query": SITES, "variables": {"tenant": "$__all"}},
        {"kind": "bar", "query": SITES, "variables": {"city": "$__all"}},
        {"kind": "bar", "query": SITES, "variables": {"city": ["a", "b"]}},
        # Sources that are off, and earlier mappings.
        {"kind": "annotations", "dashboard": "d", "sources": ["Off"]},
        {"kind": "annotations", "dashboard": "d", "sources": "Notes"},
        {"kind": "table", "query": {**RECORDS, "mapping": 1}},
    ],
)
def test_what_it_does_not_ask(request_: dict[str, Any]) -> None:
    assert not may(ALL, **request_)


def test_filters_are_for_what_tiles_of_the_pipeline_show() -> None:
    shown = {"field": "site", "op": "=", "value": "a"}
    averaged, unseen = {"field": "temp", "op": "=", "value": 1}, {"field": "owner", "op": "!=", "value": "a"}
    every = [averaged, shown, unseen]
    assert permit(ALL, DOCUMENT, {"kind": "bar", "query": SITES, "filters": every})["filters"] == [shown]
    # Records show all fields; another pipeline's field of the same name is another field.
    assert permit(ALL, DOCUMENT, {"kind": "table", "query": RECORDS, "filters": every})["filters"] == every
    assert permit(ALL, DOCUMENT, {"kind": "line", "query": CHOSEN, "filters": every})["filters"] == []


def test_a_tile_alone() -> None:
    only = Embed("d", "2", None, 0, "id")
    assert [tile["id"] for tile in shown_tiles(only, DOCUMENT)] == [2]
    assert may(only, kind="line", query=CHOSEN)
    assert not may(only, kind="bar", query=SITES)
    assert shown_tiles(Embed("d", "gone", None, 0, "id"), DOCUMENT) == []


def test_a_variable_that_decides_takes_what_is_offered_alone() -> None:
    document = {
        "tiles": [{"id": 1, "query": CHOSEN}],
        "templating": {"list": [{"name": "which", "type": "text", "current": "a"}]},
    }
    permit(ALL, document, {"kind": "line", "query": CHOSEN, "variables": {"which": "a"}})
    with pytest.raises(Forbidden):
        permit(ALL, document, {"kind": "line", "query": CHOSEN, "variables": {"which": "b"}})


@pytest.mark.parametrize(
    ("variable", "value", "fits"),
    [
        ({"type": "interval"}, "5m", True),
        ({"type": "interval"}, "7m", False),
        ({"type": "interval", "hide": True}, "1m", True),
        ({"type": "interval", "hide": True}, "5m", False),
        ({"type": "custom", "options": ["1h", "1d"], "hide": True}, "1h", True),
        ({"type": "custom", "options": ["1h", "1d"], "hide": True}, "1d", False),
        ({"type": "custom", "options": ["1h", "1d"], "hide": True, "current": "1d"}, "1d", True),
        ({"type": "query", "query": _OF_SITE, "hide": True, "includeAll": True}, "$__all", True),
        ({"type": "query", "query": _OF_SITE, "hide": True}, "1h", False),
    ],
)
def test_what_has_no_current_is_what_the_page_chooses_first(variable: dict[str, Any], value: str, fits: bool) -> None:
    query = {"pipeline": "weather", "where": "kind = $x"}
    document = {"tiles": [{"id": 1, "query": query}], "templating": {"list": [{"name": "x", **variable}]}}
    try:
        permit(ALL, document, {"kind": "line", "query": query, "variables": {"x": value}})
        assert fits
    except Forbidden:
        assert not fits


@pytest.mark.parametrize("text", ["https://wiki.example.org", "http://localhost:8888", "http://[::1]:8888"])
def test_origins(text: str) -> None:
    assert ORIGIN.fullmatch(text)


@pytest.mark.parametrize(
    "text", ["*", "https://a.b; script-src *", "https://a.b/path", "a.b", "javascript://a", "https://a b"]
)
def test_what_is_no_origin(text: str) -> None:
    assert not ORIGIN.fullmatch(text)


def test_one_tile_has_its_own_variables_and_no_annotations() -> None:
    one = Embed("d", "a", None, 0, "id")
    assert may(one, kind="values", dashboard="d", variable=SITE)
    assert not may(one, kind="values", dashboard="d", variable=ONE)
    assert not may(one, kind="annotations", dashboard="d")
    # The page sends all that it knows; what this tile does not use changes nothing.
    assert may(one, kind="bar", query=SITES, variables={"site": "a", "which": "anything"})


def test_the_page_has_what_it_shows_alone() -> None:
    assert shown_document(ALL, DOCUMENT) == {key: DOCUMENT[key] for key in ("tiles", "templating")}
    one = shown_document(Embed("d", "a", None, 0, "id"), DOCUMENT)
    assert [tile["id"] for tile in one["tiles"]] == ["a"]
    assert one["templating"] == {"list": [SITE]}
    assert "annotations" not in one
    assert shown_document(Embed("d", "gone", None, 0, "id"), DOCUMENT)["tiles"] == []
