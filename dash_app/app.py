"""The application: everything a process opens once and hands down. There are no globals beside it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from dash_app.pipelines.reach import Reach
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.sinks import load_sinks
from dash_app.pipelines.sources import load_schemes, load_sources
from dash_app.settings import Settings
from dash_app.storage.engine import Database
from dash_app.storage.objects import open_objects
from dash_app.storage.vault import Vault


@dataclass(frozen=True)
class App(Resources):
    """What a node and a worker have in common."""

    settings: Settings
    #: Names this process among all: host and process id.
    node: str

    @classmethod
    def open(
        cls,
        settings: Settings,
        database_url: str,
        *,
        name: str = "dash",
        pool_size: int = 8,
        allowed_addresses: Iterable[tuple[str, int]] = (),
    ) -> App:
        """Opens the stores; nothing is connected to yet."""
        return cls(
            settings=settings,
            database=Database(database_url, pool_size=pool_size, name=name),
            objects=open_objects(settings.bronze_url, settings.s3_endpoint),
            vault=Vault(settings.secret_keys),
            sources=load_sources(),
            schemes=load_schemes(),
            sinks=load_sinks(),
            reach=Reach.of(
                settings.allowed_networks,
                allow=frozenset(allowed_addresses),
                own_ports=frozenset({settings.port, urlsplit(database_url).port or 5432}),
                mail=settings.smtp_url,
            ),
            watch_roots=settings.watch_roots,
            node=f"{socket.gethostname()}:{os.getpid()}",
        )

    def close(self) -> None:
        self.database.close()
        self.objects.close()
