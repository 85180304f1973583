"""Starts a node: pages, REST and the live channel (`web`), the webhook receiver (`ingestor`), or everything on one
machine."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

import structlog

from dash_app import open_files
from dash_app.domain.errors import DashError, SettingsError
from dash_app.logs import configure_logs
from dash_app.settings import Settings
from dash_app.storage import embedded

log = structlog.get_logger("serve")


def check_port(settings: Settings) -> None:
    """SettingsError where the port cannot be had, before anything is started."""
    family = socket.AF_INET6 if ":" in settings.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.address, settings.port))
        except OSError as error:
            raise SettingsError(
                f"DASH_PORT: cannot listen on {settings.address}:{settings.port}: {error.strerror}; "
                "choose another with --port, or end what listens there"
            ) from error


async def run(settings: Settings, database_url: str) -> None:
    """The node, until SIGTERM or SIGINT; everything it has started has ended when this returns."""
    from dash_app.node import Node

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        node = await Node.start(settings, database_url, stack)
        print(node.banner, flush=True)
        await stop.wait()
        log.info("serve.stopping")


def main(argv: Sequence[str]) -> int:
    """Status 0 after an orderly end; 1, with one line, where a setting is wrong or something it needs is not there."""
    server = None
    try:
        settings = Settings.load(argv, os.environ, program="serve")
        configure_logs(settings.log_format, component="serve")
        check_port(settings)
        open_files.raise_limit()
        url = settings.database_url
        if url is None:
            server = embedded.start(settings.data_dir)
            url = server.url
        # Read by the pages' server when it is imported: scripts and styles come from here and nowhere else.
        os.environ["BOKEH_RESOURCES"] = "server"
        asyncio.run(run(settings, url))
    except DashError as error:
        print(f"serve: {error.message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        if server is not None:
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
