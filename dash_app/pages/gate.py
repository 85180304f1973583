"""Who may open a page, asked before anything of it is made.

The same answer holds for a page, its WebSocket and its autoload.js: somebody unknown is sent to the log-in and comes
back, what is not there (or is another team's) answers 404, what the role does not allow 403.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

from bokeh.server.auth_provider import AuthProvider
from tornado.httputil import HTTPServerRequest
from tornado.web import Finish, RequestHandler

from dash_app.domain.access import Principal
from dash_app.pages.boundary import problem_of
from dash_app.pages.shell import Shell
from dash_app.pages.workspace import Workspace

if TYPE_CHECKING:
    from dash_app.app import App
    from dash_app.pipelines.query import Queries


class Gate(Protocol):
    """What the pages ask of the floor that knows sessions."""

    async def principal(self, request: HTTPServerRequest) -> Principal | None: ...

    def xsrf(self, principal: Principal) -> str: ...

    def check_xsrf(self, principal: Principal, request: HTTPServerRequest, field: str | None = None) -> None: ...


@dataclass(frozen=True)
class House:
    """What every page works with."""

    app: App
    gate: Gate
    queries: Queries
    shell: Shell = field(default_factory=Shell)

    def workspace(self, principal: Principal, request: HTTPServerRequest) -> Workspace:
        base = f"{request.protocol}://{request.host}"
        return Workspace(self.app, self.queries, principal, base, lambda: self.gate.principal(request))


@dataclass(frozen=True)
class Visit:
    """One opening of a Panel page: who, their workspace, and what the page is about."""

    house: House
    workspace: Workspace
    xsrf: str
    subject: Any = None


def login_url(request: HTTPServerRequest) -> str:
    """The log-in, which comes back to what was asked for."""
    wanted = request.uri or "/"
    return "/login" if wanted == "/" else "/login?" + urlencode({"next": wanted})


#: Reads what a Panel page is about, from the names and arguments in its address; raises DashError where it may not be
#: opened.
Opening = Callable[[Workspace, dict[str, str]], Awaitable[Any]]


class PageAuth(AuthProvider):
    """Asked by Bokeh's handlers before they make a session. `openings`: by the page's route, as Tornado matches it."""

    def __init__(self, house: House, openings: dict[str, Opening]) -> None:
        self._house = house
        self._openings = openings
        super().__init__()

    @property
    def get_user_async(self) -> Callable[[RequestHandler], Awaitable[Any]]:  # type: ignore[override]
        return self._user

    @property
    def get_login_url(self) -> Callable[[RequestHandler], str]:  # type: ignore[override]
        # Never followed: `_user` has redirected before anybody asks. Bokeh wants one to be there.
        return lambda handler: login_url(handler.request)

    async def _user(self, handler: RequestHandler) -> Principal:
        request = handler.request
        house = self._house
        principal: Principal | None = None
        try:
            principal = await house.gate.principal(request)
            if principal is None:
                raise self._refusal(handler)
            workspace = house.workspace(principal, request)
            route, _, last = request.path.rpartition("/")
            route = route if last in ("ws", "autoload.js", "metadata") else request.path
            opening = self._opening(route)
            # What the route names goes before what stands behind a question mark.
            asked = {name: many[-1].decode("utf-8", "replace") for name, many in request.query_arguments.items()}
            subject = await opening(workspace, asked | dict(handler.path_kwargs)) if opening else None
        except Finish:
            raise
        except Exception as error:
            problem = problem_of(error, request.path)
            xsrf = house.gate.xsrf(principal) if principal else ""
            handler.set_status(problem.status)
            handler.finish(house.shell.problem(problem, principal, xsrf))
            raise Finish from None
        request.dash_visit = Visit(house, workspace, house.gate.xsrf(principal), subject)  # type: ignore[attr-defined]
        handler.set_header("X-Content-Type-Options", "nosniff")
        handler.set_header("X-Frame-Options", "DENY")
        handler.set_header("Referrer-Policy", "same-origin")
        return principal

    def _opening(self, path: str) -> Opening | None:
        """The opening of the route with as many segments, whose fixed ones are these."""
        asked = path.strip("/").split("/")
        for route, opening in self._openings.items():
            parts = route.strip("/").split("/")
            if len(parts) == len(asked) and all(p == a or p.startswith("{") for p, a in zip(parts, asked, strict=True)):
                return opening
        return None

    def _refusal(self, handler: RequestHandler) -> Finish:
        """Answers who is not known: a page sends to the log-in, a socket cannot."""
        if handler.request.method == "GET" and handler.request.headers.get("Upgrade", "").lower() != "websocket":
            handler.redirect(login_url(handler.request))
        else:
            handler.set_status(401)
            handler.finish()
        return Finish()
