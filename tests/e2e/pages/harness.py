"""A node for the browser tests of the pages, in a process of its own: `python -m tests.e2e.pages.harness URL PORT`.

The node migrates the database itself. What the tests send is mapped by the tests themselves, so that no worker runs
beside it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack

SECRET = "k3v9Qz8mWp2LxR7tYn4BsD6fGh1JcVa5eUi0oTq"
EMAIL = "kari@example.org"
PASSWORD = "correct horse battery"


def environment(url: str, port: int, folder: str) -> dict[str, str]:
    """What the node is told."""
    return {
        "APP_ROLE": "all",
        "DASH_DATABASE_URL": url,
        "DASH_PORT": str(port),
        "DASH_SECRET_KEY": SECRET,
        "DASH_ADMIN_EMAIL": EMAIL,
        "DASH_ADMIN_PASSWORD": PASSWORD,
        "DASH_DATA_DIR": folder,
        # What is sent out is received by the tests.
        "DASH_ALLOWED_NETWORKS": "127.0.0.0/8",
    }


class NoWorkers:
    """In place of the supervisor of workers: a node of all doors and no hands."""

    def __init__(self, *_arguments: object) -> None: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


async def run(url: str, port: int, folder: str) -> None:
    from dash_app import node
    from dash_app.settings import Settings
    from dash_app.storage.engine import Database
    from tests import passwords

    passwords.make_cheap()
    # The tests' PostgreSQL gives up durability for speed, which a node refuses.
    Database.check_durable = lambda self: None  # type: ignore[method-assign]
    node.Supervisor = NoWorkers  # type: ignore[assignment,attr-defined]
    settings = Settings.load([], environment(url, port, folder), program="serve")
    async with AsyncExitStack() as stack:
        await node.Node.start(settings, url, stack)
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    os.environ.setdefault("BOKEH_RESOURCES", "server")
    asyncio.run(run(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
