"""What `dash-app doctor` looks at: settings, disk, limits of the process, database, object store, queue, workers.

Each check answers findings of its own and none depends on the order of the others, except that nothing can be asked
of a database that cannot be reached. Nothing is changed by looking.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from dash_app import open_files
from dash_app.app import App
from dash_app.domain.errors import DashError, SettingsError, Unavailable
from dash_app.settings import Settings
from dash_app.storage import embedded, ledger, migrate, streams, timescale, timescale_upkeep
from dash_app.storage.unit import Unit
from dash_app.storage.vault import UnreadableSecret

GIB = 1 << 30
#: Free space below which one is warned, and below which it fails.
DISK = (2 * GIB, GIB // 5)
#: Open files below which one is warned, and below which it fails; each viewer is one.
FILES = (4096, 1024)
OLDEST_SECONDS = 60.0
UNARCHIVED_SECONDS = 600.0
OLDEST_POSTGRES = 150_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    name: str
    state: Literal["ok", "warn", "fail"]
    text: str


def examine(load: Callable[[], Settings]) -> list[Finding]:
    """Everything, with settings from `load`; where those are wrong, that alone."""
    try:
        settings = load()
    except SettingsError as error:
        return [Finding("settings", "fail", error.message)]
    where = "an embedded database" if settings.database_url is None else "a database of your own"
    findings = [Finding("settings", "ok", f"{where}, data in {settings.data_dir}"), *_machine(settings)]
    try:
        with _opened(settings) as app:
            if app is None:
                text = "there is none yet; script/server makes it at its first start"
                return [*findings, Finding("database", "warn", text)]
            return [*findings, *_database(app), _objects(app)]
    except DashError as error:
        return [*findings, Finding("database", "fail", _line(error))]


@contextmanager
def _opened(settings: Settings) -> Iterator[App | None]:
    """The application; None where the embedded database has never been started, which looking should not do."""
    server = None
    url = settings.database_url
    if url is None:
        if not (settings.data_dir / "postgres").exists():
            yield None
            return
        server = embedded.start(settings.data_dir)
        url = server.url
    try:
        app = App.open(settings, url, name="doctor", pool_size=1)
        try:
            yield app
        finally:
            app.close()
    finally:
        if server is not None:
            server.stop()


def _machine(settings: Settings) -> Iterator[Finding]:
    places = {"disk": settings.data_dir}
    bronze = urlsplit(settings.bronze_url)
    if bronze.scheme == "file" and not Path(unquote(bronze.path)).is_relative_to(settings.data_dir):
        places["disk of bronze"] = Path(unquote(bronze.path))
    for name, path in places.items():
        while not path.exists() and path != path.parent:
            path = path.parent
        free = shutil.disk_usage(path).free
        yield Finding(name, _graded(free, *DISK), f"{free / GIB:,.1f} GiB free at {path}")
    files = open_files.attainable()
    state, text = _graded(files, *FILES), f"{files:,} files may be open at once"
    yield Finding(
        "open files", state, text if state == "ok" else f"{text}; each viewer is one: raise it with ulimit -Hn"
    )
    if os.cpu_count() is not None and (os.cpu_count() or 1) < 2:
        yield Finding("processors", "warn", "one alone; mapping and answering will wait for each other")


def _graded(value: float, warn_below: float, fail_below: float) -> Literal["ok", "warn", "fail"]:
    return "fail" if value < fail_below else "warn" if value < warn_below else "ok"


def _database(app: App) -> Iterator[Finding]:
    try:
        with app.database.ingest() as unit:
            yield from _server(unit)
            yield _durable(app)
            if migrate.at_head(unit.connection):
                yield Finding("migrations", "ok", "the database is at this release")
                yield from _content(app, unit)
            else:
                text = "the database is of another release; serve.py brings an older one to this one when it starts"
                yield Finding("migrations", "fail", text)
    except Unavailable as error:
        # The roles come with the first migration, and without them no connection is made at all.
        if "does not exist" in str(error.__cause__) and "role" in str(error.__cause__):
            yield Finding("migrations", "warn", "nothing of Dash is in this database yet; serve.py makes it")
        else:
            yield Finding("database", "fail", _line(error))


def _server(unit: Unit) -> Iterator[Finding]:
    version = int(unit.value("SHOW server_version_num"))
    text = f"PostgreSQL {unit.value('SHOW server_version')} answers"
    if version < OLDEST_POSTGRES:
        yield Finding("database", "fail", f"{text}; 15 or newer is needed")
    else:
        yield Finding("database", "ok", text)
    there = timescale.look(unit)
    if there.version is None:
        yield Finding("timescaledb", "ok", f"not used, tables are plain: {there.reason}")
    else:
        without = f"; {there.reason}" if there.reason else ""
        yield Finding("timescaledb", "ok", f"{there.version} is used for large tables{without}")
    used, most = unit.value("SELECT count(*) FROM pg_stat_activity"), int(unit.value("SHOW max_connections"))
    tight = used > 0.8 * most
    yield Finding("connections", "warn" if tight else "ok", f"{used} of {most} in use")


def _durable(app: App) -> Finding:
    try:
        app.database.check_durable()
    except SettingsError as error:
        return Finding("durability", "fail", _line(error))
    return Finding("durability", "ok", "what is committed is on the disk")


def _content(app: App, unit: Unit) -> Iterator[Finding]:
    workers = ledger.alive(unit, "worker.ingest")
    text = f"{workers} mapping" if workers else "none is running; what comes is kept until one does"
    yield Finding("workers", "ok" if workers else "warn", text)
    backlog = ledger.backlog(unit)
    waiting = f"{backlog.payloads:,} payloads wait, the oldest for {max(0.0, backlog.oldest_age):.0f} s"
    if backlog.held:
        waiting += f"; {backlog.held:,} held by paused pipelines"
    yield Finding("queue", "warn" if backlog.oldest_age > OLDEST_SECONDS else "ok", waiting)
    yield from _streams(unit)
    late = backlog.unarchived_age > UNARCHIVED_SECONDS
    size = f"{backlog.unarchived_bytes / (1 << 20):,.1f} MiB wait for bronze"
    yield Finding("bronze", "warn" if late else "ok", size)
    if grown := timescale_upkeep.large(unit):
        rows = f"{len(grown)} large tables are plain, as of '{grown[-1].pipeline}' with {grown[-1].rows:,} rows"
        yield Finding("hypertables", "ok", f"{rows}; dash-app doctor --hypertables makes hypertables of them")
    if unit.value("SELECT EXISTS (SELECT FROM payloads_default)"):
        yield Finding("inbox", "warn", "payloads lie outside the partitions; maintenance has not run for hours")
    yield _secrets(app, unit)


def _streams(unit: Unit) -> Iterator[Finding]:
    """Where there are any: how many are connected, and whether a process is there that would own them."""
    counts = streams.counts(unit)
    if not counts:
        return
    total, connected = sum(counts.values()), counts.get("connected", 0)
    if not ledger.alive(unit, "worker.streams"):
        yield Finding("streams", "warn", f"no worker is running that would read the {total} there are")
        return
    text = f"{connected} of {total} connected"
    if failed := counts.get("failed", 0):
        text += f"; {failed} failed: their pipelines say why"
    yield Finding("streams", "ok" if connected == total else "warn", text)


def _secrets(app: App, unit: Unit) -> Finding:
    values = unit.rows("SELECT value FROM secrets LIMIT 1000")
    unreadable = 0
    for (value,) in values:
        try:
            app.vault.decrypt(bytes(value))
        except UnreadableSecret:
            unreadable += 1
    if unreadable:
        text = f"{unreadable} of {len(values)} cannot be read; add the key they were stored under to DASH_SECRET_KEY"
        return Finding("secrets", "fail", text)
    return Finding("secrets", "ok", f"{len(values)} stored, all readable")


def _objects(app: App) -> Finding:
    try:
        app.objects.check()
    except DashError as error:
        return Finding("object store", "fail", _line(error))
    return Finding("object store", "ok", app.settings.bronze_url)


def _line(error: DashError) -> str:
    return " ".join(error.message.split())
