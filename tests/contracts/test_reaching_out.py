"""No source and no sink is a way into the network that Dash runs in, however the host is written.

A new kind is in this by being there: its options must name a host by `url`, `host` or `endpoint`, or it must stand
among those that reach no host at all.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dash_app.app import App
from dash_app.domain.access import Principal, Role
from dash_app.domain.errors import DashError, Invalid
from dash_app.domain.ids import new_id
from dash_app.pipelines.delivery.unsaved import try_unsaved
from dash_app.pipelines.reach import AddressNotAllowed, Reach
from dash_app.pipelines.sinks import Message, Sink, load_sinks
from dash_app.pipelines.sinks.apprise_process import PROCESSES
from dash_app.pipelines.sources import PollSource, Source, load_sources
from dash_app.pipelines.sources.outside import Outside
from dash_app.pipelines.sources.streaming import Link, StreamSource
from dash_app.settings import Settings
from dash_app.storage import people

NOW = datetime(2026, 5, 1, tzinfo=UTC)
PORT = 8443

#: Kinds that connect to no host that somebody names: senders come to us, or what they read is at hand.
AT_HAND = {"webhook", "upload", "pipeline", "folder"}
HOST_OPTIONS = ("url", "host", "endpoint")
#: Where the example names a service and not a host.
AIMED: Mapping[str, Callable[[str], str]] = {
    "apprise": lambda place: f"json://{place}/hook",
    "slack": lambda place: f"http://{place}/services/T0/B0/X",
}
PLAIN = {"https": "http", "wss": "ws", "mqtts": "mqtt"}

#: How this machine, its network and the clouds' metadata can be written.
WRITTEN = (
    *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "localhost", "10.0.0.1", "192.168.1.1"),
    *("169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "100.100.100.200", "168.63.129.16"),
    *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]"),
    *("[fd00:ec2::254]", "[fe80::1]", "[fc00::1]"),
)
#: Where a harmless name may lead.
RESOLVED = ("10.11.12.13", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1")
#: Made once: it takes longer than everything else here.
TLS = Reach().tls_context()

KINDS: list[tuple[str, type[Source] | type[Sink]]] = [
    *((f"source {kind.kind}", kind) for kind in load_sources() if kind.kind not in AT_HAND),
    *((f"sink {kind.kind}", kind) for kind in load_sinks()),
]
every = pytest.mark.parametrize(("name", "kind"), KINDS, ids=[name.replace(" ", "-") for name, _ in KINDS])

RECORDS = {"pipeline": "weather", "records": [{"_time": "2026-05-01T00:00:00+00:00", "_payload": "1", "site": "roof"}]}
MESSAGE = Message(f"msg_{1:032x}", "records", NOW, "acme", "weather", "A title", "A text", RECORDS)


@pytest.fixture(autouse=True, scope="module")
def end_processes() -> Iterator[None]:
    yield
    PROCESSES.close()


def aimed(kind: type[Source] | type[Sink], host: str, port: int) -> dict[str, Any]:
    """The kind's example, naming this host and port instead."""
    options = dict(kind.example)
    place = f"{host}:{port}"
    if kind.kind in AIMED:
        return {**options, "url": AIMED[kind.kind](place)}
    named = [option for option in HOST_OPTIONS if option in kind.options()]
    assert named, f"{kind.kind} names its host by none of {HOST_OPTIONS}: say here how, or put it among AT_HAND"
    if named[0] == "host":
        return {**options, "host": host.strip("[]"), "port": port}
    scheme, _, rest = str(options.get(named[0]) or "https://s3.example.org").partition("://")
    path = rest.partition("/")[2]
    return {**options, named[0]: f"{PLAIN.get(scheme, scheme)}://{place}{'/' + path if path else ''}"}


def go(kind: type[Source] | type[Sink], options: Mapping[str, Any], reach: Reach) -> None:
    """Has the kind reach out, as far as it comes."""
    made = kind.from_options({**options, **({"timeout_seconds": 3} if issubclass(kind, Sink) else {})})
    if isinstance(made, Sink):
        for name, text in made.generate_secrets().items():
            setattr(made, name, text)
        made.send(MESSAGE, reach)
    elif isinstance(made, StreamSource):
        asyncio.run(asyncio.wait_for(anext(made.frames(Link(reach, "dash"))), 20))
    elif isinstance(made, PollSource):
        with reach.client(3) as client:
            list(made.fetch(None, Outside(client, reach), NOW))
    else:
        raise AssertionError(f"nobody here knows how a {type(made).__name__} reaches out")


def refused(kind: type[Source] | type[Sink], options: Mapping[str, Any], reach: Reach) -> DashError:
    with pytest.raises(DashError) as error:
        go(kind, options, reach)
    return error.value


@contextmanager
def listener(answer: bytes = b"") -> Iterator[tuple[int, list[bytes]]]:
    """A server on the loopback that notes who has come, and answers everybody the same."""
    came: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(0.5)
                    came.append(b"")
                    try:
                        came[-1] = connection.recv(65536)
                        connection.sendall(answer)
                    except OSError:
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], came
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@every
def test_no_way_of_writing_an_address_leads_inside(name: str, kind: type[Source] | type[Sink]) -> None:
    """Each is refused when it is saved, or when it is connected to, and nothing is said but what was written."""
    reach = Reach.of(tls=TLS)
    let_through = []
    # Making a client for a bucket takes a third of a second, and its requests go out through the client of all others.
    for host in WRITTEN[::4] if "endpoint" in kind.options() else WRITTEN:
        error = refused(kind, aimed(kind, host, PORT), reach)
        if not isinstance(error, AddressNotAllowed | Invalid) and not _is_no_url(kind, error):
            let_through.append((host, type(error).__name__, error.message))
        # What was written may be said again, and nothing that was made of it.
        said = f"{error.message} {error.extra}".replace(host.strip("[]"), "")
        assert not [one for one in ("127.0.0.1", "169.254.169", "loopback", "private") if one in said], said
    assert not let_through


def _is_no_url(kind: type[Source] | type[Sink], error: DashError) -> bool:
    """Apprise reads fewer ways of writing an address than the system does: what it cannot read goes nowhere."""
    return kind.kind == "apprise" and "URL is incomplete" in error.message


@every
@pytest.mark.parametrize("address", RESOLVED)
def test_a_harmless_name_that_leads_inside_is_refused(name: str, kind: type[Source] | type[Sink], address: str) -> None:
    error = refused(
        kind, aimed(kind, "harmless.example.org", PORT), Reach.of(resolver=lambda host, port: [address], tls=TLS)
    )
    assert isinstance(error, AddressNotAllowed)
    assert "harmless.example.org" in error.message
    assert address not in f"{error.message} {error.extra}"


@every
def test_our_own_ports_are_refused_where_the_network_is_allowed(name: str, kind: type[Source] | type[Sink]) -> None:
    with listener() as (port, came):
        reach = Reach.of(["127.0.0.0/8"], own_ports=frozenset({port}), tls=TLS)
        for host in ("127.0.0.1", "localhost", "127.1"):
            error = refused(kind, aimed(kind, host, port), reach)
            assert isinstance(error, AddressNotAllowed) or _is_no_url(kind, error)
        assert not came


@every
def test_a_name_that_leads_elsewhere_the_second_time_is_asked_once(name: str, kind: type[Source] | type[Sink]) -> None:
    """The address that was checked is the one that is connected to."""
    with listener() as (port, came):
        asked: list[str] = []

        def rebinding(host: str, _port: int) -> Sequence[str]:
            asked.append(host)
            # Nobody listens at the first, which is allowed; somebody does at the second.
            return ["127.77.0.1"] if len(asked) % 2 else ["127.0.0.1"]

        reach = Reach.of(["127.77.0.0/16"], resolver=rebinding, tls=TLS)  # type: ignore[arg-type]
        refused(kind, aimed(kind, "rebinding.example.org", port), reach)
        assert asked
        assert not came


@every
def test_a_redirect_does_not_lead_inside(name: str, kind: type[Source] | type[Sink]) -> None:
    with listener() as (inside, inner):
        answer = (
            f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{inside}/secret\r\nContent-Length: 0\r\n"
            "Connection: close\r\n\r\n"
        )
        with listener(answer.encode()) as (port, came):
            reach = Reach.of(
                ["127.77.0.0/16"],
                allow=frozenset({("open.example.org", port)}),
                resolver=lambda host, _port: ["127.0.0.1"],
                tls=TLS,
            )
            error = refused(kind, aimed(kind, "open.example.org", port), reach)
        assert came, "the first host is allowed, and was not asked"
        assert not inner
        assert str(inside) not in error.message


def test_a_test_of_a_sink_that_is_not_saved_leads_nowhere_inside(database_url: str, tmp_path: Path) -> None:
    """The same table, through the button that sends a test before there is a sink: whatever kind, nothing of the
    network is in what is shown of it."""
    environ = {
        "DASH_DATABASE_URL": database_url,
        "DASH_SECRET_KEY": "contract-tests-key-0123456789-abcdefghij",
        "DASH_DATA_DIR": str(tmp_path),
    }
    app = App.open(Settings.load([], environ, program="worker"), database_url, pool_size=2)
    try:
        with app.database.ingest() as unit:
            team = people.create_team(unit, "acme", "Acme")
            unit.commit()
        author = Principal(new_id(), "ann@example.com", "Ann", team, "acme", "Acme", Role.admin)
        let_through = []

        def tried(kind: type[Sink], host: str, resolver: Callable[[str, int], list[str]] | None = None) -> None:
            reach = Reach.of(resolver=resolver, tls=TLS) if resolver else Reach.of(tls=TLS)
            document = {"name": "Hook", "kind": kind.kind, "options": aimed(kind, host, PORT) | {"timeout_seconds": 3}}
            try:
                attempt = try_unsaved(replace(app, reach=reach), team, document, author)
            except Invalid as error:
                said = f"{error.message} {error.problems}"
            else:
                said = f"{attempt.error} {attempt.request} {attempt.response}"
                ours = attempt.error.startswith("address not allowed") or "URL is incomplete" in attempt.error
                if attempt.outcome == "sent" or attempt.status or not ours:
                    let_through.append((kind.kind, host, attempt))
            said = said.replace(host.strip("[]"), "")
            found = ("127.0.0.1", "169.254.169", "10.11.12.13", "loopback", "private")
            assert not [one for one in found if one in said], said

        for kind in load_sinks():
            # Each way of writing is read by one gate, which the kinds are tried at above: here a part of them does.
            for host in WRITTEN[::8]:
                tried(kind, host)
            tried(kind, "harmless.example.org", lambda host, port: ["10.11.12.13"])
        assert not let_through
    finally:
        app.close()


def test_those_at_hand_name_no_host() -> None:
    kinds = {kind.kind: kind for kind in load_sources()}
    assert set(kinds) >= AT_HAND
    for name in AT_HAND:
        assert not set(HOST_OPTIONS) & set(kinds[name].options())
