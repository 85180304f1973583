"""Logging in and out: two plain forms, without a Bokeh document behind them and without anything from elsewhere.

The page's Content-Security-Policy allows its own style sheets and the one script that carries the page's nonce.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Any

from tornado.escape import xhtml_escape
from tornado.template import Loader
from tornado.web import RequestHandler

from dash_app.domain.errors import DashError, Forbidden, Transient
from dash_app.web.access import Access
from dash_app.web.problems import problem_of

TEMPLATES = Loader(str(Path(__file__).parent / "templates"), autoescape=xhtml_escape.__name__)

#: A path of this host: browsers read `//host` and `/\host` as another one, and drop tabs and line ends before that.
_LOCAL = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]{0,2000}")


def local_path(wanted: str | None) -> str:
    """`wanted` where it is a path on this host, else the first page."""
    if wanted and _LOCAL.fullmatch(wanted) and not re.match(r"/log(in|out)\b", wanted):
        return wanted
    return "/"


class PageHandler(RequestHandler):
    """A plain HTML page of ours."""

    def initialize(self, access: Access) -> None:
        self.access = access
        self.nonce = secrets.token_urlsafe(16)

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("Referrer-Policy", "same-origin")

    def check_xsrf_cookie(self) -> None:
        """Nothing: Tornado's own token is not used, each form checks for itself."""

    def page(self, template: str, **values: Any) -> None:
        """Answers a template under the page's policy."""
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", content_policy(self.nonce))
        self.finish(TEMPLATES.load(template).generate(nonce=self.nonce, **values))


def content_policy(nonce: str) -> str:
    """What a plain page may load: its own host's styles, and scripts that carry the nonce."""
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


class LoginHandler(PageHandler):
    """`/login`: the form, and what becomes of it."""

    async def get(self) -> None:
        wanted = local_path(self.get_query_argument("next", None))
        if await self.access.principal(self.request) is not None:
            self.redirect(wanted)
            return
        self.page("login.html", wanted=wanted, email="", wrong="")

    async def post(self) -> None:
        wanted = local_path(self.get_body_argument("next", None))
        email = self.get_body_argument("email", "")
        password = self.get_body_argument("password", "", strip=False)
        try:
            if not self.access.same_origin(self.request):
                raise Forbidden("This form was not sent by a page of this server; open it anew.")
            secret = await self.access.login(
                email,
                password,
                address=self.request.remote_ip or "",
                user_agent=self.request.headers.get("User-Agent", ""),
                replaces=self.access.session_secret(self.request),
            )
        except DashError as error:
            document, headers = problem_of(error, "")
            self.set_status(error.status)
            if isinstance(error, Transient):
                self.set_header("Retry-After", headers["Retry-After"])
            self.page("login.html", wanted=wanted, email=email[:254], wrong=document["detail"])
            return
        self.access.set_cookie(self, secret)
        self.redirect(wanted, status=303)


class LogoutHandler(PageHandler):
    """`POST /logout`: the session ends, here and in the database."""

    async def post(self) -> None:
        who = await self.access.principal(self.request)
        if who is not None:
            try:
                self.access.check_xsrf(who, self.request, self.get_body_argument("_xsrf", None))
            except Forbidden as error:
                self.set_status(error.status)
                self.page("message.html", title=error.title, text="Open the page anew and log out there.")
                return
            await self.access.logout(self.request)
        self.access.clear_cookie(self)
        self.redirect("/login", status=303)


def login_routes(access: Access) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    return [(r"/login", LoginHandler, {"access": access}), (r"/logout", LogoutHandler, {"access": access})]
