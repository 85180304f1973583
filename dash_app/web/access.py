"""Who asks. Everything that answers a person or a program asks here: pages, REST, the live channel.

A browser shows a session cookie, a program a bearer token; both are random secrets of which the database knows the
hash. What was found is believed for a second at most and forgotten at once when the database announces a change of
somebody's access. A cookie travels with every request that a browser makes, wanted or not, so that what changes
something must also carry a token that only our own pages can read.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import ipaddress
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import structlog
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler

from dash_app.app import App
from dash_app.domain.access import Principal
from dash_app.domain.errors import Forbidden, TooManyRequests, Unauthorized
from dash_app.live.channel import Authenticator
from dash_app.storage import people
from dash_app.web import embeds

log = structlog.get_logger(__name__)

#: How long a look-up is believed, in seconds.
CACHE_SECONDS = 1.0
_CACHE_SIZE = 20_000
_MAX_SECRET = 200
_MAX_WAITING = 64
XSRF_HEADER = "X-XSRF-Token"
#: The argument of an address that carries an embed's token, on an embed's page and on the live channel.
EMBED = "embed"

PER_ADDRESS = RateLimitItemPerMinute(30)
PER_EMAIL = RateLimitItemPerMinute(10, 5)

_WRONG = "The e-mail address or the password is not right."


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal | None
    until: float


class Access(Authenticator):
    """Sessions, tokens and log-ins of one node. `close` when done."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.secure = (app.settings.public_url or "").startswith("https://")
        #: A `__Host-` cookie is sent back to this very host alone, which browsers grant over TLS only.
        self.cookie = "__Host-dash" if self.secure else "dash_session"
        self._known: OrderedDict[tuple[str, bytes], _Known] = OrderedDict()
        self._pending: dict[tuple[str, bytes], asyncio.Future[Principal | None]] = {}
        self._generation = 0
        self._reads = ThreadPoolExecutor(4, thread_name_prefix="access")
        # Each verification takes a core for some 50 ms: two at a time leave the others free.
        self._passwords = ThreadPoolExecutor(2, thread_name_prefix="passwords")
        self._waiting = 0
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def close(self) -> None:
        self._reads.shutdown(cancel_futures=True)
        self._passwords.shutdown(cancel_futures=True)

    # Who ----------------------------------------------------------------------------------------------------------

    async def principal(self, request: HTTPServerRequest) -> Principal | None:
        """Who sent this request; None where nobody is known by it. Raises Unavailable without a database."""
        if EMBED in request.query_arguments and (request.path == "/live" or request.path.startswith("/embed/")):
            # A frame of ours in somebody's page gets the embed's rights, whatever cookies the browser sends along.
            return await self._embedded(request.query_arguments[EMBED][-1].decode("utf-8", "replace"))
        shown = self._shown(request)
        if shown is None:
            return None
        via, secret = shown
        key = (via, people.digest(secret))
        known = self._known.get(key)
        if known is not None and known.until > time.monotonic():
            return known.principal
        pending = self._pending.get(key)
        if pending is None:
            pending = asyncio.ensure_future(self._find(key, secret))
            self._pending[key] = pending
            pending.add_done_callback(lambda done: self._settled(key, done))
        # One caller that gives up must not take the answer from the others.
        return await asyncio.shield(pending)

    async def _embedded(self, token: str) -> Principal | None:
        """Who made an embed, as far as it shows something; None where it is over, or its maker is shut out."""
        signed = embeds.read(self._app.vault, token)
        if signed is None:
            return None
        return await asyncio.get_running_loop().run_in_executor(self._reads, self._read_embed, signed)

    def _read_embed(self, signed: embeds.Signed) -> Principal | None:
        with self._app.database.team(signed.team) as unit:
            found = people.live_principal(unit, signed.user, signed.credential, signed.via)
        return replace(found, embed=signed.embed) if found else None

    def forget(self, user: str) -> None:
        """This user's access changed: what is known of it is void, and so is what is being read just now."""
        self._generation += 1
        self._pending.clear()
        for key in [key for key, known in self._known.items() if known.principal and str(known.principal.user) == user]:
            del self._known[key]

    def forget_all(self) -> None:
        """Changes may have been missed: everything is read anew."""
        self._generation += 1
        self._pending.clear()
        self._known.clear()

    async def _find(self, key: tuple[str, bytes], secret: str) -> Principal | None:
        generation, began = self._generation, time.monotonic()
        found = await asyncio.get_running_loop().run_in_executor(self._reads, self._read, key[0], secret)
        if generation == self._generation:
            self._known[key] = _Known(found, began + CACHE_SECONDS)
            self._known.move_to_end(key)
            while len(self._known) > _CACHE_SIZE:
                self._known.popitem(last=False)
        return found

    def _settled(self, key: tuple[str, bytes], done: asyncio.Future[Principal | None]) -> None:
        if self._pending.get(key) is done:
            del self._pending[key]

    def _read(self, via: str, secret: str) -> Principal | None:
        with self._app.database.anyone() as unit:
            return people.token_principal(unit, secret) if via == "token" else people.session_principal(unit, secret)

    def _shown(self, request: HTTPServerRequest) -> tuple[str, str] | None:
        """The credential of a request as (token | session, secret). A bearer token goes before a cookie."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            token = token.strip()
            return ("token", token) if 0 < len(token) <= _MAX_SECRET and token.isascii() else None
        secret = self.session_secret(request)
        return ("session", secret) if secret else None

    def session_secret(self, request: HTTPServerRequest) -> str | None:
        """What the session cookie carries."""
        morsel = request.cookies.get(self.cookie)
        return morsel.value if morsel and 0 < len(morsel.value) <= _MAX_SECRET and morsel.value.isascii() else None

    # Requests that a browser was talked into ----------------------------------------------------------------------

    def xsrf(self, principal: Principal) -> str:
        """The token that this session's writes carry; it means nothing for any other session."""
        return _xsrf(self._app.vault.derive("xsrf"), principal)

    def check_xsrf(self, principal: Principal, request: HTTPServerRequest, field: str | None = None) -> None:
        """Nothing, or Forbidden where a session's write carries no token of that session. Bearer tokens need none.

        `field`: the token from a form, where it does not stand in the header.
        """
        if principal.via != "session":
            return
        given = (request.headers.get(XSRF_HEADER) or field or "").encode("utf-8", "replace")
        rights = [_xsrf(key, principal).encode() for key in self._app.vault.derive_all("xsrf")]
        if not any([hmac.compare_digest(given, right) for right in rights]):  # noqa: C419 - all of them, in any case
            raise Forbidden(
                f"a change made with a session needs the header {XSRF_HEADER}, with the xsrf of GET /api/v1/session"
            )

    def same_origin(self, request: HTTPServerRequest) -> bool:
        """Whether a form was sent by one of our own pages, as far as the browser says."""
        site = request.headers.get("Sec-Fetch-Site")
        if site in ("same-origin", "none"):
            return True
        origin = request.headers.get("Origin")
        if origin is None:
            return site is None
        ours = {request.host, urlsplit(self._app.settings.public_url or "").netloc}
        return urlsplit(origin).netloc in ours - {""}

    # Log-in -------------------------------------------------------------------------------------------------------

    async def login(
        self, email: str, password: str, *, address: str, user_agent: str = "", replaces: str | None = None
    ) -> str:
        """The secret of a new session; the session that the same browser had before ends.

        Raises Unauthorized, the same and as late for an unknown address as for a wrong password, and TooManyRequests.
        """
        email = email.replace("\x00", "").strip().lower()[:254]
        self._limit(PER_ADDRESS, "address", network_of(address))
        self._limit(PER_EMAIL, "email", email)
        if self._waiting >= _MAX_WAITING:
            raise TooManyRequests("Too many are logging in at once.", retry_after=2)
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            secret = await loop.run_in_executor(self._passwords, self._open, email, password, user_agent, replaces)
        finally:
            self._waiting -= 1
        if secret is None:
            log.info("login.refused", email=email, address=address)
            raise Unauthorized(_WRONG)
        self._limiter.clear(PER_EMAIL, "email", email)
        return secret

    def _limit(self, item: RateLimitItem, what: str, whose: str) -> None:
        if not self._limiter.hit(item, what, whose):
            wait = self._limiter.get_window_stats(item, what, whose).reset_time - time.time()
            raise TooManyRequests("Too many log-ins were tried; wait a little.", retry_after=max(1.0, wait))

    def _open(self, email: str, password: str, user_agent: str, replaces: str | None) -> str | None:
        database = self._app.database
        with database.anyone() as unit:
            login = people.verify_password(unit, email, password)
            teams = people.memberships(unit, login.user) if login else []
        if login is None or not teams:
            return None
        first = teams[0]
        who = Principal(login.user, login.email, login.name, first.team, first.slug, first.name, first.role)
        with database.team(first.team) as unit:
            secret = people.open_session(unit, first.team, login.user, user_agent=user_agent.replace("\x00", ""))
            people.record(unit, who, first.team, "session.open")
            unit.commit()
        if replaces:
            self._close(replaces)
        return secret

    async def logout(self, request: HTTPServerRequest) -> None:
        """Ends the session of this request, if it has one."""
        secret = self.session_secret(request)
        if secret:
            self._known.pop(("session", people.digest(secret)), None)
            await asyncio.get_running_loop().run_in_executor(self._reads, self._close, secret)

    def _close(self, secret: str) -> None:
        with self._app.database.anyone() as unit:
            who = people.session_principal(unit, secret)
        if who is not None:
            with self._app.database.team(who.team) as unit:
                people.close_session(unit, who.user, secret)
                people.record(unit, who, who.team, "session.close")
                unit.commit()

    def set_cookie(self, handler: RequestHandler, secret: str) -> None:
        handler.set_cookie(
            self.cookie, secret, max_age=int(people.SESSION_LIFETIME.total_seconds()), **self._attributes()
        )

    def clear_cookie(self, handler: RequestHandler) -> None:
        handler.clear_cookie(self.cookie, **self._attributes())

    def _attributes(self) -> dict[str, Any]:
        return {"path": "/", "httponly": True, "samesite": "Lax", "secure": self.secure}


def _xsrf(key: bytes, principal: Principal) -> str:
    return base64.urlsafe_b64encode(hmac.digest(key, principal.credential.encode(), "sha256")).decode().rstrip("=")


def network_of(address: str) -> str:
    """What log-ins from an address are counted under: itself, or the /64 of an IPv6 address, which is one household."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
    return str(found)
