"""An RSS or Atom feed: each entry is a record, and comes once.

An entry is known by its id (by its link, where it has none), and is noted as taken together with the payload that
holds it: the new entries of one run, as NDJSON, oldest first. Whether the feed has changed at all is asked with its
ETag and Last-Modified.
"""

from __future__ import annotations

import calendar
import hashlib
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import feedparser
import httpx
import orjson
import param

from dash_app.domain.errors import Transient
from dash_app.pipelines.sources.asked_once import AskedOnce
from dash_app.pipelines.sources.base import Page
from dash_app.pipelines.sources.fetching import Fetched
from dash_app.pipelines.sources.outside import Outside

_ACCEPT = "application/atom+xml, application/rss+xml, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.5"
_MOST_TEXT = 200_000
_MOST_ENTRIES = 5_000


class NoFeed(Transient):
    """The answer is no feed."""


class Feed(AskedOnce):
    kind = "rss"
    summary = "An RSS or Atom feed, asked every so often; each entry becomes one record, once."
    example: ClassVar[Mapping[str, Any]] = {"url": "https://news.example.org/feed.xml"}

    updated: Any = param.Selector(
        default="ignore",
        objects=["ignore", "again"],
        doc="Whether an entry that was taken and has a later date of change by now is ignored or taken again.",
    )

    def pages(self, cursor: Mapping[str, Any] | None, client: httpx.Client, now: datetime) -> Iterator[Page]:
        return self.fetch(cursor, Outside(client), now)

    def fetch(self, cursor: Mapping[str, Any] | None, outside: Outside, now: datetime) -> Iterator[Page]:
        print_of = hashlib.sha256(orjson.dumps([self.url, self.updated])).hexdigest()[:16]
        known = cursor or {}
        conditions = known.get("validators", {}) if known.get("options") == print_of else {}
        fetched = self.ask(outside.client, now, accept=_ACCEPT, conditions=conditions)
        if fetched.body is None:
            return
        entries = self._entries(fetched.body, fetched.headers.get("content-type", ""))
        new = set(outside.unseen(list(entries)))
        marks = [mark for mark in reversed(entries) if mark in new]
        after = {"options": print_of, "validators": _validators(fetched)}
        bodies, groups = self._bodies([(mark, orjson.dumps(entries[mark])) for mark in marks])
        for number, (body, taken) in enumerate(zip(bodies, groups, strict=True)):
            last = number + 1 == len(bodies)
            # Only with all of its entries is the feed one that need not be asked for again.
            yield Page(body, "application/x-ndjson", self.shown, cursor=after if last else known, last=last, seen=taken)
        if not bodies and after != known:
            yield Page(b"", "", self.shown, cursor=after)

    def _bodies(self, lines: list[tuple[str, bytes]]) -> tuple[list[bytes], list[list[str]]]:
        """Lines in payloads that are not too large, and what each takes."""
        bodies: list[list[bytes]] = []
        groups: list[list[str]] = []
        size = 0
        for mark, line in lines:
            if not bodies or size + len(line) + 1 > self.max_bytes:
                bodies.append([])
                groups.append([])
                size = 0
            bodies[-1].append(line)
            groups[-1].append(mark)
            size += len(line) + 1
        return [b"\n".join(one) for one in bodies], groups

    def _entries(self, body: bytes, content_type: str) -> dict[str, dict[str, Any]]:
        """Records by what they are known by, in the order of the feed, which is newest first."""
        # As a stream: given bytes, the library would first try to open a file of that name.
        found = feedparser.parse(io.BytesIO(body), response_headers={"content-type": content_type})
        if not found.version and not found.entries:
            reason = f": {str(found.bozo_exception)[:200]}" if found.get("bozo_exception") else ""
            raise NoFeed(f"GET {self.shown}: neither RSS nor Atom{reason}")
        about = {"title": _text(found.feed.get("title")), "link": _text(found.feed.get("link"))}
        records: dict[str, dict[str, Any]] = {}
        for entry in found.entries[:_MOST_ENTRIES]:
            record = _record(entry) | {"feed": about}
            mark = record["id"] or record["link"] or hashlib.sha256(orjson.dumps(record)).hexdigest()
            if self.updated == "again" and record["updated"]:
                mark = f"{mark}\n{record['updated']}"
            records.setdefault(mark, record)
        return records


def _validators(fetched: Fetched) -> dict[str, str]:
    """Headers that ask whether the feed is still the one that was answered."""
    pairs = (("if-none-match", "etag"), ("if-modified-since", "last-modified"))
    found = {ask: fetched.headers.get(said, "") for ask, said in pairs}
    return {
        ask: value for ask, value in found.items() if 0 < len(value) <= 1000 and value.isascii() and value.isprintable()
    }


def _record(entry: Any) -> dict[str, Any]:
    return {
        "id": _text(entry.get("id")),
        "title": _text(entry.get("title")),
        "link": _text(entry.get("link")),
        "summary": _text(entry.get("summary")),
        "content": _text(" ".join(str(one.get("value", "")) for one in entry.get("content", ())) or None),
        "author": _text(entry.get("author")),
        "categories": [text for one in entry.get("tags", ())[:100] if (text := _text(one.get("term")))],
        "enclosures": [text for one in entry.get("enclosures", ())[:100] if (text := _text(one.get("href")))],
        "published": _time(entry.get("published_parsed")),
        # The entry's own: the library would answer with the time of publication where there is none.
        "updated": _time(dict.get(entry, "updated_parsed")),
    }


def _text(value: Any) -> str | None:
    return str(value)[:_MOST_TEXT].encode("utf-8", "replace").decode() if value else None


def _time(value: Any) -> str | None:
    """A time that the library has read, which is in UTC."""
    try:
        return datetime.fromtimestamp(calendar.timegm(value), UTC).isoformat() if value else None
    except (ValueError, OverflowError, TypeError):
        return None
