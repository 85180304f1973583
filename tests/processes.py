"""Real processes for tests: `serve.py` and `worker.py` with a data folder of their own, ended by their ids."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from tests.waiting import wait_until

ROOT = Path(__file__).parents[1]


def environment(**more: str) -> dict[str, str]:
    """This process's environment without any setting of Dash, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DASH_", "APP_ROLE"))}
    return kept | more


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port


@contextmanager
def data_folder() -> Iterator[Path]:
    """A data folder that the database's system user can reach; whatever still runs over it is killed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="dash-process-"))
    try:
        yield folder
    finally:
        for process in naming(folder):
            with suppress(psutil.Error):
                process.kill()
                process.wait(10)
        shutil.rmtree(folder)


def naming(folder: Path) -> list[psutil.Process]:
    """Live processes whose command line names the folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(str(folder) in part for part in process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


class Served:
    """A `serve.py` that runs. `output` and `errors` are what it has said so far."""

    def __init__(self, *flags: str, python: tuple[str, ...] = (), environ: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._said = Path(tempfile.mkdtemp(prefix="dash-said-"))
        command = [sys.executable, *python, str(ROOT / "serve.py"), "--port", str(self.port), *flags]
        with (self._said / "out").open("wb") as out, (self._said / "err").open("wb") as err:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=err, env=environ or environment(), start_new_session=True
            )

    @property
    def output(self) -> str:
        return (self._said / "out").read_text()

    @property
    def errors(self) -> str:
        return (self._said / "err").read_text()

    def ready(self) -> bool:
        """Whether `/readyz` says so; fails with what was said where the process has ended."""
        assert self.process.poll() is None, self.errors[-2000:]
        try:
            return httpx.get(f"{self.url}/readyz", timeout=10).status_code == 200
        except httpx.HTTPError:
            return False

    def family(self) -> list[psutil.Process]:
        """The process and all that it has started, and they."""
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def end(self, number: signal.Signals = signal.SIGTERM, seconds: float = 30) -> int:
        """Sends the signal and answers the status."""
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def clean_up(self) -> None:
        """Ends whatever is left, by its id."""
        if self.process.poll() is None:
            left = self.family()
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                for one in left:
                    with suppress(psutil.Error):
                        one.kill()
                self.process.wait(10)
        shutil.rmtree(self._said)


@contextmanager
def served(*flags: str, python: tuple[str, ...] = (), environ: Mapping[str, str] | None = None) -> Iterator[Served]:
    """A `serve.py` that is ready, on a free port; ended with everything it has started."""
    node = Served(*flags, python=python, environ=environ)
    try:
        wait_until(node.ready, 100, "for /readyz")
        yield node
    finally:
        node.clean_up()
