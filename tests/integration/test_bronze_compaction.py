"""Small files becoming one and a manifest coming back: each payload once, at every moment and after every crash."""

from __future__ import annotations

import io
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow.parquet as pq
import pytest

from dash_app import cli
from dash_app.app import App
from dash_app.pipelines.schedule import Clock
from dash_app.pipelines.tasks import Queues
from dash_app.storage import bronze, bronze_compaction, bronze_listing, bronze_reading
from dash_app.storage.bronze import Compacted, Rebuilt
from dash_app.storage.bronze_compaction import FilesChanged
from dash_app.storage.bronze_upkeep import lock_archive
from dash_app.storage.objects import ObjectDamaged
from dash_app.storage.parquet import SCHEMA
from tests.integration.rest import KEY
from tests.integration.test_bronze import FAR, Crash, Failing, House

#: A day that is over.
DAY = datetime(2026, 3, 4, tzinfo=UTC)


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    house = House(database_url, tmp_path / "bronze")
    yield house
    house.database.close()


def small_files(house: House, count: int, begin: datetime = DAY, rows: int = 3) -> list[int]:
    """Archives that many files, a minute apart, released from the inbox."""
    ids: list[int] = []
    for number in range(count):
        bodies = [f'{{"n": "{number}.{row}"}}'.encode() for row in range(rows)]
        ids += house.accept_at(begin + timedelta(minutes=number), *bodies)
        house.archive()
    house.forget_inbox()
    return ids


def compact(house: House, at: Callable[[str], None] = lambda point: None) -> Compacted:
    return bronze.compact(house.database, house.objects, house.pipeline, at=at)


def compactable(house: House) -> list[UUID]:
    with house.database.ingest() as unit:
        return bronze.compactable(unit)


def listed(house: House, limit: int = 1000) -> list[int]:
    with house.database.team(house.team) as unit:
        return [one.id for one in bronze.recent(unit, house.objects, house.pipeline, limit=limit)]


def scanned(house: House) -> list[int]:
    return [payload.id for batch in house.scan() for payload in batch]


def collect(house: House, days: float) -> bronze.Collected:
    return bronze.collect_orphans(house.database, house.objects, now=datetime.now(UTC) + timedelta(days=days))


def forget_manifest(house: House, sql: str = "true", *params: Any) -> None:
    with house.database.ingest() as unit:
        unit.execute(f"DELETE FROM bronze_files WHERE {sql}", params)
        unit.commit()


# Compacting ----------------------------------------------------------------------------------------------------------


def test_small_files_become_one_with_every_byte(house: House) -> None:
    ids = small_files(house, 5)
    before = house.read(ids)
    tables = [pq.read_table(io.BytesIO((house.folder / row[2]).read_bytes())) for row in house.manifest()]
    raw = [line for table in tables for line in table.to_pylist()]

    assert compactable(house) == [house.pipeline]
    made = compact(house)

    ((team, pipeline, key, rows, size, checksum, low, high),) = house.manifest()
    assert made == Compacted(1, 5, size)
    assert (team, pipeline, rows, low, high) == (house.team, house.pipeline, 15, ids[0], ids[-1])
    assert key == f"{team}/{pipeline}/dt=2026-03-04/{low:019}-{high:019}-{checksum[:8]}.parquet"
    file = pq.ParquetFile(house.folder / key)
    assert file.schema_arrow.equals(SCHEMA)
    assert file.schema_arrow.metadata[b"dash"] == tables[0].schema.metadata[b"dash"]
    assert file.num_row_groups == 1, "groups of a few rows are joined"
    assert file.read().to_pylist() == raw
    assert house.counted() == Counter(ids)
    assert house.read(ids) == before
    assert scanned(house) == ids
    assert listed(house) == ids[::-1]
    assert bronze.describe(house.objects, key) == bronze.BronzeFile(*house.manifest()[0])
    assert compactable(house) == []
    assert compact(house) == Compacted()


def test_only_settled_neighbours_of_one_day_are_taken(house: House) -> None:
    small_files(house, 1, DAY)
    assert compactable(house) == [], "one file is one file"
    small_files(house, 1, DAY + timedelta(days=1))
    assert compactable(house) == [], "each has a day of its own"
    assert compact(house) == Compacted()
    small_files(house, 1, DAY + timedelta(days=1, hours=5))

    assert compact(house).replaced == 2
    assert [row[2].split("/")[2] for row in house.manifest()] == ["dt=2026-03-04", "dt=2026-03-05"]


def test_while_the_day_lasts_it_takes_eight_that_are_settled(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    noon = (now + timedelta(days=2)).replace(hour=12, minute=0, second=0, microsecond=0)

    def settled_until(moment: datetime) -> None:
        monkeypatch.setattr(bronze_compaction, "SETTLED", now - moment)

    ids = small_files(house, 7, noon)
    settled_until(noon + timedelta(minutes=30))
    assert compactable(house) == [], "seven"
    ids += small_files(house, 1, noon + timedelta(minutes=7))
    settled_until(noon + timedelta(minutes=5))
    assert compactable(house) == [], "the eighth is too young"
    assert compact(house) == Compacted()
    settled_until(noon + timedelta(minutes=30))

    assert compactable(house) == [house.pipeline]
    assert compact(house).replaced == 8
    assert house.counted() == Counter(ids)


def test_files_are_bounded_and_large_ones_left_alone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ids: list[int] = []
    for minute in range(7):
        ids += house.accept_at(DAY + timedelta(minutes=minute), os.urandom(90_000 if minute == 3 else 20_000))
        house.archive()
    house.forget_inbox()
    large = house.manifest()[3][2]
    monkeypatch.setattr(bronze_compaction, "FILE_BYTES", 1 << 16)
    monkeypatch.setattr(
        bronze_compaction, "_RUNS", bronze_compaction._RUNS.replace(str((128 << 20) // 2), str(1 << 15))
    )

    made = compact(house)

    # Three, of which two fit one file; the large one; three, of which two fit one file.
    assert (made.files, made.replaced) == (2, 4)
    assert sorted(row[3] for row in house.manifest()) == [1, 1, 1, 2, 2]
    assert large in {row[2] for row in house.manifest()}
    assert all(row[4] < (1 << 16) for row in house.manifest() if row[2] != large)
    assert house.counted() == Counter(ids)
    assert compactable(house) == []


def test_files_that_overlap_become_one_in_order(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two receivers whose commits interleave, and a payload that is in two files."""
    monkeypatch.setattr(bronze_compaction, "_GROUP_ROWS", 4)
    ids = house.accept_at(DAY, *(str(n).encode() for n in range(20)))
    with house.database.ingest() as unit:
        unit.execute("DELETE FROM unarchived")
        unit.commit()
    for part in (ids[0::2], ids[1::2], ids[8:10]):
        with house.database.ingest() as unit:
            unit.execute(
                "INSERT INTO unarchived (team_id, pipeline_id, payload_ids, bytes) VALUES (%s, %s, %s, 9)",
                (house.team, house.pipeline, part),
            )
            unit.commit()
        house.archive()
    house.forget_inbox()

    assert compact(house).replaced == 3
    assert house.counted() == Counter(ids)
    assert pq.read_metadata(house.folder / house.manifest()[0][2]).num_row_groups == 5
    assert [payload.body for payload in house.read(ids)] == [str(n).encode() for n in range(20)]


@pytest.mark.parametrize("point", ["before_put", "after_put", "before_commit", "after_commit"])
def test_a_crash_anywhere_loses_nothing_and_doubles_nothing(house: House, point: str) -> None:
    ids = small_files(house, 4)

    def crash(reached: str) -> None:
        if reached == point:
            raise Crash(reached)

    with pytest.raises(Crash):
        compact(house, crash)
    assert len(house.manifest()) == (1 if point == "after_commit" else 4)
    assert house.counted() == Counter(ids)
    assert scanned(house) == ids
    assert listed(house) == ids[::-1]
    compact(house)

    assert len(house.manifest()) == 1
    assert house.counted() == Counter(ids)
    assert len(house.stored()) == 5, "the second attempt adopts what the first one put"
    assert collect(house, 2).removed == 4
    assert house.counted() == Counter(ids)


@pytest.mark.parametrize("how", ["500", "timeout after success", "keeps half and says so", "keeps half and lies"])
def test_a_store_that_fails_costs_nothing_but_time(house: House, how: str) -> None:
    ids = small_files(house, 3)
    names = house.manifest()

    with pytest.raises(Exception):  # noqa: B017, PT011  each failure has its own class, and none is let through
        bronze.compact(house.database, Failing(house.objects, house.folder, how), house.pipeline)
    assert house.manifest() == names
    compact(house)

    assert len(house.manifest()) == 1
    assert house.counted() == Counter(ids)


def test_a_manifest_that_somebody_changed_is_left_as_it_is(house: House) -> None:
    small_files(house, 3)
    gone = house.manifest()[1][2]

    with pytest.raises(FilesChanged):
        compact(house, lambda point: forget_manifest(house, "key = %s", gone) if point == "after_put" else None)

    assert len(house.manifest()) == 2


def test_a_damaged_file_stops_its_own_run_and_no_other(house: House) -> None:
    small_files(house, 3)
    other = small_files(house, 3, DAY + timedelta(days=1))
    damaged = house.folder / house.manifest()[1][2]
    damaged.write_bytes(damaged.read_bytes()[:-9] + b"rubbish!!")

    with pytest.raises(ObjectDamaged):
        compact(house)

    assert sorted(row[3] for row in house.manifest()) == [3, 3, 3, 9]
    assert scanned_of(house, other) == other


def scanned_of(house: House, ids: list[int]) -> list[int]:
    return [payload.id for batch in house.scan(ids[0], ids[-1] + 1) for payload in batch]


def test_archiver_and_compactor_keep_out_of_each_others_way(house: House) -> None:
    ids = small_files(house, 4)
    with house.database.ingest() as unit:
        assert lock_archive(unit, house.pipeline)
        assert compact(house) == Compacted()
    late = house.accept_at(DAY + timedelta(minutes=2, seconds=1), b"late")
    archived: list[int] = []
    compact(house, lambda point: archived.append(house.archive().rows) if point != "after_commit" else None)

    assert archived == [0, 0, 0]
    house.archive_all()
    assert house.counted() == Counter(ids + late)
    assert scanned(house) == sorted(ids + late)


# Readers meanwhile ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", range(1, 8))
def test_a_scan_over_a_swap_misses_nothing(house: House, monkeypatch: pytest.MonkeyPatch, when: int) -> None:
    monkeypatch.setattr(bronze_reading, "_PAGE", 2)
    ids = small_files(house, 7)

    seen: list[int] = []
    found = bronze.scan(house.database.ingest, house.objects, house.pipeline, 0, FAR, max_rows=3)
    for number, batch in enumerate(found, start=1):
        seen += [payload.id for payload in batch]
        if number == when:
            assert compact(house).replaced == 7
    assert seen == ids


@pytest.mark.parametrize("when", range(1, 8))
def test_a_list_over_a_swap_misses_nothing(house: House, monkeypatch: pytest.MonkeyPatch, when: int) -> None:
    """Small pages of the manifest, the swap before the n-th of them; by way of `recent` in one unit of work."""
    monkeypatch.setattr(
        bronze_listing, "_OLDER_FILES", bronze_listing._OLDER_FILES.replace(f"LIMIT {bronze_listing._FILES}", "LIMIT 1")
    )
    ids = small_files(house, 7)
    ask = bronze_listing._older_files
    calls = 0

    def older_files(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == when:
            assert compact(house).replaced == 7
        return ask(*args)

    monkeypatch.setattr(bronze_listing, "_older_files", older_files)

    assert listed(house, 21) == ids[::-1]
    assert listed(house, 5) == ids[:-6:-1]


def test_a_read_that_took_the_manifest_before_the_swap(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = small_files(house, 4)
    ask = bronze_reading.covering

    def covering(*args: Any) -> Any:
        files = ask(*args)
        compact(house)
        collect(house, 0)
        return files

    monkeypatch.setattr(bronze_reading, "covering", covering)

    assert [payload.id for payload in house.read(ids)] == ids
    assert len(house.manifest()) == 1


def test_what_was_replaced_stays_a_day_after_that_and_goes(house: House) -> None:
    ids = small_files(house, 4)
    for key in house.stored():  # as if they had been written long ago
        os.utime(house.folder / key, (1.7e9, 1.7e9))
    compact(house)

    assert collect(house, 0) == bronze.Collected()
    assert collect(house, 0.9) == bronze.Collected()
    assert len(house.stored()) == 5
    collected = collect(house, 1.1)

    assert (collected.removed, collected.kept) == (4, ())
    assert house.stored() == [house.manifest()[0][2]]
    assert [payload.id for payload in house.read(ids)] == ids


def test_readers_and_archiver_beside_a_compactor(house: House) -> None:
    ids = small_files(house, 30, rows=1)
    done = threading.Event()
    failures: list[BaseException] = []

    def read() -> None:
        try:
            while not done.is_set():
                assert scanned_of(house, ids) == ids
                assert listed(house)[-30:] == ids[::-1]
        except BaseException as error:
            failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        more: list[int] = []
        for number in range(5):
            compact(house)
            more += house.accept_at(DAY + timedelta(hours=2, minutes=number), b"more")
            house.archive()
        compact(house)
    finally:
        done.set()
        reader.join()

    assert failures == []
    assert len(house.manifest()) == 1
    assert house.counted() == Counter(ids + more)


# The manifest from the objects ---------------------------------------------------------------------------------------


def rebuild(house: House) -> Rebuilt:
    return bronze.rebuild_manifest(house.database, house.objects)


def test_a_lost_manifest_comes_back(house: House) -> None:
    ids = small_files(house, 3) + small_files(house, 2, DAY + timedelta(days=1))
    before = sorted(house.manifest())
    forget_manifest(house)
    assert scanned(house) == []

    done = rebuild(house)

    assert (done.objects, done.named, done.payloads, done.superfluous) == (5, 0, 15, 0)
    assert sorted(done.added) == [row[2] for row in before]
    assert sorted(house.manifest()) == before
    assert scanned(house) == ids
    assert listed(house) == ids[::-1]
    assert rebuild(house) == Rebuilt(objects=5, named=5)
    assert sorted(house.manifest()) == before


def test_only_the_rows_that_are_missing_are_added(house: House) -> None:
    ids = small_files(house, 3)
    lost = house.manifest()[1]
    forget_manifest(house, "key = %s", lost[2])

    assert rebuild(house).added == (lost[2],)
    assert house.counted() == Counter(ids)


@pytest.mark.parametrize("lost", [False, True])
def test_what_was_replaced_does_not_come_back_beside_its_successor(house: House, lost: bool) -> None:
    ids = small_files(house, 4)
    compact(house)
    more = small_files(house, 2, DAY + timedelta(hours=1))
    compact(house)
    (row,) = house.manifest()
    if lost:
        forget_manifest(house)

    done = rebuild(house)

    assert done.added == ((row[2],) if lost else ())
    assert done.superfluous == 7
    assert house.manifest() == [row]
    assert house.counted() == Counter(ids + more)


def test_what_waits_for_the_archiver_is_left_to_it(house: House) -> None:
    ids = house.accept_at(DAY, b"1", b"2")

    def crash(point: str) -> None:
        if point == "after_put":
            raise Crash

    with pytest.raises(Crash):
        house.archive(at=crash)
    ids += house.accept_at(DAY + timedelta(seconds=1), b"3")

    assert (rebuild(house).added, rebuild(house).superfluous) == ((), 1)
    house.archive()
    assert house.counted() == Counter(ids)


def test_what_only_the_inbox_holds_and_nobody_will_archive_comes_back(house: House) -> None:
    ids = house.accept_at(DAY, b"1", b"2")
    house.archive()
    forget_manifest(house)

    assert rebuild(house).payloads == 2
    assert house.counted() == Counter(ids)


def test_foreign_and_damaged_objects_are_named_and_left_alone(house: House) -> None:
    small_files(house, 1)
    ((_, _, key, *_),) = house.manifest()
    name = key.rsplit("/", 1)[1]
    stranger, elsewhere = house.add("other")
    unknown = f"{house.team}/{'0' * 8}-0000-7000-8000-{'0' * 12}"
    wrong = f"{stranger}/{house.pipeline}"
    lying = f"{stranger}/{elsewhere}/dt=2026-03-04/{name}"
    rubbish = f"{house.team}/{house.pipeline}/dt=2026-03-04/{1:019}-{2:019}-00000000.parquet"
    whole = (house.folder / key).read_bytes()
    for other in (f"{unknown}/dt=2026-03-04/{name}", f"{wrong}/dt=2026-03-04/{name}", lying):
        house.objects.put(other, whole)
    house.objects.put(rubbish, b"PAR1 rubbish PAR1")
    house.objects.put("notes.txt", b"")
    before = house.manifest()

    done = rebuild(house)

    assert done == Rebuilt(
        objects=5, named=1, unknown=tuple(sorted([unknown, wrong])), damaged=tuple(sorted([rubbish, lying]))
    )
    assert house.manifest() == before


def test_a_file_that_is_gone_keeps_no_other_from_coming_back(house: House) -> None:
    ids = small_files(house, 4)
    compact(house)
    gone = house.manifest()[0][2]
    (house.folder / gone).unlink()

    done = rebuild(house)

    assert done.damaged == (gone,)
    assert done.payloads == len(ids)


def test_a_busy_pipeline_is_named(house: House) -> None:
    small_files(house, 1)
    forget_manifest(house)
    with house.database.ingest() as unit:
        assert lock_archive(unit, house.pipeline)
        assert rebuild(house) == Rebuilt(objects=1, busy=(str(house.pipeline),))
    assert len(rebuild(house).added) == 1


def test_the_command(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DASH_DATABASE_URL", house.url)
    monkeypatch.setenv("DASH_SECRET_KEY", KEY)
    monkeypatch.setenv("DASH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("DASH_BRONZE_URL", house.folder.as_uri())
    ids = small_files(house, 2)
    keys = [row[2] for row in house.manifest()]
    forget_manifest(house, "key = %s", keys[0])

    assert cli.run(["doctor", "--rebuild-manifest"]) == 0
    said = capsys.readouterr().out
    assert f"added    {keys[0]}\n" in said
    assert "2 objects: 1 are in the manifest, 1 were added with 3 payloads" in said
    assert cli.run(["doctor", "--rebuild-manifest", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["objects"], document["named"], document["added"]) == (2, 2, [])
    assert scanned(house) == ids
    (house.folder / keys[1]).write_bytes(b"PAR1 rubbish PAR1")
    forget_manifest(house, "key = %s", keys[1])
    assert cli.run(["doctor", "--rebuild-manifest"]) == 1
    assert f"damaged  {keys[1]}\n" in capsys.readouterr().out


# The clock -----------------------------------------------------------------------------------------------------------


def test_the_clock_queues_what_is_to_be_compacted_and_the_task_does_it(
    house: House, open_app: Callable[[], App]
) -> None:
    app = open_app()
    ids = small_files(house, 3)
    queue = "SELECT count(*) FROM huey_task WHERE convert_from(data, 'UTF8')::json ->> 1 = %s AND priority < 0"
    task = "dash_app.pipelines.tasks.compact"  # stands in stored rows: never another

    for _ in range(2):
        with app.database.own("ingest") as unit:
            Clock(app).tick(unit)
    assert house.value(queue, task) == 1
    queues = Queues(app)
    try:
        queues._task_compact(str(house.pipeline))
    finally:
        queues.close()

    assert len(house.manifest()) == 1
    assert house.counted() == Counter(ids)
    with app.database.own("ingest") as unit:
        unit.execute("DELETE FROM huey_task")
        Clock(app).tick(unit)
    assert house.value(queue, task) == 0
