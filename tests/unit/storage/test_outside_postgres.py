"""Who a PostgreSQL server must prove to be before anything is told to it: a server that speaks no more than TLS."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dash_app.storage import outside_postgres
from dash_app.storage.outside_postgres import PostgresRefused, PostgresUnavailable, Target, connected
from tests.certificates import Authority

PASSWORD = "sword-fish-9481"


@dataclass
class Fake:
    """What a server heard behind TLS."""

    port: int = 0
    heard: list[bytes] = field(default_factory=list)


#: A server that wants the password as it is.
CLEARTEXT = b"R" + (8).to_bytes(4, "big") + (3).to_bytes(4, "big")


@contextmanager
def serving(folder: Path, host: str) -> Iterator[tuple[Fake, str]]:
    """A server with a certificate for `host`, and its authority's certificate."""
    authority = Authority()
    made = authority.sign(host)
    (folder / "server.pem").write_text(made.certificate + made.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    listener = socket.create_server(("127.0.0.1", 0))
    fake = Fake(listener.getsockname()[1])

    def serve() -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                with suppress(OSError), near:
                    near.settimeout(10)
                    near.recv(8)
                    near.sendall(b"S")
                    with context.wrap_socket(near, server_side=True) as talk:
                        fake.heard.append(talk.recv(4096))
                        talk.sendall(CLEARTEXT)
                        fake.heard.append(talk.recv(4096))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield fake, authority.certificate
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def connect(fake: Fake, statement: str = "", **options: Any) -> None:
    target = Target(
        **{
            "host": "db.example.org",
            "port": fake.port,
            "database": "shop",
            "user": "reader",
            "password": PASSWORD,
            "addresses": ["127.0.0.1"],
            "timeout": 10,
            **options,
        }
    )
    with connected(target, read_only=True) as connection:
        if statement:
            connection.execute(statement)


def test_a_server_that_proves_who_it_is_is_told_the_password(tmp_path: Path) -> None:
    # It says no more than that.
    with serving(tmp_path, "db.example.org") as (fake, authority), pytest.raises(PostgresUnavailable):
        connect(fake, ca=authority)
    assert b"reader" in fake.heard[0]
    assert PASSWORD.encode() in fake.heard[1]


@pytest.mark.parametrize("name", ["other.example.org", "example.org"])
def test_a_certificate_for_another_name_is_refused(tmp_path: Path, name: str) -> None:
    with serving(tmp_path, name) as (fake, authority), pytest.raises(PostgresRefused) as error:
        connect(fake, ca=authority)
    assert error.value.message.endswith("the server's certificate is not to be trusted for this name")
    assert "127.0.0.1" not in error.value.message
    assert not any(PASSWORD.encode() in one for one in fake.heard)


def test_an_authority_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, "db.example.org") as (fake, _), pytest.raises(PostgresRefused, match="not to be trusted"):
        connect(fake)
    assert not any(fake.heard)


def test_who_is_not_verified_is_not_told_the_password(tmp_path: Path) -> None:
    with serving(tmp_path, "db.example.org") as (fake, _), pytest.raises(PostgresRefused) as error:
        connect(fake, tls="require")
    assert error.value.message.endswith("the server asks for a way to log in that is not taken here")
    assert not any(PASSWORD.encode() in one for one in fake.heard)


def test_a_server_that_falls_silent_after_the_log_in_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside_postgres, "_PATIENCE_MORE", 0.0)
    listener = socket.create_server(("127.0.0.1", 0))
    heard: list[bytes] = []

    def serve() -> None:
        near, _ = listener.accept()
        with near:
            near.settimeout(60)
            near.recv(4096)
            # Welcome, and ready for a query.
            near.sendall(b"R" + (8).to_bytes(4, "big") + bytes(4) + b"Z" + (5).to_bytes(4, "big") + b"I")
            while data := near.recv(4096):
                heard.append(data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    fake = Fake(listener.getsockname()[1])
    with listener, pytest.raises(PostgresUnavailable, match=r"^db\.example\.org: no end within 0\.4 s$"):
        connect(fake, tls="disable", timeout=0.2, statement="SELECT 1")
    thread.join(60)
    assert not thread.is_alive(), "the line is cut"
    assert heard, "something was asked, and never answered"
