"""The receiver over real HTTP: what is accepted, what is refused, and that memory stays where it was."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import httpx
import psutil
import pytest
import zstandard
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from dash_app.domain.changes import PipelineChanged
from dash_app.domain.errors import Invalid, NotFound
from dash_app.domain.ids import new_id
from dash_app.pipelines import setup
from dash_app.pipelines.receive import Hooks
from dash_app.pipelines.sources import load_schemes
from dash_app.pipelines.trials.hook import try_hook
from dash_app.storage.payloads import GroupCommit
from dash_app.web.metrics import Metrics
from dash_app.web.webhooks import WebhookHandler
from tests.integration.conftest import House


class Receiver:
    def __init__(self, house: House, url: str, hooks: Hooks) -> None:
        self.house, self.url, self.hooks = house, url, hooks

    def pipeline(self, scheme: str = "github", **options: Any) -> tuple[UUID, str]:
        document = {
            "name": scheme,
            "slug": f"p_{new_id().hex[-8:]}",
            "source": {"kind": "webhook", "options": {"scheme": scheme, **options}},
        }
        with self.house.app.database.team(self.house.team) as unit:
            made, secret = setup.create_pipeline(unit, self.house.app, self.house.team, document, "test")
            unit.commit()
        return made.id, secret or ""

    def post(
        self, pipeline: object, body: bytes, secret: str, *, wire: bytes | None = None, **headers: str
    ) -> httpx.Response:
        sent = body if wire is None else wire
        signature = "sha256=" + hmac.new(secret.encode(), sent, hashlib.sha256).hexdigest()
        signed = {"X-Hub-Signature-256": signature, "Content-Type": "application/json", **headers}
        return httpx.post(f"{self.url}/webhooks/{pipeline}", content=sent, headers=signed, timeout=30)

    def body_of(self, answer: httpx.Response) -> bytes:
        ((body,),) = self.house.rows(
            "SELECT body FROM dash.payloads WHERE id = %s", (int(answer.json()["payload_id"]),)
        )
        return bytes(body)


@pytest.fixture
def receiver(house: House) -> Iterator[Receiver]:
    commits = GroupCommit(house.app.database)
    hooks = Hooks(house.app, lambda: True)
    started = threading.Event()
    state: dict[str, Any] = {}

    async def serve() -> None:
        arguments = {"hooks": hooks, "commits": commits, "metrics": Metrics()}
        server = HTTPServer(Application([(r"/webhooks/([^/]+)", WebhookHandler, arguments)]))
        sockets = bind_sockets(0, "127.0.0.1", family=socket.AF_INET)
        server.add_sockets(sockets)
        state.update(port=sockets[0].getsockname()[1], stop=asyncio.Event(), loop=asyncio.get_running_loop())
        started.set()
        await state["stop"].wait()
        server.stop()
        await server.close_all_connections()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(10)
    yield Receiver(house, f"http://127.0.0.1:{state['port']}", hooks)
    state["loop"].call_soon_threadsafe(state["stop"].set)
    thread.join(10)
    commits.close()


def test_a_signed_post_is_stored_before_it_is_answered(receiver: Receiver) -> None:
    pipeline, secret = receiver.pipeline()
    answer = receiver.post(
        pipeline,
        b'{"n": 1,\n "x": null}',
        secret,
        **{"X-GitHub-Delivery": "d1", "X-GitHub-Event": "push", "Cookie": "a=b", "Authorization": "x"},
    )
    assert (answer.status_code, answer.json()["duplicate"]) == (200, False)
    assert receiver.body_of(answer) == b'{"n": 1,\n "x": null}'
    ((headers,),) = receiver.house.rows("SELECT headers FROM dash.payloads")
    kept = json.loads(headers)
    assert kept["x-github-event"] == "push"
    assert not {"cookie", "authorization", "content-length"} & set(kept)


def test_a_resend_is_answered_with_the_same_payload(receiver: Receiver) -> None:
    pipeline, secret = receiver.pipeline()
    first = receiver.post(pipeline, b"{}", secret, **{"X-GitHub-Delivery": "d1"}).json()
    again = receiver.post(pipeline, b"{}", secret, **{"X-GitHub-Delivery": "d1"}).json()
    assert again == {"payload_id": first["payload_id"], "duplicate": True}


@pytest.mark.parametrize("encode", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_an_encoded_body_is_signed_as_sent_and_kept_undone(
    receiver: Receiver, encode: Callable[[bytes], bytes]
) -> None:
    pipeline, secret = receiver.pipeline()
    name = {gzip.compress: "gzip", zstandard.compress: "zstd"}[encode]
    answer = receiver.post(pipeline, b'{"n": 8}', secret, wire=encode(b'{"n": 8}'), **{"Content-Encoding": name})
    assert answer.status_code == 200
    assert receiver.body_of(answer) == b'{"n": 8}'


def test_what_is_refused_says_why_and_stores_nothing(receiver: Receiver) -> None:
    pipeline, secret = receiver.pipeline()
    wrong = {"X-Hub-Signature-256": "sha256=" + "0" * 64}
    answers = {
        "wrong signature": (receiver.post(pipeline, b"{}", secret, **wrong), 401),
        "no signature": (httpx.post(f"{receiver.url}/webhooks/{pipeline}", content=b"{}"), 401),
        "other secret": (receiver.post(pipeline, b"{}", "another"), 401),
        "unknown pipeline": (receiver.post(new_id(), b"{}", secret), 404),
        "not an id": (receiver.post("none", b"{}", secret), 404),
        "broken gzip": (receiver.post(pipeline, b"abc", secret, **{"Content-Encoding": "gzip"}), 415),
        "unknown encoding": (receiver.post(pipeline, b"abc", secret, **{"Content-Encoding": "wat"}), 415),
        "11 MiB": (receiver.post(pipeline, b" " * (11 << 20), secret), 413),
        "bomb": (
            receiver.post(
                pipeline, b"", secret, wire=gzip.compress(b" " * (100 << 20)), **{"Content-Encoding": "gzip"}
            ),
            413,
        ),
        "other method": (httpx.get(f"{receiver.url}/webhooks/{pipeline}"), 405),
    }
    for name, (answer, status) in answers.items():
        assert answer.status_code == status, name
        assert answer.headers["content-type"] == "application/problem+json", name
        assert answer.json()["status"] == status, name
    assert receiver.house.rows("SELECT count(*) FROM dash.payloads") == [(0,)]


def test_unknown_and_archived_answer_alike(receiver: Receiver) -> None:
    pipeline, secret = receiver.pipeline()
    assert receiver.post(pipeline, b"{}", secret).status_code == 200
    # An id has one spelling: what is known by another would outlive the pipeline.
    for spelling in (str(pipeline).upper(), pipeline.hex, f"{{{pipeline}}}", f"urn:uuid:{pipeline}"):
        with pytest.raises(NotFound):
            receiver.hooks.find(spelling)
    with receiver.house.app.database.team(receiver.house.team) as unit:
        setup.archive(unit, pipeline, "test")
        unit.commit()
    receiver.hooks.changed(PipelineChanged(str(pipeline)))
    archived, unknown = receiver.post(pipeline, b"{}", secret), receiver.post(new_id(), b"{}", secret)
    assert (archived.status_code, archived.content) == (404, unknown.content)


def test_what_nothing_can_be_made_of_is_accepted_all_the_same(receiver: Receiver) -> None:
    pipeline, secret = receiver.pipeline()
    for body in (b"", b"{nope", b"\xff\xfe\x00", b'{"n": NaN}', b"[" * 2000):
        answer = receiver.post(pipeline, body, secret)
        assert answer.status_code == 200
        assert receiver.body_of(answer) == body


def test_a_chunked_body_without_end_is_cut_and_memory_stays(receiver: Receiver) -> None:
    pipeline, _ = receiver.pipeline()
    before = psutil.Process().memory_info().rss
    host, port = receiver.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as raw:
        raw.sendall(f"POST /webhooks/{pipeline} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
        sent = 0
        try:
            while sent < 300:
                raw.sendall(chunk)
                sent += 1
        except OSError:
            pass
    assert sent < 200, "the connection was not closed"
    assert psutil.Process().memory_info().rss - before < 60 << 20


def test_a_rotated_secret_and_the_one_before_are_both_good(receiver: Receiver) -> None:
    pipeline, old = receiver.pipeline()
    with receiver.house.app.database.team(receiver.house.team) as unit:
        new = setup.rotate_secret(unit, receiver.house.app, pipeline, "test")
        unit.commit()
    receiver.hooks.changed(PipelineChanged(str(pipeline)))
    secret = new if isinstance(new, str) else new[1]
    assert [receiver.post(pipeline, b"{}", s).status_code for s in (old, secret)] == [200, 200]


def test_only_listed_addresses_may_send(receiver: Receiver) -> None:
    closed, secret = receiver.pipeline(allowed_senders=["192.0.2.0/24"])
    answer = receiver.post(closed, b"{}", secret)
    assert (answer.status_code, "not among those" in answer.json()["detail"]) == (403, True)
    # Without a public URL a proxy's word is not believed.
    assert receiver.post(closed, b"{}", secret, **{"X-Forwarded-For": "192.0.2.1"}).status_code == 403
    open_one, secret = receiver.pipeline(allowed_senders=["192.0.2.0/24", "127.0.0.1"])
    assert receiver.post(open_one, b"{}", secret).status_code == 200


def test_beyond_the_rate_the_answer_is_429(receiver: Receiver) -> None:
    pipeline, secret = receiver.pipeline(rate_limit=0.001)
    # What is not signed uses nothing up.
    assert receiver.post(pipeline, b"{}", "another").status_code == 401
    assert receiver.post(pipeline, b"{}", secret).status_code == 200
    answer = receiver.post(pipeline, b"{}", secret)
    assert answer.status_code == 429
    assert 900 < int(answer.headers["retry-after"]) <= 1000
    assert receiver.house.rows("SELECT count(*) FROM dash.payloads") == [(1,)]


def test_handshakes_are_answered_and_store_nothing(receiver: Receiver) -> None:
    plain, _ = receiver.pipeline()
    assert httpx.get(f"{receiver.url}/webhooks/{plain}?hub.mode=subscribe&hub.challenge=x").status_code == 405
    assert (
        httpx.options(f"{receiver.url}/webhooks/{plain}", headers={"WebHook-Request-Origin": "a.example"}).status_code
        == 405
    )
    asked, _ = receiver.pipeline(verify_token="open sesame", allowed_origins=["events.example.org"], rate_limit=2)
    url = f"{receiver.url}/webhooks/{asked}"
    hub = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": "open sesame"}
    answer = httpx.get(url, params=hub)
    assert (answer.status_code, answer.text, answer.headers["content-type"][:10]) == (200, "1158201444", "text/plain")
    for wrong in ({"hub.verify_token": "x"}, {"hub.verify_token": ""}, {"hub.mode": "x"}, {"hub.challenge": "a\nb"}):
        refused = httpx.get(url, params={**hub, **wrong})
        assert (refused.status_code, "sesame" in refused.text) == (403, False)
    answer = httpx.options(url, headers={"WebHook-Request-Origin": "Events.example.org", "WebHook-Request-Rate": "120"})
    assert answer.status_code == 200
    assert answer.headers["webhook-allowed-origin"] == "Events.example.org"
    assert answer.headers["webhook-allowed-rate"] == "120"
    assert httpx.options(url, headers={"WebHook-Request-Origin": "evil.example"}).status_code == 403
    slack, secret = receiver.pipeline("slack")
    body = b'{"type": "url_verification", "challenge": "3eZbrw1aBm2rZgRNFdxV"}'
    signed = load_schemes()["slack"]().sign(body, secret, "d", time.time())
    answer = httpx.post(f"{receiver.url}/webhooks/{slack}", content=body, headers=signed)
    assert (answer.status_code, answer.text) == (200, "3eZbrw1aBm2rZgRNFdxV")
    assert httpx.post(f"{receiver.url}/webhooks/{slack}", content=body).status_code == 401
    assert receiver.house.rows("SELECT count(*) FROM dash.payloads") == [(0,)]


def test_a_resend_after_its_window_is_a_new_delivery(receiver: Receiver) -> None:
    pipeline, _ = receiver.pipeline("none", delivery_path="$.id", delivery_window_hours=1)
    url = f"{receiver.url}/webhooks/{pipeline}"

    def post(name: str) -> dict[str, Any]:
        return dict(httpx.post(url, json={"id": name}).json())

    first, other = post("a"), post("b")
    assert post("a") == {"payload_id": first["payload_id"], "duplicate": True}
    with receiver.house.app.database.ingest() as unit:
        unit.execute(
            "UPDATE dash.delivery_ledger SET payload_id = payload_id - (3601000::bigint << 20) WHERE delivery_id = 'a'"
        )
        unit.commit()
    anew = post("a")
    assert (anew["duplicate"], anew["payload_id"] != first["payload_id"]) == (False, True)
    assert post("a") == {"payload_id": anew["payload_id"], "duplicate": True}
    assert post("b") == {"payload_id": other["payload_id"], "duplicate": True}


def test_a_token_is_not_kept_with_the_payload(receiver: Receiver) -> None:
    pipeline, secret = receiver.pipeline("token", header="X-Gitlab-Token", prefix="")
    headers = {"X-Gitlab-Token": secret, "X-Gitlab-Event": "Push Hook"}
    assert httpx.post(f"{receiver.url}/webhooks/{pipeline}", json={}, headers=headers).status_code == 200
    ((kept,),) = receiver.house.rows("SELECT headers FROM dash.payloads")
    assert json.loads(kept)["x-gitlab-event"] == "Push Hook"
    assert secret not in kept


def test_a_webhook_is_tried_along_the_road_of_every_delivery(receiver: Receiver) -> None:
    app, team = receiver.house.app, receiver.house.team
    for scheme in load_schemes().names():
        pipeline, secret = receiver.pipeline(scheme, allowed_senders=["192.0.2.0/24"])
        tried = try_hook(app, team, pipeline)
        assert (tried.status, tried.answer["duplicate"]) == (200, False), tried
        assert not secret or all(secret not in value for value in tried.headers.values())
        assert any("allowed_senders" in one for one in tried.warnings)
        ((body,),) = receiver.house.rows(
            "SELECT body FROM dash.payloads WHERE id = %s", (int(tried.answer["payload_id"]),)
        )
        assert bytes(body).decode() == tried.body
    slack, _ = receiver.pipeline("slack", max_bytes=100)
    assert try_hook(app, team, slack, '{"type": "url_verification", "challenge": "x"}').answer == {"challenge": "x"}
    assert try_hook(app, team, slack, "x" * 101).status == 413
    with pytest.raises(Invalid):
        try_hook(app, team, slack, "x" * (1 << 20))
    with pytest.raises(NotFound):
        try_hook(app, new_id(), slack)
