"""The embedded PostgreSQL starts, is adopted, comes back after any kill, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest
import sqlalchemy

from dash_app.storage import cluster, embedded
from dash_app.storage.embedded import EmbeddedError, EmbeddedServer

STARTER = """
import sys
from pathlib import Path
from dash_app.storage import embedded
server = embedded.start(Path(sys.argv[1]), durable=False)
print(server.pid, server.adopted, flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder that the server's system user can reach; whatever serves from it is killed at the end."""
    path = Path(tempfile.mkdtemp(prefix="dash-embedded-"))
    try:
        yield path
    finally:
        for process in serving(path):
            process.kill()
            process.wait(10)
        shutil.rmtree(path)


def serving(folder: Path) -> list[psutil.Process]:
    """Live processes whose command line names the folder, other than the test's own."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and any(str(folder) in part for part in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def starter(folder: Path) -> subprocess.Popen[str]:
    """Another process that has started or adopted the server, and stops it once its input closes."""
    command = [sys.executable, "-c", STARTER, str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> tuple[int, bool]:
    assert process.stdout is not None
    pid, adopted = process.stdout.readline().split()
    return int(pid), adopted == "True"


def finish(process: subprocess.Popen[str]) -> int:
    with process:
        process.communicate()
    return process.returncode


def ask(server: EmbeddedServer, sql: str) -> object:
    with psycopg.connect(server.url) as connection:
        row = connection.execute(sql).fetchone()
    assert row is not None
    return row[0]


def test_start_stop_and_start_again_keeps_data(folder: Path) -> None:
    server = embedded.start(folder)
    assert (server.adopted, server.alive) == (False, True)
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop()
    server.stop()
    assert embedded.running(folder) is None
    assert serving(folder) == []
    again = embedded.start(folder)
    try:
        assert ask(again, "SELECT answer FROM kept") == 42
    finally:
        again.stop()


def test_durable_and_tuned(folder: Path) -> None:
    server = embedded.start(folder)
    try:
        for name, value in {
            "fsync": "on",
            "full_page_writes": "on",
            "synchronous_commit": "on",
            "jit": "off",
            "max_connections": "200",
            "max_wal_size": "4GB",
            "listen_addresses": "",
            "server_encoding": "UTF8",
            "data_checksums": "on",
        }.items():
            assert ask(server, f"SHOW {name}") == value, name
        assert ask(server, "SELECT current_database()") == "dash"
        assert ask(server, "SELECT count(*) FROM pg_file_settings WHERE error IS NOT NULL") == 0
        engine = sqlalchemy.create_engine(server.url.replace("postgresql:", "postgresql+psycopg:", 1))
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT upper('ß' || 'é')").scalar_one() == "ßÉ"
        engine.dispose()
    finally:
        server.stop()


def test_lz4_only_where_the_build_has_it() -> None:
    assert "wal_compression = 'lz4'" in cluster.configuration(8 << 30, lz4=True, durable=True)
    assert "lz4" not in cluster.configuration(8 << 30, lz4=False, durable=True)


@pytest.mark.parametrize(("memory", "buffers"), [(1 << 30, "256MB"), (24 << 30, "1024MB"), (64 << 20, "32MB")])
def test_shared_buffers_follow_memory(memory: int, buffers: str) -> None:
    assert f"shared_buffers = '{buffers}'" in cluster.configuration(memory, lz4=False, durable=True)


def test_adopted_after_its_starter_was_killed(folder: Path) -> None:
    first = starter(folder)
    pid, adopted = said(first)
    assert not adopted
    first.kill()
    finish(first)
    server = embedded.start(folder, durable=False)
    assert (server.pid, server.adopted) == (pid, True)
    server.stop()
    assert serving(folder) == []


def test_starts_again_after_everything_was_killed(folder: Path) -> None:
    first = starter(folder)
    pid, _ = said(first)
    first.kill()
    os.kill(pid, signal.SIGKILL)
    finish(first)
    server = embedded.start(folder, durable=False)
    assert not server.adopted
    assert server.pid != pid
    server.stop()


def test_server_killed_under_its_starter(folder: Path) -> None:
    server = embedded.start(folder, durable=False)
    os.kill(server.pid, signal.SIGKILL)
    again = embedded.start(folder, durable=False)
    assert not server.alive
    assert again.alive
    server.stop()
    assert again.alive, "an old handle does not stop a newer server"
    again.stop()
    assert serving(folder) == []


def test_waits_for_the_children_of_a_killed_server(folder: Path) -> None:
    first = starter(folder)
    pid, _ = said(first)
    children = []
    for child in psutil.Process(pid).children():
        with suppress(psutil.NoSuchProcess):  # a worker that is started now and then may be done already
            child.suspend()  # it holds on to the shared memory, as one in the middle of a long query does
            children.append(child)
    first.kill()
    os.kill(pid, signal.SIGKILL)
    finish(first)
    with ThreadPoolExecutor(1) as threads:
        starting = threads.submit(embedded.start, folder, durable=False)
        while "shared memory block" not in (folder / "postgres" / "start.log").read_text() + logged(folder):
            assert not starting.done()
        for child in children:
            child.resume()
        server = starting.result()
    assert server.alive
    server.stop()


def logged(folder: Path) -> str:
    return "".join(path.read_text() for path in (folder / "postgres" / "log").glob("*.log"))


def test_pid_of_another_process_is_not_believed(folder: Path) -> None:
    embedded.start(folder, durable=False).stop()
    lines = [str(os.getppid()), str(folder / "postgres"), "1", "5432", str(folder / "postgres"), "", "1 1", "ready"]
    (folder / "postgres" / "postmaster.pid").write_text("\n".join(lines) + "\n")
    (folder / "postgres" / ".s.PGSQL.5432.lock").write_text("\n".join(lines) + "\n")
    assert embedded.running(folder) is None
    server = embedded.start(folder, durable=False)
    assert not server.adopted
    server.stop()


def test_two_starters_at_once_share_one_server(folder: Path) -> None:
    first, second = starter(folder), starter(folder)
    answers = [said(first), said(second)]
    assert len({pid for pid, _ in answers}) == 1
    assert sorted(adopted for _, adopted in answers) == [False, True]
    pid = answers[0][0]
    assert finish(first) == 0
    assert psutil.pid_exists(pid), "the other still uses it"
    assert finish(second) == 0
    assert serving(folder) == []


def test_threads_of_one_process_share_one_server(folder: Path) -> None:
    with ThreadPoolExecutor(3) as threads:
        servers = list(threads.map(lambda _: embedded.start(folder, durable=False), range(3)))
    assert len({server.pid for server in servers}) == 1
    for server in servers:
        assert server.alive
        server.stop()
    assert serving(folder) == []


def test_running_finds_without_starting_or_claiming(folder: Path) -> None:
    assert embedded.running(folder) is None
    server = embedded.start(folder, durable=False)
    found = embedded.running(folder)
    assert found is not None
    assert (found.pid, found.url, found.adopted) == (server.pid, server.url, True)
    found.stop()
    assert server.alive, "its starter still uses it"
    server.stop()


@pytest.mark.parametrize("name", ["deep/" * 30 + "data", "with a space, and a comma", "zürich"])
def test_long_and_odd_paths(folder: Path, name: str) -> None:
    server = embedded.start(folder / name, durable=False)
    try:
        assert ask(server, "SELECT 1") == 1
        assert len(os.fsencode(server._sockets)) < 90
    finally:
        server.stop()
    assert not server._sockets.exists() or server._sockets == folder / name / "postgres"


def test_initialization_cut_short_begins_again(folder: Path) -> None:
    half = folder / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    server = embedded.start(folder, durable=False)
    assert not half.exists()
    server.stop()


def test_wrong_configuration_is_one_clear_line(folder: Path) -> None:
    embedded.start(folder, durable=False).stop()
    with (folder / "postgres" / "postgresql.conf").open("a") as file:
        file.write("shared_buffers = 'plenty'\n")
    with pytest.raises(EmbeddedError, match=r"cannot start: .*(shared_buffers|configuration)") as caught:
        embedded.start(folder, durable=False)
    assert "\n" not in caught.value.message
    assert serving(folder) == []


def test_data_of_another_version_is_refused(folder: Path) -> None:
    (folder / "postgres").mkdir()
    (folder / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedError, match="PostgreSQL 16"):
        embedded.start(folder)


def test_data_folder_that_is_a_file(folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(EmbeddedError, match=r"cannot use .*file") as caught:
        embedded.start(folder / "file")
    assert "\n" not in caught.value.message


def test_missing_programs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EmbeddedError, match="script/bootstrap"):
        embedded.start(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to hand the data to somebody else")
def test_root_opens_the_way_and_nothing_more(folder: Path) -> None:
    private = folder / "private"
    private.mkdir(mode=0o700)
    server = embedded.start(private / "data", durable=False)
    try:
        assert private.stat().st_mode & 0o777 == 0o701
        assert (private / "data" / "postgres").stat().st_mode & 0o777 == 0o700
        assert psutil.Process(server.pid).uids().effective != 0
    finally:
        server.stop()
