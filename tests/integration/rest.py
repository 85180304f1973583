"""A house for tests of REST, log-in and access: a node's handlers on a free port, two teams, a token for each role."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from dash_app.app import App
from dash_app.domain import ids
from dash_app.domain.access import Role
from dash_app.domain.events import Arrival
from dash_app.pipelines.ingest import Ingest
from dash_app.pipelines.query import Queries
from dash_app.settings import Settings
from dash_app.storage import payloads, people
from dash_app.storage.unit import Unit
from dash_app.web.access import Access
from dash_app.web.api import routes
from dash_app.web.login import login_routes

PASSWORD = "correct horse battery 9"
KEY = "kT8mQ2vX9bLw4ZcR7nYp3HsJ6dGfA1eU5iOq"
MAPPING = {
    "fields": [
        {"name": "n", "path": "$.n", "type": "number"},
        {"name": "site", "path": "$.site", "type": "text"},
        {"name": "twice", "sql": "n * 2", "type": "number"},
    ]
}


@dataclass
class House:
    app: App
    access: Access
    url: str
    client: httpx.AsyncClient
    teams: dict[str, UUID] = field(default_factory=dict)
    users: dict[str, UUID] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        who: str | None = "admin",
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """A request below /api/v1 (or to an absolute path beginning with //), by the token of `who`."""
        head = dict(headers or {})
        if who is not None:
            head.setdefault("Authorization", f"Bearer {self.tokens[who]}")
        given: dict[str, Any] = (
            {"content": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
        )
        url = path[1:] if path.startswith("//") else f"/api/v1{path}"
        return await self.client.request(method, url, headers=head, **given)

    async def pipeline(
        self, slug: str = "weather", *, mapping: Any = MAPPING, scheme: str = "github", who: str = "admin"
    ) -> dict[str, Any]:
        made = await self.call(
            "POST",
            "/pipelines",
            {
                "name": slug,
                "slug": slug,
                "source": {"kind": "webhook", "options": {"scheme": scheme}},
                "mapping": mapping,
            },
            who=who,
        )
        assert made.status_code == 201, made.text
        return dict(made.json())

    async def receive(
        self, pipeline: str, *bodies: bytes, team: str = "ours", content_type: str = "application/json"
    ) -> list[int]:
        """Payloads accepted and mapped, as receiver and worker would."""

        def work() -> list[int]:
            arrivals = [Arrival(UUID(pipeline), self.teams[team], body, content_type) for body in bodies]
            with self.app.database.ingest() as unit:
                accepted = payloads.accept(unit, arrivals)
                unit.commit()
            Ingest(self.app).run(UUID(pipeline))
            return [one.payload for one in accepted]

        return await asyncio.to_thread(work)


def settings_for(database_url: str, folder: Path, **environ: str) -> Settings:
    given = {
        "DASH_DATABASE_URL": database_url,
        "DASH_SECRET_KEY": KEY,
        "DASH_DATA_DIR": str(folder),
        **environ,
    }
    return Settings.load([], given, program="serve")


@asynccontextmanager
async def opened(database_url: str, folder: Path, **environ: str) -> AsyncIterator[House]:
    """The house over a fresh database. Roles of team `ours`: admin, editor, viewer; `stranger` is admin of `theirs`."""
    app = App.open(settings_for(database_url, folder, **environ), database_url, pool_size=6)
    access = Access(app)
    server = HTTPServer(Application([*routes(app, access, Queries(app.database)), *login_routes(access)]))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        house = House(app, access, url, client)
        await asyncio.to_thread(_people, house)
        try:
            yield house
        finally:
            server.stop()
            await server.close_all_connections()
            access.close()
            app.close()


def _user(unit: Unit, email: str) -> UUID:
    """A user with PASSWORD; hashing it takes long, so that the second one has the first one's hash."""
    known = unit.value("SELECT password_hash FROM users LIMIT 1")
    if known is None:
        return people.create_user(unit, email, PASSWORD)
    user = ids.new_id()
    unit.execute(
        "INSERT INTO users (id, email, name, password_hash) VALUES (%s, %s, %s, %s)", (user, email, email, known)
    )
    return user


def _people(house: House) -> None:
    with house.app.database.ingest() as unit:
        for slug in ("ours", "theirs"):
            house.teams[slug] = people.create_team(unit, slug, slug.title())
        for name, team, role in (
            ("admin", "ours", Role.admin),
            ("editor", "ours", Role.editor),
            ("viewer", "ours", Role.viewer),
            ("stranger", "theirs", Role.admin),
        ):
            house.users[name] = _user(unit, f"{name}@example.org")
            people.add_member(unit, house.teams[team], house.users[name], role)
            _, house.tokens[name] = people.create_token(unit, house.teams[team], house.users[name], name, role)
        unit.commit()
