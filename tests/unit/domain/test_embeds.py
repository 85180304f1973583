"""What may be asked within an embed: what its dashboard asks, narrowed at most."""

from __future__ import annotations

from typing import Any

import pytest

from dash_app.domain.embeds import ORIGIN, Embed, permit, shown_tiles
from dash_app.domain.errors import Forbidden

SITES = {"pipeline": "weather", "select": [{"field": "temp", "agg": "avg"}], "by": ["site"], "where": "site = $site"}
RECORDS = {"pipeline": "weather", "limit": 50}
CHOSEN = {"pipeline": "$which", "select": [{"agg": "count"}], "every": "auto"}
_OF_SITE = {"pipeline": "weather", "field": "site"}
SITE = {"name": "site", "type": "query", "query": _OF_SITE, "includeAll": True, "multi": True}
OWN = {"name": "tenant", "type": "text", "current": "acme", "hide": True}
ONE = {"name": "city", "type": "query", "query": {"pipeline": "$source", "field": "city"}}
SOURCE = {"name": "source", "type": "text", "current": "weather"}
NOTES = {"name": "Notes", "source": "query", "query": {"pipeline": "$source", "where": "tenant = $tenant"}}
OFF = {"name": "Off", "source": "replays", "enable": False}
DOCUMENT = {
    "tiles": [
        {"id": "a", "kind": "bar", "query": SITES},
        {"id": 2, "kind": "line", "queries": [{**CHOSEN, "name": "counts"}, {**SITES, "every": "1h"}]},
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
ALL = Embed("d", None, None, 0)


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
        {"kind": "line", "query": {**SITES, "every": "1h"}, "filters": [{"field": "site", "op": "!=", "value": "a"}]},
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
        {"kind": "bar", "query": SITES, "filters": [{"field": "owner", "value": "a"}]},
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
        # Sources that are off, earlier mappings, and fields that are only averaged.
        {"kind": "annotations", "dashboard": "d", "sources": ["Off"]},
        {"kind": "annotations", "dashboard": "d", "sources": "Notes"},
        {"kind": "table", "query": {**RECORDS, "mapping": 1}},
        {"kind": "bar", "query": SITES, "filters": [{"field": "temp", "value": 1}]},
    ],
)
def test_what_it_does_not_ask(request_: dict[str, Any]) -> None:
    assert not may(ALL, **request_)


def test_a_tile_alone() -> None:
    only = Embed("d", "2", None, 0)
    assert [tile["id"] for tile in shown_tiles(only, DOCUMENT)] == [2]
    assert may(only, kind="line", query=CHOSEN)
    assert not may(only, kind="bar", query=SITES)
    assert shown_tiles(Embed("d", "gone", None, 0), DOCUMENT) == []


def test_a_variable_that_decides_takes_what_is_offered_alone() -> None:
    document = {
        "tiles": [{"id": 1, "query": CHOSEN}],
        "templating": {"list": [{"name": "which", "type": "text", "current": "a"}]},
    }
    permit(ALL, document, {"kind": "line", "query": CHOSEN, "variables": {"which": "a"}})
    with pytest.raises(Forbidden):
        permit(ALL, document, {"kind": "line", "query": CHOSEN, "variables": {"which": "b"}})


@pytest.mark.parametrize("text", ["https://wiki.example.org", "http://localhost:8888", "http://[::1]:8888"])
def test_origins(text: str) -> None:
    assert ORIGIN.fullmatch(text)


@pytest.mark.parametrize(
    "text", ["*", "https://a.b; script-src *", "https://a.b/path", "a.b", "javascript://a", "https://a b"]
)
def test_what_is_no_origin(text: str) -> None:
    assert not ORIGIN.fullmatch(text)


def test_one_tile_has_its_own_variables_and_no_annotations() -> None:
    one = Embed("d", "a", None, 0)
    assert may(one, kind="values", dashboard="d", variable=SITE)
    assert not may(one, kind="values", dashboard="d", variable=ONE)
    assert not may(one, kind="annotations", dashboard="d")
    # The page sends all that it knows; what this tile does not use changes nothing.
    assert may(one, kind="bar", query=SITES, variables={"site": "a", "which": "anything"})
