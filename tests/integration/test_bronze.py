"""Payloads on their way to bronze: nothing lost, nothing twice, whatever breaks, and readable wherever they stand."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dash_app.domain.events import Arrival, Payload
from dash_app.domain.ids import new_id, payload_id_floor
from dash_app.storage import bronze, bronze_reading, payloads
from dash_app.storage.bronze import Archived, PayloadsMissing
from dash_app.storage.bronze_upkeep import lock_archive
from dash_app.storage.engine import Database
from dash_app.storage.objects import Folder, ObjectDamaged, ObjectMissing, Objects, ObjectsUnavailable
from dash_app.storage.parquet import BronzeReader, BronzeWriter

MIB = 1 << 20
FAR = 1 << 62


class Crash(BaseException):
    """The process is gone at this point."""


class House:
    """A migrated database with one team and one pipeline, and a bronze folder."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.database = Database(url, pool_size=4)
        self.folder = folder
        self.objects = Folder(folder)
        self.team, self.pipeline = self.add("one")

    def add(self, slug: str) -> tuple[UUID, UUID]:
        team, pipeline = new_id(), new_id()
        with self.database.ingest() as unit:
            unit.execute("INSERT INTO teams (id, slug, name) VALUES (%s, %s, %s)", (team, slug, slug))
            unit.execute(
                "INSERT INTO pipelines (id, team_id, slug, name, source_kind) VALUES (%s, %s, %s, %s, 'webhook')",
                (pipeline, team, slug, slug),
            )
            unit.commit()
        return team, pipeline

    def accept(self, *bodies: bytes, **about: Any) -> list[int]:
        """Payloads in one commit, thus one note."""
        arrivals = [Arrival(self.pipeline, self.team, body, **about) for body in bodies]
        with self.database.ingest() as unit:
            accepted = payloads.accept(unit, arrivals)
            unit.commit()
        return [one.payload for one in accepted]

    def accept_at(self, moment: datetime, *bodies: bytes, waiting: bool = True) -> list[int]:
        """Payloads as they would stand there had they come at that moment."""
        ids = [payload_id_floor(moment) + n for n in range(len(bodies))]
        with self.database.ingest() as unit:
            for payload, body in zip(ids, bodies, strict=True):
                unit.execute(
                    "INSERT INTO payloads VALUES (%s, %s, %s, %s, 'application/json', '{}', '', %s)",
                    (payload, self.team, self.pipeline, moment, body),
                )
            for table in ("unarchived", "batches") if waiting else ():
                unit.execute(
                    f"INSERT INTO {table} (team_id, pipeline_id, payload_ids, bytes) VALUES (%s, %s, %s, %s)",
                    (self.team, self.pipeline, ids, sum(map(len, bodies))),
                )
            unit.commit()
        return ids

    def hour(self, moment: datetime) -> str:
        """Makes the partition of that hour, as if it had been made in its time."""
        start = moment.replace(minute=0, second=0, microsecond=0)
        name = f"payloads_{start:%Y%m%d%H}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE TABLE dash.{name} (LIKE dash.payloads INCLUDING ALL)".encode())
            connection.execute(
                f"ALTER TABLE dash.{name} OWNER TO dash_owner; GRANT ALL ON dash.{name} TO dash_ingest".encode()
            )
            low, high = payload_id_floor(start), payload_id_floor(start + timedelta(hours=1))
            connection.execute(
                f"ALTER TABLE dash.payloads ATTACH PARTITION dash.{name} FOR VALUES FROM ({low}) TO ({high})".encode()
            )
        return name

    def archive(self, objects: Objects | None = None, at: Callable[[str], None] = lambda point: None) -> Archived:
        return bronze.archive(self.database, objects or self.objects, self.pipeline, at=at)

    def archive_all(self) -> None:
        while self.value("SELECT count(*) FROM unarchived"):
            self.archive()

    def value(self, sql: str, *params: Any) -> Any:
        with self.database.ingest() as unit:
            return unit.value(sql, params)

    def manifest(self) -> list[tuple[Any, ...]]:
        with self.database.ingest() as unit:
            return unit.rows(
                "SELECT team_id, pipeline_id, key, rows, bytes, checksum, min_payload, max_payload "
                "FROM bronze_files ORDER BY id"
            )

    def counted(self) -> Counter[int]:
        """How often each payload stands in files of the manifest, read with nothing of ours."""
        count: Counter[int] = Counter()
        for _, _, key, rows, size, checksum, low, high in self.manifest():
            data = (self.folder / key).read_bytes()
            ids = pq.read_table(io.BytesIO(data)).column("payload_id").to_pylist()
            assert (len(ids), len(data), sha256(data).hexdigest(), ids[0], ids[-1]) == (rows, size, checksum, low, high)
            assert ids == sorted(ids)
            count.update(ids)
        return count

    def stored(self) -> list[str]:
        return [head.key for head in self.objects.list()]

    def read(self, ids: Sequence[int], objects: Objects | None = None) -> list[Payload]:
        with self.database.ingest() as unit:
            return bronze.read_payloads(unit, objects or self.objects, ids, pipeline=self.pipeline)

    def scan(self, start: int = 0, stop: int = FAR, **bounds: int) -> list[list[Payload]]:
        return list(bronze.scan(self.database.ingest, self.objects, self.pipeline, start, stop, **bounds))

    def forget_inbox(self) -> None:
        with self.database.ingest() as unit:
            unit.execute("DELETE FROM payloads")
            unit.commit()


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    house = House(database_url, tmp_path / "bronze")
    yield house
    house.database.close()


class Counting:
    """A store that notes what is read of it."""

    def __init__(self, inner: Objects) -> None:
        self._inner = inner
        self.reads: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes:
        data = self._inner.get(key, start, stop)
        self.reads.append(len(data))
        return data


class Failing:
    """A store whose puts fail as told: before or after they did their work, or after half of it."""

    def __init__(self, inner: Folder, root: Path, how: str) -> None:
        self._inner = inner
        self._root = root
        self.how = how

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def put(self, key: str, data: bytes) -> str:
        match self.how:
            case "500":
                raise ObjectsUnavailable("500 InternalError")
            case "timeout after success":
                self._inner.put(key, data)
                raise ObjectsUnavailable("timed out")
            case "keeps half and says so":
                self._inner.put(key, data[: len(data) // 2])
                raise ObjectDamaged("half")
            case "keeps half and lies":
                self._inner.put(key, data[: len(data) // 2])
                return sha256(data).hexdigest()
        return self._inner.put(key, data)


# Writing -------------------------------------------------------------------------------------------------------------


def test_due_is_who_has_enough_or_has_waited(house: House) -> None:
    def due(**bounds: Any) -> list[UUID]:
        with house.database.ingest() as unit:
            return bronze.due(unit, **bounds)

    assert due() == []
    house.accept(b"x" * 60)
    house.accept(b"x" * 40)
    assert due() == []
    assert due(max_bytes=101) == []
    assert due(max_bytes=100) == [house.pipeline]
    with house.database.ingest() as unit:
        unit.execute(
            "UPDATE unarchived SET created_at = created_at - interval '61 s' "
            "WHERE id = (SELECT min(id) FROM unarchived)"
        )
        unit.commit()
    assert due() == [house.pipeline]
    assert due(max_age=timedelta(seconds=120)) == []
    house.archive()
    assert due(max_bytes=1, max_age=timedelta()) == []


def test_a_file_holds_payloads_exactly_as_received(house: House) -> None:
    headers = {"x-github-event": "push", "x-odd": 'ü "quoted"'}
    first = house.accept(
        b'{"a": 1}\r\n', b"\xff\xfe\x00 not utf-8", content_type="text/odd; charset=x", headers=headers
    )
    second = house.accept(b"", source="https://example.org/?page=2")
    kept = {payload.id: payload for payload in house.read([*first, *second])}

    archived = house.archive()

    (row,) = house.manifest()
    team, pipeline, key, rows, size, checksum, low, high = row
    assert archived == Archived(1, 3, size)
    assert (team, pipeline, rows, low, high) == (house.team, house.pipeline, 3, min(kept), max(kept))
    today = datetime.fromtimestamp((low >> 20) / 1000, UTC).date()
    assert key == f"{team}/{pipeline}/dt={today}/{low:019}-{high:019}-{checksum[:8]}.parquet"
    table = pq.read_table(house.folder / key, partitioning=None)
    assert {field.name: str(field.type) for field in table.schema} == {
        "payload_id": "int64",
        "received_at": "timestamp[us, tz=UTC]",
        "content_type": "dictionary<values=string, indices=int32, ordered=0>",
        "source": "string",
        "size": "int64",
        "headers": "string",
        "body": "binary",
    }
    for line in table.to_pylist():
        payload = kept[line["payload_id"]]
        assert (line["body"], line["received_at"], line["content_type"], line["source"]) == (
            payload.body, payload.received_at, payload.content_type, payload.source,
        )  # fmt: skip
        assert line["size"] == len(payload.body)
    about = pq.read_metadata(house.folder / key)
    assert about.row_group(0).column(6).compression == "ZSTD"
    assert bronze.describe(house.objects, key) == bronze.BronzeFile(*row)
    assert house.value("SELECT count(*) FROM unarchived") == 0
    assert house.value("SELECT count(*) FROM batches") == 2, "what waits to be mapped is no business of the archiver"
    house.forget_inbox()
    assert house.read([*first, *second]) == [kept[one] for one in sorted(kept)]


def test_nothing_to_archive(house: House) -> None:
    assert house.archive() == Archived()
    assert house.stored() == []


@pytest.mark.parametrize("point", ["before_put", "after_put", "before_commit", "after_commit"])
def test_a_crash_anywhere_loses_nothing_and_doubles_nothing(house: House, point: str) -> None:
    ids = house.accept(*(f'{{"n": {n}}}'.encode() for n in range(50)))

    def crash(reached: str) -> None:
        if reached == point:
            raise Crash(reached)

    with pytest.raises(Crash):
        house.archive(at=crash)
    waiting = house.value("SELECT count(*) FROM unarchived")
    assert (waiting, len(house.manifest())) == ((0, 1) if point == "after_commit" else (1, 0))
    house.archive()

    assert house.counted() == Counter(ids)
    assert house.stored() == [house.manifest()[0][2]], "the second attempt adopts what the first one put"


def test_what_comes_after_a_crash_makes_another_file_and_an_orphan(house: House) -> None:
    def crash(reached: str) -> None:
        if reached == "after_put":
            raise Crash

    ids = house.accept(b"1", b"2")
    with pytest.raises(Crash):
        house.archive(at=crash)
    ids += house.accept(b"3")
    house.archive()

    assert house.counted() == Counter(ids)
    assert len(house.stored()) == 2
    assert [payload.id for batch in house.scan() for payload in batch] == sorted(ids)


@pytest.mark.parametrize("how", ["500", "timeout after success", "keeps half and says so", "keeps half and lies"])
def test_a_store_that_fails_costs_nothing_but_time(house: House, how: str) -> None:
    ids = house.accept(b"one", b"two", b"three")
    failing = Failing(house.objects, house.folder, how)

    with pytest.raises((ObjectsUnavailable, ObjectDamaged)):
        house.archive(failing)
    assert house.manifest() == []
    assert house.value("SELECT cardinality(payload_ids) FROM unarchived") == 3
    failing.how = "works"
    house.archive(failing)

    assert house.counted() == Counter(ids)
    assert [payload.body for payload in house.read(ids)] == [b"one", b"two", b"three"]


def test_other_content_under_the_key_is_left_alone(house: House) -> None:
    ids = house.accept(b"one", b"two")

    keys: list[str] = []

    class Spy(Failing):
        def put(self, key: str, data: bytes) -> str:
            keys.append(key)
            raise Crash

    with pytest.raises(Crash):
        house.archive(Spy(house.objects, house.folder, ""))
    house.objects.put(keys[0], b"PAR1 of somebody else")

    house.archive()

    assert house.objects.get(keys[0]) == b"PAR1 of somebody else"
    assert house.counted() == Counter(ids)
    assert len(house.stored()) == 2


def test_two_archivers_at_once(house: House) -> None:
    ids = house.accept(*(b"x" * 1000 for _ in range(100)))
    second: list[Archived] = []

    def meanwhile(point: str) -> None:
        second.append(house.archive())

    first = house.archive(at=lambda point: meanwhile(point) if point != "after_commit" else None)

    assert first.rows == 100
    assert second == [Archived()] * 3
    assert house.counted() == Counter(ids)


def test_many_archivers_while_more_arrives(house: House) -> None:
    ids: list[int] = []
    done = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while not done.is_set():
                house.archive()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for n in range(40):
            ids += house.accept(*(f"{n}.{m}".encode() for m in range(20)))
    finally:
        done.set()
        for thread in threads:
            thread.join()
    house.archive_all()

    assert failures == []
    assert house.counted() == Counter(ids)


def test_many_bytes_make_several_files_of_bounded_size(house: House) -> None:
    ids: list[int] = []
    for _ in range(13):
        ids += house.accept(os.urandom(MIB), os.urandom(MIB // 2))

    archived = house.archive()

    assert archived.files == 1, "what is left makes no file of its own yet"
    house.archive_all()
    assert house.counted() == Counter(ids)
    assert len(house.manifest()) == 2
    assert all(row[4] < 17 * MIB for row in house.manifest())


def test_one_note_of_many_large_payloads_is_taken_in_parts(house: House) -> None:
    ids = house.accept(*(os.urandom(7 * MIB) for _ in range(5)))

    first, _ = bronze._archive_one(house.database, house.objects, house.pipeline, "zstd", lambda point: None)

    assert first is not None
    assert first.rows == 2
    assert house.value("SELECT payload_ids FROM unarchived") == ids[2:]
    assert house.value("SELECT bytes FROM unarchived") == 3 * 7 * MIB
    house.archive_all()
    assert house.counted() == Counter(ids)


def test_a_payload_larger_than_a_file_is_a_file(house: House) -> None:
    body = os.urandom(20 * MIB)
    ids = house.accept(b"small", body, b"small")

    house.archive_all()
    house.forget_inbox()

    assert house.counted() == Counter(ids)
    assert house.read([ids[1]])[0].body == body


def test_a_file_keeps_to_one_day(house: House) -> None:
    midnight = datetime(2026, 3, 4, tzinfo=UTC)
    before = house.accept_at(midnight - timedelta(milliseconds=1), b"1", b"2")
    after = house.accept_at(midnight, b"3")
    with house.database.ingest() as unit:  # as one note
        unit.execute("DELETE FROM unarchived")
        unit.execute(
            "INSERT INTO unarchived (team_id, pipeline_id, payload_ids, bytes) VALUES (%s, %s, %s, 3)",
            (house.team, house.pipeline, after + before),
        )
        unit.commit()

    house.archive()

    days = {row[2].split("/")[2]: (row[6], row[7]) for row in house.manifest()}
    assert days == {"dt=2026-03-03": (before[0], before[1]), "dt=2026-03-04": (after[0], after[0])}
    assert house.value("SELECT count(*) FROM unarchived") == 0


def test_a_note_without_its_payload_is_not_thrown_away(house: House) -> None:
    ids = house.accept(b"1", b"2")
    with house.database.ingest() as unit:
        unit.execute("DELETE FROM payloads WHERE id = %s", (ids[1],))
        unit.commit()

    with pytest.raises(PayloadsMissing, match=str(ids[1])):
        house.archive()

    assert house.value("SELECT count(*) FROM unarchived") == 1
    assert house.manifest() == []


# Reading -------------------------------------------------------------------------------------------------------------


def test_payloads_are_read_from_wherever_they_stand(house: House) -> None:
    cold = house.accept(b"c0", b"c1", b"c2")
    house.archive()
    house.forget_inbox()
    both = house.accept(b"b0")
    house.archive()
    hot = house.accept(b"h0")

    found = house.read([*hot, cold[2], *both, cold[0], cold[0], 12345])

    assert [(payload.id, payload.body) for payload in found] == [
        (cold[0], b"c0"), (cold[2], b"c2"), (both[0], b"b0"), (hot[0], b"h0"),
    ]  # fmt: skip
    with house.database.ingest() as unit:
        assert bronze.read_payload(unit, house.objects, cold[1]) == house.read([cold[1]])[0]
        assert bronze.read_payload(unit, house.objects, 12345) is None
        assert bronze.read_payloads(unit, house.objects, []) == []


@pytest.mark.parametrize("archived", [False, True])
def test_nobody_reads_what_is_not_theirs(house: House, archived: bool) -> None:
    (payload,) = house.accept(b"mine")
    if archived:
        house.archive()
        house.forget_inbox()
    stranger, other = house.add("other")

    with house.database.team(house.team) as unit:
        assert bronze.read_payload(unit, house.objects, payload, pipeline=house.pipeline) is not None
        assert bronze.read_payload(unit, house.objects, payload, pipeline=other) is None
    with house.database.team(stranger) as unit:
        for pipeline in (None, house.pipeline, other):
            assert bronze.read_payload(unit, house.objects, payload, pipeline=pipeline) is None


def test_one_payload_of_a_large_file_is_cheap(house: House) -> None:
    ids = [one for _ in range(15) for one in house.accept(*(os.urandom(10_000) for _ in range(100)))]
    house.archive_all()
    house.forget_inbox()
    ((*_, size, _, _, _),) = house.manifest()
    counting = Counting(house.objects)

    (payload,) = house.read([ids[700]], counting)

    assert payload.id == ids[700]
    assert len(payload.body) == 10_000
    assert size > 14 * MIB
    assert len(counting.reads) == 2
    assert sum(counting.reads) < 1.3 * MIB


def test_many_payloads_of_a_file_are_few_requests(house: House) -> None:
    ids = [one for _ in range(5) for one in house.accept(*(os.urandom(10_000) for _ in range(100)))]
    house.archive_all()
    house.forget_inbox()
    counting = Counting(house.objects)

    assert [payload.id for payload in house.read(ids[50:450], counting)] == ids[50:450]
    assert len(counting.reads) == 2


def test_a_file_that_is_gone_or_rotten_is_an_error_and_no_gap(house: House) -> None:
    ids = house.accept(*(os.urandom(5000) for _ in range(10)))
    house.archive()
    house.forget_inbox()
    path = house.folder / house.manifest()[0][2]
    whole = path.read_bytes()

    path.write_bytes(whole[:-1])
    with pytest.raises(ObjectDamaged):
        house.read(ids)
    path.write_bytes(whole[:20_000] + bytes([whole[20_000] ^ 1]) + whole[20_001:])
    with pytest.raises(ObjectDamaged):
        house.scan()
    path.unlink()
    with pytest.raises(ObjectMissing):
        house.read(ids)


def test_a_scan_is_in_order_and_bounded(house: House) -> None:
    ids: list[int] = []
    for _ in range(3):
        ids += house.accept(*(b"x" * 100 for _ in range(30)))
        house.archive()
    house.forget_inbox()
    ids += house.accept(*(b"x" * 100 for _ in range(30)))

    batches = house.scan(max_bytes=1000)
    assert [payload.id for batch in batches for payload in batch] == ids
    assert [len(batch) for batch in batches] == [10] * 12
    assert [len(batch) for batch in house.scan(max_rows=50)] == [50, 50, 20]
    part = house.scan(ids[25], ids[95])
    assert [payload.id for batch in part for payload in batch] == ids[25:95]
    assert house.scan(ids[0], ids[0]) == []
    assert house.scan(ids[-1] + 1) == []


def test_a_payload_larger_than_a_batch_is_a_batch(house: House) -> None:
    house.accept(b"x", b"y" * 1000, b"z")

    assert [len(batch) for batch in house.scan(max_bytes=100)] == [1, 1, 1]


def test_a_scan_merges_files_that_overlap_and_counts_each_payload_once(house: House) -> None:
    ids = house.accept(*(str(n).encode() for n in range(40)))
    rows = [(one, 1_700_000_000_000_000 + n, "text/plain", "{}", str(n).encode(), "") for n, one in enumerate(ids)]
    with house.database.ingest() as unit:
        for number, part in enumerate((rows[0::2], rows[1:30:2], rows[25:], rows[3:5])):
            writer = BronzeWriter(house.team, house.pipeline)
            for start in range(0, len(part), 4):
                writer.add(part[start : start + 4])
            data = writer.finish()
            key = f"{house.team}/{house.pipeline}/dt=2026-01-01/{number}.parquet"
            house.objects.put(key, data)
            unit.execute(
                "INSERT INTO bronze_files (team_id, pipeline_id, key, rows, bytes, checksum, min_payload, max_payload) "
                "VALUES (%s, %s, %s, %s, %s, '', %s, %s)",
                (house.team, house.pipeline, key, len(part), len(data), part[0][0], part[-1][0]),
            )
        unit.commit()

    for waiting in (True, False):  # while all of them wait in the inbox too, and when none does
        assert [payload.id for batch in house.scan() for payload in batch] == ids
        assert [payload.body for batch in house.scan(ids[10], ids[31]) for payload in batch] == [
            str(n).encode() for n in range(10, 31)
        ]
        if waiting:
            with house.database.ingest() as unit:
                unit.execute("DELETE FROM unarchived")
                unit.execute("DELETE FROM payloads")
                unit.commit()


def test_a_scan_over_what_is_being_archived_and_released(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bronze_reading, "_STRETCH", 7)
    ids = [one for n in range(6) for one in house.accept(*(f"{n}.{m}".encode() for m in range(5)))]

    seen: list[int] = []
    for number, batch in enumerate(
        bronze.scan(house.database.ingest, house.objects, house.pipeline, 0, FAR, max_rows=4)
    ):
        seen += [payload.id for payload in batch]
        if number == 2:
            house.archive()
            house.forget_inbox()
    assert seen == ids


def test_a_team_scans_its_own(house: House) -> None:
    ids = house.accept(b"1", b"2")
    house.archive()
    house.forget_inbox()
    stranger, _ = house.add("other")

    for team, expected in ((house.team, ids), (stranger, [])):
        found = bronze.scan(partial(house.database.team, team), house.objects, house.pipeline, 0, FAR)
        assert [payload.id for batch in found for payload in batch] == expected


# Letting go ----------------------------------------------------------------------------------------------------------


def _partitions(house: House) -> set[str]:
    with house.database.ingest() as unit:
        return {
            part
            for (part,) in unit.rows(
                "SELECT c.relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid "
                "WHERE inhparent = 'payloads'::regclass"
            )
        }


def test_an_archived_hour_is_dropped_and_a_waiting_one_is_not(house: House) -> None:
    now = datetime.now(UTC)
    archived, waiting = house.hour(now - timedelta(hours=5)), house.hour(now - timedelta(hours=4))
    recent = house.hour(now - timedelta(hours=1)) if now.minute else None
    cold = house.accept_at(now - timedelta(hours=5), b"cold")
    house.archive()
    house.accept_at(now - timedelta(hours=4), b"waiting")

    released = bronze.release(house.database)

    assert (released.partitions, released.pinned, released.busy) == (1, 1, 0)
    assert archived not in _partitions(house)
    assert waiting in _partitions(house)
    assert recent is None or recent in _partitions(house)
    assert [payload.body for payload in house.read(cold)] == [b"cold"]
    house.archive()
    assert bronze.release(house.database).partitions == 1
    assert waiting not in _partitions(house)


def test_a_partition_in_use_waits_for_the_next_time(house: House) -> None:
    part = house.hour(datetime.now(UTC) - timedelta(hours=5))

    with house.database.ingest() as reader:
        reader.value(f"SELECT count(*) FROM {part}")
        assert bronze.release(house.database).busy == 1
    assert part in _partitions(house)

    assert bronze.release(house.database).partitions == 1


def test_a_slow_store_does_not_keep_partitions_from_going(house: House) -> None:
    house.hour(datetime.now(UTC) - timedelta(hours=5))
    house.accept(b"x")
    released: list[int] = []

    house.archive(
        at=lambda point: released.append(bronze.release(house.database).partitions) if point == "before_put" else None
    )

    assert released == [1]


def test_what_came_to_wait_while_we_looked_undoes_the_drop(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime.now(UTC) - timedelta(hours=5)
    part = house.hour(moment)
    from dash_app.storage import bronze_upkeep

    drop = bronze_upkeep._drop

    def late(*args: Any) -> bool | None:
        house.accept_at(moment, b"late")
        return drop(*args)

    monkeypatch.setattr(bronze_upkeep, "_drop", late)

    released = bronze.release(house.database)

    assert (released.partitions, released.pinned) == (0, 1)
    assert part in _partitions(house)
    house.archive()
    assert sum(house.counted().values()) == 1


def test_bodies_outside_any_hour_are_not_forgotten(house: House) -> None:
    now = datetime.now(UTC)
    old = house.accept_at(now - timedelta(hours=30), b"1", b"2", b"3")
    house.archive()
    waiting = house.accept_at(now - timedelta(hours=29), b"4")
    young = house.accept_at(now - timedelta(minutes=30), b"5", waiting=False)

    assert bronze.release(house.database, limit=2).strays == 2
    assert bronze.release(house.database, limit=2).strays == 1
    assert bronze.release(house.database).strays == 0

    with house.database.ingest() as unit:
        left = {payload for (payload,) in unit.rows("SELECT id FROM payloads")}
    assert left == {*waiting, *young}
    assert [payload.body for payload in house.read(old)] == [b"1", b"2", b"3"]


def test_partitions_are_made_ahead(house: House) -> None:
    before = _partitions(house)

    assert bronze.release(house.database, ahead=30).made > 20
    assert len(_partitions(house)) > len(before) + 20
    assert bronze.release(house.database, ahead=30).made in {0, 1}


def test_partitions_are_made_again_after_a_long_stop(house: House) -> None:
    with psycopg.connect(house.url, autocommit=True) as connection:
        for part in _partitions(house) - {"payloads_default"}:
            connection.execute(f"DROP TABLE dash.{part}".encode())
    ids = house.accept(b"came before anybody made a partition")
    old = house.accept_at(datetime.now(UTC) - timedelta(hours=2), b"in an hour that is over")
    assert house.value("SELECT count(*) FROM payloads_default") == 2

    with house.database.ingest() as reader:
        reader.value("SELECT count(*) FROM payloads_default")
        assert bronze.release(house.database).made == 0, "in use"
    assert bronze.release(house.database, ahead=3).made >= 3

    with house.database.ingest() as unit:
        assert unit.rows("SELECT id FROM payloads_default") == [(old[0],)]
    assert {payload.id for payload in house.read([*ids, *old])} == {*ids, *old}
    house.archive()
    assert house.counted() == Counter([*ids, *old])


def test_a_paused_pipeline_pins_nothing_and_reads_its_payloads_back(house: House) -> None:
    moment = datetime.now(UTC) - timedelta(hours=5)
    house.hour(moment)
    with house.database.ingest() as unit:
        unit.execute("UPDATE pipelines SET state = 'paused' WHERE id = %s", (house.pipeline,))
        unit.commit()
    house.accept_at(moment, b"held 1", b"held 2")
    house.archive()
    assert bronze.release(house.database).partitions == 1

    with house.database.ingest() as unit:
        claim = payloads.claim(unit, house.pipeline, max_bytes=MIB, max_payloads=100)
        assert claim is not None
        assert payloads.load(unit, claim.payload_ids) == []
        found = bronze.read_payloads(unit, house.objects, claim.payload_ids, pipeline=house.pipeline)
    assert [payload.body for payload in found] == [b"held 1", b"held 2"]


# Orphans -------------------------------------------------------------------------------------------------------------


def _later(days: float = 2) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


def _orphan(house: House, *bodies: bytes) -> tuple[str, list[int]]:
    """A file that was put and never noted."""
    ids = house.accept(*bodies)

    def crash(point: str) -> None:
        if point == "after_put":
            raise Crash

    before = set(house.stored())
    with pytest.raises(Crash):
        house.archive(at=crash)
    (key,) = set(house.stored()) - before
    return key, ids


def test_an_orphan_goes_after_a_day_when_its_payloads_are_elsewhere(house: House) -> None:
    orphan, ids = _orphan(house, b"1", b"2")
    ids += house.accept(b"3")
    house.archive()
    house.forget_inbox()

    assert bronze.collect_orphans(house.database, house.objects) == bronze.Collected()
    assert orphan in house.stored()
    collected = bronze.collect_orphans(house.database, house.objects, now=_later())

    assert (collected.removed, collected.kept) == (1, ())
    assert house.stored() == [house.manifest()[0][2]]
    assert house.counted() == Counter(ids)


def test_an_orphan_whose_payloads_still_wait_may_go(house: House) -> None:
    _, ids = _orphan(house, b"1", b"2")

    assert bronze.collect_orphans(house.database, house.objects, now=_later()).removed == 1
    house.archive()

    assert house.counted() == Counter(ids)


def test_the_only_copy_stays_and_is_named(house: House) -> None:
    orphan, ids = _orphan(house, b"1", b"2")
    with house.database.ingest() as unit:  # as after a restore from a backup that is older than the file
        unit.execute("DELETE FROM unarchived")
        unit.execute("DELETE FROM payloads")
        unit.commit()

    collected = bronze.collect_orphans(house.database, house.objects, now=_later())

    assert (collected.removed, collected.kept) == (0, (orphan,))
    assert sorted(BronzeReader(house.objects, orphan, (house.folder / orphan).stat().st_size).ids()) == ids


def test_only_what_is_certainly_ours_is_collected(house: House) -> None:
    orphan, _ = _orphan(house, b"1")
    house.archive_all()
    name = orphan.rsplit("/", 1)[1]
    foreign = [
        "notes.txt",
        f"{house.team}/{house.pipeline}/dt=2026-01-01/readme.parquet",
        f"{house.team}/{house.pipeline}/{name}",
        f"{house.team}/{new_id()}/dt=2026-01-01/{name}",  # a pipeline of another database in the same place
        f"{house.team}/f{'-' * 35}/dt=2026-01-01/{name}",
        f"x/{house.team}/{house.pipeline}/dt=2026-01-01/{name}",
    ]
    for key in foreign:
        house.objects.put(key, b"")

    assert bronze.collect_orphans(house.database, house.objects, now=_later()) == bronze.Collected()
    assert set(house.stored()) == {*foreign, orphan}


def test_a_write_that_was_cut_short_is_collected_and_a_damaged_file_is_kept(house: House) -> None:
    ids = house.accept(b"1")
    stem = f"{house.team}/{house.pipeline}/dt=2026-01-01/{ids[0]:019}-{ids[0]:019}-"
    house.objects.put(f"{stem}00000000.parquet", b"PAR1 and then no")
    house.objects.put(f"{stem}11111111.parquet", b"")
    house.objects.put(f"{stem}22222222.parquet", b"PAR1 rubbish PAR1")
    (house.folder / ".0123456789abcdef.partial").write_bytes(b"left behind")

    collected = bronze.collect_orphans(house.database, house.objects, now=_later())

    assert (collected.removed, collected.kept) == (2, (f"{stem}22222222.parquet",))
    assert not (house.folder / ".0123456789abcdef.partial").exists()


def test_nothing_is_collected_under_an_archiver(house: House) -> None:
    _, ids = _orphan(house, b"1", b"2")

    # The archiver adopts the object; the collector, which has seen it unnamed, comes in between.
    found: list[Any] = []
    house.archive(at=lambda point: found.append(bronze.collect_orphans(house.database, house.objects, now=_later())))

    assert sum(one.removed for one in found) == 0
    assert house.counted() == Counter(ids)


def test_the_collector_keeps_the_archiver_out(house: House) -> None:
    house.accept(b"1")
    with house.database.ingest() as unit:
        assert lock_archive(unit, house.pipeline)
        assert house.archive() == Archived()
    assert house.archive().rows == 1


def test_others_read_what_we_write(house: House) -> None:
    house.accept(b'{"a": 1}', b'{"a": 2}')
    house.archive()
    path = house.folder / house.manifest()[0][2]

    table = pq.ParquetFile(path, page_checksum_verification=True).read(columns=["body"])
    assert table.column("body").cast(pa.string()).to_pylist() == ['{"a": 1}', '{"a": 2}']
    assert pl.read_parquet(path)["body"].cast(pl.String).to_list() == ['{"a": 1}', '{"a": 2}']


def test_a_worker_that_archives_and_reads_does_not_load_pandas() -> None:
    program = """
import sys, tempfile, uuid
from pathlib import Path
from dash_app.storage.objects import Folder
from dash_app.storage.parquet import BronzeReader, BronzeWriter
from dash_app.storage import bronze
writer = BronzeWriter(uuid.uuid4(), uuid.uuid4())
writer.add([(n, n, "text/plain", "{}", b"x", "") for n in range(10)])
data = writer.finish()
with tempfile.TemporaryDirectory() as folder:
    objects = Folder(Path(folder))
    objects.put("k", data)
    reader = BronzeReader(objects, "k", len(data))
    assert len(reader.find([3, 4])) == 2 and len(list(reader.scan(0, 5))) == 5 and len(reader.ids()) == 10
sys.exit("pandas" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
