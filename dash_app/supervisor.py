"""Keeps a worker running beside a node, on the one machine that has both."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path

import structlog

from dash_app.settings import Settings

log = structlog.get_logger(__name__)

WORKER = Path(__file__).resolve().parent.parent / "worker.py"


class Supervisor:
    """Keeps `worker.py` running as a child. The child reads from us what it may reach, and ends when we are gone."""

    def __init__(self, settings: Settings, addresses: list[tuple[str, int]]) -> None:
        self._settings = settings
        self._addresses = addresses
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        await self._spawn()
        self._task = asyncio.create_task(self._watch())

    async def _spawn(self) -> asyncio.subprocess.Process:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(WORKER),
            "--supervised",
            "--workers",
            str(self._settings.workers),
            "--data-dir",
            str(self._settings.data_dir),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"allowed_addresses": self._addresses}).encode() + b"\n")
        # One that has ended at once is noticed by whoever waits for it.
        with suppress(ConnectionError):
            await self._process.stdin.drain()
        return self._process

    async def _watch(self) -> None:
        pause = 0.5
        while True:
            assert self._process is not None
            began = asyncio.get_running_loop().time()
            code = await self._process.wait()
            pause = 0.5 if asyncio.get_running_loop().time() - began > 30 else min(pause * 2, 15.0)
            log.warning("supervisor.worker_ended", status=code, restart_in=pause)
            await asyncio.sleep(pause)
            try:
                await self._spawn()
            except OSError as error:
                # Too many processes, or no memory for one more: tried again after a longer pause.
                log.warning("supervisor.not_started", error=str(error))

    async def stop(self) -> None:
        """Ends the worker, which finishes what is in hand."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 12)
        except TimeoutError:
            log.warning("supervisor.worker_killed")
            process.kill()
            await process.wait()
