"""Payloads listed newest first, from the inbox on into bronze: none missing, none twice, no more read than needed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dash_app.domain.events import PayloadInfo
from dash_app.storage import bronze
from dash_app.storage.objects import ObjectMissing, Objects
from dash_app.storage.parquet import BronzeWriter
from tests.integration.test_bronze import Counting, House


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    house = House(database_url, tmp_path / "bronze")
    yield house
    house.database.close()


def page(house: House, limit: int, before: int | None = None, objects: Objects | None = None) -> list[PayloadInfo]:
    with house.database.team(house.team) as unit:
        return bronze.recent(unit, objects or house.objects, house.pipeline, limit=limit, before=before)


def pages(house: House, limit: int) -> list[int]:
    """Ids of all pages, one after the other."""
    ids: list[int] = []
    while found := page(house, limit, ids[-1] if ids else None):
        assert len(found) <= limit
        ids += [one.id for one in found]
        if len(found) < limit:
            break
    return ids


def test_a_list_has_no_seam(house: House) -> None:
    cold = house.accept(b"c", b"cc", b"ccc", content_type="text/csv", source="somewhere")
    house.archive()
    house.forget_inbox()
    both = house.accept(b"both")
    house.archive()
    hot = house.accept(b"", b"hot!")
    expected = [*reversed([*cold, *both, *hot])]

    assert page(house, 10) == [
        PayloadInfo(one.id, one.received_at, one.content_type, len(one.body), "waiting", one.source)
        for one in reversed(house.read(expected))
    ]
    for limit in (1, 2, 3, 6, 7):
        assert pages(house, limit) == expected


@pytest.mark.parametrize("seed", range(5))
def test_hours_come_and_go_and_the_list_stays(house: House, seed: int) -> None:
    """Hours that are dropped or pinned, bodies outside of any hour, files of one payload and of many."""
    rng = random.Random(seed)
    now = datetime.now(UTC)
    ids: list[int] = []
    for hours in rng.sample(range(2, 30), 6):
        start = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours)
        if rng.random() < 0.7:
            house.hour(start)
        for minute in sorted(rng.sample(range(60), rng.randint(1, 5))):
            ids += house.accept_at(start + timedelta(minutes=minute), *(b"x" * n for n in range(rng.randint(1, 4))))
            if rng.random() < 0.5:
                house.archive()
        if rng.random() < 0.7:
            house.archive_all()
        bronze.release(house.database, limit=2)
    ids += house.accept(b"now", b"and now")
    expected = sorted(ids, reverse=True)

    for limit in (1, 4, 100):
        assert pages(house, limit) == expected
    house.archive_all()
    bronze.release(house.database)
    assert pages(house, 5) == expected
    cut = expected[len(expected) // 2]
    assert [one.id for one in page(house, 100, cut + 1)] == [one for one in expected if one <= cut]


def test_files_that_overlap(house: House) -> None:
    ids = house.accept(*(str(n).encode() for n in range(40)))
    rows = [(one, 1_700_000_000_000_000 + n, "text/plain", "{}", str(n).encode(), "") for n, one in enumerate(ids)]
    with house.database.ingest() as unit:
        for number, part in enumerate((rows[0::2], rows[1:30:2], rows[25:], rows[3:5], [rows[0], rows[39]])):
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
        unit.execute("DELETE FROM payloads")
        unit.commit()

    for limit in (1, 3, 7, 39, 40, 41):
        assert pages(house, limit) == ids[::-1]


def test_what_the_inbox_has_is_not_read_again(house: House) -> None:
    now = datetime.now(UTC).replace(minute=20, second=0, microsecond=0)
    house.hour(now - timedelta(hours=2))
    for minute in range(12):
        house.accept_at(now - timedelta(hours=2, minutes=minute), b"x")
        house.archive()
    objects = Counting(house.objects)

    assert len(page(house, 100, objects=objects)) == 12
    assert objects.reads == []


def test_only_the_files_of_the_page_are_read_and_no_bodies(house: House) -> None:
    for _ in range(30):
        house.accept(b"x")
        house.archive()
    large = house.accept(*(random.Random(n).randbytes(1000) for n in range(3000)))
    house.archive()
    house.forget_inbox()
    objects = Counting(house.objects)

    found = page(house, 100, objects=objects)
    assert {one.size for one in found} == {1000}
    assert len(objects.reads) == 2
    assert sum(objects.reads) < 100_000, "the footer, and a few columns of one group"
    objects.reads.clear()

    # The first three of the large file begin this page, and five of the small files fill it.
    assert [one.size for one in page(house, 8, large[3], objects)] == [1000, 1000, 1000, 1, 1, 1, 1, 1]
    assert len(objects.reads) == 2 + 5


def test_states_are_those_of_the_payload_and_not_of_its_place(house: House) -> None:
    done, waiting = house.accept(b"1"), house.accept(b"2")
    house.archive()
    house.forget_inbox()
    with house.database.ingest() as unit:
        unit.execute("DELETE FROM batches WHERE payload_ids = %s::bigint[]", (done,))
        unit.commit()
    assert [(one.id, one.state) for one in page(house, 5)] == [(waiting[0], "waiting"), (done[0], "ingested")]
    with house.database.ingest() as unit:
        unit.execute("UPDATE pipelines SET state = 'paused'")
        unit.commit()
    assert [one.state for one in page(house, 5)] == ["held", "ingested"]


def test_nobody_lists_what_is_not_theirs(house: House) -> None:
    house.accept(b"mine")
    house.archive()
    stranger, other = house.add("other")
    for archived in (False, True):
        if archived:
            house.forget_inbox()
        with house.database.team(stranger) as unit:
            assert bronze.recent(unit, house.objects, house.pipeline, limit=5) == []
        with house.database.ingest() as unit:
            assert bronze.recent(unit, house.objects, other, limit=5) == []


def test_a_file_that_is_gone_is_an_error_and_no_gap(house: House) -> None:
    house.accept(b"x")
    house.archive()
    house.forget_inbox()
    (key,) = house.stored()
    house.objects.delete(key)
    with pytest.raises(ObjectMissing):
        page(house, 5)


def test_the_newest_bodies_are_read_up_to_a_bound(house: House) -> None:
    house.accept(b"a" * 50, b"b" * 50)
    house.archive()
    house.forget_inbox()
    house.accept(b"c" * 50)

    def newest(limit: int, max_bytes: int) -> list[bytes]:
        with house.database.team(house.team) as unit:
            found = bronze.newest(unit, house.objects, house.pipeline, limit=limit, max_bytes=max_bytes)
        return [one.body[:1] for one in found]

    assert newest(10, 1000) == [b"a", b"b", b"c"]
    assert newest(2, 1000) == [b"b", b"c"]
    assert newest(10, 100) == [b"b", b"c"]
    assert newest(10, 1) == [b"c"], "at least one"
