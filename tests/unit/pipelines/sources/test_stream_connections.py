"""How streams meet servers that refuse, redirect, break off or are somebody else: against real ones on the loopback."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from websockets.sync.server import Request, Response, Server, ServerConnection, serve

from dash_app.domain.errors import DashError, Permanent, Transient
from dash_app.pipelines.reach import Reach
from dash_app.pipelines.sources.sse import Sse
from dash_app.pipelines.sources.streaming import Frame, Link, StreamSource
from dash_app.pipelines.sources.websocket import WebSocket
from tests.certificates import Authority

LOOPBACK = Reach.of(["127.0.0.0/8"])


async def read(source: StreamSource, reach: Reach = LOOPBACK, resume: Any = None, many: int = 10**9) -> list[Frame]:
    """Up to so many frames, or the error that ends the stream."""
    found: list[Frame] = []
    frames = source.frames(Link(reach, "dash", resume))
    try:
        async with asyncio.timeout(30):
            while len(found) < many:
                found += await anext(frames)
    finally:
        await frames.aclose()  # type: ignore[attr-defined]
    return found


# Server-sent events --------------------------------------------------------------------------------------------------


def sse(server: HTTPServer, **options: Any) -> Sse:
    return Sse.from_options({"url": server.url_for("/events"), **options})


@pytest.mark.parametrize(
    ("status", "headers", "kind", "said"),
    [
        (204, {}, Permanent, "not to connect again"),
        (401, {}, Permanent, "401 Unauthorized"),
        (429, {"Retry-After": "7"}, Transient, "429 Too Many Requests"),
        (503, {"Retry-After": "7"}, Transient, "503 Service Unavailable"),
        (200, {"Content-Type": "text/html"}, Permanent, "text/event-stream"),
        (200, {"Content-Type": "text/event-stream", "Content-Encoding": "br"}, Permanent, "Content-Encoding br"),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
async def test_answers_that_are_no_stream(
    httpserver: HTTPServer, status: int, headers: dict[str, str], kind: type[DashError], said: str
) -> None:
    httpserver.expect_request("/events").respond_with_data(b"", status, headers)
    with pytest.raises(kind, match=said) as error:
        await read(sse(httpserver))
    if status in (429, 503):
        assert error.value.retry_after == 7  # type: ignore[attr-defined]


async def test_a_stream_that_ends_says_when_to_come_back(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/events").respond_with_data(
        b"retry: 4000\nid: 5\ndata: a\n\n", content_type="text/event-stream"
    )
    source, found = sse(httpserver), []
    frames = source.frames(Link(LOOPBACK, "dash"))
    found += await anext(frames)
    with pytest.raises(Transient, match="ended the stream") as error:
        await anext(frames)
    assert error.value.retry_after == 4
    assert [(frame.data, frame.resume) for frame in found] == [(b"a", "5")]


async def test_an_id_that_the_server_no_longer_knows_is_dropped(httpserver: HTTPServer) -> None:
    httpserver.expect_ordered_request("/events", headers={"Last-Event-ID": "4"}).respond_with_data(b"", 410)
    httpserver.expect_ordered_request("/events").respond_with_data(b"data: a\n\n", content_type="text/event-stream")
    assert [frame.data for frame in await read(sse(httpserver), resume="4", many=1)] == [b"a"]
    assert "Last-Event-ID" not in httpserver.log[1][0].headers


async def test_a_redirect_takes_no_secret_elsewhere_and_leads_nowhere_inside(httpserver: HTTPServer) -> None:
    elsewhere = f"http://other.example.org:{httpserver.port}/there"
    httpserver.expect_request("/events").respond_with_data(b"", 307, {"Location": elsewhere})
    httpserver.expect_request("/there").respond_with_data(b"data: a\n\n", content_type="text/event-stream")
    reach = Reach.of(["127.0.0.0/8"], resolver=lambda _host, _port: ["127.0.0.1"])
    source = sse(httpserver, bearer_token="swordfish", secret_headers={"x-key": "marlin"})
    assert [frame.data for frame in await read(source, reach, many=1)] == [b"a"]
    first, second = (request.headers for request, _ in httpserver.log)
    assert (first["Authorization"], first["X-Key"]) == ("Bearer swordfish", "marlin")
    assert "Authorization" not in second
    assert "X-Key" not in second

    def lead_inside(host: str, _port: int) -> list[str]:
        return ["10.0.0.1" if host == "other.example.org" else "127.0.0.1"]

    with pytest.raises(DashError) as error:
        await read(source, Reach.of(["127.0.0.0/8"], resolver=lead_inside))
    assert error.value.message == "address not allowed: other.example.org"


# WebSockets ----------------------------------------------------------------------------------------------------------


@contextmanager
def answering(handle: Callable[[ServerConnection], None], **more: Any) -> Iterator[Server]:
    with serve(handle, "127.0.0.1", 0, **more) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


def websocket(server: Server, **options: Any) -> WebSocket:
    return WebSocket.from_options({"url": f"ws://127.0.0.1:{server.socket.getsockname()[1]}/feed", **options})


@pytest.mark.parametrize(
    ("status", "headers", "kind", "said"),
    [
        (401, [], Permanent, "401"),
        (503, [("Retry-After", "7")], Transient, "503"),
        (302, [("Location", "ws://10.0.0.1/")], Permanent, "redirects; name the address that it redirects to"),
    ],
    ids=["401", "503", "302"],
)
async def test_a_handshake_that_is_refused(
    status: int, headers: Sequence[tuple[str, str]], kind: type[DashError], said: str
) -> None:
    def refuse(connection: ServerConnection, _request: Request) -> Response:
        answer = connection.respond(HTTPStatus(status), "no\n")
        for name, value in headers:
            answer.headers[name] = value
        return answer

    with answering(lambda _connection: None, process_request=refuse) as server:
        with pytest.raises(kind, match=said) as error:
            await read(websocket(server))
        assert "10.0.0.1" not in error.value.message
        if status == 503:
            assert error.value.retry_after == 7  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [(1001, Transient, "1001: bye"), (1008, Permanent, "1008: bye"), (4000, Transient, "4000: bye")],
    ids=["away", "policy", "own"],
)
async def test_a_connection_that_is_closed_says_why(code: int, kind: type[DashError], said: str) -> None:
    with answering(lambda connection: connection.close(code, "bye")) as server, pytest.raises(kind, match=said):
        await read(websocket(server))


async def test_a_message_that_is_too_large_is_not_read() -> None:
    def send(connection: ServerConnection) -> None:
        connection.send("x" * 2000)
        for _ in connection:
            pass

    with answering(send) as server, pytest.raises(Permanent, match="larger than 1000 bytes"):
        await read(websocket(server, max_bytes=1000))


async def test_what_is_no_websocket_is_named(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/feed").respond_with_data(b"hello")
    with pytest.raises(Permanent, match="does not speak WebSocket"):
        await read(WebSocket.from_options({"url": httpserver.url_for("/feed").replace("http", "ws")}))


@pytest.mark.parametrize("secure", ["wss", "https"])
async def test_tls_verifies_the_name_and_not_the_address(tmp_path: Path, secure: str) -> None:
    authority = Authority()
    signed = authority.sign("feed.example.org")
    pem = tmp_path / "server.pem"
    pem.write_text(signed.certificate + signed.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.load_verify_locations(cadata=authority.certificate)
    reach = Reach.of(["127.0.0.0/8"], resolver=lambda _host, _port: ["127.0.0.1"], tls=trust)

    def events(connection: ServerConnection, _request: Request) -> Response | None:
        if secure == "wss":
            return None
        answer = connection.respond(HTTPStatus.OK, "data: a\n\n")
        del answer.headers["Content-Type"]
        answer.headers["Content-Type"] = "text/event-stream"
        return answer

    kind: type[StreamSource] = WebSocket if secure == "wss" else Sse
    with answering(lambda connection: connection.send("a"), process_request=events, ssl=context) as server:
        port = server.socket.getsockname()[1]
        good = kind.from_options({"url": f"{secure}://feed.example.org:{port}/"})
        bad = kind.from_options({"url": f"{secure}://other.example.org:{port}/"})
        assert [frame.data for frame in await read(good, reach, many=1)] == [b"a"]
        with pytest.raises(Transient, match="certificate is not accepted"):
            await read(bad, reach)
