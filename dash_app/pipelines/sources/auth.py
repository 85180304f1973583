"""How a poll says who asks: the option `auth`, one class a type, with dlt's names.

A credential goes to the host that the source names and to no other, and stands in no cursor, no payload's URL and no
message. The secret parts are stored apart from the rest: `split` takes a document as people write it and gives both.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

import httpx
import param

from dash_app.domain.errors import Invalid
from dash_app.domain.kinds import Kind
from dash_app.pipelines.sources.oauth import Grant, Tokens

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
MAX_SECRET = 4000


@dataclass(frozen=True, slots=True)
class Credentials:
    """What goes along with a request. Both are secret."""

    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)


class Auth(Kind):
    """Base of the types of `auth`. `kind` is what documents call `type`; `secrets` are the parts kept apart."""

    def credentials(self, client: httpx.Client, tokens: Tokens, now: datetime) -> Credentials:
        """What this request carries. Raises as `fetching.fetch` does where it has to be asked for first."""
        return Credentials()

    def refused(self, tokens: Tokens) -> bool:
        """The server answered 401: whether asking again with new credentials makes sense."""
        return False

    def hidden_params(self) -> tuple[str, ...]:
        """Parameters that are put into the URL for the request alone."""
        return ()

    def hidden(self) -> list[str]:
        """What must not be shown should a server send it back."""
        return [value for name in self.secrets if (value := getattr(self, name))]

    def problems(self) -> list[tuple[str, str]]:
        found = []
        for name in sorted(self.secrets):
            value = getattr(self, name)
            if not value:
                found.append((name, "is missing"))
            elif wrong := _wrong_secret(value):
                found.append((name, wrong))
        return found


class NoAuth(Auth):
    kind = "none"
    summary = "Nothing is sent."


class Bearer(Auth):
    kind = "bearer"
    summary = "Authorization: Bearer and a token."
    secrets: ClassVar[frozenset[str]] = frozenset({"token"})

    token = param.String(default="", doc="The token, without the word Bearer.")

    def credentials(self, client: httpx.Client, tokens: Tokens, now: datetime) -> Credentials:
        return Credentials({"authorization": f"Bearer {self.token}"})


class Basic(Auth):
    kind = "basic"
    summary = "A user name and a password (RFC 7617)."
    secrets: ClassVar[frozenset[str]] = frozenset({"password"})

    username = param.String(default="", doc="The user name.")
    password = param.String(default="", doc="The password.")

    def problems(self) -> list[tuple[str, str]]:
        # Many APIs take a key as the user name and no password at all.
        found = [one for one in super().problems() if one[1] != "is missing" or not self.username]
        if ":" in self.username or not self.username.isprintable():
            found.append(("username", "may hold printable text without a colon"))
        return found

    def credentials(self, client: httpx.Client, tokens: Tokens, now: datetime) -> Credentials:
        pair = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return Credentials({"authorization": f"Basic {pair}"})

    def hidden(self) -> list[str]:
        pair = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return [*super().hidden(), pair]


class ApiKey(Auth):
    kind = "api_key"
    summary = "A key in a header or in the query."
    secrets: ClassVar[frozenset[str]] = frozenset({"api_key"})

    name = param.String(default="Authorization", constant=False, doc="The header's or parameter's name.")
    api_key = param.String(default="", doc="The key.")
    location: Any = param.Selector(default="header", objects=["header", "query"], doc="Where it is sent.")

    @classmethod
    def options(cls) -> dict[str, param.Parameter[Any]]:
        # `name` is param's own of every object elsewhere.
        return {"name": cls.param["name"], **super().options()}

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        if self.location == "header" and not _HEADER_NAME.fullmatch(self.name):
            found.append(("name", "is not a header's name"))
        if self.location == "query" and not (self.name and self.name.isprintable() and len(self.name) <= 100):
            found.append(("name", "is not a parameter's name"))
        return found

    def credentials(self, client: httpx.Client, tokens: Tokens, now: datetime) -> Credentials:
        if self.location == "header":
            return Credentials({self.name.lower(): self.api_key})
        return Credentials(params={self.name: self.api_key})

    def hidden_params(self) -> tuple[str, ...]:
        return (self.name,) if self.location == "query" else ()


class OAuth2ClientCredentials(Auth):
    kind = "oauth2_client_credentials"
    summary = "A token that is asked for with a client's id and secret (RFC 6749, 4.4), and anew when it expires."
    secrets: ClassVar[frozenset[str]] = frozenset({"client_secret"})

    access_token_url = param.String(default="", doc="Where tokens are asked for: an http or https URL.")
    client_id = param.String(default="", doc="The client's id.")
    client_secret = param.String(default="", doc="The client's secret.")
    scope = param.String(default="", doc="Scopes to ask for, separated by spaces. Empty: none are named.")
    client_auth: Any = param.Selector(
        default="body", objects=["body", "header"], doc="Whether id and secret go in the form or as Basic."
    )
    access_token_request_data = param.Dict(default={}, doc="More to send with it, by name, such as audience.")
    default_token_expiration = param.Integer(
        default=3600, bounds=(1, 86_400 * 365), doc="Seconds that a token holds where the server says nothing."
    )

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        if wrong := wrong_url(self.access_token_url):
            found.append(("access_token_url", wrong))
        if not self.client_id:
            found.append(("client_id", "is missing"))
        for name, value in self.access_token_request_data.items():
            if not isinstance(name, str) or not isinstance(value, str):
                found.append((f"access_token_request_data.{str(name)[:60]}", "is not text"))
        return found

    def credentials(self, client: httpx.Client, tokens: Tokens, now: datetime) -> Credentials:
        return Credentials({"authorization": f"Bearer {tokens.get(self.grant, client, now)}"})

    def refused(self, tokens: Tokens) -> bool:
        # One that was asked for just now will not be better the second time.
        return tokens.forget(self.grant)

    def hidden(self) -> list[str]:
        pair = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        return [*super().hidden(), pair]

    @property
    def grant(self) -> Grant:
        return Grant(
            url=self.access_token_url,
            client_id=self.client_id,
            client_secret=self.client_secret,
            scope=self.scope,
            in_header=self.client_auth == "header",
            data=tuple(sorted(self.access_token_request_data.items())),
            expires_in=self.default_token_expiration,
        )


TYPES: dict[str, type[Auth]] = {kind.kind: kind for kind in (NoAuth, Bearer, Basic, ApiKey, OAuth2ClientCredentials)}


def make_auth(document: Mapping[str, Any], secrets: Mapping[str, Any], where: str = "auth") -> Auth:
    """The auth of `{"type": …, options}` and its secrets; Invalid names every part that is unknown or wrong, and
    repeats none that is secret."""
    kind = document.get("type", "none")
    if not isinstance(kind, str) or kind not in TYPES:
        raise Invalid(problems=[(f"{where}.type", f"'{str(kind)[:60]}' is unknown; there are {', '.join(TYPES)}")])
    given = {name: value for name, value in document.items() if name != "type"}
    kept = {name: value for name, value in secrets.items() if name in TYPES[kind].secrets}
    for name, value in {**kept, **given}.items():
        if name in TYPES[kind].secrets and not isinstance(value, str):
            # Said here, because param's own message would repeat the value.
            raise Invalid(problems=[(f"{where}.{name}", "is not text")])
    return TYPES[kind].from_options(kept | given, where)


def split(document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A document without what is secret in it, and that. Of an unknown type all but the type counts as secret."""
    kind = document.get("type", "none")
    known = TYPES.get(kind) if isinstance(kind, str) else None
    secret = set(document) - {"type"} if known is None else known.secrets
    return (
        {name: value for name, value in document.items() if name not in secret},
        {name: value for name, value in document.items() if name in secret},
    )


def wrong_url(text: str) -> str | None:
    """What is wrong with the URL of a request, or None."""
    if not text:
        return "is missing: an http or https URL"
    if len(text) > 2000 or not text.isprintable() or " " in text:
        return "is no URL: up to 2,000 printable characters without spaces"
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        return f"is no URL: {error}"
    if url.scheme not in ("http", "https") or not url.host:
        return "begins with neither http:// nor https:// and a host"
    if url.port is not None and not 0 < url.port < 65536:
        return "has a port beyond 65535"
    if url.userinfo:
        return "holds a log-in; say it in auth, of the type basic"
    if url.fragment:
        return "ends in a fragment (#…), which servers never see"
    return None


def _wrong_secret(value: str) -> str | None:
    # The value is not shown.
    if len(value) > MAX_SECRET:
        return f"is longer than {MAX_SECRET:,} characters"
    if not value.isascii() or not value.isprintable() or value != value.strip():
        return "may hold printable ASCII text without spaces at its ends"
    return None
