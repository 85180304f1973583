"""The demo while it runs: its loopback server, its pipelines, and the sender of its webhook."""

from __future__ import annotations

import asyncio
from uuid import UUID

import structlog

from dash_app.demo import setup
from dash_app.demo.sender import RideSender
from dash_app.demo.server import ADDRESS, DemoServer
from dash_app.demo.state import DemoState
from dash_app.domain.errors import DashError
from dash_app.pipelines.resources import Resources
from dash_app.settings import Settings

log = structlog.get_logger(__name__)


class Feed:
    """`listen` first, so that the worker can be told the address; `start` once the node's own doors are open."""

    def __init__(self, resources: Resources, settings: Settings, team: UUID) -> None:
        self._resources = resources
        self._team = team
        self._folder = settings.data_dir / "demo"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._state = DemoState.open(self._folder)
        self._server = DemoServer(self._state)
        self._sender: RideSender | None = None
        self._missing: str | None = "its pipelines are being made"
        self.addresses: list[tuple[str, int]] = []

    def missing(self) -> str | None:
        """What is not made yet; None when the demo's pipelines are there."""
        return self._missing

    async def listen(self) -> None:
        port = self._server.start()
        self.addresses = [(ADDRESS, port)]

    async def start(self, node_url: str) -> None:
        """Makes what is missing and begins to send. `node_url` is where this machine's receiver answers."""
        try:
            await asyncio.to_thread(setup.make, self._resources, self._team, self._server.url)
            hook = await asyncio.to_thread(setup.webhook_of, self._resources, self._team, "ride")
        except DashError as error:
            log.error("demo.not_made", error=error.message)
            self._missing = error.message
            return
        self._missing = None
        if hook is not None:
            pipeline, secret = hook
            self._sender = RideSender(f"{node_url}/webhooks/{pipeline}", secret, self._state.clock, self._folder)
            self._sender.start()

    async def stop(self) -> None:
        if self._sender is not None:
            await self._sender.stop()
        await self._server.stop()
