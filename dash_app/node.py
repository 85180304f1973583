"""One node put together: stores, doors, live channel, pages, and on a single machine the worker and the demo
beside them."""

from __future__ import annotations

import asyncio
import gc
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import structlog
import tornado.httpserver
import tornado.netutil
import tornado.web

from dash_app.app import App
from dash_app.domain.access import Role
from dash_app.live.listener import Listener
from dash_app.pipelines.receive import Hooks
from dash_app.settings import Settings
from dash_app.storage import bronze, migrate, people
from dash_app.storage.payloads import GroupCommit
from dash_app.supervisor import Supervisor
from dash_app.web.health import LiveHandler, MetricsHandler, Readiness, ReadyHandler
from dash_app.web.metrics import Metrics
from dash_app.web.webhooks import WebhookHandler

log = structlog.get_logger(__name__)

TEAM_SLUG, TEAM_NAME = "main", "Main"
DEFAULT_EMAIL = "admin@localhost.localdomain"
#: Bounds of Tornado's own: slow senders, and bodies of everything that does not stream.
HTTP_LIMITS: Mapping[str, Any] = {
    "idle_connection_timeout": 120,
    "body_timeout": 120,
    "max_body_size": 4 << 20,
    "max_header_size": 64 << 10,
}

#: How long deliveries in hand may take to be answered once the node is told to end.
DRAIN_SECONDS = 4.0

Handler = tuple[str, type[tornado.web.RequestHandler], dict[str, Any]]


class Node:
    """What `serve.py` runs. Everything opened is closed by the exit stack, newest first."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.banner = ""
        self.metrics = Metrics()
        self.listener = Listener(app.database)
        self.hooks = Hooks(app, lambda: self.listener.hearing)
        self.handlers: list[Handler] = []

    @classmethod
    async def start(cls, settings: Settings, database_url: str, stack: AsyncExitStack) -> Node:
        """Migrates, makes the first user, and opens every door. DashError with one line where that cannot be done."""
        await asyncio.to_thread(migrate.upgrade, database_url)
        app = App.open(settings, database_url, name=f"node {settings.role}", pool_size=12)
        stack.callback(app.close)
        if settings.database_url is not None:
            await asyncio.to_thread(app.database.check_durable)
        node = cls(app)
        credentials = await asyncio.to_thread(first_user, app)
        team = await asyncio.to_thread(first_team, app)
        readiness = Readiness(app, expects_workers=settings.role == "all")
        feed = None
        if settings.demo and settings.role != "ingestor":
            from dash_app.demo.feed import Feed

            feed = Feed(app, settings, team)
            readiness.parts["demo"] = feed.missing
            await feed.listen()
        if settings.role == "all":
            supervisor = Supervisor(settings, feed.addresses if feed else [])
            await supervisor.start()
            stack.push_async_callback(supervisor.stop)
        node.listener.subscribe(node.hooks.changed, node.hooks.returned)
        if settings.role != "web":
            # After a long stop the hours ahead have no partitions yet, and what comes first should find them.
            await asyncio.to_thread(bronze.release, app.database)
            commits = GroupCommit(app.database)
            stack.push_async_callback(_in_thread(commits.close))
            node.handlers.append(
                (
                    r"/webhooks/([^/]+)",
                    WebhookHandler,
                    {"hooks": node.hooks, "commits": commits, "metrics": node.metrics},
                )
            )
        server = await node._open_door(readiness, stack)
        node.listener.start()
        stack.push_async_callback(node.listener.stop)
        stack.push_async_callback(_draining(server, node.metrics))
        if feed:
            # Last opened, first closed: it must not send to doors that are shut.
            stack.push_async_callback(feed.stop)
            await feed.start(node.local_url)
        node.banner = _banner(node.url, credentials)
        # What has been loaded stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        return node

    @property
    def local_url(self) -> str:
        """Where this node answers on its own machine."""
        settings = self.app.settings
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.address, settings.address)
        return f"http://{f'[{host}]' if ':' in host.strip('[]') and '[' not in host else host}:{settings.port}"

    @property
    def url(self) -> str:
        """Where people reach it."""
        return self.app.settings.public_url or self.local_url

    async def _open_door(self, readiness: Readiness, stack: AsyncExitStack) -> Any:
        settings = self.app.settings
        live: Callable[[], tuple[int, int]] = lambda: (0, 0)  # noqa: E731
        web = None
        if settings.role != "ingestor":
            from dash_app.screens import Screens

            web = Screens(self.app, self.listener)
            stack.callback(web.close)
            live = web.live
        self.handlers += [
            (r"/livez", LiveHandler, {}),
            (r"/readyz", ReadyHandler, {"readiness": readiness}),
            (r"/metrics", MetricsHandler, {"app": self.app, "metrics": self.metrics, "live": live}),
        ]
        if web is not None:
            return web.serve(self.handlers, http_options(settings), self._count)
        application = tornado.web.Application(self.handlers, log_function=self._count)
        server = tornado.httpserver.HTTPServer(application, **http_options(settings))
        server.add_sockets(tornado.netutil.bind_sockets(settings.port, settings.address, reuse_port=False))
        return server

    def _count(self, handler: tornado.web.RequestHandler) -> None:
        status, seconds = handler.get_status(), handler.request.request_time()
        if not isinstance(handler, WebhookHandler):
            self.metrics.request(handler.request.method or "", status, seconds)
        if status >= 500 and status != 503:
            log.error(
                "request.failed",
                method=handler.request.method,
                path=handler.request.path,
                status=status,
                ms=round(seconds * 1000, 1),
            )


def http_options(settings: Settings) -> dict[str, Any]:
    """What the HTTP server is made with. `X-Forwarded-For` and its like are believed where a public URL says that a
    proxy stands before us: without one they are the caller's own word, and would let anybody choose an address."""
    return {**HTTP_LIMITS, "xheaders": settings.public_url is not None}


def first_team(app: App) -> Any:
    with app.database.ingest() as unit:
        return people.find_team(unit)


def first_user(app: App) -> tuple[str, str | None] | None:
    """Makes the first team and its admin where there is nobody yet; (e-mail, generated password or None), once."""
    settings = app.settings
    with app.database.ingest() as unit:
        unit.execute("SELECT pg_advisory_xact_lock(hashtextextended('dash.first_user', 4))")
        if people.anybody(unit):
            return None
        email = settings.admin_email or DEFAULT_EMAIL
        password = settings.admin_password or secrets.token_urlsafe(12)
        team = people.create_team(unit, TEAM_SLUG, TEAM_NAME)
        user = people.create_user(unit, email, password, name="Admin")
        people.add_member(unit, team, user, Role.admin)
        unit.commit()
        return email, None if settings.admin_password else password


def _banner(url: str, credentials: tuple[str, str | None] | None) -> str:
    lines = ["", f"  Dash is ready:  {url}"]
    if credentials:
        email, password = credentials
        lines.append(f"  Log in as:      {email}")
        lines.append(
            f"  Password:       {password}   (shown this once)"
            if password
            else "  Password:       the one in DASH_ADMIN_PASSWORD"
        )
    return "\n".join([*lines, "  Ctrl-C stops it; what it has stays.", ""])


def _in_thread(function: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def call() -> None:
        await asyncio.to_thread(function)

    return call


def _draining(server: Any, metrics: Metrics) -> Callable[[], Awaitable[None]]:
    async def call() -> None:
        server.stop()
        # A delivery that is being committed gets its answer: without one the sender would send it again.
        if not await metrics.in_flight.drained(DRAIN_SECONDS):
            log.info("serve.deliveries_left")
        # Panel's server keeps the HTTP server, which has the connections, to itself.
        http = getattr(server, "_http", server)
        try:
            await asyncio.wait_for(http.close_all_connections(), 2)
        except TimeoutError:
            log.info("serve.connections_left")

    return call
