"""Records in the order of a column, values a variable offers, the last text of a bucket, queries with variables."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from dash_app.domain.errors import Invalid
from dash_app.pipelines.query import QueryResult, to_items
from tests.integration.test_query import FIELDS, NOW, House, house, invent

__all__ = ["house"]
START = NOW - timedelta(hours=23)


def reached(house: House, **more: Any) -> list[dict[str, Any]]:
    """All pages of a query for records."""
    pages: list[QueryResult] = []
    while not pages or pages[-1].next:
        pages.append(house.ask("weather", **more, **({"cursor": pages[-1].next} if pages else {})))
        assert len(pages) < 100
    return [item for page in pages for item in to_items(page)]


@pytest.mark.parametrize("column", ["temp", "hits", "site", "ok", "seen", "_time", "_payload"])
@pytest.mark.parametrize("descending", [True, False])
def test_records_in_the_order_of_a_column(house: House, column: str, descending: bool) -> None:
    """Over two versions, page by page: each record once, ties newest first, no value last."""
    pipeline = house.pipeline("weather")
    records = invent(3, 200, START, timedelta(hours=22), payloads_of=3)
    house.mapping(pipeline, FIELDS[:2])
    house.add(
        pipeline, [{k: v for k, v in r.items() if k.startswith("_") or k in ("temp", "hits")} for r in records[:60]]
    )
    house.mapping(pipeline, FIELDS)
    house.add(pipeline, records[60:])
    known = {id(r) for r in records[:60]}

    def value(record: dict[str, Any]) -> Any:
        gone = id(record) in known and column not in ("temp", "hits", "_time", "_payload")
        return None if gone else record[column]

    ordered = sorted(records, key=lambda r: (r["_payload"], r["_index"]), reverse=True)
    have = sorted((r for r in ordered if value(r) is not None), key=value, reverse=descending)
    if descending:
        # A stable sort that is turned round keeps the ties as they were.
        assert have == sorted(have, key=value, reverse=True)
    wanted = [*have, *(r for r in ordered if value(r) is None)]
    found = reached(house, order=f"-{column}" if descending else column, limit=7)
    assert [(int(r["_payload"]), r["_index"]) for r in found] == [(r["_payload"], r["_index"]) for r in wanted]


def test_an_order_that_is_none_and_cursors_of_another(house: House) -> None:
    pipeline = house.pipeline("weather")
    house.mapping(pipeline, FIELDS)
    house.add(pipeline, invent(4, 40, START, timedelta(hours=22)))
    page = house.ask("weather", {"field": "temp", "as": "t"}, order="-t", limit=5)
    assert page.next
    for more, place in [
        ({"order": "t", "cursor": page.next}, "cursor"),
        ({"order": "-t", "cursor": "bogus"}, "cursor"),
        ({"order": "-temp"}, "order"),
    ]:
        with pytest.raises(Invalid) as caught:
            house.ask("weather", {"field": "temp", "as": "t"}, limit=5, **more)
        assert caught.value.problems[0][0] == place
    for order, says in [("tags", "json, which has no order"), ("gone", "there is no column 'gone'")]:
        with pytest.raises(Invalid, match=says):
            house.ask("weather", order=order)


def test_first_and_last_of_what_is_no_number(house: House) -> None:
    """What a state timeline asks: from the records, by bucket and group, as a plain loop finds it."""
    pipeline = house.pipeline("weather")
    house.mapping(pipeline, FIELDS)
    records = invent(5, 400, START, timedelta(hours=22), payloads_of=2)
    house.add(pipeline, records)
    fields = ["note", "ok", "seen"]
    select = [{"field": f, "agg": agg, "as": f"{f} {agg}"} for f in fields for agg in ("first", "last")]
    result = house.ask("weather", *select, by=["site"], every="1h")
    assert result.source == "records"
    found = {(row["time"], row["site"]): row for row in result.frame.to_dicts()}
    groups: dict[tuple[datetime, Any], list[dict[str, Any]]] = {}
    for record in sorted(records, key=lambda r: (r["_time"], r["_payload"], r["_index"])):
        hour = record["_time"].replace(minute=0, second=0, microsecond=0)
        groups.setdefault((hour, record["site"]), []).append(record)
    assert found.keys() == groups.keys()
    for key, group in groups.items():
        for field in fields:
            values = [r[field] for r in group if r[field] is not None] or [None]
            assert (found[key][f"{field} first"], found[key][f"{field} last"]) == (values[0], values[-1])


def test_values_of_a_field(house: House) -> None:
    pipeline = house.pipeline("weather")
    house.mapping(pipeline, FIELDS)
    records = invent(6, 300, START, timedelta(hours=22))
    house.add(pipeline, records)

    def values(**query: Any) -> QueryResult:
        with house.database.team(house.team) as unit:
            return house.queries.values(unit, {"pipeline": "weather", **query}, NOW)

    sites = values(field="site")
    assert (sites.source, sites.frame["value"].to_list(), sites.truncated) == ("rollup", ["", "B", "a", "é"], False)
    assert values(field="site", where="note = 'x'").source == "records"
    notes = values(field="note", where="site = 'a'")
    assert notes.frame["value"].to_list() == sorted({r["note"] for r in records if r["site"] == "a"} - {None})
    assert values(field="hits").frame["value"].to_list() == sorted({r["hits"] for r in records} - {None})
    for wrong in ({}, {"field": "gone"}, {"field": "tags"}, {"field": 5}):
        with pytest.raises(Invalid):
            values(**wrong)


def test_no_more_than_a_thousand_values(house: House) -> None:
    pipeline = house.pipeline("weather")
    house.mapping(pipeline, FIELDS)
    records = invent(7, 1200, START, timedelta(hours=22))
    names = [f"note {n:04}" for n in range(1200)]
    random.Random(7).shuffle(names)
    house.add(pipeline, [{**record, "note": name} for record, name in zip(records, names, strict=True)])
    with house.database.team(house.team) as unit:
        found = house.queries.values(unit, {"pipeline": "weather", "field": "note"}, NOW)
    assert (found.frame["value"].to_list(), found.truncated) == (sorted(names)[:1000], True)


def test_queries_with_variables_and_filters(house: House) -> None:
    pipeline = house.pipeline("weather")
    house.mapping(pipeline, FIELDS)
    records = invent(8, 300, START, timedelta(hours=22))
    house.add(pipeline, records)

    def count(**more: Any) -> int:
        ((number,),) = house.ask(
            "$p", {"agg": "count"}, variables={"p": "weather", **more.pop("given", {})}, **more
        ).frame.rows()
        return int(number)

    assert count(where="site = $s", given={"s": ["a", "B"]}) == sum(r["site"] in ("a", "B") for r in records)
    assert count(where="site = $s and temp > $t", given={"s": "$__all", "t": "10"}) == sum(
        (r["temp"] or 0) > 10 for r in records
    )
    assert count(where="hits in ($h)", given={"h": ["1", 5]}) == sum(r["hits"] in (1, 5) for r in records)
    assert count(filters=[{"field": "site", "op": "!=", "value": "a"}]) == sum(r["site"] != "a" for r in records)
    assert count(filters=[{"field": "ok", "value": None}, {"field": "elsewhere", "value": 1}]) == sum(
        r["ok"] is None for r in records
    )
    seen = next(r["seen"] for r in records if r["seen"])
    moment = {"field": "seen", "value": seen.isoformat()}
    assert count(filters=[moment]) == sum(r["seen"] == seen for r in records)
    with pytest.raises(Invalid, match=r"there is no variable \$s"):
        count(where="site = $s")
