"""The programs as they are started and ended: roles, refusals in one line, signals, and a kill."""

from __future__ import annotations

import hashlib
import hmac
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from dash_app.domain.access import Role
from dash_app.storage import embedded, people
from dash_app.storage.engine import Database
from tests.processes import ROOT, Served, data_folder, environment, free_port, naming, served
from tests.waiting import wait_until

SECRET_KEY = "processes-tests-key-0123456789-abcdefghij"
SECRET = "a-senders-own-secret-0123456789"


@pytest.fixture
def folder() -> Iterator[Path]:
    with data_folder() as made:
        yield made


# Refusals ------------------------------------------------------------------------------------------------------------


def refusal(program: str, *flags: str, **environ: str) -> str:
    """The one line with which a program refuses to start."""
    done = subprocess.run(
        [sys.executable, str(ROOT / program), *flags],
        env=environment(**environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{program.removesuffix('.py')}: ")
    return line


@pytest.mark.parametrize("program", ["serve.py", "worker.py"])
@pytest.mark.parametrize(
    ("flags", "environ", "words"),
    [
        (["--colour", "red"], {}, ["--colour"]),
        ([], {"DASH_WORKERS": "many"}, ["DASH_WORKERS", "many", "1 to 64"]),
        ([], {"DASH_DATABASE_URL": "postgresql://u@localhost/dash"}, ["DASH_SECRET_KEY", "32"]),
        ([], {"DASH_BRONZE_URL": "ftp://x/y"}, ["DASH_BRONZE_URL", "s3://"]),
    ],
)
def test_a_wrong_setting_is_one_line(
    folder: Path, program: str, flags: list[str], environ: dict[str, str], words: list[str]
) -> None:
    line = refusal(program, *flags, "--data-dir", str(folder / "data"), **environ)
    assert all(word in line for word in words)


def test_a_port_that_is_taken_is_one_line_and_nothing_is_begun(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refusal("serve.py", "--port", str(port), "--data-dir", str(folder))
    assert str(port) in line
    assert "--port" in line
    assert not (folder / "postgres").exists()


def test_a_data_folder_that_is_none_is_one_line(folder: Path) -> None:
    (folder / "file").write_text("")
    for program, more in (("serve.py", ["--port", str(free_port())]), ("worker.py", [])):
        assert "--data-dir" in refusal(program, *more, "--data-dir", str(folder / "file"))
        assert "--data-dir" in refusal(program, *more, "--data-dir", str(folder / "file" / "below"))


def test_a_database_folder_that_cannot_be_one_is_one_line(folder: Path) -> None:
    (folder / "postgres").write_text("a file where the server's folder would be")
    assert str(folder) in refusal("serve.py", "--port", str(free_port()), "--data-dir", str(folder))


def test_a_database_that_cannot_be_reached_is_one_line(folder: Path) -> None:
    nowhere = f"postgresql://dash:geheim-9@127.0.0.1:{free_port()}/dash"
    environ = {"DASH_DATABASE_URL": nowhere, "DASH_SECRET_KEY": SECRET_KEY, "DASH_DATA_DIR": str(folder)}
    line = refusal("serve.py", "--port", str(free_port()), **environ)
    assert "database cannot be reached" in line
    assert "geheim-9" not in line


# Roles ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def durable(folder: Path) -> Iterator[str]:
    """URL of an empty database on a server that keeps what it has acknowledged: no other one is taken."""
    server = embedded.start(folder / "server")
    try:
        yield server.url
    finally:
        server.stop()


def test_an_ingestor_receives_and_never_loads_a_screen(durable: str, folder: Path) -> None:
    environ = environment(
        DASH_DATABASE_URL=durable,
        DASH_SECRET_KEY=SECRET_KEY,
        DASH_DATA_DIR=str(folder),
        APP_ROLE="ingestor",
    )
    with served(python=("-X", "importtime"), environ=environ) as node:
        assert httpx.get(f"{node.url}/livez").json() == {"status": "alive"}
        assert httpx.get(f"{node.url}/metrics").status_code == 200
        assert httpx.post(f"{node.url}/webhooks/none", content=b"{}").status_code == 404
        for path in ("/", "/login", "/api/v1/pipelines", "/api/docs", "/live"):
            assert httpx.get(f"{node.url}{path}").status_code == 404, path
        assert len(node.family()) == 1, "no worker and no server of its own"
        assert node.end() == 0
        loaded = {line.rsplit("|", 1)[-1].strip() for line in node.errors.splitlines() if "import time:" in line}
    assert {"tornado.web", "dash_app.web.webhooks"} <= loaded
    assert not {name for name in loaded if name.split(".")[0] in {"panel", "bokeh"}}
    assert not {name for name in loaded if name.startswith(("dash_app.pages", "dash_app.screens", "dash_app.demo"))}


# One machine ---------------------------------------------------------------------------------------------------------


class Machine:
    """`serve.py --no-demo` over a data folder, and what one does with it."""

    def __init__(self, folder: Path, node: Served) -> None:
        self.folder, self.node = folder, node
        self._token = self._make_token()

    def call(self, method: str, path: str, document: Any = None) -> Any:
        """The answer to a call of REST."""
        head = {"Authorization": f"Bearer {self._token}"}
        answer = httpx.request(method, f"{self.node.url}/api/v1{path}", json=document, headers=head, timeout=30)
        return answer.raise_for_status().json()

    def _make_token(self) -> str:
        server = embedded.running(self.folder)
        assert server is not None
        database = Database(server.url, pool_size=1)
        try:
            with database.ingest() as unit:
                team = people.find_team(unit)
                user = unit.value("SELECT id FROM users")
                _, token = people.create_token(unit, team, user, "test", Role.admin)
                unit.commit()
        finally:
            database.close()
        return token

    def pipeline(self) -> str:
        source = {"kind": "webhook", "options": {"scheme": "hmac"}, "secret": SECRET}
        mapping = {"fields": [{"name": "n", "path": "$.n", "type": "number"}]}
        made = self.call("POST", "/pipelines", {"name": "N", "slug": "ns", "source": source, "mapping": mapping})
        return str(made["id"])

    def post(self, pipeline: str, body: bytes) -> int:
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Webhook-Signature": signature, "Content-Type": "application/json"}
        return httpx.post(f"{self.node.url}/webhooks/{pipeline}", content=body, headers=headers).status_code

    def records(self, pipeline: str) -> list[Any]:
        found = self.call("GET", f"/pipelines/{pipeline}/records")
        return sorted(record["n"] for record in found["items"])


def gone(processes: list[psutil.Process]) -> bool:
    return not [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.timeout(400)
def test_a_kill_costs_nothing_and_a_signal_ends_everything(folder: Path) -> None:
    flags = ("--no-demo", "--workers", "1", "--data-dir", str(folder))
    with served(*flags) as node:
        assert node.output.count("Password:") == 1
        machine = Machine(folder, node)
        pipeline = machine.pipeline()
        assert machine.post(pipeline, b'{"n": 1}') == 200
        wait_until(lambda: machine.records(pipeline) == [1.0], why="for the first record")
        started = node.family()
        assert len(started) >= 4, "the node, the worker and two consumers at least"
        # What was answered before the kill is there after it, mapped or not.
        assert machine.post(pipeline, b'{"n": 2}') == 200
        node.process.kill()
        node.process.wait(10)
        # The worker notices that its node is gone; only the database may stay, for the next start to take over.
        workers = [one for one in started if one.pid != node.process.pid and "postgres" not in name_of(one)]
        assert workers
        wait_until(lambda: gone(workers), 40, "for the worker to end by itself")

    with served(*flags) as node:
        assert "Password:" not in node.output, "there is a user already"
        machine = Machine(folder, node)
        assert [found["slug"] for found in machine.call("GET", "/pipelines")["items"]] == ["ns"]
        wait_until(lambda: machine.records(pipeline) == [1.0, 2.0], why="for what was accepted before the kill")
        assert machine.post(pipeline, b'{"n": 3}') == 200
        started = node.family()
        began = time.monotonic()
        assert node.end(signal.SIGTERM) == 0
        wait_until(lambda: not naming(folder) and gone(started), 15 - (time.monotonic() - began), "for all to end")
        assert "Traceback" not in node.errors

    with served(*flags) as node:
        machine = Machine(folder, node)
        wait_until(lambda: machine.records(pipeline) == [1.0, 2.0, 3.0], why="for what came before the end")
        started = node.family()
        began = time.monotonic()
        # As a terminal does it: Ctrl-C reaches the whole group.
        assert node.end(signal.SIGINT) == 0
        wait_until(lambda: not naming(folder) and gone(started), 15 - (time.monotonic() - began), "for all to end")
        assert "Traceback" not in node.errors


def name_of(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""
