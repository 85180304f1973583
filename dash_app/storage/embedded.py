"""Starts, adopts and stops the PostgreSQL that comes with the installation, over a data folder.

The server is a process of its own that outlives whoever started it: after a kill -9 of the starter the next start finds
it running and adopts it. Two file locks keep starters apart. One is held while somebody starts or stops; the other is
shared by everybody who uses the server, and whoever can have it alone is the last and may stop it. The kernel drops
both when a process dies, so neither can go stale. A pid file is believed only if that process is a server over this
folder: process numbers come round again.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from dash_app.storage import cluster
from dash_app.storage.cluster import EmbeddedError

__all__ = ["DATABASE", "EmbeddedError", "EmbeddedServer", "running", "start"]

DATABASE = "dash"
LOCK_SECONDS = 120.0
RECOVERY_SECONDS = 900.0
LEFTOVER_SECONDS = 15.0
STOP_SECONDS = 30.0
STEP = 0.02

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Postmaster:
    """What postmaster.pid says of a server that does run over this data folder."""

    pid: int
    sockets: Path
    ready: bool


class _Detached(subprocess.Popen[bytes]):
    """A child that may outlive the object that started it, which is nothing to warn of."""

    def __del__(self) -> None:
        pass


class EmbeddedServer:
    """A running server.

    `url` is a postgresql:// URL for a superuser on the database `dash`, over a socket that only the server's user and
    root can reach; `pid` is the server's process; `adopted` says that it ran before this start.
    """

    def __init__(self, data_dir: Path, found: _Postmaster, hold: int | None, *, adopted: bool) -> None:
        self.data_dir = data_dir
        self.pid = found.pid
        self.adopted = adopted
        self.url = _url(found.sockets, DATABASE)
        self._sockets = found.sockets
        self._hold = hold
        self._child: _Detached | None = None
        self._stopped = False

    @property
    def alive(self) -> bool:
        """Whether the server's process still runs; after False, `start` again gives a new server."""
        found = _postmaster(self.data_dir / "postgres")
        return found is not None and found.pid == self.pid

    def stop(self) -> None:
        """Stop the server cleanly, unless another process that started or adopted it still uses it. Idempotent."""
        if self._stopped:
            return
        with _locked(self.data_dir):
            hold = _open(self.data_dir / "postgres.users") if self._hold is None else self._hold
            try:
                fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                self._shut_down()
            finally:
                os.close(hold)
                self._hold = None
                self._stopped = True

    def _shut_down(self) -> None:
        if self.alive:
            _terminate(self.pid)
        if self._child is not None:
            self._child.poll()
        if self._sockets != self.data_dir / "postgres":
            with contextlib.suppress(OSError):
                self._sockets.rmdir()


def start(data_dir: Path, *, durable: bool = True) -> EmbeddedServer:
    """The server over `data_dir`/postgres: the one that runs, or a new one, with the database `dash`.

    Blocks until it answers, after a crash until it has recovered. `durable=False` trades every promise for speed and is
    for throw-away servers in tests alone. Raises EmbeddedError with one line that says why it could not.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        data_dir = data_dir.resolve(strict=True)
        with _locked(data_dir) as lock:
            hold = _open(data_dir / "postgres.users")
            try:
                fcntl.flock(hold, fcntl.LOCK_SH)  # waits for nobody: alone it is held under the lock only
                return _start(data_dir, lock, hold, durable=durable)
            except BaseException:
                os.close(hold)
                raise
    except OSError as error:
        raise EmbeddedError(
            f"The embedded PostgreSQL cannot use {error.filename or data_dir}: {error.strerror or error}. "
            "Make the folder writable, name another with --data-dir, or set DASH_DATABASE_URL."
        ) from error


def running(data_dir: Path) -> EmbeddedServer | None:
    """The server that runs over `data_dir`/postgres and answers, without starting one or laying claim to it."""
    data_dir = data_dir.absolute().resolve()
    found = _postmaster(data_dir / "postgres")
    if found is None or not found.ready:
        return None
    return EmbeddedServer(data_dir, found, None, adopted=True)


def _start(data_dir: Path, lock: int, hold: int, *, durable: bool) -> EmbeddedServer:
    data = data_dir / "postgres"
    found = _wait(data)
    if found is not None:
        _ensure_database(found.sockets)
        return EmbeddedServer(data_dir, found, hold, adopted=True)
    who = cluster.owner(data)
    cluster.open_programs(cluster.programs(), who)
    cluster.open_the_way(data, who)
    cluster.prepare(data, who, lock, durable=durable)
    cluster.configure(data, who, durable=durable)
    child, found = _launch(data, who)
    try:
        _ensure_database(found.sockets)
    except BaseException:
        child.send_signal(signal.SIGINT)
        child.wait()
        raise
    server = EmbeddedServer(data_dir, found, hold, adopted=False)
    server._child = child
    return server


def _launch(data: Path, who: cluster.Owner) -> tuple[_Detached, _Postmaster]:
    """A new server that takes connections. No server may run over this folder."""
    sockets = cluster.socket_folder(data, who)
    command = [str(cluster.programs() / "postgres"), "-D", str(data), "-k", str(sockets)]
    deadline = time.monotonic() + LEFTOVER_SECONDS
    while True:
        # What a killed server left behind. The number in it may be another process's by now, or its own not yet reaped,
        # and PostgreSQL would take either for a running server and refuse.
        for left in (data / "postmaster.pid", sockets / f".s.PGSQL.{cluster.PORT}.lock"):
            left.unlink(missing_ok=True)
        with (data / "start.log").open("wb") as log:
            # A session of its own: Ctrl-C in the terminal is for us, and we stop the server when we are done.
            child = _Detached(command, stdout=log, stderr=log, start_new_session=True, **who.options())
        try:
            found = _wait(data, child)
        except BaseException:
            child.send_signal(signal.SIGINT)
            child.wait()
            raise
        if found is not None:
            return child, found
        # Its predecessor was killed, and that one's children need a moment to notice.
        if "shared memory block" not in (why := _why(data)) or time.monotonic() > deadline:
            raise EmbeddedError(f"The embedded PostgreSQL cannot start: {why}.")
        time.sleep(0.1)


def _wait(data: Path, child: _Detached | None = None) -> _Postmaster | None:
    """The server once it takes connections, however long recovery lasts; None when none runs, or it ends."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    told = time.monotonic() + 3
    while True:
        ended = child is None or child.poll() is not None  # before the look, so that a last word is not missed
        found = _postmaster(data)
        if found is None and ended:
            return None
        if found is not None and found.ready and _answers(found):
            return found
        if time.monotonic() > deadline:
            raise EmbeddedError(f"The embedded PostgreSQL over {data} does not answer: see its log there.")
        if told and time.monotonic() > told:
            logger.warning("The embedded PostgreSQL is not ready yet; after a crash it first makes its data whole.")
            told = 0.0
        time.sleep(STEP)


def _answers(found: _Postmaster) -> bool:
    try:
        psycopg.connect(_url(found.sockets, "postgres"), connect_timeout=10).close()
    except psycopg.OperationalError as error:
        return "too many clients" in str(error) or "remaining connection slots" in str(error)
    return True


def _ensure_database(sockets: Path) -> None:
    with psycopg.connect(_url(sockets, "postgres"), autocommit=True) as connection:
        there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
        if there is None:
            connection.execute(f"CREATE DATABASE {DATABASE}")


def _postmaster(data: Path) -> _Postmaster | None:
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if len(lines) < 5 or not lines[0].strip().isdigit() or not _serves(int(lines[0]), data):
        return None
    return _Postmaster(int(lines[0]), Path(lines[4]), len(lines) > 7 and lines[7].strip() == "ready")


def _serves(pid: int, data: Path) -> bool:
    """Whether this process is a PostgreSQL server over this data folder."""
    try:
        process = psutil.Process(pid)
        command = process.cmdline()
        if not command or Path(command[0]).name != "postgres":
            return False
        return str(data) in command or os.path.samefile(process.cwd(), data)
    except (psutil.Error, OSError):
        return False


def _terminate(pid: int) -> None:
    """End a server: cleanly, else at once (it recovers at its next start), else by force with its children."""
    try:
        process = psutil.Process(pid)
        family = process.children(recursive=True)
        for number, patience in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            process.send_signal(number)
            if _gone(process, patience):
                break
    except psutil.NoSuchProcess:
        return
    for child in family:
        if not _gone(child, 5.0):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


def _gone(process: psutil.Process, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)  # ours, if another EmbeddedServer of this process started it
        try:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(STEP)
    return False


def _why(data: Path) -> str:
    """Why the last start failed, from what the server wrote before and after it opened its own log."""
    texts = [(data / "start.log").read_text(errors="replace")]
    logs = (
        sorted((data / "log").glob("*.log"), key=lambda path: path.stat().st_mtime) if (data / "log").is_dir() else []
    )
    if logs and logs[-1].stat().st_mtime >= (data / "start.log").stat().st_mtime - 1:
        texts.append("\n".join(logs[-1].read_text(errors="replace").splitlines()[-20:]))
    for text in texts:
        if "FATAL:" in text or "PANIC:" in text or not logs:
            return cluster.reason("\n".join(text.splitlines()[-20:]))
    return cluster.reason(texts[-1])


def _url(sockets: Path, database: str) -> str:
    return f"postgresql://{cluster.SUPERUSER}@/{database}?host={quote(str(sockets), safe='')}&port={cluster.PORT}"


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextlib.contextmanager
def _locked(data_dir: Path) -> Iterator[int]:
    """One starter or stopper at a time; yields the lock's file descriptor."""
    lock = _open(data_dir / "postgres.lock")
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise EmbeddedError(
                        f"Another process has been starting or stopping PostgreSQL in {data_dir} for "
                        f"{LOCK_SECONDS:.0f} s: end it, or name another data folder."
                    ) from None
                time.sleep(STEP)
        yield lock
    finally:
        os.close(lock)
