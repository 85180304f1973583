"""Messages to whatever apprise speaks to: Teams, Discord, PagerDuty, Telegram and a hundred more, by one URL each.

Apprise's plugins connect by themselves. They run in a process of their own (`apprise_process`), which reaches what
sinks may reach, and nothing else of the network or of this machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import param

from dash_app.domain.errors import Permanent, Transient
from dash_app.pipelines.reach import AddressNotAllowed, Reach
from dash_app.pipelines.sinks.apprise_process import PROCESSES
from dash_app.pipelines.sinks.base import Answer, Message, Sink
from dash_app.pipelines.sinks.cards import Card, Tone, card_of

MOST_BODY = 20_000
#: What goes along with a message, in bytes together.
FILES_BYTES = 8 << 20

_URL = re.compile(r"([a-z0-9][a-z0-9+.-]{1,30})://\S+", re.IGNORECASE)
_TYPES: Mapping[Tone, str] = {"ok": "success", "warn": "warning", "bad": "failure", "note": "info", "idle": "info"}

_MACHINE = "speaks to the machine that Dash runs on"
#: Services that are refused, and why.
REFUSED: Mapping[str, str] = {
    **dict.fromkeys(("dbus", "kde", "qt", "glib", "gio", "gnome", "macosx", "windows", "blink1", "syslog"), _MACHINE),
    **dict.fromkeys(("exec", "file", "memory", "script", "shell", "cmd"), _MACHINE),
    **dict.fromkeys(("rsyslog", "growl", "aprs", "smpp", "smpps"), "has a protocol that is not guarded"),
    **dict.fromkeys(("xmpp", "xmpps"), "needs a library that does not come with Dash"),
    "vapid": "reads its keys from files",
    **dict.fromkeys(("mailto", "mailtos"), "is e-mail: use the kind email"),
    **dict.fromkeys(("mqtt", "mqtts"), "is MQTT: use the kind mqtt"),
}


class AppriseSink(Sink):
    kind = "apprise"
    summary = "Each message through one of a hundred services that apprise knows, by its URL."
    secrets = frozenset({"url"})
    draws = True
    example: ClassVar[Mapping[str, Any]] = {"url": "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"}

    url = param.String(
        default="", doc="The service and what it needs, as apprise writes it: discord://id/token, tgram://bot/chat, …"
    )

    def problems(self) -> list[tuple[str, str]]:
        return [*super().problems(), *([("url", wrong)] if (wrong := wrong_service(self.url)) else [])]

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        return super().json_schema() | {"required": ["url"]}

    def send(self, message: Message, reach: Reach) -> Answer:
        card = card_of(message)
        files, size = [], 0
        for one in (*card.pictures, *card.files):
            size += len(one.data)
            if size <= FILES_BYTES:
                files.append(one)
        body = body_of(card, message)
        request = f"{scheme_of(self.url)}://•••\n{message.title}\n\n{body}"
        try:
            said = PROCESSES.send(
                reach,
                self.url,
                title=message.title or card.title,
                body=body,
                type=_TYPES[card.tone],
                files=files,
                timeout=float(self.timeout_seconds),
            )
        except Transient as error:
            error.extra = {**error.extra, "answer": Answer(0, request)}
            raise
        response = "\n".join(said.said)
        if said.sent:
            return Answer(0, request, response or f"{said.service} has taken it")
        answer = Answer(_status(response), request, response)
        if said.unknown:
            raise Permanent(
                f"apprise knows no service '{scheme_of(self.url)}', or its URL is incomplete", answer=answer
            )
        if said.not_allowed:
            raise AddressNotAllowed(said.refused, answer=answer)
        if said.refused:
            raise Transient(f"{said.service or 'the service'}: {said.refused}", answer=answer)
        raise Transient(
            f"{said.service or 'the service'} has not taken it: {response or 'no reason given'}", answer=answer
        )


def wrong_service(url: str) -> str:
    """What is wrong with a service's URL before apprise has seen it, or ''. It is a secret, and never repeated."""
    if not url:
        return "is missing: a service's URL, such as discord://id/token"
    if len(url) > 2000 or not url.isprintable() or not _URL.fullmatch(url):
        return "is no URL of a service, such as discord://id/token or tgram://bot/chat"
    scheme = scheme_of(url)
    if scheme in REFUSED:
        return f"{scheme}:// {REFUSED[scheme]}"
    return ""


def scheme_of(url: str) -> str:
    return url.partition("://")[0].lower()


def body_of(card: Card, message: Message) -> str:
    """The card as text: services make of it what they show."""
    lines = [" · ".join(part for part in (card.status, card.value) if part), card.text]
    lines += [f"{name}: {value}" for name, value in card.facts]
    if card.table:
        lines += [message.text]
    if card.link:
        lines += ["", card.link]
    text = "\n".join(line for line in lines if line or line == "").strip("\n")
    return text if len(text) <= MOST_BODY else f"{text[:MOST_BODY]}…"


def _status(text: str) -> int:
    found = re.search(r"error[=: ]+(\d{3})\b", text)
    return int(found[1]) if found else 0
