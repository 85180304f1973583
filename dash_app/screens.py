"""A node's doors for people and programs: pages, REST, log-in, and the live channel, on one Panel server."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from dash_app.app import App
from dash_app.domain.changes import AccessChanged, Change
from dash_app.live.channel import LiveChannel
from dash_app.live.hub import Hub
from dash_app.live.listener import Listener
from dash_app.pages import build
from dash_app.pages.server import start_server
from dash_app.pipelines.query import Queries
from dash_app.web.access import Access
from dash_app.web.api import routes as api_routes
from dash_app.web.login import login_routes


class Screens:
    """Everything of a web node that an ingestor does without."""

    def __init__(self, app: App, listener: Listener) -> None:
        self._app = app
        self._access = Access(app)
        self._queries = Queries(app.database)
        self._hub = Hub(app.database, self._queries)
        listener.subscribe(self._changed, self._returned)

    def _changed(self, change: Change) -> None:
        if isinstance(change, AccessChanged):
            self._access.forget(change.user)
        self._hub.changed(change)

    def _returned(self) -> None:
        self._access.forget_all()
        self._hub.returned()

    def live(self) -> tuple[int, int]:
        """Open live connections, and things watched."""
        return self._hub.viewers, self._hub.topics

    def close(self) -> None:
        self._hub.close()
        self._access.close()

    def serve(self, handlers: list[Any], limits: dict[str, Any], log_function: Callable[[Any], None]) -> Any:
        """Starts the server on the running event loop and answers it."""
        settings = self._app.settings
        origins = self._origins()
        live = (r"/live", LiveChannel, {"hub": self._hub, "authenticator": self._access, "origins": origins})
        interrupt = signal.getsignal(signal.SIGINT)
        server = start_server(
            build(self._app, self._access, self._queries),
            [*handlers, live, *api_routes(self._app, self._access, self._queries), *login_routes(self._access)],
            port=settings.port,
            address=settings.address,
            origins=origins,
            cookie_secret=self._app.vault.derive("cookies").hex(),
            limits=limits,
            log_function=log_function,
        )
        # Panel's server has taken Ctrl-C for itself and would stop the event loop under everything else that runs.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, interrupt)
        return server

    def _origins(self) -> frozenset[str]:
        """Hosts whose pages may open a socket here."""
        settings = self._app.settings
        hosts = {f"{settings.address}:{settings.port}"}
        if settings.address in ("127.0.0.1", "::1", "localhost"):
            hosts |= {f"localhost:{settings.port}", f"127.0.0.1:{settings.port}"}
        if settings.public_url:
            hosts.add(urlsplit(settings.public_url).netloc.lower())
        return frozenset(hosts)
