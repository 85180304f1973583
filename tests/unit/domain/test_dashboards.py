"""What is accepted as a dashboard: every part on its own, right and wrong, each wrong place named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dash_app.domain.dashboards import (
    MAX_BYTES,
    SOURCES,
    TILE,
    TOP,
    check_dashboard,
    pipelines_of,
    queries_of,
    search_text,
    sources_of,
)
from dash_app.domain.errors import Invalid
from dash_app.domain.templating import TYPES, defaults, names_used
from dash_app.domain.tiles import TILES
from dash_app.pipelines.dashboard_templates import all_templates

DOCS = (Path(__file__).parents[3] / "docs" / "dashboards.md").read_text(encoding="utf-8")
QUERY: dict[str, Any] = {"pipeline": "weather", "select": [{"field": "t", "agg": "avg"}], "every": "auto"}


def tile(**more: Any) -> dict[str, Any]:
    return {"id": 1, "kind": "line", "gridPos": {"x": 0, "y": 0, "w": 6, "h": 4}, "query": QUERY} | more


def document(**more: Any) -> dict[str, Any]:
    return {"title": "Weather", "tiles": [tile()], **more}


def wrong(whole: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(Invalid) as raised:
        check_dashboard(whole)
    return dict(raised.value.problems)


def variable(**more: Any) -> dict[str, Any]:
    return {"name": "site", "type": "query", "query": {"pipeline": "weather", "field": "site"}} | more


def templated(*variables: dict[str, Any], where: str = "") -> dict[str, Any]:
    asked = {**QUERY, "where": where} if where else QUERY
    return document(templating={"list": list(variables)}, tiles=[tile(query=asked)])


def test_a_whole_document_is_taken_as_it_is_with_what_goes_without_saying() -> None:
    made = check_dashboard(document(folder=" Operations / Web ", tags=["a ", "b", "a"], description="About"))
    assert (made["uid"], made["folder"], made["tags"]) == ("weather", "Operations/Web", ["a", "b"])
    assert (made["time"], made["refresh"]) == ({"from": "now-24h", "to": "now"}, "live")
    assert made["tiles"] == [tile()]
    assert check_dashboard(made) == made


def test_no_dashboard_has_the_address_of_a_page() -> None:
    assert check_dashboard({"title": "New"})["uid"] == "new_1"
    assert "uid" in wrong({"title": "x", "uid": "new"})


@pytest.mark.parametrize(
    ("part", "value", "place"),
    [
        ("folder", "a/b/c/d/e/f", "folder"),
        ("folder", "a//b", "folder"),
        ("folder", 7, "folder"),
        ("folder", "a/" + "b" * 61, "folder"),
        ("tags", "weather", "tags"),
        ("tags", ["x" * 41], "tags[0]"),
        ("tags", [str(n) for n in range(21)], "tags"),
        ("refresh", "4s", "refresh"),
        ("refresh", "2h", "refresh"),
        ("refresh", 5, "refresh"),
        ("timezone", "Middle/Earth", "timezone"),
        ("timezone", "", "timezone"),
        ("links", [{"title": "x", "url": "javascript:alert(1)"}], "links[0].url"),
        ("links", [{"title": "x", "url": "//elsewhere.example"}], "links[0].url"),
        ("links", [{"title": "x", "url": "${site}"}], "links[0].url"),
        ("links", [{"url": "https://example.org"}], "links[0].title"),
        ("links", {"title": "x"}, "links"),
        ("templating", [], "templating"),
        ("annotations", {"list": [], "more": 1}, "annotations"),
        ("tiles", {}, "tiles"),
        ("panels", [], "panels"),
        ("time", {"from": "now-1h"}, "time"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(part: str, value: Any, place: str) -> None:
    assert set(wrong(document(**{part: value}))) == {place}


@pytest.mark.parametrize("refresh", ["live", "off", "5s", "90s", "1m", "1h", "3600s"])
def test_how_often_it_is_read(refresh: str) -> None:
    assert check_dashboard(document(refresh=refresh))["refresh"] == refresh


@pytest.mark.parametrize(
    "url", ["https://example.org/x?site=${site}", "/dashboards/a?var-site=${site}", "?x=1", "#top"]
)
def test_where_links_may_go(url: str) -> None:
    links = [{"title": "There", "url": url}]
    assert check_dashboard(document(links=links, tiles=[tile(links=links)]))["links"] == links


def test_options_are_checked_by_the_kind() -> None:
    found = wrong(document(tiles=[tile(options={"area": "yes", "colour": 1}), tile(id=2, kind="cake")]))
    assert set(found) == {"tiles[0].options.area", "tiles[0].options.colour", "tiles[1].kind"}
    assert "gauge" in found["tiles[1].kind"]
    assert set(wrong(document(tiles=[tile(options=[])]))) == {"tiles[0].options"}
    assert set(wrong(document(tiles=[tile(kind=["line"])]))) == {"tiles[0].kind"}


def test_a_text_asks_nothing_and_a_line_asks_much() -> None:
    text = {"kind": "text", "options": {"markdown": "Hello"}}
    assert check_dashboard(document(tiles=[tile(**text, query=None)]))
    assert set(wrong(document(tiles=[tile(**text)]))) == {"tiles[0].query"}
    several = [{**QUERY, "name": "in"}, {**QUERY, "name": "out", "pipeline": "other"}]
    made = check_dashboard(document(tiles=[tile(query=None, queries=several)]))
    assert [one["name"] for one in queries_of(made["tiles"][0])] == ["in", "out"]
    assert pipelines_of(made["tiles"][0]) == ["weather", "other"]
    assert set(wrong(document(tiles=[tile(queries=several)]))) == {"tiles[0].queries"}
    assert set(wrong(document(tiles=[tile(query=None, queries=several[:1])]))) == {"tiles[0].queries"}
    assert "line" in wrong(document(tiles=[tile(kind="stat", query=None, queries=several)]))["tiles[0].queries"]
    bad = [several[0], {**QUERY, "name": 7, "select": [{"agg": "explode"}]}]
    places = set(wrong(document(tiles=[tile(query=None, queries=bad)])))
    assert places == {"tiles[0].queries[1].name", "tiles[0].queries[1].select[0].agg"}


def test_queries_are_tried_with_values_for_their_variables() -> None:
    both = variable(multi=True, includeAll=True, current="$__all")
    assert check_dashboard(templated(both, where="site in ($site) and t > 3"))
    # What only one value could stand for is refused where all can be chosen.
    refused = wrong(templated(both, where="t > $site"))
    assert "field in ($site)" in refused["tiles[0].query.where"]
    assert check_dashboard(templated(variable(), where="t > $site"))
    assert "$site" in wrong(document(tiles=[tile(query={**QUERY, "where": "x = $site"})]))["tiles[0].query.where"]
    every = {"name": "width", "type": "interval", "options": ["auto", "5m"]}
    whole = document(templating={"list": [every]}, tiles=[tile(query={**QUERY, "every": "$width"})])
    assert check_dashboard(whole)
    # A text that can be anything is no bucket.
    free = {"name": "width", "type": "text"}
    assert set(wrong({**whole, "templating": {"list": [free]}})) == {"tiles[0].query.every"}


def test_chained_variables_use_those_before_them() -> None:
    first = variable()
    second = variable(name="room", query={"pipeline": "weather", "field": "room", "where": "site = $site"})
    assert check_dashboard(templated(first, second))
    assert "site" in wrong(templated(second, first))["templating.list[0].query"]


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ({"name": "Site"}, "name"),
        ({"type": "list"}, "type"),
        ({"query": {"pipeline": "weather"}}, "query.field"),
        ({"query": "weather"}, "query"),
        ({"options": ["a"]}, "options"),
        ({"multi": "yes"}, "multi"),
        ({"current": ["a"]}, "current"),
        ({"current": "$__all"}, "current"),
        ({"current": 7}, "current"),
        ({"label": 7}, "label"),
        ({"type": "custom", "query": None, "options": []}, "options"),
        ({"type": "custom", "options": ["a", {"text": "b"}]}, "options[1]"),
        ({"type": "interval", "options": ["5m", "often"]}, "options[1]"),
        ({"type": "text", "multi": True}, "multi"),
    ],
)
def test_wrong_variables(more: dict[str, Any], place: str) -> None:
    one = variable(**more)
    if "type" in more:
        one.pop("query")
    assert f"templating.list[0].{place}" in wrong(templated(one))


def test_two_variables_have_two_names() -> None:
    assert "another" in wrong(templated(variable(), variable()))["templating.list[1].name"]


def test_values_before_anybody_chooses() -> None:
    custom = {"name": "unit", "type": "custom", "options": ["C", "F"], "current": "F"}
    assert defaults(templated(variable(includeAll=True), custom)) == {"site": "$__all", "unit": "F"}
    assert names_used({"a": ["$x", "${y}"], "b": "no", "c": 7}) == {"x", "y"}


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ({"name": "", "source": "manual"}, "name"),
        ({"name": "a", "source": "weather"}, "source"),
        ({"name": "a", "source": "manual", "query": {}}, "query"),
        ({"name": "a", "source": "query"}, "query"),
        ({"name": "a", "source": "query", "query": {"pipeline": "w", "limit": 501}}, "query.limit"),
        ({"name": "a", "source": "query", "query": {"pipeline": "w", "every": "1m"}}, "query.every"),
        ({"name": "a", "source": "query", "query": {"pipeline": "w", "where": "x = $nobody"}}, "query.where"),
        ({"name": "a", "source": "manual", "color": "Red!"}, "color"),
        ({"name": "a", "source": "manual", "enable": 1}, "enable"),
        ({"name": "a", "source": "manual", "tags": "x"}, "tags"),
        ({"name": "a", "source": "manual", "when": 1}, "when"),
    ],
)
def test_wrong_sources_of_annotations(source: dict[str, Any], place: str) -> None:
    assert f"annotations.list[0].{place}" in wrong(document(annotations={"list": [source]}))


def test_what_is_written_by_hand_is_always_a_source() -> None:
    assert [one["source"] for one in sources_of(document())] == ["manual"]
    query = {"name": "Deploys", "source": "query", "query": {"pipeline": "deploys"}}
    listed = check_dashboard(document(annotations={"list": [query]}))
    assert [one["name"] for one in sources_of(listed)] == ["Annotations", "Deploys"]
    off = {"name": "Notes", "source": "manual", "enable": False}
    assert sources_of(document(annotations={"list": [off]})) == [off]
    twice = document(annotations={"list": [off, {**off, "name": "More"}]})
    assert set(wrong(twice)) == {"annotations.list[1].source"}


def test_a_search_looks_into_titles_tags_tiles_and_pipelines() -> None:
    whole = check_dashboard(document(folder="Nature", tags=["Air"], tiles=[tile(title="Wind SPEED")]))
    assert search_text(whole).split() == ["weather", "weather", "nature", "air", "wind", "speed"]


def test_a_document_has_a_greatest_size() -> None:
    with pytest.raises(Invalid, match="at most"):
        check_dashboard({"title": "x", "description": "y" * MAX_BYTES})


# The page for people -------------------------------------------------------------------------------------------------


def test_the_document_in_the_docs_is_one() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)
    whole = yaml.safe_load(text)
    assert set(check_dashboard(whole)) == set(TOP)
    assert {key for one in whole["tiles"] for key in one} >= {*TILE} - {"time"}
    assert {one["type"] for one in whole["templating"]["list"]} == set(TYPES)
    assert {one["source"] for one in whole["annotations"]["list"]} == set(SOURCES)


@pytest.mark.parametrize(
    "name", [*TOP, *TILE, *SOURCES, *TYPES, *TILES.names(), *(one.name for one in all_templates())]
)
def test_nothing_is_missing_in_the_docs(name: str) -> None:
    assert f"`{name}`" in DOCS


def test_names_and_kinds_of_sources_are_told_apart() -> None:
    same = [{"name": "manual", "source": "manual"}, {"name": "replays", "source": "replays"}]
    check_dashboard(document(annotations={"list": same}))
    twice = [{"name": "a", "source": "manual"}, {"name": "b", "source": "manual"}]
    assert "annotations.list[1].source" in wrong(document(annotations={"list": twice}))


@pytest.mark.parametrize("kind", [[], {}, 1, None, "weather"])
def test_a_source_of_no_kind_is_named(kind: Any) -> None:
    assert "annotations.list[0].source" in wrong(document(annotations={"list": [{"name": "a", "source": kind}]}))


def test_whole_numbers_have_64_bits() -> None:
    assert "64 bits" in wrong(document(tiles=[tile(id=10**30)]))[""]
