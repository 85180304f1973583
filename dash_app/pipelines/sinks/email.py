"""Messages as e-mail, over SMTP: HTML and text, pictures of charts in the text, files attached.

The connection goes through the one way out, is encrypted unless somebody has chosen otherwise, and its certificate is
verified against the server's name. A log-in is never sent over a connection that is not encrypted.
"""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import parseaddr
from typing import Any, ClassVar, NoReturn
from urllib.parse import unquote, urlsplit

import param

from dash_app.domain.errors import Permanent, Transient
from dash_app.pipelines.reach import Reach
from dash_app.pipelines.sinks.base import Answer, Message, Sink
from dash_app.pipelines.sinks.mail import mail_of

MOST_RECEIVERS = 50
#: What is read of one answer of the server, in bytes.
MOST_REPLY = 64 << 10

_HOST = re.compile(r"\[?[A-Za-z0-9]([A-Za-z0-9.:_-]{0,253}[A-Za-z0-9])?\]?|[0-9A-Fa-f:.]+")
_LOCAL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}")
_DOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,62})(\.[a-z0-9]([a-z0-9-]{0,62}))*")
_PORTS = {"starttls": 587, "tls": 465, "none": 25}


class EmailSink(Sink):
    kind = "email"
    summary = "Each message as an e-mail, with its chart in the text and its files attached."
    secrets = frozenset({"password"})
    draws = True
    example: ClassVar[Mapping[str, Any]] = {
        "host": "smtp.example.org",
        "username": "dash",
        "password": "a long password",
        "from": "Dash <dash@example.org>",
        "to": ["ops@example.org", "Kari Nordmann <kari@example.org>"],
    }

    host = param.String(default="", doc="The mail server's name. Left out: the one that this installation has.")
    port = param.Integer(
        default=None, allow_None=True, bounds=(1, 65535), doc="Its port; left out: 587, or 465 where security is tls."
    )
    security: Any = param.Selector(
        default="starttls",
        objects=["starttls", "tls", "none"],
        doc="starttls: encrypted before anything is said (port 587). tls: encrypted from the first byte (port 465). "
        "none: readable by everybody on the way.",
    )
    username = param.String(default="", doc="The log-in, where the server asks for one.")
    password = param.String(default="", doc="Its password.")
    # A keyword in Python, and the word that everybody knows.
    vars()["from"] = param.String(default="", doc="The sender: an address, or a name and an address in <>.")
    to = param.List(default=[], item_type=str, doc="The receivers: addresses, or names with addresses in <>.")

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        if self.host and not _HOST.fullmatch(self.host):
            found.append(("host", "is no name of a server, such as smtp.example.org"))
        if not self.host:
            found += [
                (name, "belongs to a host, and there is none")
                for name in ("port", "username", "password")
                if getattr(self, name)
            ]
        if bool(self.username) != bool(self.password):
            found.append(("username" if self.password else "password", "is missing: a log-in has both"))
        if not all(value.isprintable() for value in (self.username, self.password)):
            found.append(("username", "username and password are printable texts"))
        if self.security == "none" and self.password:
            found.append(("security", "is none, and a password is sent over encrypted connections alone"))
        found += [("from", wrong)] if (wrong := wrong_address(getattr(self, "from"))) else []
        if not self.to:
            found.append(("to", "is missing: at least one address"))
        if len(self.to) > MOST_RECEIVERS:
            found.append(("to", f"at most {MOST_RECEIVERS} addresses; a mailing list takes more"))
        found += [(f"to[{n}]", wrong) for n, one in enumerate(self.to) if (wrong := wrong_address(one))]
        return found

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        return super().json_schema() | {"required": ["from", "to"]}

    def send(self, message: Message, reach: Reach) -> Answer:
        server = self._server(reach)
        sender = address_of(getattr(self, "from"))
        mail = mail_of(message, sender, [address_of(one) for one in self.to])
        receivers = [address_of(one).addr_spec for one in self.to]
        content = mail.as_bytes()
        request = _shown(server, mail, len(content))
        try:
            with _Connection(server, reach, float(self.timeout_seconds), sender.domain) as smtp:
                smtp.begin()
                refused = smtp.sendmail(sender.addr_spec, receivers, content)
        except smtplib.SMTPException as error:
            _raise(server.host, error, request)
        except ssl.SSLCertVerificationError as error:
            said = f"the certificate of {server.host} is not valid for this name, or of nobody known"
            raise Transient(said, answer=Answer(0, request)) from error
        except ssl.SSLError as error:
            said = f"no encrypted connection to {server.host}; is '{server.security}' right for port {server.port}?"
            raise Transient(said, answer=Answer(0, request)) from error
        except OSError as error:
            said = "no answer in time" if isinstance(error, TimeoutError) else "the connection broke"
            raise Transient(f"{server.host}: {said}", answer=Answer(0, request)) from error
        response = "250 accepted"
        for receiver, (code, text) in refused.items():
            response += f"\n{receiver}: {code} {_text(text)}"
        return Answer(250, request, response)

    def _server(self, reach: Reach) -> Server:
        if self.host:
            port = self.port or _PORTS[self.security]
            return Server(self.host.strip("[]"), port, self.security, self.username, self.password)
        if reach.mail is None:
            raise Transient("there is no mail server: give this sink a host, or the installation DASH_SMTP_URL")
        return server_of(reach.mail)


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server. `ours`: it belongs to the installation, and may stand in its own network."""

    host: str
    port: int
    security: str
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    ours: bool = False


def server_of(url: str) -> Server:
    """The mail server of `smtp://user:password@host:587` (encrypted by STARTTLS where it is offered, and always before
    a log-in) or `smtps://…:465`."""
    parts = urlsplit(url)
    security = "tls" if parts.scheme == "smtps" else "offered"
    port = parts.port or _PORTS["tls" if parts.scheme == "smtps" else "starttls"]
    return Server(
        parts.hostname or "",
        port,
        security,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        ours=True,
    )


class _Bounded:
    """The server's side of the connection, of which one answer may not be long."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.left = MOST_REPLY

    def readline(self, size: int = -1) -> bytes:
        line: bytes = self._file.readline(size)
        self.left -= len(line)
        if self.left < 0:
            raise smtplib.SMTPServerDisconnected("the server's answer is too long")
        return line

    def close(self) -> None:
        self._file.close()


class _Connection(smtplib.SMTP):
    """SMTP over a socket that was connected through the one way out."""

    def __init__(self, server: Server, reach: Reach, timeout: float, name: str) -> None:
        # The name that we give: the sender's domain, and nothing of the machine.
        super().__init__(local_hostname=name or "localhost", timeout=timeout)
        self._server = server
        allow = frozenset({(server.host, server.port)}) if server.ours else frozenset()
        self._reach = Reach(replace(reach.gate, allow=reach.gate.allow | allow), reach.tls)

    def begin(self) -> None:
        """Connected, encrypted, logged in."""
        server = self._server
        self.connect(server.host, server.port)
        self.ehlo_or_helo_if_needed()
        if server.security == "starttls" or (
            server.security == "offered" and (self.has_extn("starttls") or server.password)
        ):
            self._host = server.host
            self.starttls(context=self._reach.tls_context())
            self.ehlo_or_helo_if_needed()
        if server.username:
            self.login(server.username, server.password)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        made = self._reach.connect(host, port, timeout)
        if self._server.security != "tls":
            return made
        try:
            return self._reach.tls_context().wrap_socket(made, server_hostname=host)
        except BaseException:
            made.close()
            raise

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:
            self.file = _Bounded(self.sock.makefile("rb"))
        if isinstance(self.file, _Bounded):
            self.file.left = MOST_REPLY
        return super().getreply()


# Addresses -----------------------------------------------------------------------------------------------------------


def address_of(text: str) -> Address:
    """'Kari <kari@example.org>' as an address whose domain is ASCII."""
    name, spec = parseaddr(text)
    local, _, domain = spec.rpartition("@")
    return Address(display_name=name, username=local, domain=_ascii(domain))


def wrong_address(text: Any) -> str:
    """What is wrong with a sender or receiver, or ''."""
    if not isinstance(text, str) or not text:
        return "is missing: an address such as ops@example.org"
    if not text.isprintable() or len(text) > 320:
        return "holds a line break or another character that no address has, or is too long"
    name, spec = parseaddr(text)
    local, _, domain = spec.rpartition("@")
    plain = text.strip() in (spec, f"<{spec}>") or text.rstrip().endswith(f"<{spec}>")
    if not plain or text.count("<") > 1 or ("," in name and not text.lstrip().startswith('"')):
        return "is not one address, such as ops@example.org or Ops <ops@example.org>"
    if not _LOCAL.fullmatch(local) or local.startswith(".") or local.endswith(".") or ".." in local:
        return "is no e-mail address, such as ops@example.org"
    try:
        domain = _ascii(domain)
    except UnicodeError:
        domain = ""
    return "" if _DOMAIN.fullmatch(domain) else "has no domain that mail can be sent to, such as example.org"


def _ascii(domain: str) -> str:
    return domain.lower() if domain.isascii() else domain.encode("idna").decode()


# What happened -------------------------------------------------------------------------------------------------------


def _shown(server: Server, mail: EmailMessage, size: int) -> str:
    first = "the installation's mail server" if server.ours else f"{server.host} port {server.port}, {server.security}"
    lines = [f"{name}: {mail[name]}" for name in ("From", "To", "Subject", "Message-ID")]
    text = mail.get_body(("plain",))
    shown = text.get_content() if text is not None else ""
    return "\n".join([first, *lines, f"({size:,} bytes)", "", shown])


def _text(reply: Any) -> str:
    return (reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply))[:500]


def _raise(host: str, error: smtplib.SMTPException, request: str) -> NoReturn:
    """What an answer of the server means: what is wrong with this one message will not be better, the rest may be."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        said = "\n".join(f"{who}: {code} {_text(text)}" for who, (code, text) in error.recipients.items())
        codes = [code for code, _ in error.recipients.values()]
        kind = Permanent if all(500 <= code < 600 for code in codes) else Transient
        raise kind(f"{host} takes none of the receivers", answer=Answer(codes[0], request, said)) from error
    if isinstance(error, smtplib.SMTPResponseException):
        code, said = error.smtp_code, f"{error.smtp_code} {_text(error.smtp_error)}"
        what = "refuses the log-in" if isinstance(error, smtplib.SMTPAuthenticationError) else "answered"
        refused = isinstance(error, smtplib.SMTPDataError) and 500 <= code < 600
        kind = Permanent if refused else Transient
        raise kind(f"{host} {what} {said}"[:600], answer=Answer(max(code, 0), request, said)) from error
    if isinstance(error, smtplib.SMTPNotSupportedError):
        raise Transient(
            f"{host} does not offer what is needed: {str(error)[:200]}", answer=Answer(0, request)
        ) from error
    raise Transient(f"{host} ended the connection", answer=Answer(0, request)) from error
