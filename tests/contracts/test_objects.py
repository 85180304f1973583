"""What every object store promises, tried on a folder and on S3 (moto's server on the loopback)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from dash_app.domain.errors import Invalid
from dash_app.storage.objects import ObjectDiffers, ObjectMissing, Objects, open_objects

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


@pytest.fixture(params=["folder", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Objects]:
    if request.param == "folder":
        yield open_objects((tmp_path / "a folder").as_uri())
        return
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    endpoint = request.getfixturevalue("s3_endpoint")
    bucket = f"contract-{next(_numbers)}"
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="outside/the-prefix", Body=b"not ours")
    made = open_objects(f"s3://{bucket}/some/prefix", endpoint)
    yield made
    made.close()
    client.close()


def test_what_was_put_is_there(objects: Objects) -> None:
    data = bytes(range(256)) * 100

    checksum = objects.put("team/file.parquet", data)

    assert checksum == sha256(data).hexdigest()
    assert objects.get("team/file.parquet") == data
    head = objects.head("team/file.parquet")
    assert head is not None
    assert (head.key, head.size) == ("team/file.parquet", len(data))
    assert head.checksum in {None, checksum}
    assert abs(datetime.now(UTC) - head.modified) < timedelta(minutes=5)


def test_an_empty_object_is_an_object(objects: Objects) -> None:
    assert objects.put("empty", b"") == sha256(b"").hexdigest()
    assert objects.get("empty") == b""


def test_the_same_bytes_again_are_success(objects: Objects) -> None:
    assert objects.put("k", b"same") == objects.put("k", b"same")
    assert objects.get("k") == b"same"


@pytest.mark.parametrize("other", [b"other", b"othe2", b"", b"longer than it was"])
def test_other_bytes_are_refused_and_change_nothing(objects: Objects, other: bytes) -> None:
    objects.put("k", b"first")

    with pytest.raises(ObjectDiffers):
        objects.put("k", other)

    assert objects.get("k") == b"first"


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (0, 3, b"012"),
        (3, 7, b"3456"),
        (7, None, b"789"),
        (8, 100, b"89"),
        (10, None, b""),
        (50, 60, b""),
        (4, 4, b""),
        (5, 3, b""),
    ],
)
def test_a_part(objects: Objects, start: int, stop: int | None, expected: bytes) -> None:
    objects.put("k", b"0123456789")

    assert objects.get("k", start, stop) == expected


def test_what_is_not_there(objects: Objects) -> None:
    objects.put("a/b", b"x")

    for key in ("a", "a/c", "a/b/c", "z"):
        assert objects.head(key) is None
        with pytest.raises(ObjectMissing):
            objects.get(key)
        with pytest.raises(ObjectMissing):
            objects.get(key, 2, 5)
        objects.delete(key)
    assert objects.get("a/b") == b"x"


def test_listing_is_in_order_of_key_and_by_prefix(objects: Objects) -> None:
    keys = ["a-b/1", "a/1", "a/2", "a/b/1", "a=b", "ab", "b/1"]
    for key in reversed(keys):
        objects.put(key, key.encode())

    assert [head.key for head in objects.list()] == sorted(keys)
    assert [head.key for head in objects.list("a/")] == ["a/1", "a/2", "a/b/1"]
    assert [head.key for head in objects.list("a")] == sorted(key for key in keys if key.startswith("a"))
    assert [head.key for head in objects.list("a/b/1")] == ["a/b/1"]
    assert list(objects.list("nothing/")) == []
    assert {head.key: head.size for head in objects.list()} == {key: len(key) for key in keys}


def test_listing_an_empty_store(objects: Objects) -> None:
    assert list(objects.list()) == []


def test_a_deleted_key_is_free(objects: Objects) -> None:
    objects.put("k", b"one")
    objects.delete("k")

    assert objects.head("k") is None
    objects.put("k", b"two")
    assert objects.get("k") == b"two"


@pytest.mark.parametrize(
    "key",
    ["", "/k", "k/", "a//b", "..", "../k", "a/../k", "a/.", ".k", "a/.k", "a\\b", "a\0b", "a b", "é", "k\n", "x" * 900],
)
def test_keys_that_are_not_plain_are_refused(objects: Objects, key: str) -> None:
    for call in (
        lambda: objects.put(key, b"x"),
        lambda: objects.get(key),
        lambda: objects.head(key),
        lambda: objects.delete(key),
    ):
        with pytest.raises(Invalid):
            call()


def test_a_store_in_order_is_ready(objects: Objects) -> None:
    objects.check()
    objects.put("k", b"x")
    objects.check()
    assert objects.tidy(datetime.now(UTC)) == 0
    assert objects.get("k") == b"x"
