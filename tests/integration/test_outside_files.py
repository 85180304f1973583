"""Files that lie somewhere: a watched folder, a bucket, and records exported to one."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dash_app.domain.errors import DashError, Permanent
from dash_app.pipelines import poll as poll_module
from dash_app.pipelines.cutting import windows
from dash_app.pipelines.reach import AddressNotAllowed, Reach
from dash_app.pipelines.sinks.base import Message
from dash_app.pipelines.sinks.s3_parquet import S3Parquet
from dash_app.storage import payloads
from tests.integration.conftest import House
from tests.integration.outside import REACH, Outdoors, bucket_of, endpoint, outdoors

__all__ = ["endpoint"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    made.mkdir()
    return made


@pytest.fixture
def out(house: House, root: Path) -> Outdoors:
    return outdoors(house, root)


def rows_of(first: int, count: int) -> bytes:
    return b"n,site\n" + b"".join(b"%d,oslo\n" % n for n in range(first, first + count))


# A folder ------------------------------------------------------------------------------------------------------------


def test_each_file_is_taken_once(out: Outdoors, root: Path) -> None:
    (root / "a.csv").write_bytes(rows_of(0, 10))
    (root / "b.ndjson").write_bytes(b'{"n": 100}\n')
    (root / ".hidden.csv").write_bytes(rows_of(500, 1))
    (root / "empty.csv").write_bytes(b"")
    (root / "sub").mkdir()
    (root / "sub" / "c.json").write_bytes(b'[{"n": 200}, {"n": 201}]')
    os.symlink("/etc/hostname", root / "link.csv")
    pipeline = out.source("files", "folder", folder=str(root), recursive=True, settled_seconds=0)
    run = out.run(pipeline)
    assert (run.error, run.payloads) == ("", 3)
    assert out.rows("SELECT count(*), sum(n) FROM team_acme.files") == [(13, 45.0 + 100 + 401)]
    assert out.run(pipeline).payloads == 0
    (root / "d.csv").write_bytes(rows_of(300, 1))
    (root / "a.csv").write_bytes(rows_of(0, 20))  # was taken, and is another one now
    assert out.run(pipeline).payloads == 1
    assert out.rows("SELECT headers::jsonb ->> 'dash-file' FROM payloads ORDER BY id") == [
        ("a.csv",),
        ("b.ndjson",),
        ("sub/c.json",),
        ("d.csv",),
    ]


def test_a_changed_file_is_taken_again_where_that_is_wanted(out: Outdoors, root: Path) -> None:
    (root / "a.csv").write_bytes(rows_of(0, 1))
    pipeline = out.source("files", "folder", folder=str(root), changed="again", pattern="*.csv", settled_seconds=0)
    assert out.run(pipeline).payloads == 1
    (root / "a.csv").write_bytes(rows_of(10, 2))
    assert out.run(pipeline).payloads == 1
    assert out.rows("SELECT n FROM team_acme.files ORDER BY n") == [(0.0,), (10.0,), (11.0,)]


def test_a_file_that_is_still_written_is_waited_for(out: Outdoors, root: Path) -> None:
    (root / "a.csv").write_bytes(rows_of(0, 1))
    pipeline = out.source("files", "folder", folder=str(root), settled_seconds=3600)
    assert out.run(pipeline).payloads == 0
    os.utime(root / "a.csv", (0, 0))
    assert out.run(pipeline).payloads == 1


def test_a_file_that_cannot_be_read_holds_up_no_other(out: Outdoors, root: Path) -> None:
    (root / "a.csv").write_bytes(b'a,b\n1,2\n"3,4\n')
    (root / "b.csv").write_bytes(rows_of(0, 5))
    (root / "c.xlsx").write_bytes(b"PK")
    pipeline = out.source("files", "folder", folder=str(root), settled_seconds=0)
    run = out.run(pipeline)
    assert run.payloads == 1
    assert "a.csv: not valid CSV in line 3" in run.error
    assert "c.xlsx: what is in" in run.error
    (root / "a.csv").write_bytes(rows_of(10, 5))
    (root / "c.xlsx").unlink()
    run = out.run(pipeline)
    assert (run.error, run.payloads) == ("", 1)


def test_a_run_that_breaks_off_goes_on_within_the_file(
    out: Outdoors, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 60_000
    monkeypatch.setattr(windows, "WIDTH", 128 << 10)
    (root / "large.csv").write_bytes(rows_of(0, count))
    pipeline = out.source("files", "folder", folder=str(root), settled_seconds=0)
    accept, calls = payloads.accept, [0]

    def failing(unit: Any, arrivals: Any) -> Any:
        calls[0] += 1
        found = accept(unit, arrivals)
        if calls[0] in (2, 4):
            raise RuntimeError("gone")
        return found

    monkeypatch.setattr(poll_module.payloads, "accept", failing)
    for _ in range(4):
        out.run(pipeline)
    assert calls[0] >= 4
    assert out.rows("SELECT count(*), count(DISTINCT n) FROM team_acme.files") == [(count, count)]


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("/etc", "not below a folder that DASH_WATCH_ROOTS names"),
        ("{root}/out", "leads out of the folders"),
        ("{root}/nowhere", "there is no folder"),
        ("{root}/a.csv", "is no folder"),
        ("{root}", ""),
    ],
    ids=["elsewhere", "link", "missing", "file", "root itself"],
)
def test_nothing_outside_of_the_roots_is_read(out: Outdoors, root: Path, folder: str, why: str) -> None:
    os.symlink("/etc", root / "out")
    (root / "a.csv").write_bytes(rows_of(0, 1))
    pipeline = out.source("files", "folder", folder=folder.format(root=root), settled_seconds=0)
    run = out.run(pipeline)
    assert (why in run.error) if why else (run.error == "" and run.payloads == 1)


def test_without_roots_no_folder_is_watched(house: House, root: Path) -> None:
    out = Outdoors(house.app, house.team)
    assert "names none" in out.run(out.source("files", "folder", folder=str(root))).error
    with pytest.raises(DashError, match=r"source\.options\.folder: is no absolute path"):
        out.source("other", "folder", folder=f"{root}/../..")


# A bucket ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(endpoint: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    name = request.node.name.replace("_", "-")[:60].strip("-")
    client = bucket_of(endpoint, name)
    client.name = name
    return client


def options_of(bucket: Any, endpoint: str) -> dict[str, Any]:
    return {
        "bucket": bucket.name,
        "endpoint": endpoint,
        "access_key_id": "testing",
        "secret_access_key": "testing-secret",
    }


def test_each_object_is_taken_once(out: Outdoors, bucket: Any, endpoint: str) -> None:
    table = io.BytesIO()
    pl.DataFrame({"n": range(5000), "site": ["oslo"] * 5000}).write_parquet(table)
    bucket.put_object(Bucket=bucket.name, Key="in/a.parquet", Body=table.getvalue())
    bucket.put_object(Bucket=bucket.name, Key="in/b å.csv", Body=rows_of(10_000, 10))
    bucket.put_object(Bucket=bucket.name, Key="in/folder/", Body=b"")
    bucket.put_object(Bucket=bucket.name, Key="elsewhere/c.csv", Body=rows_of(20_000, 10))
    pipeline = out.source("objects", "s3", prefix="in/", **options_of(bucket, endpoint))
    run = out.run(pipeline)
    assert run.error == ""
    assert out.rows("SELECT count(*), count(DISTINCT n) FROM team_acme.objects") == [(5010, 5010)]
    assert out.run(pipeline).payloads == 0
    for number in range(3):
        bucket.put_object(Bucket=bucket.name, Key=f"in/z{number}.csv", Body=rows_of(30_000 + number, 1))
    assert out.run(pipeline).payloads == 3
    (stored,) = out.rows("SELECT source_options::text FROM pipelines WHERE id = %s", (pipeline,))
    assert "testing-secret" not in stored[0]


def test_a_bucket_that_cannot_be_used_is_said(out: Outdoors, bucket: Any, endpoint: str, house: House) -> None:
    missing = out.source("missing", "s3", **{**options_of(bucket, endpoint), "bucket": "no-such-bucket"})
    assert out.run(missing).error == "the bucket no-such-bucket answers 404 NoSuchBucket"
    indoors = Outdoors(house.app, house.team)
    refused = indoors.run(indoors.source("refused", "s3", **options_of(bucket, endpoint))).error
    assert refused == "address not allowed: 127.0.0.1"


# The export ----------------------------------------------------------------------------------------------------------


def message(kind: Any = "records") -> Message:
    records = [
        {"_time": "2024-05-01T00:00:00+00:00", "n": 1, "site": "oslo", "ok": True, "tags": {"a": 1}},
        {"_time": None, "n": 2.5, "site": None, "extra": "å"},
    ]
    at = datetime(2024, 5, 1, 23, tzinfo=UTC)
    return Message("msg_" + "0" * 32, kind, at, "acme", "orders", "", "", {"pipeline": "orders", "records": records})


def test_records_become_one_object_a_message(bucket: Any, endpoint: str) -> None:
    sink = S3Parquet.from_options({"prefix": "out/", **options_of(bucket, endpoint)})
    first = sink.send(message(), REACH)
    assert sink.send(message(), REACH).response == first.response, "the same bytes again"
    (found,) = bucket.list_objects_v2(Bucket=bucket.name)["Contents"]
    assert found["Key"] == "out/dt=2024-05-01/msg_" + "0" * 32 + ".parquet"
    frame = pl.read_parquet(io.BytesIO(bucket.get_object(Bucket=bucket.name, Key=found["Key"])["Body"].read()))
    assert frame.rows(named=True) == [
        {
            "_message_id": "msg_" + "0" * 32,
            "_message_index": 0,
            "_time": datetime(2024, 5, 1, tzinfo=UTC),
            "n": 1.0,
            "site": "oslo",
            "ok": True,
            "tags": '{"a": 1}',
            "extra": None,
        },
        {
            "_message_id": "msg_" + "0" * 32,
            "_message_index": 1,
            "_time": None,
            "n": 2.5,
            "site": None,
            "ok": None,
            "tags": None,
            "extra": "å",
        },
    ]
    assert "removed" in sink.send(message("test"), REACH).response
    assert len(bucket.list_objects_v2(Bucket=bucket.name)["Contents"]) == 1


def test_an_export_goes_through_the_guard_and_tells_no_secret(bucket: Any, endpoint: str) -> None:
    sink = S3Parquet.from_options(options_of(bucket, endpoint))
    with pytest.raises(AddressNotAllowed):
        sink.send(message(), Reach())
    wrong = S3Parquet.from_options({**options_of(bucket, endpoint), "bucket": "no-such-bucket"})
    with pytest.raises(Permanent) as error:
        wrong.send(message(), REACH)
    assert error.value.message == "the bucket no-such-bucket answers 404 NoSuchBucket"
