"""Messages in Slack: through an incoming webhook, or through a bot, which can bring pictures and files along.

What comes from records is text: `<!channel>`, `<@…>` and links cannot be made of it, since their brackets are escaped.
Mattermost and Rocket.Chat take the same webhooks.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import httpx
import orjson
import param

from dash_app.domain.errors import Permanent, Transient
from dash_app.pipelines.reach import Reach
from dash_app.pipelines.reach.urls import wrong_url
from dash_app.pipelines.sinks.base import Answer, File, Gone, Message, Sink
from dash_app.pipelines.sinks.cards import Card, Table, Tone, card_of
from dash_app.pipelines.sinks.posting import post
from dash_app.pipelines.sources.fetching import retry_after

#: Slack's own bounds: of a section's text, of a header, of a field, and of fields in a section.
MOST_SECTION = 3000
MOST_HEADER = 150
MOST_FIELD = 2000
MOST_FIELDS = 10
#: What is read of an answer of the API, in bytes.
MOST_ANSWER = 1 << 20

_CHANNEL = re.compile(r"[#@]?[A-Za-z0-9._-]{1,80}|#?[^\s<>&]{1,80}")
_COLORS: Mapping[Tone, str] = {
    "ok": "#2b9a66",
    "warn": "#c08400",
    "bad": "#d13c31",
    "note": "#7c57d1",
    "idle": "#868e9b",
}
#: Answers after which this message will not be taken, and after which none will.
_NEVER = frozenset({"msg_too_long", "invalid_blocks", "invalid_blocks_format", "no_text", "too_many_attachments"})
_GONE = frozenset({"account_inactive", "token_revoked", "org_login_required", "ekm_access_denied"})


class SlackSink(Sink):
    kind = "slack"
    summary = "Each message in a Slack channel; with a bot token, its chart and files too."
    secrets = frozenset({"url", "token"})
    draws = True
    example: ClassVar[Mapping[str, Any]] = {"url": "https://hooks.slack.com/services/T000/B000/XXXX"}

    url = param.String(default="", doc="The URL of an incoming webhook, which says the channel. Or:")
    token = param.String(default="", doc="A bot's token (xoxb-…), with the scopes chat:write and files:write.")
    channel = param.String(default="", doc="With a token: the channel's id or name, where the bot is a member.")
    api_url = param.String(
        default="https://slack.com/api", doc="With a token: where Slack's API is; another one for GovSlack."
    )

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        if bool(self.url) == bool(self.token):
            found.append(("url", "either the URL of a webhook or a bot's token is needed"))
        if self.url and (wrong := wrong_url(self.url, ("https", "http"))):
            found.append(("url", wrong))
        if self.token and not re.fullmatch(r"[A-Za-z0-9-]{10,300}", self.token):
            found.append(("token", "is no token of Slack's, such as xoxb-…"))
        if bool(self.channel) != bool(self.token):
            found.append(("channel", "is missing: the bot must know where" if self.token else "goes with a token"))
        elif self.channel and not _CHANNEL.fullmatch(self.channel):
            found.append(("channel", "is no channel's id or name, such as C0123456789 or #ops"))
        if wrong := wrong_url(self.api_url, ("https", "http")):
            found.append(("api_url", wrong))
        return found

    def send(self, message: Message, reach: Reach) -> Answer:
        card = card_of(message)
        content = layout(card, message, files_come=bool(self.token))
        if not self.token:
            return post(
                reach,
                "POST",
                self.url,
                headers={"content-type": "application/json; charset=utf-8"},
                content=orjson.dumps(content),
                timeout=float(self.timeout_seconds),
                shown_url=f"{httpx.URL(self.url).copy_with(raw_path=b'/')}…",
            )
        with _Api(self.api_url, self.token, reach, float(self.timeout_seconds)) as api:
            # Files first: until they are completed nobody sees them, so that another try doubles nothing.
            kept = [(api.upload(one), one) for one in (*card.pictures, *card.files)]
            said = api.call("chat.postMessage", {"channel": self.channel, **content})
            where = said.get("channel"), said.get("ts")
            shown = f"posted to {str(where[0])[:40]} at {str(where[1])[:40]}"
            if kept:
                listed = [{"id": id, "title": one.name} for id, one in kept]
                try:
                    done = {"files": listed, "channel_id": where[0], "thread_ts": where[1]}
                    api.call("files.completeUploadExternal", done)
                    shown += f", with {len(kept)} files"
                except (Transient, Permanent) as error:
                    # The message is there; sending it again would say it twice.
                    shown += f"; its files are missing: {error.message}"
        request = f"POST {self.api_url}/chat.postMessage\n\n{orjson.dumps(content).decode()[:2000]}"
        return Answer(200, request, shown)


class _Api:
    """Slack's API through the one way out; all calls together have `timeout` seconds."""

    def __init__(self, base: str, token: str, reach: Reach, timeout: float) -> None:
        self._base = base.rstrip("/")
        self._headers = {"authorization": f"Bearer {token}"}
        self._client = reach.client(timeout)
        self._timeout = timeout
        self._until = time.monotonic() + timeout

    def __enter__(self) -> _Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def call(self, method: str, body: Mapping[str, Any], *, form: bool = False) -> dict[str, Any]:
        """What a method answers. Raises Transient, Permanent, Gone."""
        content: dict[str, Any] = {"data": dict(body)} if form else {"json": dict(body)}
        request = self._client.build_request("POST", f"{self._base}/{method}", headers=self._headers, **content)
        text = self._send(request, method)
        try:
            said = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise Transient(f"Slack's answer to {method} is no JSON") from error
        if not isinstance(said, dict) or said.get("ok") is not True:
            problem = str(said.get("error", "unknown") if isinstance(said, dict) else "unknown")[:100]
            kind = Gone if problem in _GONE else Permanent if problem in _NEVER else Transient
            raise kind(f"Slack refuses {method}: {problem}", answer=Answer(200, f"POST {self._base}/{method}", problem))
        return said

    def upload(self, file: File) -> str:
        """Brings a file to where Slack wants it, and answers its id; nobody sees it yet."""
        asked = {"filename": file.name[:200], "length": str(len(file.data))}
        place = self.call("files.getUploadURLExternal", asked, form=True)
        url, id = str(place.get("upload_url", "")), str(place.get("file_id", ""))
        if wrong_url(url, ("https", "http")):
            raise Transient("Slack named no place to upload to")
        request = self._client.build_request(
            "POST", url, content=file.data, headers={"content-type": file.content_type}
        )
        self._send(request, "the upload")
        return id

    def _send(self, request: httpx.Request, what: str) -> bytes:
        left = self._until - time.monotonic()
        if left <= 0:
            # What is said after that would be said twice: the message counts as not sent.
            raise Transient(f"no time was left for {what}: {self._timeout:g} s are over")
        request.extensions["timeout"] = httpx.Timeout(left).as_dict()
        try:
            response = self._client.send(request, stream=True, follow_redirects=False)
            try:
                text = b""
                for piece in response.iter_bytes():
                    text += piece
                    if len(text) > MOST_ANSWER:
                        raise Transient(f"Slack's answer to {what} is too long")
            finally:
                response.close()
        except httpx.HTTPError as error:
            raise Transient(f"no answer to {what} ({type(error).__name__})") from error
        if not response.is_success:
            asked = retry_after(response.headers.get("retry-after"), datetime.now(UTC))
            raise Transient(
                f"Slack answered {what} with {response.status_code}",
                retry_after=asked,
                answer=Answer(response.status_code, f"POST {request.url.copy_with(query=None)}", _shown(text)),
            )
        return text


def _shown(text: bytes) -> str:
    return text[:2000].decode("utf-8", "replace")


# Layout --------------------------------------------------------------------------------------------------------------


def layout(card: Card, message: Message, *, files_come: bool) -> dict[str, Any]:
    """The message as blocks behind a stripe of its tone, with a line for notifications."""
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": cut(plain(card.title), MOST_HEADER), "emoji": False}}
    ]
    first = " · ".join(f"*{escaped(part)}*" for part in (card.status, card.value) if part)
    body = "\n\n".join(part for part in (first, escaped(card.text)) if part)
    if body:
        blocks.append(_section(body))
    facts = [f"*{escaped(name)}*\n{escaped(value)}" for name, value in card.facts]
    for begin in range(0, len(facts), MOST_FIELDS):
        fields = [
            {"type": "mrkdwn", "text": cut(one, MOST_FIELD), "verbatim": True} for one in facts[begin:][:MOST_FIELDS]
        ]
        blocks.append({"type": "section", "fields": fields})
    if card.table:
        blocks.append(_section(_listed(card.table)))
    if card.link:
        button = {"type": "button", "text": {"type": "plain_text", "text": card.link_text}, "url": card.link[:3000]}
        blocks.append({"type": "actions", "elements": [button]})
    footer = f"Dash: {card.source} · {message.id}"
    left = (*card.pictures, *card.files)
    if left and not files_come:
        names = ", ".join(one.name for one in left)
        footer += f" · {names} would come through a bot token"
    blocks.append(
        {"type": "context", "elements": [{"type": "mrkdwn", "text": cut(escaped(footer), 2000), "verbatim": True}]}
    )
    line = " ".join(part for part in (card.status, card.value) if part)
    title = message.title or card.title
    return {
        "text": cut(escaped(f"{title} – {line}" if line and line not in title else title), 1000),
        "attachments": [{"color": _COLORS[card.tone], "blocks": blocks, "fallback": cut(escaped(title), 1000)}],
        "unfurl_links": False,
        "unfurl_media": False,
    }


def _section(text: str) -> dict[str, Any]:
    # Verbatim: names with @ and # and bare addresses are left as they are.
    return {"type": "section", "text": {"type": "mrkdwn", "text": cut(text, MOST_SECTION), "verbatim": True}}


def _listed(table: Table) -> str:
    """A table in letters of one width, as many rows as there is room for."""
    rows = [[_short(cell) for cell in row] for row in (table.columns, *table.rows)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(table.columns))]
    lines: list[str] = []
    room = MOST_SECTION - 60
    for row in rows:
        line = _line(row, widths, table.numeric)
        if len(line) + 1 > room:
            break
        room -= len(line) + 1
        lines.append(line)
    left = table.more + len(rows) - len(lines)
    return "```" + "\n".join(lines) + "```" + (f"\nand {left:,} more" if left else "")


def _line(row: Sequence[str], widths: Sequence[int], numeric: frozenset[int]) -> str:
    cells = (
        cell.rjust(width) if n in numeric else cell.ljust(width)
        for n, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return escaped("  ".join(cells).rstrip())


def _short(cell: str) -> str:
    text = " ".join(cell.split()).replace("```", "'''")
    return text if len(text) <= 40 else f"{text[:39]}…"


def escaped(text: str) -> str:
    """Text in which Slack sees no mention, no command and no link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def plain(text: str) -> str:
    """Text for where nothing is read into it, nor unescaped: its brackets look like brackets, and are none."""
    return text.replace("<", "‹").replace(">", "›")


def cut(text: str, most: int) -> str:
    """Text of at most so many characters, never ended in the middle of an escape."""
    if len(text) <= most:
        return text
    kept = text[: most - 1]
    begun = kept.rfind("&")
    if begun >= 0 and ";" not in kept[begun:] and len(kept) - begun < 6:
        kept = kept[:begun]
    return f"{kept}…"
