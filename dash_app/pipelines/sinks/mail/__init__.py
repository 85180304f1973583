"""Messages as e-mail: one card laid out as text and as HTML, with its pictures in the text and its files beside it.

Headers are made here from checked values alone: whatever a subject, a name or an address holds, none of it can begin a
header of its own.
"""

from __future__ import annotations

import re
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from dash_app.domain.errors import Permanent
from dash_app.pipelines.sinks.base import File, Message
from dash_app.pipelines.sinks.cards import Card, card_of

MOST_SUBJECT = 200
_FILE = re.compile(r"[^A-Za-z0-9._-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]")


def mail_of(message: Message, sender: Address, receivers: list[Address]) -> EmailMessage:
    """The mail of a message, the same at every attempt. Raises Permanent where its headers cannot be made."""
    card = card_of(message)
    mail = EmailMessage(policy=SMTP)
    for name, value in (("title", message.title), ("origin", message.origin), ("id", message.id)):
        if _CONTROL.search(value):
            raise Permanent(f"the {name} of this message holds a line break or another control character")
    mail["From"] = sender
    mail["To"] = receivers
    mail["Subject"] = subject_of(message, card)
    mail["Date"] = format_datetime(message.at)
    mail["Message-ID"] = f"<{message.id}@{sender.domain or 'dash.invalid'}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    mail.set_content(text_of(card, message))
    pictures = [(one, f"picture-{n}.{message.id}@dash") for n, one in enumerate(card.pictures)]
    mail.add_alternative(html_of(card, message, [cid for _, cid in pictures]), subtype="html")
    html = mail.get_payload()[1]  # type: ignore[index]
    for one, cid in pictures:
        html.add_related(  # type: ignore[union-attr]
            one.data, maintype="image", subtype="png", cid=f"<{cid}>", filename=name_of(one), disposition="inline"
        )
    for one in card.files:
        maintype, _, subtype = one.content_type.partition(";")[0].partition("/")
        mail.add_attachment(one.data, maintype=maintype, subtype=subtype or "octet-stream", filename=name_of(one))
    return mail


def subject_of(message: Message, card: Card) -> str:
    """'[Firing · critical] Too hot (site = roof)'"""
    title = message.title or card.title
    return title if len(title) <= MOST_SUBJECT else f"{title[: MOST_SUBJECT - 1]}…"


def name_of(file: File) -> str:
    """A file's name that is one everywhere."""
    return _FILE.sub("_", file.name).strip("._")[:100] or "file"


def text_of(card: Card, message: Message) -> str:
    """The mail for those who read text."""
    lines = [card.title, ""]
    if card.status or card.value:
        lines += ["   ".join(part for part in (card.status, card.value) if part), ""]
    if card.text:
        lines += [card.text, ""]
    if card.facts:
        width = max(len(name) for name, _ in card.facts)
        lines += [*(f"{name.ljust(width)}  {value}" for name, value in card.facts), ""]
    if card.table:
        rows = [list(card.table.columns), *map(list, card.table.rows)]
        widths = [max(len(row[n]) for row in rows) for n in range(len(card.table.columns))]
        for row in rows:
            cells = (
                cell.rjust(width) if n in card.table.numeric else cell.ljust(width)
                for n, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            lines.append("  ".join(cells).rstrip())
        lines += [f"… and {card.table.more:,} more" if card.table.more else "", ""]
    if card.link:
        lines += [f"{card.link_text}: {card.link}", ""]
    lines += ["-- ", footer_of(card, message)]
    return "\n".join(lines) + "\n"


def html_of(card: Card, message: Message, pictures: list[str]) -> str:
    """The mail for everybody else; `pictures`: the content ids under which its pictures come."""
    return _template().render(
        card=card,
        pictures=pictures,
        footer=footer_of(card, message),
        # What stands in the list of mails behind the subject.
        preview=" ".join(" ".join((card.status, card.value, card.text)).split())[:140],
        paragraphs=[part for part in card.text.split("\n\n") if part.strip()],
    )


def footer_of(card: Card, message: Message) -> str:
    team = f" of {message.team}" if message.team else ""
    return f"Sent by Dash: {card.source}{team} · {_stamp(message.at)} · {message.id}"


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M %Z")


@cache
def _template():  # type: ignore[no-untyped-def]
    source = files("dash_app.pipelines.sinks.mail").joinpath("mail.html").read_text(encoding="utf-8")
    made = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return made.from_string(source)
