"""A house whose network is this machine, and what stands outside of it: a database behind TCP, a bucket, a folder."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import boto3
import pytest
from moto.server import ThreadedMotoServer

from dash_app.pipelines import setup
from dash_app.pipelines.ingest import Ingest
from dash_app.pipelines.poll import poll
from dash_app.pipelines.reach import Reach
from dash_app.storage import ledger
from tests.integration.conftest import MAPPING, House

REACH = Reach.of(["127.0.0.0/8"])


class Outdoors(House):
    """A house with pipelines that go out."""

    def source(self, slug: str, kind: str, mapping: Any = MAPPING, **options: Any) -> UUID:
        document = {"name": slug, "slug": slug, "source": {"kind": kind, "options": options}, "mapping": mapping}
        with self.app.database.team(self.team) as unit:
            made, _ = setup.create_pipeline(unit, self.app, self.team, document, "test")
            unit.commit()
        return made.id

    def run(self, pipeline: UUID) -> ledger.Run:
        """One run of a poll, due or not, and all mapping that follows; answers how it ended."""
        with self.app.database.ingest() as unit:
            ledger.poll_now(unit, pipeline)
            unit.commit()
        with self.app.reach.client() as client:
            poll(self.app, pipeline, client)
        self.ingest(pipeline)
        with self.app.database.ingest() as unit:
            return ledger.runs(unit, pipeline, limit=1)[0]

    def ingest(self, *pipelines: UUID) -> None:
        for pipeline in pipelines:
            while Ingest(self.app).run(pipeline):
                pass


def outdoors(house: House, root: Path) -> Outdoors:
    return Outdoors(replace(house.app, reach=REACH, watch_roots=(root.resolve(),)), house.team)


@contextlib.contextmanager
def over_tcp(database_url: str) -> Iterator[dict[str, Any]]:
    """The options of a server that listens on a socket file, reached through a TCP port of this machine."""
    parts = urlsplit(database_url)
    asked = parse_qs(parts.query)
    path = f"{asked['host'][0]}/.s.PGSQL.{asked['port'][0]}"
    listener = socket.create_server(("127.0.0.1", 0))
    open_ones: list[socket.socket] = []

    def pump(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(path)
                open_ones.extend((near, far))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        port = listener.getsockname()[1]
        yield {
            "host": "127.0.0.1",
            "port": port,
            "database": parts.path.strip("/"),
            "user": parts.username,
            "tls": "disable",
        }
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)
        for end in open_ones:
            end.close()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


def bucket_of(endpoint: str, name: str) -> Any:
    """A client of a bucket that is there and empty."""
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    client.create_bucket(Bucket=name)
    return client
