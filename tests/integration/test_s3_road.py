"""The whole road with bronze in S3: from the inbox to an object and back, and what an outage costs."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from dash_app.app import App
from dash_app.domain.errors import DashError
from dash_app.pipelines.ingest import Ingest
from dash_app.pipelines.tasks import Queues
from dash_app.settings import Settings
from dash_app.storage import bronze, catalog
from dash_app.storage.objects import open_objects
from dash_app.storage.s3 import S3
from tests.integration.conftest import SECRET_KEY, House

BODIES = (b'{"n": 1, "site": "a"}', b'{"n": 2,\n "site": "\xc3\xa5"}', b"\x00\xff no JSON", b"")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket="bronze")
    yield "bronze"
    for found in client.list_objects_v2(Bucket="bronze").get("Contents", []):
        client.delete_object(Bucket="bronze", Key=found["Key"])
    client.delete_bucket(Bucket="bronze")
    client.close()


@pytest.fixture
def s3_house(house: House, bucket: str, endpoint: str) -> Iterator[House]:
    objects = open_objects(f"s3://{bucket}/raw", endpoint)
    yield House(replace(house.app, objects=objects), house.team)
    objects.close()


def archive_task(app: App, pipeline: object) -> None:
    """What a worker does with a queued archive task."""
    queues = Queues(app)
    try:
        queues._task_archive(str(pipeline))
    finally:
        queues.close()


def test_payloads_go_to_the_bucket_and_come_back_as_they_were(s3_house: House, bucket: str, endpoint: str) -> None:
    house = s3_house
    pipeline = house.pipeline()
    ids = house.put(pipeline, *BODIES)
    Ingest(house.app).run(pipeline)
    archive_task(house.app, pipeline)

    listed = boto3.client("s3", endpoint_url=endpoint).list_objects_v2(Bucket=bucket)["Contents"]
    ((key, rows, size),) = house.rows("SELECT key, rows, bytes FROM dash.bronze_files")
    assert [(found["Key"], found["Size"]) for found in listed] == [(f"raw/{key}", size)]
    assert rows == len(BODIES)

    # The inbox lets go of them; from here on they are in the bucket alone.
    with house.app.database.ingest() as unit:
        unit.execute("DELETE FROM payloads")
        unit.commit()
    with house.app.database.team(house.team) as unit:
        for payload, body in zip(ids, BODIES, strict=True):
            found = bronze.read_payload(unit, house.app.objects, payload, pipeline=pipeline)
            assert found is not None
            assert (found.id, found.body, found.content_type) == (payload, body, "application/json")
        stats = catalog.stats(unit, [pipeline])[pipeline]
    assert (stats.payloads, stats.bronze_files, stats.bronze_bytes) == (len(BODIES), 1, size)


def test_payloads_that_were_held_are_mapped_from_the_bucket(s3_house: House) -> None:
    house = s3_house
    pipeline = house.pipeline()
    house.put(pipeline, *BODIES[:2])
    archive_task(house.app, pipeline)
    with house.app.database.ingest() as unit:
        unit.execute("DELETE FROM payloads")
        unit.commit()
    Ingest(house.app).run(pipeline)
    assert house.silver("orders", "n, site") == [(1.0, "a"), (2.0, "å")]


def test_an_outage_keeps_payloads_waiting_and_records_coming(house: House, bucket: str, endpoint: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    away = S3(bucket, "raw", nobody, attempts=2, pause=lambda _seconds: None)
    broken = House(replace(house.app, objects=away), house.team)
    pipeline = broken.pipeline()
    broken.put(pipeline, *BODIES[:2])
    Ingest(broken.app).run(pipeline)
    with pytest.raises(DashError):
        archive_task(broken.app, pipeline)
    assert len(house.silver("orders")) == 2
    assert house.rows("SELECT count(*) FROM dash.unarchived") == [(1,)]
    assert house.rows("SELECT count(*) FROM dash.bronze_files") == [(0,)]

    back = House(replace(house.app, objects=open_objects(f"s3://{bucket}/raw", endpoint)), house.team)
    archive_task(back.app, pipeline)
    assert house.rows("SELECT rows FROM dash.bronze_files") == [(2,)]
    assert house.rows("SELECT count(*) FROM dash.unarchived") == [(0,)]


def test_the_maintenance_gives_back_the_hour_that_is_archived(s3_house: House) -> None:
    house = s3_house
    pipeline = house.pipeline()
    (payload,) = house.put(pipeline, BODIES[0])
    Ingest(house.app).run(pipeline)
    archive_task(house.app, pipeline)
    queues = Queues(house.app)
    try:
        queues._task_maintain("")
    finally:
        queues.close()
    with house.app.database.team(house.team) as unit:
        assert bronze.read_payload(unit, house.app.objects, payload, pipeline=pipeline) is not None


def test_a_worker_opens_the_bucket_that_its_settings_name(
    database_url: str, tmp_path: Path, bucket: str, endpoint: str
) -> None:
    environ = {
        "DASH_DATABASE_URL": database_url,
        "DASH_SECRET_KEY": SECRET_KEY,
        "DASH_DATA_DIR": str(tmp_path / "var"),
        "DASH_BRONZE_URL": f"s3://{bucket}/raw/",
        "DASH_S3_ENDPOINT": endpoint,
    }
    app = App.open(Settings.load([], environ, program="worker"), database_url)
    try:
        app.objects.check()
        app.objects.put("one", b"x")
    finally:
        app.close()
    found = boto3.client("s3", endpoint_url=endpoint).list_objects_v2(Bucket=bucket)["Contents"]
    assert [one["Key"] for one in found] == ["raw/one"]
    assert not (tmp_path / "var").exists(), "nothing is kept on this machine"
