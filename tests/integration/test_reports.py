"""Reports from the calendar to the outbox: due once, made once, with the dashboard's figures in their files."""

from __future__ import annotations

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from dash_app.domain.access import Principal, Role
from dash_app.domain.errors import Conflict, Invalid, NotFound, PreconditionFailed, TooManyRequests
from dash_app.domain.ids import new_id
from dash_app.pipelines import reports as setup
from dash_app.pipelines.dashboards import create_dashboard
from dash_app.pipelines.ingest import Ingest
from dash_app.pipelines.report_making import make
from dash_app.storage import dashboards, reports, sinks
from dash_app.storage.reports import LEASE, MOST_ATTEMPTS, Report
from tests.integration.conftest import House

BOARD: dict[str, Any] = {
    "title": "Orders",
    "time": {"from": "now-24h", "to": "now"},
    "templating": {"list": [{"name": "site", "type": "custom", "options": ["roof", "garden"], "current": "roof"}]},
    "tiles": [
        {
            "id": 1,
            "kind": "line",
            "title": "Orders of $site",
            "gridPos": {"x": 0, "y": 0, "w": 6, "h": 5},
            "query": {
                "pipeline": "orders",
                "select": [{"field": "n", "agg": "sum", "as": "n"}],
                "every": "auto",
                "where": "site = $site",
            },
        },
        {
            "id": 2,
            "kind": "table",
            "title": "All",
            "gridPos": {"x": 6, "y": 0, "w": 6, "h": 5},
            "query": {"pipeline": "orders", "select": [{"field": "site"}, {"field": "n"}]},
        },
        {"id": 3, "kind": "text", "gridPos": {"x": 0, "y": 5, "w": 6, "h": 2}, "options": {"markdown": "**Hi**"}},
        {
            "id": 4,
            "kind": "stat",
            "title": "Today",
            "gridPos": {"x": 6, "y": 5, "w": 6, "h": 2},
            "query": {"pipeline": "orders", "select": [{"agg": "count"}]},
        },
    ],
}
REPORT: dict[str, Any] = {
    "name": "Orders, Mondays",
    "dashboard": "orders",
    "range": "now-1h",
    "format": ["png", "pdf", "csv"],
    "cron": "0 7 * * 1",
    "timezone": "Europe/Oslo",
    "sinks": ["hook", "mail"],
    "message": "The week so far.",
}


class Desk:
    """A house with a dashboard, two sinks, and an author."""

    def __init__(self, house: House) -> None:
        self.house, self.app, self.team = house, house.app, house.team
        self.author = Principal(new_id(), "ann@example.com", "Ann", house.team, "acme", "Acme", Role.admin)
        pipeline = house.pipeline()
        house.put(pipeline, b'{"n": 2, "site": "roof"}', b'{"n": 3, "site": "roof"}', b'{"n": 40, "site": "=1+1"}')
        Ingest(house.app).run(pipeline)
        with self.app.database.team(self.team) as unit:
            create_dashboard(unit, self.team, BOARD, self.author)
            for slug, kind, options in (
                ("hook", "webhook", {"url": "https://example.com/"}),
                ("mail", "email", {"from": "a@example.org", "to": ["b@example.org"]}),
                ("rows", "postgres", {}),
            ):
                sinks.create(unit, self.team, slug=slug, name=slug, kind=kind, options=options)
            unit.commit()

    def create(self, **more: Any) -> Report:
        with self.app.database.team(self.team) as unit:
            made = setup.create_report(unit, self.app, self.team, {**REPORT, **more}, self.author)
            unit.commit()
        return made

    def get(self, ref: UUID) -> Report:
        with self.app.database.team(self.team) as unit:
            return reports.get(unit, ref)

    def runs(self, report: UUID) -> list[reports.Run]:
        with self.app.database.team(self.team) as unit:
            return reports.runs(unit, report)

    def tick(self) -> int:
        with self.app.database.ingest() as unit:
            begun = setup.queue_due(unit)
            unit.commit()
        return begun

    def is_due(self, report: UUID, at: datetime | None = None) -> None:
        due = at or datetime.now(UTC) - timedelta(seconds=1)
        with self.app.database.ingest() as unit:
            reports.set_next(unit, report, due)
            unit.commit()

    def send_now(self, ref: str | UUID) -> reports.Run:
        with self.app.database.team(self.team) as unit:
            made = setup.send_now(unit, ref, self.author)
            unit.commit()
        return made

    def messages(self) -> list[tuple[str, Any, str, list[tuple[str, str, bytes]]]]:
        """(sink, payload, text, files) of what waits in the outbox."""
        rows = self.house.rows(
            "SELECT d.id, s.slug, d.payload::text, d.body FROM deliveries d JOIN sinks s ON s.id = d.sink_id "
            "WHERE d.type = 'report' ORDER BY s.slug, d.id"
        )
        made = []
        for id, sink, payload, text in rows:
            files = self.house.rows(
                "SELECT name, content_type, data FROM delivery_files WHERE delivery_id = %s ORDER BY position", (id,)
            )
            made.append((sink, orjson.loads(payload), text, [(one[0], one[1], bytes(one[2])) for one in files]))
        return made


@pytest.fixture
def desk(house: House) -> Desk:
    return Desk(house)


def test_a_report_is_made_once_however_many_have_a_go(desk: Desk) -> None:
    made = desk.create()
    due = datetime.now(UTC) - timedelta(days=20)
    desk.is_due(made.id, due)
    # Three Mondays were missed: that is one report, and then the calendar goes on.
    assert desk.tick() == 1
    assert desk.tick() == 0
    (run,) = desk.runs(made.id)
    assert (run.state, run.due_at, run.asked_by) == ("queued", due, "")
    following = desk.get(made.id).next_at
    assert following is not None
    assert following > datetime.now(UTC)
    assert following.astimezone().astimezone(UTC).weekday() == 0
    queued = desk.house.rows("SELECT convert_from(data, 'UTF8') FROM huey_task WHERE queue = 'io'")
    assert len([row for row in queued if str(run.id) in row[0]]) == 1
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: make(desk.app, run.id, base_url="https://dash.example/"), range(3)))
    (run,) = desk.runs(made.id)
    assert (run.state, run.attempts, run.error) == ("done", 1, "")
    sent = desk.messages()
    assert [sink for sink, *_ in sent] == ["hook", "mail"]
    assert len(run.messages) == 2
    _, payload, text, files = sent[1]
    assert text == "The week so far."
    assert (payload["report"], payload["dashboard"], payload["timezone"]) == ("orders_mondays", "Orders", "Europe/Oslo")
    assert payload["link"].startswith("https://dash.example/dashboards/orders?from=")
    assert payload["link"].endswith("&var-site=roof")
    assert [one["title"] for one in payload["tiles"]] == ["Orders of roof", "All", "", "Today"]
    assert not [one for one in payload["tiles"] if "error" in one]
    assert [name for name, *_ in files][:2] == ["orders_mondays.png", "orders_mondays.pdf"]
    assert files[0][2].startswith(b"\x89PNG")
    assert files[1][2].startswith(b"%PDF")
    assert run.bytes == sum(len(data) for *_, data in files)


def test_tables_hold_what_the_tiles_show(desk: Desk) -> None:
    made = desk.create(format=["csv"], range="now-1h", sinks=["hook"], message="")
    make(desk.app, desk.send_now(made.id).id)
    ((_, payload, _, files),) = desk.messages()
    assert payload["link"] == ""
    tables = {name: data.decode().splitlines() for name, _, data in files}
    assert list(tables) == ["orders_of_roof.csv", "all.csv", "today.csv"]
    assert sum(float(line.rpartition(",")[2]) for line in tables["orders_of_roof.csv"][1:] if line[-1] != ",") == 5
    assert sorted(line.partition(",")[2] for line in tables["all.csv"][1:]) == ["'=1+1,40.0", "roof,2.0", "roof,3.0"]
    assert tables["today.csv"] == ["count", "3"]


def test_many_tables_are_one_archive(desk: Desk) -> None:
    with desk.app.database.team(desk.team) as unit:
        board = {
            **BOARD,
            "uid": "many",
            "tiles": [{**BOARD["tiles"][3], "id": n, "gridPos": {"x": 0, "y": n, "w": 3, "h": 1}} for n in range(5)],
        }
        create_dashboard(unit, desk.team, board, desk.author)
        unit.commit()
    made = desk.create(dashboard="many", format=["csv"], sinks=["hook"])
    make(desk.app, desk.send_now(made.slug).id)
    ((_, _, _, files),) = desk.messages()
    assert [(name, kind) for name, kind, _ in files] == [("orders_mondays-csv.zip", "application/zip")]
    with zipfile.ZipFile(io.BytesIO(files[0][2])) as archive:
        assert archive.namelist() == ["today.csv", *(f"today_{n}.csv" for n in range(2, 6))]


def test_a_worker_that_dies_leaves_nothing_behind(desk: Desk) -> None:
    made = desk.create(sinks=["hook"], format=["csv"])
    run = desk.send_now(made.id)
    with desk.app.database.ingest() as unit:
        # Somebody took it and was never seen again.
        assert reports.take_run(unit, run.id, datetime.now(UTC) - 2 * LEASE) is not None
        unit.commit()
    make(desk.app, run.id)
    (run,) = desk.runs(made.id)
    assert (run.state, run.attempts) == ("done", 2)
    with desk.app.database.ingest() as unit:
        # The first one comes back after all: it is no longer his.
        late = reports.Run(**{**{name: getattr(run, name) for name in run.__slots__}, "attempts": 1})
        assert not reports.finish_run(unit, late, state="done", now=datetime.now(UTC))
    assert len(desk.messages()) == 1


def test_a_tile_that_fails_leaves_the_others_be(desk: Desk) -> None:
    made = desk.create(sinks=["hook"], format=["png"])
    with desk.app.database.ingest() as unit:
        unit.execute(
            "UPDATE dashboards SET document = jsonb_set(document::jsonb, '{tiles,1,query,pipeline}', '\"gone\"')"
        )
        unit.commit()
    make(desk.app, desk.send_now(made.id).id)
    ((_, payload, _, files),) = desk.messages()
    assert [one.get("error", "") for one in payload["tiles"]] == ["", "no pipeline 'gone'", "", ""]
    assert files[0][2].startswith(b"\x89PNG")


def test_a_report_without_its_dashboard_says_so(desk: Desk) -> None:
    made = desk.create(sinks=["hook"])
    with desk.app.database.team(desk.team) as unit:
        dashboards.delete(unit, dashboards.lock(unit, "orders"))
        unit.commit()
    make(desk.app, desk.send_now(made.id).id)
    (run,) = desk.runs(made.id)
    assert (run.state, run.error) == ("failed", "no dashboard 'orders'")
    assert not desk.messages()


def test_asking_again_and_again_is_refused(desk: Desk) -> None:
    made = desk.create()
    for _ in range(3):
        desk.send_now(made.id)
    with pytest.raises(TooManyRequests):
        desk.send_now(made.id)
    assert MOST_ATTEMPTS == 3


def test_one_that_is_off_is_never_due(desk: Desk) -> None:
    made = desk.create(enabled=False)
    assert made.next_at is None
    with desk.app.database.team(desk.team) as unit:
        on = setup.set_enabled(unit, desk.app, made.slug, desk.author, enabled=True)
        unit.commit()
    assert on.next_at is not None
    assert (on.revision, on.sinks) == (2, ("hook", "mail"))
    with desk.app.database.team(desk.team) as unit:
        off = setup.set_enabled(unit, desk.app, made.slug, desk.author, enabled=False)
        unit.commit()
    assert off.next_at is None
    assert desk.tick() == 0


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": "a\r\nb"}, "name"),
    ({"slug": "Not a slug"}, "slug"),
    ({"dashboard": "gone"}, "dashboard"),
    ({"range": "yesterday"}, "range.from"),
    ({"range": {"from": "now", "to": "now-1h"}}, "range"),
    ({"range": 5}, "range"),
    ({"variables": {"sit": "roof"}}, "variables.sit"),
    ({"variables": 5}, "variables"),
    ({"format": ["gif"]}, "format"),
    ({"cron": "daily"}, "cron"),
    ({"cron": "* * * * *"}, "cron"),
    ({"cron": None}, "cron"),
    ({"timezone": "Oslo"}, "timezone"),
    ({"sinks": ["gone"]}, "sinks[0]"),
    ({"sinks": ["rows"]}, "sinks[0]"),
    ({"sinks": "hook"}, "sinks"),
    ({"message": "x" * 5000}, "message"),
    ({"enabled": "yes"}, "enabled"),
    ({"colour": "red"}, "colour"),
]


def test_wrong_documents(desk: Desk) -> None:
    with desk.app.database.team(desk.team) as unit:
        for change, place in WRONG:
            with pytest.raises(Invalid) as error:
                setup.create_report(unit, desk.app, desk.team, {**REPORT, **change}, desk.author)
            assert place in [where for where, _ in error.value.problems]
        bare = {key: REPORT[key] for key in ("name", "dashboard", "cron")}
        made = setup.create_report(unit, desk.app, desk.team, bare, desk.author)
    assert (made.slug, made.document["format"], made.timezone, made.sinks) == ("orders_mondays", ["png"], "UTC", ())


def test_changes_and_other_teams(desk: Desk) -> None:
    made = desk.create()
    with pytest.raises(Conflict):
        desk.create()
    with desk.app.database.team(desk.team) as unit:
        with pytest.raises(PreconditionFailed):
            setup.update_report(unit, desk.app, made.slug, REPORT, desk.author, expected_revision=7)
        with pytest.raises(Invalid, match="stays so"):
            setup.update_report(unit, desk.app, made.slug, {**REPORT, "slug": "other"}, desk.author)
        changed = setup.update_report(unit, desk.app, made.slug, {**REPORT, "cron": "0 8 * * *"}, desk.author)
        assert (changed.revision, changed.cron) == (2, "0 8 * * *")
        assert [one.slug for one in reports.of_dashboard(unit, "orders")] == [made.slug]
        assert [one.slug for one in reports.of_sink(unit, sinks.get(unit, "hook").id)] == [made.slug]
        unit.commit()
    with desk.app.database.team(new_id()) as unit:
        assert reports.reports(unit) == []
        with pytest.raises(NotFound):
            reports.get(unit, made.id)
    with desk.app.database.team(desk.team) as unit:
        sinks.delete(unit, sinks.get(unit, "hook").id)
        assert reports.get(unit, made.id).sinks == ("mail",)
        setup.delete_report(unit, made.slug, desk.author)
        unit.commit()
        assert reports.reports(unit) == []
