"""A place to measure in: an embedded PostgreSQL with its durable settings, a team with pipelines, and real processes.

Everything lives in a temporary folder and on loopback, and is gone when the ground is left; only processes that were
started here are ever ended. The server is reached through DASH_DATABASE_URL, as a node beside somebody's own database
would reach it, so that node and workers can be started, killed and started anew while it stays.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import UUID

import psutil

from dash_app.app import App
from dash_app.domain.access import Role
from dash_app.settings import Settings
from dash_app.storage import catalog, embedded, migrate, people

ROOT = Path(__file__).parents[1]
SECRET_KEY = "bench-and-torture-key-0123456789-abcdefghijkl"
TEAM = "bench"
EMAIL, PASSWORD = "bench@localhost.localdomain", "bench-password-123"


@dataclass(frozen=True, slots=True)
class Target:
    """A pipeline that receives webhooks signed as GitHub signs them."""

    pipeline: UUID
    slug: str
    secret: str
    team: UUID

    @property
    def path(self) -> str:
        return f"/webhooks/{self.pipeline}"

    @property
    def table(self) -> str:
        """The table of the first version of its mapping, qualified and quoted."""
        return f'"team_{TEAM}_data"."p_{self.pipeline.hex}_v1"'

    @property
    def rollup(self) -> str:
        return f'"team_{TEAM}_data"."p_{self.pipeline.hex}_v1_rollup"'

    def sign(self, body: bytes) -> str:
        """The value of X-Hub-Signature-256."""
        return "sha256=" + hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()


class Ground:
    """Use as a context manager. `app` is an application in this process, for setting up and for looking in."""

    def __init__(
        self, *, launcher: Sequence[str] = (), logs: Path | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        """`launcher`: what stands between Python and `serve.py` or `worker.py` on the command line; none is usual.
        `environ`: settings beside those that every ground has.

        `logs`: a folder that keeps what the processes print; without it, it goes with everything else.
        """
        self._launcher = list(launcher)
        self._more = dict(environ or {})
        self.folder = Path(tempfile.mkdtemp(prefix="dash-ground-"))
        self.logs = logs or self.folder / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        try:
            self.server = embedded.start(self.folder)
            migrate.upgrade(self.server.url)
            self.settings = Settings.load([], self._environ(), program="worker")
            self.app = App.open(self.settings, self.server.url, name="bench", pool_size=4)
            with self.app.database.ingest() as unit:
                self.team = people.create_team(unit, TEAM, "Bench")
                people.add_member(unit, self.team, people.create_user(unit, EMAIL, PASSWORD), Role.admin)
                unit.commit()
        except BaseException:
            self._clean()
            raise

    def __enter__(self) -> Ground:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clean()

    def _clean(self) -> None:
        for name in list(self.processes):
            self.stop(name)
        if hasattr(self, "app"):
            self.app.close()
        if hasattr(self, "server"):
            self.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _environ(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DASH_", "APP_", "PG"))}
        return {
            **inherited,
            "PYTHONPATH": str(ROOT),
            "DASH_DATABASE_URL": self.server.url,
            "DASH_SECRET_KEY": SECRET_KEY,
            "DASH_DATA_DIR": str(self.folder),
            "DASH_PORT": str(self.port),
            **self._more,
        }

    # -- what is set up

    def pipeline(self, slug: str, mapping: Mapping[str, Any]) -> Target:
        """A webhook pipeline of the scheme `github` with this mapping."""
        secret = "bench-secret-" + slug
        with self.app.database.ingest() as unit:
            made = catalog.create_pipeline(
                unit, self.team, slug=slug, name=slug, source_kind="webhook", source_options={"scheme": "github"}
            )
            catalog.save_mapping(unit, made.id, mapping)
            self.app.vault.put(unit, self.team, made.id, "webhook", secret)
            unit.commit()
        return Target(made.id, slug, secret, self.team)

    # -- processes

    def start(self, name: str, program: str, *arguments: str, wrap: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Starts a program of the project in a process group of its own; `name` is how it is stopped and told apart."""
        launched = [*self._launcher, program] if self._launcher else [str(ROOT / program)]
        return self._launch(name, [*launched, *arguments], wrap)

    def start_module(self, name: str, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts a module that belongs to a benchmark, in the same way."""
        return self._launch(name, ["-m", module, *arguments], ())

    def _launch(self, name: str, launched: Sequence[str], wrap: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [*wrap, sys.executable, *launched],
                env=self._environ(),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes[name] = process
        return process

    def start_node(self, role: str = "ingestor", name: str = "node", *, wrap: Sequence[str] = ()) -> None:
        self.start(name, "serve.py", "--role", role, "--no-demo", wrap=wrap)

    def start_workers(self, count: int = 2, name: str = "worker", *, wrap: Sequence[str] = ()) -> None:
        self.start(name, "worker.py", "--workers", str(count), wrap=wrap)

    def wait_ready(self, seconds: float = 60, *, port: int | None = None) -> None:
        """Until the node (or what listens on `port`) answers, and workers that were started have consumers running."""
        deadline = time.monotonic() + seconds
        while not self.answers(port):
            self._fail_if_ended()
            if time.monotonic() > deadline:
                raise TimeoutError(f"the node did not answer within {seconds:.0f} s: see {self.logs}")
            time.sleep(0.05)
        if "worker" in self.processes:
            self.wait_for(
                lambda: self.value("SELECT count(*) > 1 FROM dash.heartbeats WHERE role LIKE 'worker%%'"), seconds
            )

    def wait_for(self, done: Callable[[], Any], seconds: float) -> None:
        """Until `done` is true; TimeoutError after so long, RuntimeError where a process ended meanwhile."""
        deadline = time.monotonic() + seconds
        while not done():
            self._fail_if_ended()
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {seconds:.0f} s in vain: see {self.logs}")
            time.sleep(0.05)

    def _fail_if_ended(self) -> None:
        for name, process in self.processes.items():
            if process.poll() is not None:
                tail = (self.logs / f"{name}.log").read_text(errors="replace").splitlines()[-15:]
                raise RuntimeError(f"{name} ended with status {process.returncode}:\n" + "\n".join(tail))

    def answers(self, port: int | None = None) -> bool:
        """Whether the node (or what listens on `port`) answers requests."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=2)
        try:
            connection.request("GET", "/livez")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self, name: str, patience: float = 15) -> None:
        """Asks a process to end, waits, and takes its whole group where it does not."""
        process = self.processes.pop(name, None)
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience)
        self._kill_group(process)

    def kill(self, name: str) -> None:
        """SIGKILL to a process and everything it has started, at once."""
        process = self.processes.pop(name, None)
        if process is not None:
            self._kill_group(process)

    def _kill_group(self, process: subprocess.Popen[bytes]) -> None:
        # The group outlives its leader for as long as a child of it does; its number is not given anew meanwhile.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    # -- looking in

    def rows(self, sql: str, params: Any = None) -> list[tuple[Any, ...]]:
        with self.app.database.ingest() as unit:
            return unit.rows(sql, params)

    def value(self, sql: str, params: Any = None) -> Any:
        rows = self.rows(sql, params)
        return rows[0][0] if rows else None

    def machine(self) -> dict[str, Any]:
        """What it ran on."""
        return {
            "cpus": os.cpu_count(),
            "memory": psutil.virtual_memory().total,
            "load_before": round(os.getloadavg()[0], 2),
            "python": platform.python_version(),
            "postgres": self.value("SHOW server_version"),
        }


def free_port() -> int:
    """A port of loopback that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
