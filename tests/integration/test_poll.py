"""One run of a poll, against a real server and through the real inbox."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dash_app.domain.changes import PipelineChanged, decode
from dash_app.domain.errors import Transient
from dash_app.domain.specs import Pipeline
from dash_app.pipelines import poll as module
from dash_app.pipelines import setup
from dash_app.pipelines.ingest import Ingest
from dash_app.pipelines.poll import poll
from dash_app.pipelines.reach.guard import guarded_client
from dash_app.storage import catalog, ledger, payloads
from tests.integration.conftest import House

SECRET = "Bearer swordfish-9481"
PAGES = 4


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with guarded_client(["127.0.0.0/8"], timeout=20) as made:
        yield made


class Feed:
    """A feed of PAGES pages that link to each other, and what it was asked for."""

    def __init__(self, server: HTTPServer) -> None:
        self.url = server.url_for("/feed")
        self.asked: list[tuple[str, str | None]] = []
        self.answer: Callable[[int], Response | None] = lambda _page: None
        self._server = server
        server.expect_request("/feed").respond_with_handler(self._handle)

    def _handle(self, request: Request) -> Response:
        page = int(request.args.get("page", "1"))
        self.asked.append((request.full_path.rstrip("?"), request.headers.get("Authorization")))
        other = self.answer(page)
        if other is not None:
            return other
        more = {"next": f"{self.url}?page={page + 1}"} if page < PAGES else {}
        return Response(json.dumps({"items": [{"n": page}], **more}), content_type="application/json")

    @property
    def pages(self) -> list[int]:
        """Numbers of the pages that were asked for."""
        return [int(path.partition("page=")[2] or 1) for path, _ in self.asked]


@pytest.fixture
def feed(httpserver: HTTPServer) -> Feed:
    return Feed(httpserver)


def polled(house: House, url: str, **options: Any) -> UUID:
    document = {
        "name": "Feed",
        "slug": "feed",
        "source": {
            "kind": "http_poll",
            "options": {
                "url": url,
                "interval_seconds": 60,
                "data_selector": "$.items",
                "paginator": {"type": "json_link", "next_url_path": "next"},
                **options,
            },
        },
        "mapping": {"records": "$.items[*]", "fields": [{"name": "n", "path": "$.n", "type": "number"}]},
    }
    with house.app.database.team(house.team) as unit:
        made, secret = setup.create_pipeline(unit, house.app, house.team, document, "test")
        unit.commit()
    assert secret is None
    return made.id


def state(house: House, pipeline: UUID) -> ledger.Poll:
    with house.app.database.ingest() as unit:
        found = ledger.poll(unit, pipeline)
    assert found is not None
    return found


def runs(house: House, pipeline: UUID) -> list[ledger.Run]:
    with house.app.database.team(house.team) as unit:
        return ledger.runs(unit, pipeline, limit=100)


def make_due(house: House, pipeline: UUID) -> None:
    with house.app.database.ingest() as unit:
        ledger.poll_now(unit, pipeline)
        unit.commit()


def stored(house: House) -> list[int]:
    """The pages in the inbox, in the order of their arrival."""
    rows = house.rows("SELECT body FROM dash.payloads ORDER BY id")
    return [json.loads(bytes(body))["items"][0]["n"] for (body,) in rows]


def test_pages_become_payloads_and_records(house: House, feed: Feed, client: httpx.Client) -> None:
    pipeline = polled(house, feed.url)
    began = datetime.now(UTC)
    poll(house.app, pipeline, client)
    assert stored(house) == [1, 2, 3, 4]
    (run,) = runs(house, pipeline)
    assert (run.kind, run.state, run.pages, run.payloads, run.error) == ("poll", "done", 4, 4, "")
    assert run.finished_at is not None
    assert run.bytes == house.rows("SELECT sum(octet_length(body))::int FROM dash.payloads")[0][0]
    after = state(house, pipeline)
    assert after.failures == 0
    assert 59 <= (after.next_due - began).total_seconds() <= 120
    assert house.rows("SELECT queued_at FROM dash.polls") == [(None,)]
    Ingest(house.app).run(pipeline)
    assert [n for (n,) in house.silver("feed", "n")] == [1.0, 2.0, 3.0, 4.0]
    assert {source for (source,) in house.rows("SELECT source FROM dash.payloads")} >= {feed.url}


def test_what_is_not_due_is_left_alone(house: House, feed: Feed, client: httpx.Client) -> None:
    pipeline = polled(house, feed.url)
    poll(house.app, pipeline, client)
    poll(house.app, pipeline, client)
    assert len(feed.asked) == PAGES
    assert len(runs(house, pipeline)) == 1


def failing(house: House, pipeline: UUID, client: httpx.Client, times: int) -> None:
    for _ in range(times):
        make_due(house, pipeline)
        poll(house.app, pipeline, client)


def pipeline_of(house: House, pipeline: UUID) -> Pipeline:
    with house.app.database.team(house.team) as unit:
        return catalog.pipeline(unit, pipeline)


def test_the_breaker_pauses_after_failures_in_a_row_and_tells_the_team(
    house: House, feed: Feed, client: httpx.Client
) -> None:
    pipeline = polled(house, feed.url, max_failures=3)
    feed.answer = lambda _page: Response("no more", status=500)
    failing(house, pipeline, client, 2)
    assert (pipeline_of(house, pipeline).state, state(house, pipeline).stopped_at) == ("active", None)
    with house.app.database.connect("app") as connection:
        connection.execute("LISTEN dash_changes")
        failing(house, pipeline, client, 1)
        heard = [decode(one.payload) for one in connection.notifies(timeout=10, stop_after=1)]
    assert heard == [PipelineChanged(str(pipeline))]
    paused = pipeline_of(house, pipeline)
    assert paused.state == "paused"
    assert paused.note.startswith("Paused, because 3 polls have failed in a row: GET http://localhost")
    assert state(house, pipeline).stopped_at is not None
    ((detail,),) = house.rows("SELECT detail FROM dash.audit WHERE action = 'pipeline.pause'")
    assert (detail["by"], detail["failures"], detail["slug"]) == ("polling", 3, "feed")
    assert "no more" in detail["error"]
    # Nobody is asked any more, until somebody resumes it: then at once, and from the beginning.
    feed.asked.clear()
    failing(house, pipeline, client, 1)
    assert feed.asked == []
    with house.app.database.team(house.team) as unit:
        setup.resume(unit, pipeline, "test")
        unit.commit()
    after = state(house, pipeline)
    assert (after.failures, after.stopped_at, after.due) == (0, None, True)
    failing(house, pipeline, client, 2)
    assert pipeline_of(house, pipeline).state == "active"
    feed.answer = lambda _page: None
    failing(house, pipeline, client, 1)
    assert stored(house) == [1, 2, 3, 4]


def test_a_run_that_came_further_is_no_failure_in_a_row(house: House, feed: Feed, client: httpx.Client) -> None:
    """Each run stores a page or two before it fails: the breaker stays closed, and the wait does not grow."""
    pipeline = polled(house, feed.url, max_failures=2, max_pages=10)
    for broken in (3, 4):
        feed.answer = lambda page, broken=broken: Response(status=500) if page == broken else None  # type: ignore[misc]
        failing(house, pipeline, client, 1)
        assert state(house, pipeline).failures == 1
    assert pipeline_of(house, pipeline).state == "active"
    failing(house, pipeline, client, 1)
    assert pipeline_of(house, pipeline).state == "paused"
    assert stored(house) == [1, 2, 3]


def test_a_run_that_only_began_anew_has_come_no_further(house: House, feed: Feed, client: httpx.Client) -> None:
    """The place of the next page is refused each time: the first page is stored again, and nothing is gained."""
    pipeline = polled(house, feed.url, max_failures=3)
    feed.answer = lambda page: Response(status=400) if page == 2 else None
    failing(house, pipeline, client, 3)
    assert stored(house) == [1, 1, 1]
    assert state(house, pipeline).failures == 3
    assert pipeline_of(house, pipeline).state == "paused"


def test_an_answer_that_says_stop_pauses_at_once(house: House, feed: Feed, client: httpx.Client) -> None:
    rules = [{"status_code": 402, "action": "stop"}]
    pipeline = polled(house, feed.url, response_actions=rules, max_failures=0)
    feed.answer = lambda _page: Response("pay first", status=402)
    failing(house, pipeline, client, 1)
    paused = pipeline_of(house, pipeline)
    assert paused.state == "paused"
    assert "Paused, because an answer says so" in paused.note
    assert "pay first" in paused.note


def test_a_poll_without_a_breaker_goes_on(house: House, feed: Feed, client: httpx.Client) -> None:
    pipeline = polled(house, feed.url, max_failures=0)
    feed.answer = lambda _page: Response(status=500)
    failing(house, pipeline, client, 25)
    assert pipeline_of(house, pipeline).state == "active"


def when(poll: ledger.Poll) -> str:
    """The minute; a poll is put down a moment after its wait was reckoned."""
    return (poll.next_due + timedelta(seconds=2)).astimezone(UTC).strftime("%m-%d %H:%M")


def test_by_the_calendar(house: House, feed: Feed, client: httpx.Client) -> None:
    """The first run waits for its time; a failure is tried again, and no later than the calendar says."""
    pipeline = polled(house, feed.url, cron="0 0 1 1 *", timezone="Europe/Oslo")
    first = state(house, pipeline)
    assert (first.due, when(first)) == (False, "12-31 23:00")
    poll(house.app, pipeline, client)
    assert feed.asked == []
    feed.answer = lambda _page: Response(status=500)
    failing(house, pipeline, client, 2)
    assert 100 <= wait_of(house, pipeline) <= 140
    feed.answer = lambda _page: None
    failing(house, pipeline, client, 1)
    assert when(state(house, pipeline)) == "12-31 23:00"
    with house.app.database.team(house.team) as unit:
        options = {"url": feed.url, "cron": "* * * * *"}
        setup.update_pipeline(unit, house.app, pipeline, {"source": {"options": options}}, "test")
        unit.commit()
    assert 0 < wait_of(house, pipeline) <= 60


class Crashed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("before", [1, 2, 3, 4])
@pytest.mark.parametrize("point", ["accept", "move_cursor", "commit"])
def test_a_crash_between_pages_loses_none_and_doubles_none(
    house: House, feed: Feed, client: httpx.Client, monkeypatch: pytest.MonkeyPatch, before: int, point: str
) -> None:
    """The worker dies while page `before` is being stored: before, in the middle of, or right after its commit."""
    pipeline = polled(house, feed.url)
    accept, move = payloads.accept, ledger.move_cursor
    seen = 0

    def crashing_accept(*arguments: Any) -> Any:
        nonlocal seen
        seen += 1
        if (point == "accept" and seen == before) or (point == "commit" and seen == before + 1):
            raise Crashed
        return accept(*arguments)

    def crashing_move(*arguments: Any) -> None:
        move(*arguments)
        if point == "move_cursor" and seen == before:
            raise Crashed

    with monkeypatch.context() as patched:
        patched.setattr(module.payloads, "accept", crashing_accept)
        patched.setattr(module.ledger, "move_cursor", crashing_move)
        if point == "commit" and before == PAGES:
            poll(house.app, pipeline, client)
        else:
            with pytest.raises(Crashed):
                poll(house.app, pipeline, client)
    kept = list(range(1, before + (point == "commit")))
    assert stored(house) == kept
    feed.asked.clear()
    make_due(house, pipeline)
    poll(house.app, pipeline, client)
    if kept != [1, 2, 3, 4]:
        # It goes on behind the last page that was stored.
        assert feed.pages == list(range(len(kept) + 1, PAGES + 1))
        assert stored(house) == [1, 2, 3, 4]
        assert [run.state for run in runs(house, pipeline)] == ["done", "lost"]
        assert "the worker ended" in runs(house, pipeline)[1].error


def test_an_error_in_the_middle_keeps_what_came_before_it(house: House, feed: Feed, client: httpx.Client) -> None:
    pipeline = polled(house, feed.url)
    feed.answer = lambda page: Response("the disk\nis full", status=500) if page == 3 else None
    poll(house.app, pipeline, client)
    assert stored(house) == [1, 2]
    (run,) = runs(house, pipeline)
    assert (run.state, run.pages) == ("failed", 2)
    assert "500" in run.error
    assert "the disk is full" in run.error
    assert "\n" not in run.error
    feed.answer = lambda _page: None
    feed.asked.clear()
    make_due(house, pipeline)
    poll(house.app, pipeline, client)
    assert feed.pages == [3, 4]
    assert stored(house) == [1, 2, 3, 4]
    assert state(house, pipeline).failures == 0


def wait_of(house: House, pipeline: UUID) -> float:
    ((seconds,),) = house.rows("SELECT extract(epoch FROM next_due - clock_timestamp())::float8 FROM dash.polls")
    return float(seconds)


def test_each_failure_waits_longer_and_success_ends_it(house: House, feed: Feed, client: httpx.Client) -> None:
    pipeline = polled(house, feed.url, interval_seconds=100)
    feed.answer = lambda _page: Response(status=503)
    for failure in range(1, 9):
        make_due(house, pipeline)
        poll(house.app, pipeline, client)
        assert state(house, pipeline).failures == failure
        expected = min(100 * 2 ** (failure - 1), module.LONGEST_WAIT)
        assert expected * 0.9 - 10 <= wait_of(house, pipeline) <= expected * 1.1
    feed.answer = lambda _page: None
    make_due(house, pipeline)
    poll(house.app, pipeline, client)
    assert state(house, pipeline).failures == 0
    assert wait_of(house, pipeline) <= 100
    assert [run.state for run in runs(house, pipeline)] == ["done"] + ["failed"] * 8


def test_a_server_that_names_a_time_is_left_alone_until_then(house: House, feed: Feed, client: httpx.Client) -> None:
    pipeline = polled(house, feed.url, interval_seconds=1)
    feed.answer = lambda _page: Response(status=429, headers={"Retry-After": "900"})
    poll(house.app, pipeline, client)
    assert 880 <= wait_of(house, pipeline) <= 900


def test_a_failure_and_its_end_are_announced(house: House, feed: Feed, client: httpx.Client) -> None:
    pipeline = polled(house, feed.url)
    feed.answer = lambda _page: Response(status=500)
    with house.app.database.connect("app") as connection:
        connection.execute("LISTEN dash_changes")
        poll(house.app, pipeline, client)
        feed.answer = lambda _page: None
        make_due(house, pipeline)
        poll(house.app, pipeline, client)
        heard = [decode(one.payload) for one in connection.notifies(timeout=10, stop_after=2)]
    assert heard == [PipelineChanged(str(pipeline))] * 2


def test_an_accident_is_a_failed_run_and_no_poll_that_hangs(
    house: House, feed: Feed, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no source should raise is in the runs all the same, and backs off like any failure."""
    pipeline = polled(house, feed.url)

    def broken(*_arguments: Any) -> None:
        raise RuntimeError("a bug with " + SECRET)

    monkeypatch.setattr(house.app.sources["http_poll"], "fetch", broken)
    poll(house.app, pipeline, client)
    (run,) = runs(house, pipeline)
    assert run.state == "failed"
    assert "RuntimeError" in run.error
    assert SECRET not in run.error
    assert state(house, pipeline).failures == 1
    assert wait_of(house, pipeline) > 50


def test_a_secret_that_cannot_be_read_is_a_failed_run_that_names_the_setting(
    house: House, feed: Feed, client: httpx.Client
) -> None:
    pipeline = polled(house, feed.url, secret_headers={"Authorization": SECRET})
    with house.app.database.ingest() as unit:
        unit.execute("UPDATE secrets SET value = 'of another key'")
        unit.commit()
    poll(house.app, pipeline, client)
    (run,) = runs(house, pipeline)
    assert (run.state, feed.asked) == ("failed", [])
    assert "DASH_SECRET_KEY" in run.error
    assert wait_of(house, pipeline) > 50


def test_of_two_at_once_one_runs(house: House, feed: Feed, client: httpx.Client) -> None:
    pipeline = polled(house, feed.url)
    inside, go_on = threading.Event(), threading.Event()

    def held(page: int) -> Response | None:
        if page == 2:
            inside.set()
            assert go_on.wait(30)
        return None

    feed.answer = held
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(poll, house.app, pipeline, client)
        assert inside.wait(30)
        poll(house.app, pipeline, client)
        assert len(runs(house, pipeline)) == 1
        go_on.set()
        first.result(30)
    assert stored(house) == [1, 2, 3, 4]
    assert [run.state for run in runs(house, pipeline)] == ["done"]
    # The lock went with its connection: the next one finds it free.
    make_due(house, pipeline)
    poll(house.app, pipeline, client)
    assert len(runs(house, pipeline)) == 2


@pytest.mark.parametrize("end", [setup.pause, setup.archive])
def test_a_paused_or_archived_pipeline_asks_nobody(
    house: House, feed: Feed, client: httpx.Client, end: Callable[..., Any]
) -> None:
    pipeline = polled(house, feed.url)
    with house.app.database.team(house.team) as unit:
        end(unit, pipeline, "test")
        unit.commit()
    make_due(house, pipeline)
    poll(house.app, pipeline, client)
    assert (feed.asked, runs(house, pipeline)) == ([], [])


@pytest.mark.parametrize(
    "options",
    [
        {"secret_headers": {"Authorization": SECRET}},
        {"auth": {"type": "bearer", "token": SECRET.removeprefix("Bearer ")}},
        {"auth": {"type": "api_key", "api_key": SECRET}},
    ],
    ids=["header", "bearer", "api_key"],
)
def test_a_secret_is_sent_and_stands_nowhere(
    house: House,
    feed: Feed,
    client: httpx.Client,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    options: dict[str, Any],
) -> None:
    caplog.set_level("DEBUG")
    pipeline = polled(house, feed.url, **options)
    # A server that echoes what it was sent.
    feed.answer = lambda page: Response(f"who is {SECRET}?", status=401) if page == 2 else None
    poll(house.app, pipeline, client)
    assert [sent for _, sent in feed.asked] == [SECRET, SECRET]
    tables = [
        name
        for (name,) in house.rows(
            "SELECT relname FROM pg_class WHERE relnamespace = 'dash'::regnamespace AND relkind IN ('r', 'p') "
            "AND NOT relispartition"
        )
    ]
    assert {"pipelines", "secrets", "runs", "payloads", "polls", "audit"} <= set(tables)
    for table in tables:
        found = "".join(text for (text,) in house.rows(f'SELECT t::text FROM dash."{table}" t'))
        for form in (SECRET, "swordfish"):
            assert form not in found, table
            assert form.encode().hex() not in found, table
    assert runs(house, pipeline)[0].state == "failed"
    printed = capsys.readouterr()
    assert "swordfish" not in printed.out + printed.err + caplog.text


def test_the_loopback_is_refused_unless_allowed(house: House, feed: Feed) -> None:
    pipeline = polled(house, feed.url)
    with guarded_client() as strict:
        poll(house.app, pipeline, strict)
    assert feed.asked == []
    (run,) = runs(house, pipeline)
    assert run.state == "failed"
    assert "not allowed" in run.error
    host, port = httpx.URL(feed.url).host, httpx.URL(feed.url).port
    assert port is not None
    with guarded_client(allow=frozenset({(host, port)})) as demo:
        make_due(house, pipeline)
        poll(house.app, pipeline, demo)
    assert stored(house) == [1, 2, 3, 4]


def test_an_error_that_no_column_takes_counts_like_any_other(
    house: House, feed: Feed, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(*_arguments: Any) -> None:
        raise Transient("it said: \x00\ud800")

    monkeypatch.setattr(module, "_fetch", fetch)
    pipeline = polled(house, feed.url, max_failures=2)
    for _ in range(2):
        make_due(house, pipeline)
        poll(house.app, pipeline, client)
    assert [(one.state, one.error) for one in runs(house, pipeline)] == [("failed", "it said: \ufffd\ufffd")] * 2
    with house.app.database.team(house.team) as unit:
        paused = catalog.pipeline(unit, pipeline)
    assert (paused.state, paused.note) == (
        "paused",
        "Paused, because 2 polls have failed in a row: it said: \ufffd\ufffd",
    )


def test_a_long_run_gives_its_turn_away_and_goes_on_at_once(
    house: House, feed: Feed, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RUN_SECONDS", 0.0)
    pipeline = polled(house, feed.url)
    for page in range(1, PAGES + 1):
        assert state(house, pipeline).due
        poll(house.app, pipeline, client)
        assert stored(house) == [*range(1, page + 1)]
    assert feed.pages == [1, 2, 2, 3, 3, 4, 4]
    assert not state(house, pipeline).due
    # What waits to be mapped is waited for.
    monkeypatch.setattr(module, "FULL_BYTES", 0)
    make_due(house, pipeline)
    poll(house.app, pipeline, client)
    assert len(stored(house)) == PAGES
    assert (state(house, pipeline).due, state(house, pipeline).failures) == (False, 0)


def test_a_team_has_so_many_polls_at_once(house: House, feed: Feed, client: httpx.Client) -> None:
    pipeline = polled(house, feed.url)
    with ExitStack() as held:
        others = [held.enter_context(house.app.database.own("ingest")) for _ in range(module.TEAM_PLACES)]
        assert all(ledger.take_poll_place(one, house.team, module.TEAM_PLACES) for one in others)
        poll(house.app, pipeline, client)
        assert feed.asked == []
        assert (state(house, pipeline).due, state(house, pipeline).failures) == (False, 0)
        for one in others:
            ledger.unlock_polls(one)
            one.commit()
    make_due(house, pipeline)
    poll(house.app, pipeline, client)
    assert stored(house) == [1, 2, 3, 4]
