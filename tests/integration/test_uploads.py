"""Files that people bring, over the whole way: chunks, objects, checking, cutting, silver; and what breaks it off."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from dash_app.domain.errors import BadRequest, Conflict, Invalid
from dash_app.pipelines import uploads as road
from dash_app.pipelines.cutting import windows
from dash_app.pipelines.ingest import Ingest
from dash_app.pipelines.uploads import WrongOffset
from dash_app.storage import catalog, payloads, uploads
from dash_app.storage.uploads import Upload
from tests.integration.conftest import House
from tests.integration.test_crash import worker
from tests.waiting import wait_until

CHUNK = 256 << 10


def begin(house: House, pipeline: UUID, name: str, size: int, content_type: str = "") -> Upload:
    with house.app.database.team(house.team) as unit:
        made = road.begin(unit, catalog.pipeline(unit, pipeline), name, size, content_type, "test")
        unit.commit()
    return made


def send(house: House, upload: Upload, offset: int, data: bytes) -> Upload:
    with house.app.database.team(house.team) as unit:
        found = uploads.get(unit, upload.id)
    road.check_chunk(found, offset, data)
    part = road.put_part(house.app, found, offset, data)
    with house.app.database.team(house.team) as unit:
        made = road.note_part(unit, found, part)
        unit.commit()
    return made


def bring(house: House, pipeline: UUID, name: str, data: bytes, content_type: str = "") -> Upload:
    upload = begin(house, pipeline, name, len(data), content_type)
    for offset in range(0, len(data), CHUNK):
        upload = send(house, upload, offset, data[offset : offset + CHUNK])
    return upload


def look(house: House, upload: Upload) -> Upload:
    with house.app.database.team(house.team) as unit:
        return uploads.get(unit, upload.id)


def objects(house: House) -> list[str]:
    return [head.key for head in house.app.objects.list(uploads.PREFIX)]


def work(house: House, upload: Upload) -> Upload:
    """All the work there is, with the pipeline's own in between."""
    while road.work(house.app, upload.id):
        Ingest(house.app).run(upload.pipeline)
    while Ingest(house.app).run(upload.pipeline):
        pass
    return look(house, upload)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of a quarter of a mebibyte, so that files of this size have several."""
    monkeypatch.setattr(windows, "WIDTH", 256 << 10)


def rows_of(count: int) -> bytes:
    return b"n,site\n" + b"".join(b"%d,%s\n" % (n, b"oslo" * 10) for n in range(count))


def test_a_file_becomes_records_and_its_parts_go(house: House) -> None:
    pipeline = house.pipeline()
    data = rows_of(60_000)
    upload = bring(house, pipeline, "C:\\data\\rows.csv", data)
    assert (upload.name, upload.format, upload.state) == ("rows.csv", "csv", "checking")
    assert len(objects(house)) == -(-len(data) // CHUNK)
    done = work(house, upload)
    assert (done.state, done.records, done.error, done.consumed) == ("done", 60_000, "", len(data))
    assert done.payloads >= 3
    assert house.rows("SELECT count(*), count(DISTINCT n), sum(n) FROM team_acme.orders") == [
        (60_000, 60_000, sum(range(60_000)))
    ]
    assert objects(house) == []
    headers = house.rows("SELECT headers::jsonb ->> 'dash-file', source FROM payloads LIMIT 1")
    assert headers == [("rows.csv", "upload of rows.csv")]


def test_a_file_that_is_broken_at_its_end_leaves_nothing_behind(house: House) -> None:
    pipeline = house.pipeline()
    elements = ",".join(json.dumps({"n": n, "site": "oslo" * 20}) for n in range(60_000))
    upload = work(house, bring(house, pipeline, "all.json", f"[{elements},".encode()))
    assert upload.state == "failed"
    assert "not closed" in upload.error
    assert house.rows("SELECT count(*) FROM payloads") == [(0,)]
    assert objects(house) == []
    nothing = work(house, bring(house, pipeline, "header.csv", b"n,site\n"))
    assert (nothing.state, nothing.error) == ("failed", "there are no records in the file")


def test_chunks_lie_end_to_end(house: House) -> None:
    pipeline = house.pipeline()
    data = rows_of(20_000)
    upload = begin(house, pipeline, "rows.csv", len(data))
    with pytest.raises(WrongOffset, match="byte 0, not 70000") as wrong:
        send(house, upload, 70_000, data[:CHUNK])
    assert wrong.value.extra == {"offset": 0}
    with pytest.raises(BadRequest, match="at least"):
        send(house, upload, 0, data[:10])
    with pytest.raises(BadRequest, match="beyond the end"):
        send(house, upload, 0, data + b"x")
    upload = send(house, upload, 0, data[:CHUNK])
    # Two senders that saw the same offset: the second one's part is put, and not noted.
    part = road.put_part(house.app, upload, CHUNK, data[CHUNK : 2 * CHUNK])
    send(house, upload, CHUNK, data[CHUNK : 2 * CHUNK])
    with house.app.database.team(house.team) as unit, pytest.raises(WrongOffset, match=str(2 * CHUNK)):
        road.note_part(unit, upload, part)
    assert part.key in objects(house)
    with house.app.database.ingest() as unit:
        now = unit.value("SELECT clock_timestamp() + interval '1 minute'")
        assert uploads.collect(unit, house.app.objects, before=now) == 1
    assert part.key not in objects(house)
    send(house, upload, 2 * CHUNK, data[2 * CHUNK :])
    with pytest.raises(Conflict, match="takes no more"):
        send(house, upload, len(data), b"x")
    assert work(house, upload).records == 20_000


def test_what_cannot_be_begun(house: House) -> None:
    pipeline = house.pipeline()
    with pytest.raises(Invalid) as wrong:
        begin(house, pipeline, "book.xlsx", road.MOST_BYTES + 1)
    assert [place for place, _ in wrong.value.problems] == ["size", "content_type"]
    for _ in range(road.MOST_OPEN):
        begin(house, pipeline, "a.csv", 10)
    with pytest.raises(Conflict, match="under way"):
        begin(house, pipeline, "a.csv", 10)
    # What is received and not worked on yet takes as much room.
    with house.app.database.ingest() as unit:
        unit.execute("UPDATE uploads SET state = 'checking'")
        unit.commit()
    with pytest.raises(Conflict, match="20 uploads"):
        begin(house, pipeline, "a.csv", 10)


def test_a_team_has_so_many_bytes_under_way(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(road, "MOST_TEAM_BYTES", 100)
    begin(house, house.pipeline(), "a.csv", 60)
    with pytest.raises(Conflict, match="60 bytes, and with this one more than 100"):
        begin(house, house.pipeline(slug="other"), "a.csv", 41)
    begin(house, house.pipeline(slug="another"), "a.csv", 40)


def test_a_pipeline_that_does_not_keep_up_is_waited_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(road, "MOST_WAITING", 1 << 19)
    pipeline = house.pipeline()
    upload = bring(house, pipeline, "rows.csv", rows_of(40_000))
    assert not road.work(house.app, upload.id)
    waits = look(house, upload)
    assert waits.state == "cutting"
    assert 0 < waits.consumed < waits.size
    while look(house, upload).state == "cutting":
        work(house, upload)
    assert house.rows("SELECT count(*), count(DISTINCT n) FROM team_acme.orders") == [(40_000, 40_000)]


def test_each_step_counts_once_whatever_fails(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = house.pipeline()
    upload = bring(house, pipeline, "rows.csv", rows_of(40_000))
    accept = payloads.accept
    calls: list[int] = []

    def failing(unit: Any, arrivals: Any) -> Any:
        calls.append(len(arrivals))
        found = accept(unit, arrivals)
        if len(calls) % 2:
            raise RuntimeError("gone")
        return found

    monkeypatch.setattr(payloads, "accept", failing)
    monkeypatch.setattr(road, "_fail", lambda *_: None)
    for _ in range(12):
        road.work(house.app, upload.id)
    monkeypatch.setattr(payloads, "accept", accept)
    done = work(house, upload)
    assert (done.state, done.records) == ("done", 40_000)
    assert house.rows("SELECT count(*), count(DISTINCT n) FROM team_acme.orders") == [(40_000, 40_000)]


def test_cancelled_in_the_middle(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = house.pipeline()
    monkeypatch.setattr(road, "MOST_WAITING", 1 << 19)
    upload = bring(house, pipeline, "rows.csv", rows_of(40_000))
    road.work(house.app, upload.id)
    with house.app.database.team(house.team) as unit:
        assert uploads.end(unit, upload.id, "cancelled") is not None
        unit.commit()
    done = work(house, upload)
    assert done.state == "cancelled"
    assert objects(house) == []
    assert house.rows("SELECT count(*) FROM team_acme.orders") == [(done.records,)]


@pytest.mark.timeout(180)
def test_a_worker_killed_while_it_cuts_loses_and_doubles_nothing(
    house: House, database_url: str, tmp_path: Path
) -> None:
    pipeline = house.pipeline()
    count = 300_000  # several steps
    upload = bring(house, pipeline, "rows.csv", rows_of(count))
    with worker(database_url, tmp_path) as process:
        wait_until(lambda: look(house, upload).payloads)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)
    with worker(database_url, tmp_path):
        wait_until(lambda: look(house, upload).state == "done")
        wait_until(lambda: house.rows("SELECT FROM pipeline_counts WHERE records = %s", (count,)))
    assert house.rows("SELECT count(*), count(DISTINCT n) FROM team_acme.orders") == [(count, count)]
    assert look(house, upload).records == count
    assert objects(house) == []
