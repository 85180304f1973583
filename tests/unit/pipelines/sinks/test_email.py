"""Mail as a real server receives it, and what no header can be made of."""

from __future__ import annotations

import email
import email.policy
import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.message import EmailMessage
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from dash_app.domain.errors import Invalid, Permanent, Transient
from dash_app.pipelines.reach import Reach
from dash_app.pipelines.sinks.base import File, Message
from dash_app.pipelines.sinks.email import EmailSink, wrong_address
from tests.certificates import Authority

NAME = "mail.example.org"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
ALERT = {
    "alert": "too_hot",
    "name": "Too hot <b>on</b> the roof",
    "state": "firing",
    "severity": "critical",
    "pipeline": "weather",
    "series": {"site": "roof & <script>alert(1)</script>"},
    "series_name": "site = roof",
    "value": 31.42,
    "unit": "°C",
    "condition": "avg of temp over 5m is above 30 °C",
    "since": "2026-01-05T12:25:00+00:00",
    "labels": {"team": "facilities"},
    "link": "https://dash.example.org/alerts/too_hot",
}


@dataclass
class Server:
    """A mail server that keeps what it is sent."""

    port: int = 0
    received: list[tuple[str, list[str], EmailMessage]] = field(default_factory=list)
    #: What it answers to a receiver, or to a message, instead of taking it.
    receiver: Callable[[str], str] = lambda address: "250 ok"
    data: str = "250 taken"
    encrypted: list[bool] = field(default_factory=list)

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        said = self.receiver(address)
        if said.startswith("250"):
            envelope.rcpt_tos.append(address)
        return said

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert server.transport is not None
        self.encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        assert isinstance(envelope.content, bytes)
        made = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(made, EmailMessage)
        if self.data.startswith("250"):
            self.received.append((str(envelope.mail_from), list(envelope.rcpt_tos), made))
        return self.data


class _Controller(Controller):
    def __init__(self, handler: Server, context: ssl.SSLContext | None, *, implicit: bool, login: bool) -> None:
        self._context, self._implicit, self._login = context, implicit, login
        super().__init__(handler, hostname="127.0.0.1", port=0, ssl_context=context if implicit else None)

    def factory(self) -> SMTP:
        explicit = self._context if not self._implicit else None
        return SMTP(
            self.handler,
            hostname="mail",
            tls_context=explicit,
            require_starttls=explicit is not None,
            auth_required=self._login,
            auth_require_tls=explicit is not None,
            authenticator=self._authenticate if self._login else None,
        )

    @staticmethod
    def _authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"dash", b"pass word 7")
        return AuthResult(success=right, handled=False)

    # The port is chosen by the system, and known once it is bound.
    def _trigger_server(self) -> None:
        self.handler.port = self.server.sockets[0].getsockname()[1]
        self.port = self.handler.port
        super()._trigger_server()


@dataclass
class Post:
    """Mail servers and the reach that leads to them."""

    authority: Authority
    folder: Path
    running: list[Controller] = field(default_factory=list)

    def serve(self, security: str, *, name: str = NAME, login: bool = False) -> Server:
        context = None
        if security != "none":
            signed = self.authority.sign(name)
            certificate, key = self.folder / "certificate.pem", self.folder / "key.pem"
            certificate.write_text(signed.certificate)
            key.write_text(signed.key)
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate, key)
        made = Server()
        controller = _Controller(made, context, implicit=security == "tls", login=login)
        controller.start()
        self.running.append(controller)
        return made

    def reach(self, **more: Any) -> Reach:
        tls = ssl.create_default_context(cadata=self.authority.certificate)
        return Reach.of(["127.0.0.0/8"], resolver=lambda host, port: ["127.0.0.1"], tls=tls, **more)


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    made = Post(Authority(), tmp_path)
    yield made
    for controller in made.running:
        controller.stop()


def sink(port: int | None = None, **options: Any) -> EmailSink:
    given = {
        "host": NAME,
        "port": port,
        "from": "Dash <dash@example.org>",
        "to": ["ops@example.org", "Kari Nordmann Ø <kari@example.org>"],
        "timeout_seconds": 5,
        **options,
    }
    return EmailSink.from_options({name: value for name, value in given.items() if value is not None})


def message(**more: Any) -> Message:
    made = Message(
        f"msg_{7:032x}",
        "alert",
        datetime(2026, 1, 5, 12, 30, tzinfo=UTC),
        "acme",
        "too_hot",
        "Firing: Too hot on the roof – Ødegård",
        "It is hot.\n\nOpen a <window>.",
        ALERT,
        "https://dash.example.org/alerts/too_hot",
        (File("chart.png", "image/png", PNG), File("../the report.pdf", "application/pdf", b"%PDF-1.7")),
    )
    return replace(made, **more)


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_message_arrives_encrypted_and_whole(post: Post, security: str) -> None:
    server = post.serve(security, login=security == "starttls")
    login = {"username": "dash", "password": "pass word 7"} if security == "starttls" else {}
    answer = sink(server.port, security=security, **login).send(message(), post.reach())
    assert answer.status == 250
    assert "pass word 7" not in answer.request
    ((sender, receivers, mail),) = server.received
    assert server.encrypted == [True]
    assert (sender, receivers) == ("dash@example.org", ["ops@example.org", "kari@example.org"])
    assert mail["Subject"] == "Firing: Too hot on the roof – Ødegård"
    assert mail["From"].addresses[0].display_name == "Dash"
    assert [one.display_name for one in mail["To"].addresses] == ["", "Kari Nordmann Ø"]
    assert mail["Message-ID"] == f"<msg_{7:032x}@example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert html is not None
    text, page = plain.get_content(), html.get_content()
    for part in ("Firing · critical", "31.42", "It is hot.", "Open a <window>.", "facilities", ALERT["link"]):
        assert part in text
    assert "Open a &lt;window&gt;." in page
    assert "<script" not in page
    assert "Too hot &lt;b&gt;on&lt;/b&gt; the roof" in page
    assert "http" not in re.sub(r'href="https://dash.example.org[^"]*"', "", page), "nothing is loaded from elsewhere"
    pictures = re.findall(r'src="cid:([^"]+)"', page)
    found = {part["Content-ID"].strip("<>"): part for part in mail.walk() if part["Content-ID"]}
    assert [found[cid].get_content() for cid in pictures] == [PNG]
    (attached,) = mail.iter_attachments()
    assert (attached.get_filename(), attached.get_content()) == ("the_report.pdf", b"%PDF-1.7")


def test_the_same_message_is_the_same_mail(post: Post) -> None:
    server = post.serve("none")
    made = sink(server.port, security="none")
    for _ in range(2):
        made.send(message(), post.reach())
    first, second = (mail for _, _, mail in server.received)
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Date"] == second["Date"]
    assert first.get_body(("html",)).get_content() == second.get_body(("html",)).get_content()  # type: ignore[union-attr]


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_for_another_name_is_refused(post: Post, security: str) -> None:
    server = post.serve(security, name="elsewhere.example.org")
    with pytest.raises(Transient, match=f"the certificate of {NAME} is not valid"):
        sink(server.port, security=security).send(message(), post.reach())
    assert not server.received


def test_what_is_not_encrypted_is_not_spoken_to_as_if_it_were(post: Post) -> None:
    server = post.serve("none")
    with pytest.raises(Transient, match="does not offer what is needed"):
        sink(server.port).send(message(), post.reach())
    with pytest.raises(Transient, match="no encrypted connection"):
        sink(server.port, security="tls").send(message(), post.reach())
    assert not server.received


def test_a_refused_login_and_a_lost_server_can_be_mended(post: Post) -> None:
    server = post.serve("starttls", login=True)
    with pytest.raises(Transient, match="refuses the log-in 535") as error:
        sink(server.port, username="dash", password="another one").send(message(), post.reach())
    assert "another one" not in f"{error.value.message} {error.value.extra}"
    post.running.pop().stop()
    with pytest.raises(Transient, match=f"no connection to {NAME}"):
        sink(server.port).send(message(), post.reach())


@pytest.mark.parametrize(
    ("receiver", "data", "kind"),
    [
        ("550 nobody here", "250 taken", Permanent),
        ("450 come back", "250 taken", Transient),
        ("250 ok", "552 too much", Permanent),
        ("250 ok", "451 not now", Transient),
    ],
)
def test_what_the_server_refuses(post: Post, receiver: str, data: str, kind: type[Exception]) -> None:
    server = post.serve("none")
    server.receiver, server.data = lambda address: receiver, data
    with pytest.raises(kind) as error:
        sink(server.port, security="none").send(message(), post.reach())
    assert type(error.value) is kind
    answer = error.value.extra["answer"]  # type: ignore[attr-defined]
    assert (receiver if data.startswith("250") else data).partition(" ")[2] in answer.response


def test_one_receiver_of_two_is_success_and_is_shown(post: Post) -> None:
    server = post.serve("none")
    server.receiver = lambda address: "550 nobody here" if address.startswith("kari") else "250 ok"
    answer = sink(server.port, security="none").send(message(), post.reach())
    assert "kari@example.org: 550 nobody here" in answer.response
    assert [receivers for _, receivers, _ in server.received] == [["ops@example.org"]]


def test_the_installation_s_own_server_may_stand_inside(post: Post) -> None:
    """Only for sinks that name none; nobody else reaches it by its address."""
    server = post.serve("tls")
    inside = post.reach(mail=f"smtps://{NAME}:{server.port}")
    closed = replace(inside, gate=replace(inside.gate, networks=()))
    sink(host="", port=None).send(message(), closed)
    assert len(server.received) == 1
    with pytest.raises(Permanent, match="address not allowed"):
        sink(server.port, security="tls").send(message(), closed)
    with pytest.raises(Transient, match="DASH_SMTP_URL"):
        sink(host="", port=None).send(message(), post.reach())


@pytest.mark.parametrize("broken", ["\r\nBcc: all@example.org", "\nX: y", "\r", "\x00", "\u2028", "\x85"])
def test_no_header_can_be_begun(post: Post, broken: str) -> None:
    server = post.serve("none")
    made = sink(server.port, security="none")
    for name in ("title", "origin", "id"):
        with pytest.raises(Permanent, match="line break"):
            made.send(replace(message(), **{name: f"harmless{broken}"}), post.reach())
    for place, value in (
        ("options.to[0]", {"to": [f"ops@example.org{broken}"]}),
        ("options.to[0]", {"to": [f"Ops{broken} <ops@example.org>"]}),
        ("options.from", {"from": f"dash@example.org{broken}"}),
        ("options.from", {"from": f"Dash{broken} <dash@example.org>"}),
        ("options.host", {"host": f"{NAME}{broken}"}),
        ("options.username", {"username": f"dash{broken}", "password": "x", "security": "tls"}),
    ):
        with pytest.raises(Invalid) as error:
            sink(**value)
        assert place in [where for where, _ in error.value.problems]
    assert not server.received


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("ops@example.org", True),
        ("Ops <ops@example.org>", True),
        ('"Ops, all of them" <ops+alerts@example.org>', True),
        ("ops@blåbær.example", True),
        ("ops@localhost", True),
        ("", False),
        ("ops", False),
        ("ops@", False),
        ("@example.org", False),
        ("ops@example.org, other@example.org", False),
        ("a@b@example.org", False),
        ("ops@exa mple.org", False),
        ("Ops <ops@example.org> <x@example.org>", False),
        ("ops@-example.org", False),
        ("Ops, all <ops@example.org>", False),
        ("o..ps@example.org", False),
        ("ops@example.org>", False),
        ("<ops@example.org", False),
        ("ops@" + "a" * 250 + ".org", False),
    ],
)
def test_addresses(text: str, right: bool) -> None:
    assert (wrong_address(text) == "") is right


def test_what_does_not_go_together_is_named() -> None:
    for options, place in (
        ({"security": "none", "username": "dash", "password": "x"}, "security"),
        ({"username": "dash"}, "password"),
        ({"host": "", "port": 25}, "port"),
        ({"to": []}, "to"),
        ({"to": ["ops@example.org"] * 51}, "to"),
    ):
        with pytest.raises(Invalid) as error:
            sink(**options)
        assert f"options.{place}" in [where for where, _ in error.value.problems]


def test_the_design_has_the_pages_colours() -> None:
    tokens = files("dash_app.assets").joinpath("tokens.css").read_text()
    page = files("dash_app.pipelines.sinks.mail").joinpath("mail.html").read_text()
    used = set(re.findall(r"#[0-9a-f]{6}\b", page))
    assert used <= set(re.findall(r"#[0-9a-f]{6}\b", tokens))
    assert len(used) > 20
