"""A query that is asked of a PostgreSQL database every so often; each page of new rows is a payload of NDJSON.

With a cursor column the rows come in its order, each once: those that share a value come together, and the next page
begins behind it. Rows that are committed later with a smaller value are not seen; where the column is a time,
`settle_seconds` leaves the newest rows to the next run, so that transactions as long as that are waited for. Without a
column every run stores all rows, as polling a URL does.

The query runs in a read-only transaction, with a time limit. What the role that logs in may read is the database's say.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar

import httpx
import param

from dash_app.pipelines.postgres_options import PostgresOptions
from dash_app.pipelines.reach import Reach
from dash_app.pipelines.sources.base import MIB, Page, PollSource
from dash_app.pipelines.sources.outside import Outside
from dash_app.storage.outside_postgres import read_page

_MOST_QUERY = 20_000


class Postgres(PostgresOptions, PollSource):
    kind = "postgres"
    summary = "A query of a PostgreSQL database, asked every so often; new rows become payloads."
    secrets = frozenset({"password"})
    example: ClassVar[Mapping[str, Any]] = {
        "host": "db.example.org",
        "database": "shop",
        "user": "dash_reader",
        "query": "SELECT id, customer, total, created_at FROM orders",
        "cursor_column": "id",
    }

    shapes: ClassVar[Mapping[str, Mapping[str, Any]]] = {**PostgresOptions.shapes, "query": {"format": "sql"}}

    query = param.String(default="", doc="A SELECT without a semicolon at its end; its columns become the record's.")
    cursor_column = param.String(
        default="", doc="A column of the query that grows with each new row; empty: all rows at every run."
    )
    initial_value = param.String(default="", doc="The value of the column to begin after; empty: at the first row.")
    settle_seconds = param.Integer(
        default=0,
        bounds=(0, 86_400),
        doc="Where the column is a time: rows younger than so many seconds are left to a later run.",
    )
    page_size = param.Integer(default=1000, bounds=(1, 10_000), doc="Rows read at a time; each page is a payload.")
    max_pages = param.Integer(
        default=100, bounds=(1, 10_000), doc="Pages read in one run; the next run goes on where it stopped."
    )
    timeout_seconds = param.Number(default=30, bounds=(1, 300), doc="Seconds that a statement may take.")

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems() + self.connection_problems()
        text = self.query.strip()
        if not text:
            found.append(("query", "is missing: a SELECT"))
        elif len(text) > _MOST_QUERY or "\x00" in text:
            found.append(("query", f"has more than {_MOST_QUERY:,} characters, or a zero byte"))
        elif text.rstrip().endswith(";"):
            found.append(("query", "ends in a semicolon; it becomes a part of another query, and has none"))
        elif not text.lower().startswith(("select", "with", "table", "values", "(", "--", "/*")):
            found.append(("query", "does not begin with SELECT (or WITH, TABLE, VALUES)"))
        if len(self.cursor_column.encode()) > 63 or "\x00" in self.cursor_column:
            found.append(("cursor_column", "is no column's name"))
        for option in ("initial_value", "settle_seconds"):
            if getattr(self, option) and not self.cursor_column:
                found.append((option, "means nothing without cursor_column"))
        return found

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        return super().json_schema() | {"required": ["host", "database", "user", "query"]}

    def pages(self, cursor: Mapping[str, Any] | None, client: httpx.Client, now: datetime) -> Iterator[Page]:
        return self.fetch(cursor, Outside(client, Reach()), now)

    def fetch(self, cursor: Mapping[str, Any] | None, outside: Outside, now: datetime) -> Iterator[Page]:
        print_of = self._fingerprint()
        after: str | None = self.initial_value or None
        if cursor and cursor.get("options") == print_of:
            after = cursor.get("after", after)
        target = self.target(outside.reach, float(self.timeout_seconds))
        url = f"postgresql://{self.host}:{self.port}/{self.database}"
        for number in range(self.max_pages):
            rows = read_page(
                target,
                self.query,
                self.cursor_column,
                after,
                page_size=self.page_size,
                settle_seconds=self.settle_seconds,
                bytes_about=min(MIB, self.max_bytes),
                most=self.max_bytes,
            )
            if not rows.count:
                return
            after = rows.last if self.cursor_column else None
            last = not rows.more or number + 1 == self.max_pages
            yield Page(rows.lines, "application/x-ndjson", url, cursor={"options": print_of, "after": after}, last=last)
            if last:
                return

    def _fingerprint(self) -> str:
        parts = [self.host, self.port, self.database, self.query, self.cursor_column, self.initial_value]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
