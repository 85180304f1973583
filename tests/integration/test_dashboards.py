"""Dashboards through REST and in the database: saved in versions, found, starred, annotated, deleted, brought back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio
import sqlalchemy as sa
from alembic import command

from dash_app.storage import dashboards as stored
from dash_app.storage import embedded, migrate
from dash_app.storage.engine import sqlalchemy_url
from tests.integration.rest import House, opened
from tests.integration.test_api import fits, problem


@pytest_asyncio.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with opened(database_url, tmp_path) as made:
        yield made


def tile(number: int = 1, **more: Any) -> dict[str, Any]:
    query = {"pipeline": "weather", "select": [{"field": "n", "agg": "avg"}]}
    place = {"x": 0, "y": 4 * (number - 1), "w": 6, "h": 4}
    return {"id": number, "kind": "stat", "title": f"T{number}", "gridPos": place, "query": query} | more


async def make(house: House, title: str, **more: Any) -> dict[str, Any]:
    answer = await house.call("POST", "/dashboards", {"title": title, "tiles": [tile()], **more}, who="editor")
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def found(house: House, query: str, who: str = "editor") -> list[str]:
    answer = await house.call("GET", f"/dashboards?{query}", who=who)
    fits("list_dashboards", answer.json())
    return [one["uid"] for one in answer.json()["items"]]


async def test_every_save_is_a_version_that_can_be_read_compared_and_restored(house: House) -> None:
    uid = (await make(house, "Weather"))["uid"]
    document = (await house.call("GET", f"/dashboards/{uid}")).json()["dashboard"]
    changed = {**document, "title": "Wind", "tiles": [tile(1, title="Gusts"), tile(2)]}
    body = {"dashboard": changed, "note": "Gusts instead", "base": 1}
    saved = await house.call("POST", f"/dashboards/{uid}/versions", body, who="editor")
    fits("create_dashboard_version", saved.json())
    assert (saved.status_code, saved.json()["revision"], saved.headers["ETag"]) == (201, 2, '"2"')
    page = (await house.call("GET", f"/dashboards/{uid}/versions?limit=1", who="viewer")).json()
    fits("list_dashboard_versions", page)
    (newest,) = page["items"]
    assert (newest["revision"], newest["note"], newest["author"]) == (2, "Gusts instead", "editor@example.org")
    page = (await house.call("GET", f"/dashboards/{uid}/versions?cursor={page['next']}")).json()
    assert [one["revision"] for one in page["items"]] == [1]
    first = (await house.call("GET", f"/dashboards/{uid}/versions/1")).json()
    fits("get_dashboard_version", first)
    assert first["dashboard"] == document
    differs = (await house.call("GET", f"/dashboards/{uid}/versions/2/changes")).json()
    fits("compare_dashboard_version", differs)
    sentences = [one["sentence"] for one in differs["changes"]]
    assert sentences == ["title changed", "tile “Gusts” changed: title", "tile “T2” added"]
    back = (await house.call("GET", f"/dashboards/{uid}/versions/1/changes?since=2")).json()
    assert back["changes"][-1]["what"] == "removed"
    problem(await house.call("GET", f"/dashboards/{uid}/versions/1/changes"), 404)
    problem(await house.call("GET", f"/dashboards/{uid}/versions/7"), 404)

    problem(await house.call("POST", f"/dashboards/{uid}/versions/1/restore", who="viewer"), 403)
    stale = await house.call("POST", f"/dashboards/{uid}/versions/1/restore", headers={"If-Match": '"1"'})
    problem(stale, 412)
    restored = await house.call("POST", f"/dashboards/{uid}/versions/1/restore", headers={"If-Match": '"2"'})
    fits("restore_dashboard_version", restored.json())
    assert (restored.json()["revision"], restored.json()["dashboard"]) == (3, document)
    note = (await house.call("GET", f"/dashboards/{uid}/versions/3")).json()["note"]
    assert note == "Restored version 1"


async def test_a_save_on_top_of_anothers_is_told_what_that_one_changed(house: House) -> None:
    uid = (await make(house, "Weather"))["uid"]
    document = (await house.call("GET", f"/dashboards/{uid}")).json()["dashboard"]
    theirs = {**document, "tiles": [tile(1, gridPos={"x": 6, "y": 0, "w": 6, "h": 4}), tile(2)]}
    assert (await house.call("PUT", f"/dashboards/{uid}", theirs, who="editor")).status_code == 200
    mine = {**document, "title": "Mine"}
    for refused in (
        await house.call("PUT", f"/dashboards/{uid}", mine, headers={"If-Match": '"1"'}),
        await house.call("POST", f"/dashboards/{uid}/versions", {"dashboard": mine, "base": 1}),
    ):
        told = problem(refused, 412)
        assert "editor@example.org has saved since: tile “T1” moved; tile “T2” added" in told["detail"]
        assert (told["revision"], told["updated_by"]) == (2, "editor@example.org")
        assert [one["place"] for one in told["changes"]] == ["tiles.1", "tiles.2"]
    # Whoever saves at the same moment waits for the first, and is refused as well.
    tries = [house.call("PUT", f"/dashboards/{uid}", mine, headers={"If-Match": '"2"'}) for _ in range(4)]
    statuses = sorted(one.status_code for one in await asyncio.gather(*tries))
    assert statuses == [200, 412, 412, 412]


async def test_found_by_words_tags_folders_and_stars(house: House) -> None:
    await make(house, "Weather", folder="Nature/Air", tags=["public", "air"])
    await make(house, "Wind 100%", folder="Nature/Air/High", description="Gusts over the sea")
    await make(house, "Quakes", folder="Natural", tags=["public"])
    await make(house, "Shop")
    assert await found(house, "") == ["quakes", "shop", "weather", "wind_100"]
    assert await found(house, "search=GUSTS+the") == ["wind_100"]
    assert await found(house, "search=100%25") == ["wind_100"]
    assert await found(house, "search=_100") == ["wind_100"]  # its uid
    assert await found(house, "search=weather") == ["quakes", "shop", "weather", "wind_100"]  # their pipeline
    assert await found(house, "search=public+air") == ["weather"]
    assert await found(house, "search=nothing") == []
    assert await found(house, "tag=public") == ["quakes", "weather"]
    assert await found(house, "folder=Nature") == ["weather", "wind_100"]
    assert await found(house, "folder=Nature/Air/High") == ["wind_100"]
    assert await found(house, "folder=") == ["shop"]
    assert (await house.call("PUT", "/dashboards/shop/star", who="viewer")).status_code == 204
    assert (await house.call("PUT", "/dashboards/shop/star", who="viewer")).status_code == 204
    assert await found(house, "starred=true", who="viewer") == ["shop"]
    assert await found(house, "starred=true") == []
    listed = (await house.call("GET", "/dashboards?limit=2", who="viewer")).json()
    assert [(one["uid"], one["starred"], one["folder"]) for one in listed["items"]] == [
        ("quakes", False, "Natural"),
        ("shop", True, ""),
    ]
    rest = (await house.call("GET", f"/dashboards?cursor={listed['next']}")).json()
    assert [one["tags"] for one in rest["items"]] == [["public", "air"], []]
    assert (await house.call("DELETE", "/dashboards/shop/star", who="viewer")).status_code == 204
    assert await found(house, "starred=true", who="viewer") == []
    problem(await house.call("PUT", "/dashboards/nothing/star", who="viewer"), 404)
    # What is saved anew is found by its new words alone.
    whole = (await house.call("GET", "/dashboards/shop")).json()["dashboard"]
    await house.call("PUT", "/dashboards/shop", {**whole, "title": "Till", "tags": ["money"]})
    assert await found(house, "tag=money") == ["shop"]


async def test_what_is_deleted_comes_back_whole_until_it_is_pruned(house: House) -> None:
    uid = (await make(house, "Weather"))["uid"]
    await house.call("PUT", f"/dashboards/{uid}/star", who="editor")
    await house.call("POST", f"/dashboards/{uid}/annotations", {"time": "now", "text": "kept"})
    assert (await house.call("DELETE", f"/dashboards/{uid}", who="editor")).status_code == 204
    assert await found(house, "") == []
    with house.app.database.team(house.teams["ours"]) as unit:
        (gone,) = stored.deleted(unit)
        assert (gone.uid, gone.title, gone.kept_until - gone.deleted_at) == (uid, "Weather", stored.KEPT)
    problem(await house.call("GET", f"/dashboards/{uid}/versions"), 404)
    back = await house.call("POST", f"/dashboards/{uid}/undelete", who="editor")
    fits("undelete_dashboard", back.json())
    assert await found(house, "starred=true") == [uid]
    notes = (await house.call("GET", f"/dashboards/{uid}/annotations")).json()["items"]
    assert [one["text"] for one in notes] == ["kept"]
    problem(await house.call("POST", f"/dashboards/{uid}/undelete"), 404)
    # A uid that is free again may be taken; then the old one has to stay away.
    await house.call("DELETE", f"/dashboards/{uid}")
    await make(house, "Weather")
    problem(await house.call("POST", f"/dashboards/{uid}/undelete"), 409)
    with house.app.database.team(house.teams["ours"]) as unit:
        assert stored.deleted(unit) == []
    with house.app.database.ingest() as unit:
        now = datetime.now(UTC)
        assert stored.prune(unit, now) == 0
        assert stored.prune(unit, now + stored.KEPT + timedelta(minutes=1)) == 1
        kept = unit.rows("SELECT (SELECT count(*) FROM dashboards), (SELECT count(*) FROM dashboard_versions), "
                         "(SELECT count(*) FROM dashboard_stars), (SELECT count(*) FROM annotations)")  # fmt: skip
        assert kept == [(1, 1, 0, 0)]
        unit.rollback()


async def test_copies_of_dashboards_and_tiles(house: House) -> None:
    variable = {"name": "site", "type": "query", "query": {"pipeline": "weather", "field": "site"}}
    asked = {**tile()["query"], "where": "site = $site"}
    await make(house, "Weather", folder="Nature", templating={"list": [variable]}, tiles=[tile(1, query=asked)])
    first = await house.call("POST", "/dashboards/weather/copy", {}, who="editor")
    fits("copy_dashboard", first.json())
    assert (first.json()["uid"], first.json()["title"]) == ("weather_copy", "Weather (copy)")
    assert first.json()["dashboard"]["folder"] == "Nature"
    second = await house.call("POST", "/dashboards/weather/copy", {"title": "Weather (copy)"}, who="editor")
    assert second.json()["uid"] == "weather_copy_2"
    problem(await house.call("POST", "/dashboards/weather/copy", {"uid": "weather"}), 409)
    await make(house, "Other")
    copied = await house.call("POST", "/dashboards/other/tiles", {"dashboard": "weather", "tile": 1}, who="editor")
    fits("copy_tile", copied.json())
    made = copied.json()["dashboard"]
    assert [one["id"] for one in made["tiles"]] == [1, 2]
    assert (made["tiles"][1]["gridPos"]["y"], made["templating"]["list"]) == (4, [variable])
    same = await house.call("POST", "/dashboards/other/tiles", {"tile": "2"})
    assert [one["id"] for one in same.json()["dashboard"]["tiles"]] == [1, 2, 3]
    problem(await house.call("POST", "/dashboards/other/tiles", {"dashboard": "weather", "tile": 9}), 404)
    stale = {"If-Match": '"1"'}
    problem(await house.call("POST", "/dashboards/other/tiles", {"tile": 1}, headers=stale), 412)


async def test_annotations_are_written_found_changed_and_removed(house: House) -> None:
    uid = (await make(house, "Weather"))["uid"]
    path = f"/dashboards/{uid}/annotations"
    body = {
        "time": "2026-03-01T12:00:00Z",
        "time_end": "2026-03-01T13:00:00+00:00",
        "text": " Deploy ",
        "tags": ["v2", "v2"],
        "tile": "1",
    }
    made = await house.call("POST", path, body, who="editor")
    fits("create_annotation", made.json())
    one = made.json()
    assert (one["text"], one["tags"], one["tile"], one["author"]) == ("Deploy", ["v2"], "1", "editor@example.org")
    await house.call("POST", path, {"time": "2026-03-01T14:00:00Z", "text": "Later"})

    async def between(start: str, end: str, more: str = "") -> list[str]:
        answer = await house.call("GET", f"{path}?from={start}&to={end}{more}", who="viewer")
        fits("list_annotations", answer.json())
        return [each["text"] for each in answer.json()["items"]]

    # A span is found by any part of it, a moment by itself; the end of a range is not in it.
    assert await between("2026-03-01T12:30:00Z", "2026-03-01T12:40:00Z") == ["Deploy"]
    assert await between("2026-03-01T13:00:00Z", "2026-03-01T14:00:00Z") == ["Deploy"]
    assert await between("2026-03-01", "2026-03-02") == ["Later", "Deploy"]
    assert await between("2026-03-01", "2026-03-02", "&tag=v2") == ["Deploy"]
    assert await between("2026-03-01T14:00:00.001Z", "2026-03-02") == []
    changed = {"time": 1772366400000, "text": "Rolled back"}
    after = await house.call("PUT", f"{path}/{one['id']}", changed, who="editor")
    fits("update_annotation", after.json())
    assert (after.json()["time_end"], after.json()["tags"], after.json()["author"]) == (None, [], one["author"])
    wrong = problem(
        await house.call("POST", path, {"time": "soon", "time_end": "never", "text": "  ", "tile": "9"}), 422
    )
    assert {each["place"] for each in wrong["errors"]} == {"time", "time_end", "text", "tile"}
    early = {"time": "2026-03-02", "time_end": "2026-03-01", "text": "x"}
    assert problem(await house.call("POST", path, early), 422)["errors"][0]["place"] == "time_end"
    problem(await house.call("POST", path, body, who="viewer"), 403)
    assert (await house.call("DELETE", f"{path}/{one['id']}", who="editor")).status_code == 204
    problem(await house.call("DELETE", f"{path}/{one['id']}"), 404)
    problem(await house.call("DELETE", f"{path}/nonsense"), 404)


async def test_dashboards_from_templates(house: House) -> None:
    listed = (await house.call("GET", "/dashboard-templates", who="viewer")).json()
    fits("list_dashboard_templates", listed)
    kinds = (await house.call("GET", "/tiles", who="viewer")).json()
    fits("list_tile_kinds", kinds)
    assert {"line", "map", "state", "text"} <= {one["kind"] for one in kinds["items"]}
    made = await house.pipeline()
    path = "/dashboard-templates/device_fleet"
    created = await house.call("POST", path, {"pipeline": "weather", "title": "Sensors"}, who="editor")
    fits("create_from_template", created.json())
    assert created.status_code == 201, created.text
    document = created.json()["dashboard"]
    assert (document["uid"], document["title"]) == ("sensors", "Sensors")
    assert document["templating"]["list"][0]["query"]["field"] == "site"
    chosen = {one["name"]: one["current"] for one in document["templating"]["list"]}
    for one in document["tiles"]:
        query = {**one["query"], "from": "now-1h", "to": "now", "variables": {**chosen, "bucket": "1m"}}
        query |= {"every": "1m"} if query.get("every") == "auto" else {}
        assert (await house.call("POST", "/query", query)).status_code == 200, one
    said = {"pipeline": made["id"], "fields": {"device": "site", "value": "twice", "site": None}}
    other = await house.call("POST", path, said, who="editor")
    assert other.json()["dashboard"]["tiles"][2]["title"] == "Twice, mean"
    wrong = {"pipeline": "weather", "fields": {"device": "n", "value": None, "colour": "n"}}
    told = problem(await house.call("POST", path, wrong), 422)
    assert {each["place"] for each in told["errors"]} == {"fields.device", "fields.value", "fields.colour"}
    assert "site" in next(each["message"] for each in told["errors"] if each["place"] == "fields.device")
    problem(await house.call("POST", "/dashboard-templates/cake", {"pipeline": "weather"}), 404)
    await house.pipeline("bare", mapping=None)
    problem(await house.call("POST", path, {"pipeline": "bare"}), 409)


async def test_what_a_person_prefers_is_theirs_alone(house: House) -> None:
    assert (await house.call("GET", "/preferences", who="viewer")).json() == {"timezone": ""}
    said = await house.call("PUT", "/preferences", {"timezone": "Asia/Tokyo"}, who="viewer")
    fits("update_preferences", said.json())
    assert (await house.call("GET", "/preferences", who="viewer")).json() == {"timezone": "Asia/Tokyo"}
    assert (await house.call("GET", "/preferences")).json() == {"timezone": ""}
    told = problem(await house.call("PUT", "/preferences", {"timezone": "Mars/Olympus"}, who="viewer"), 422)
    assert told["errors"][0]["place"] == "timezone"
    # Of another team's people nothing is seen, nor can anything be said for them.
    with house.app.database.team(house.teams["theirs"]) as unit:
        assert unit.rows("SELECT user_id FROM preferences") == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            unit.execute("INSERT INTO preferences (user_id) VALUES (%s)", (house.users["admin"],))


async def test_old_states_are_kept_up_to_a_number(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MOST_VERSIONS", 3)
    uid = (await make(house, "Weather"))["uid"]
    for number in range(5):
        await house.call("PUT", f"/dashboards/{uid}", {"title": f"W{number}"})
    page = (await house.call("GET", f"/dashboards/{uid}/versions")).json()
    assert [one["revision"] for one in page["items"]] == [6, 5, 4]
    # What was changed since a state that is gone is not known; that there was something is.
    told = problem(await house.call("PUT", f"/dashboards/{uid}", {"title": "x"}, headers={"If-Match": '"1"'}), 412)
    assert told["revision"] == 6


def test_a_database_with_dashboards_gets_their_first_versions(postgres: str) -> None:
    """What was there before dashboards had versions is found and has the state that it is in."""
    name = "before_versions"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    url = postgres.replace(f"/{embedded.DATABASE}?", f"/{name}?", 1)
    try:
        engine = sa.create_engine(sqlalchemy_url(url), poolclass=sa.NullPool)
        with engine.connect() as connection:
            connection.execute(sa.text("CREATE SCHEMA dash"))
            connection.commit()
            config = migrate._config()
            config.attributes["connection"] = connection
            command.upgrade(config, "0006")
            connection.commit()
        engine.dispose()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET search_path = dash")
            connection.execute("INSERT INTO teams (id, slug, name) VALUES (gen_random_uuid(), 'a', 'A')")
            connection.execute(
                "INSERT INTO dashboards (id, team_id, uid, title, document, revision, updated_by) "
                "SELECT gen_random_uuid(), id, 'w', 'Weather', %s, 7, 'ada' FROM teams",
                ('{"uid": "w", "description": "Air", "tiles": [{"title": "Wind", "query": {"pipeline": "gusts"}}]}',),
            )
            connection.execute(
                "INSERT INTO dashboards (id, team_id, uid, title, document) "
                "SELECT gen_random_uuid(), id, 'e', 'Empty', '{}' FROM teams"
            )
        migrate.upgrade(url)
        with psycopg.connect(url) as connection:
            connection.execute("SET search_path = dash")
            rows = connection.execute("SELECT uid, description, tile_count, search FROM dashboards ORDER BY uid")
            assert rows.fetchall() == [("e", "", 0, "empty e"), ("w", "Air", 1, "weather w air wind gusts")]
            versions = connection.execute("SELECT revision, author FROM dashboard_versions ORDER BY revision")
            assert versions.fetchall() == [(1, ""), (7, "ada")]
    finally:
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
