"""Who asks: what each type of `auth` sends, where it does not go, and how OAuth2 tokens come and end."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dash_app.pipelines.reach.guard import guarded_client
from dash_app.pipelines.sources.fetching import HttpPollPermanent, HttpPollTransient
from dash_app.pipelines.sources.http_poll import HttpPoll
from dash_app.pipelines.sources.oauth import Tokens
from dash_app.pipelines.sources.outside import Outside
from tests.unit.pipelines.sources.polls import NOW, bodies, broken, run, serve, source


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"type": "none"}, "authorization", None),
        ({"type": "bearer", "token": "canary"}, "authorization", "Bearer canary"),
        (
            {"type": "basic", "username": "Aladdin", "password": "open sesame"},
            "authorization",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",  # the example of RFC 7617
        ),
        ({"type": "basic", "username": "key"}, "authorization", "Basic " + base64.b64encode(b"key:").decode()),
        ({"type": "api_key", "api_key": "canary"}, "authorization", "canary"),
        ({"type": "api_key", "name": "X-Key", "api_key": "canary", "location": "header"}, "x-key", "canary"),
    ],
)
def test_what_is_sent(httpserver: HTTPServer, client: httpx.Client, auth: Any, header: str, value: str | None) -> None:
    url = serve(httpserver, lambda request: [1])
    run(source(url, auth=auth), client)
    assert httpserver.log[0][0].headers.get(header) == value


def test_a_key_in_the_query_shows_nowhere(httpserver: HTTPServer, client: httpx.Client) -> None:
    """Not in the payload's URL, not in a cursor, even where the server's links repeat it, and not in an error."""

    def answer(request: Request) -> Any:
        page = int(request.args.get("page", "1"))
        if page == 3:
            return Response(f"no such key {request.args['key']} in {request.environ['RAW_URI']}", 403)
        return {"n": page, "next": request.url.replace(f"page={page}", "") + f"&page={page + 1}"}

    url = serve(httpserver, answer)
    auth = {"type": "api_key", "name": "key", "api_key": "canary/9 +", "location": "query"}
    made = source(url, auth=auth, params={"a": "b c"}, paginator={"type": "json_link"})
    pages, error = broken(made.pages(None, client, NOW))
    assert [request.args["key"] for request, _ in httpserver.log] == ["canary/9 +"] * 3
    assert len(pages) == 2
    assert "canary" not in json.dumps([[page.url, page.cursor, dict(page.headers)] for page in pages])
    assert "canary" not in error.message
    assert "no such key ***" in error.message
    # And goes on from there, with the key again.
    broken(made.pages(pages[1].cursor, client, NOW))
    assert httpserver.log[-1][0].args.to_dict() == {"a": "b c", "key": "canary/9 +", "page": "3"}


def test_credentials_go_to_the_own_host_alone(httpserver: HTTPServer) -> None:
    port = httpserver.port
    serve(httpserver, lambda request: {"n": 2}, "/far")
    serve(httpserver, lambda request: {"n": 1, "next": f"http://other.example:{port}/far"})
    with guarded_client(["127.0.0.0/8"], resolver=lambda host, port: ["127.0.0.1"]) as client:
        for auth in (
            {"type": "bearer", "token": "canary"},
            {"type": "api_key", "name": "key", "api_key": "canary", "location": "query"},
        ):
            made = source(f"http://api.example:{port}/api", auth=auth, paginator={"type": "json_link"})
            assert [body["n"] for body in bodies(run(made, client))] == [1, 2]
            (own, _), (far, _) = httpserver.log[-2:]
            assert "canary" in own.full_path + str(own.headers)
            assert "canary" not in far.full_path + str(far.headers)


class Issuer:
    """An OAuth2 server whose tokens are t1, t2, …, and an API that takes those in `good`."""

    def __init__(self, server: HTTPServer) -> None:
        self.asked: list[dict[str, list[str]]] = []
        self.headers: list[str | None] = []
        self.good: set[str] = set()
        self.answer: Any = None
        self.expires_in: Any = 3600
        server.expect_request("/token", method="POST").respond_with_handler(self._token)
        self.api = serve(server, self._api)
        self.token_url = server.url_for("/token")

    def _token(self, request: Request) -> Response:
        self.asked.append(parse_qs(request.get_data(as_text=True)))
        self.headers.append(request.headers.get("authorization"))
        if self.answer is not None:
            return self.answer
        token = f"t{len(self.asked)}"
        self.good.add(f"Bearer {token}")
        more = {} if self.expires_in is None else {"expires_in": self.expires_in}
        return Response(json.dumps({"access_token": token, **more}), content_type="application/json")

    def _api(self, request: Request) -> Any:
        if request.headers.get("authorization") not in self.good:
            return Response("who are you", 401)
        return [request.headers["authorization"]]

    def source(self, **more: Any) -> HttpPoll:
        auth = {
            "type": "oauth2_client_credentials",
            "access_token_url": self.token_url,
            "client_id": "me",
            "client_secret": "canary+/ü".replace("ü", "u"),
            **more,
        }
        return source(self.api, auth=auth)


@pytest.fixture
def issuer(httpserver: HTTPServer) -> Issuer:
    return Issuer(httpserver)


def polled(made: HttpPoll, client: httpx.Client, tokens: Tokens, seconds: float = 0) -> list[Any]:
    outside = Outside(client, tokens=tokens)
    return bodies(list(made.fetch(None, outside, NOW + timedelta(seconds=seconds))))


def test_a_token_is_asked_for_once_and_again_before_it_expires(issuer: Issuer, client: httpx.Client) -> None:
    tokens, made = Tokens(), issuer.source(scope="read all")
    assert polled(made, client, tokens) == [["Bearer t1"]]
    assert polled(made, client, tokens, 3600 - 31) == [["Bearer t1"]]
    assert polled(made, client, tokens, 3600 - 29) == [["Bearer t2"]]
    assert issuer.asked[0] == {
        "grant_type": ["client_credentials"],
        "scope": ["read all"],
        "client_id": ["me"],
        "client_secret": ["canary+/u"],
    }
    # Another client has a token of its own.
    assert polled(issuer.source(client_id="other"), client, tokens) == [["Bearer t3"]]


def test_a_token_that_is_refused_is_asked_for_anew_once(issuer: Issuer, client: httpx.Client) -> None:
    tokens, made = Tokens(), issuer.source()
    polled(made, client, tokens)
    issuer.good.clear()
    assert polled(made, client, tokens) == [["Bearer t2"]]
    # One that is refused when it is new will not be better the second time.
    issuer.good.clear()
    tokens.forget(made.plan(tokens).auth.grant)  # type: ignore[attr-defined]
    issuer.answer = Response('{"access_token": "bad"}')
    before = len(issuer.asked)
    _, error = broken(made.fetch(None, Outside(client, tokens=tokens), NOW))
    assert isinstance(error, HttpPollPermanent)
    assert "answered 401" in error.message
    assert len(issuer.asked) == before + 1


def test_id_and_secret_can_go_as_basic(issuer: Issuer, client: httpx.Client) -> None:
    made = issuer.source(client_auth="header", access_token_request_data={"audience": "api"})
    assert polled(made, client, Tokens()) == [["Bearer t1"]]
    assert issuer.asked[0] == {"grant_type": ["client_credentials"], "audience": ["api"]}
    assert issuer.headers[0] == "Basic " + base64.b64encode(b"me:canary%2B%2Fu").decode()


@pytest.mark.parametrize("said", [None, "soon", -5, True, "120", 1e300])
def test_odd_ends_of_a_token(issuer: Issuer, client: httpx.Client, said: Any) -> None:
    issuer.expires_in = said
    tokens, made = Tokens(), issuer.source(default_token_expiration=100)
    polled(made, client, tokens)
    end = 120 if said == "120" else 100
    assert polled(made, client, tokens, end - 31) == [["Bearer t1"]]
    assert polled(made, client, tokens, end - 29) == [["Bearer t2"]]


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (Response('{"error": "invalid_client", "you": "canary+/u"}', 401), HttpPollPermanent, "invalid_client"),
        (Response("later", 503), HttpPollTransient, "503"),
        (Response("<html>", 200), HttpPollTransient, "not JSON"),
        (Response("[]", 200), HttpPollPermanent, "no access_token"),
        (Response('{"access_token": ""}', 200), HttpPollPermanent, "no access_token"),
        (Response('{"access_token": "a\\nb"}', 200), HttpPollPermanent, "no access_token"),
        (Response("x" * 100_000, 200), HttpPollPermanent, "larger than"),
    ],
)
def test_no_token_is_an_error_that_says_so(
    issuer: Issuer, client: httpx.Client, answer: Response, kind: type[Exception], message: str
) -> None:
    issuer.answer = answer
    _, error = broken(issuer.source().fetch(None, Outside(client), NOW))
    assert isinstance(error, kind)
    assert message in error.message
    assert error.message.startswith(f"POST {issuer.token_url}")
    assert "canary" not in error.message


def test_tokens_are_asked_for_through_the_guard(issuer: Issuer) -> None:
    with guarded_client() as strict:
        _, error = broken(issuer.source().fetch(None, Outside(strict), NOW))
    assert "not allowed" in error.message
    assert issuer.asked == []
