"""Whose word a node takes for the caller's address."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
import tornado.httpserver
import tornado.netutil
import tornado.web

from dash_app.node import http_options
from dash_app.settings import Settings


class Caller(tornado.web.RequestHandler):
    def get(self) -> None:
        self.write(f"{self.request.remote_ip} {self.request.protocol}")


@pytest.mark.parametrize(
    ("public_url", "seen"), [("", "127.0.0.1 http"), ("https://dash.example.org", "203.0.113.9 https")]
)
async def test_a_proxys_headers_count_where_a_proxy_is_said_to_be(tmp_path: Path, public_url: str, seen: str) -> None:
    environ = {"DASH_DATA_DIR": str(tmp_path / "var"), "DASH_PUBLIC_URL": public_url}
    settings = Settings.load([], environ, program="serve")
    server = tornado.httpserver.HTTPServer(tornado.web.Application([("/", Caller)]), **http_options(settings))
    (socket,) = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server.add_sockets([socket])
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            headers = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
            answer = await client.get(f"http://127.0.0.1:{socket.getsockname()[1]}/", headers=headers)
        assert answer.text == seen
    finally:
        server.stop()
        await server.close_all_connections()
