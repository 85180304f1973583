"""The one Panel server of a node: Panel's pages, and every other handler behind them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from panel.io.server import get_server
from tornado.ioloop import IOLoop

from dash_app.pages.assembly import Pages


def start_server(
    pages: Pages,
    handlers: Sequence[Any],
    *,
    port: int,
    address: str,
    origins: frozenset[str],
    cookie_secret: str,
    limits: dict[str, Any],
    log_function: Callable[[Any], None],
) -> Any:
    """Serves on the running event loop. `handlers` come before the pages' own; `origins` may open sockets here."""
    server = get_server(
        dict(pages.routes),
        port=port,
        address=address,
        websocket_origin=sorted(origins),
        loop=IOLoop.current(),
        start=False,
        show=False,
        extra_patterns=[*handlers, *pages.handlers],
        auth_provider=pages.auth_provider,
        cookie_secret=cookie_secret,
        http_server_kwargs=limits,
        log_function=log_function,
        **pages.server_options,
    )
    server.start()
    return server
