"""Pages without a Bokeh document, their actions, and the files of all pages.

What only shows data is plain HTML with the live channel's scripts: opening one costs the server some milliseconds
and the browser no framework. Panel is for the pages on which something is edited (`dash_app.pages.documents`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from tornado.web import HTTPError, RedirectHandler, RequestHandler, StaticFileHandler

from dash_app.domain.access import Principal
from dash_app.domain.errors import BadRequest, NotFound, Unauthorized
from dash_app.domain.strict_json import holds_nul, read_json
from dash_app.pages.boundary import problem_of
from dash_app.pages.gate import House, login_url
from dash_app.pages.shell import STATIC, Place
from dash_app.pages.workspace import Workspace

_HOST = re.compile(r"[A-Za-z0-9.\-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")


class PageHandler(RequestHandler):
    """Base of plain pages. A page overrides `show`; one with actions lists them and overrides `act`."""

    actions: ClassVar[frozenset[str]] = frozenset()
    principal: Principal | None = None
    workspace: Workspace

    def initialize(self, house: House) -> None:
        self.house = house

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Content-Security-Policy", self._policy())

    def _policy(self) -> str:
        """Only what this server sends may run; styles may stand in elements, which charts' tooltips need."""
        host = self.request.host if _HOST.fullmatch(self.request.host) else ""
        sockets = f" ws://{host} wss://{host}" if host else ""
        return (
            "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
            f"font-src 'self'; connect-src 'self'{sockets}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )

    def check_xsrf_cookie(self) -> None:
        """Nothing: each action checks the token of its session."""

    @property
    def xsrf(self) -> str:
        return self.house.gate.xsrf(self.principal) if self.principal else ""

    async def get(self, **names: str) -> None:
        try:
            self.principal = await self.house.gate.principal(self.request)
            if self.principal is None:
                self.redirect(login_url(self.request))
                return
            self.workspace = self.house.workspace(self.principal, self.request)
            await self.show(**names)
        except HTTPError:
            raise
        except Exception as error:
            problem = problem_of(error, self.request.path)
            self.set_status(problem.status)
            self.set_header("Content-Type", "text/html; charset=utf-8")
            self.finish(self.house.shell.problem(problem, self.principal, self.xsrf))

    async def post(self, **names: str) -> None:
        """An action: JSON in, JSON out. The token stands in the header X-XSRF-Token."""
        try:
            self.principal = await self.house.gate.principal(self.request)
            if self.principal is None:
                raise Unauthorized("Your session has ended; log in again.")
            action = names.pop("action", "")
            if action not in self.actions:
                raise NotFound
            self.house.gate.check_xsrf(self.principal, self.request)
            self.workspace = self.house.workspace(self.principal, self.request)
            self.finish(dict(await self.act(action, **names)))
        except Exception as error:
            problem = problem_of(error, self.request.path)
            self.set_status(problem.status)
            self.finish(problem.as_json())

    async def show(self, **names: str) -> None:
        raise NotFound

    async def act(self, action: str, **names: str) -> Mapping[str, Any]:
        raise NotFound

    def body(self) -> dict[str, Any]:
        """What an action was sent: a JSON object, empty where there is none, of texts that can be kept. Raises
        BadRequest."""
        said = read_json(self.request.body or b"{}")
        if holds_nul(said):
            raise BadRequest("a text in the body holds U+0000, which cannot be kept")
        return said

    def page(self, template: str, place: Place, **values: Any) -> None:
        """Answers a template within the shell."""
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(self.house.shell.render(template, place, self.principal, self.xsrf, values))

    def data_received(self, chunk: bytes) -> None:
        """Bodies are not streamed."""


class NowhereHandler(PageHandler):
    """Whatever no route knows: 404, as a page for a person and as JSON for a program."""

    async def prepare(self) -> None:
        problem = problem_of(NotFound("There is no page at this address."), self.request.path)
        self.set_status(404)
        if "text/html" not in self.request.headers.get("Accept", ""):
            self.finish({"type": "about:blank", "title": "Not found", "status": 404, "detail": problem.detail})
            return
        self.principal = await self.house.gate.principal(self.request)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(self.house.shell.problem(problem, self.principal, self.xsrf))


class AssetHandler(StaticFileHandler):
    """`/assets/…`: kept for ever below an address with the digest of all files, asked for anew elsewhere."""

    def initialize(self, path: str, version: str) -> None:  # type: ignore[override]
        super().initialize(path)
        self._version = version
        self._lasting = False

    def parse_url_path(self, url_path: str) -> str:
        version, _, rest = url_path.partition("/")
        if version == f"v-{self._version}":
            self._lasting = True
        elif not re.fullmatch(r"v-[0-9a-f]{12}", version):
            rest = url_path
        return super().parse_url_path(rest)

    @classmethod
    def get_absolute_path(cls, root: str, path: str) -> str:
        """The file in the first folder that has it."""
        for folder in STATIC:
            if (folder / path).is_file():
                return str(folder / path)
        return str(STATIC[0] / path)

    def validate_absolute_path(self, root: str, absolute_path: str) -> str | None:
        # Tornado knows one root; the file must lie below the one that it was found in.
        resolved = Path(absolute_path).resolve()
        for folder in STATIC:
            if resolved.is_relative_to(folder.resolve()) and resolved.is_file():
                self.root = str(folder)
                return super().validate_absolute_path(str(folder), str(resolved))
        raise HTTPError(404)

    def set_extra_headers(self, path: str) -> None:
        self.set_header("Cache-Control", "public, max-age=31536000, immutable" if self._lasting else "no-cache")
        self.set_header("X-Content-Type-Options", "nosniff")


def slash_redirect() -> tuple[str, type[RequestHandler], dict[str, Any]]:
    """`/pipelines/` → `/pipelines`: below a slash too many every relative address would be wrong."""
    return (r"/((?![/\\])[^\\]*[^/\\])/+", RedirectHandler, {"url": "/{0}", "permanent": False})
