"""Records as rows of a PostgreSQL table.

Each field goes into the column of its name, and the database turns it into the column's type. A row is known by the id
of its message and its place in it (`_message_id`, `_message_index`): a message that is sent again finds its rows there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import param

from dash_app.domain.errors import Permanent
from dash_app.pipelines.postgres_options import PostgresOptions
from dash_app.pipelines.reach import Reach
from dash_app.pipelines.sinks.base import Answer, Message, Sink
from dash_app.storage.outside_postgres import Table, write_records

_NAME = re.compile(r"[^\x00-\x1f\".]{1,63}")


class PostgresSink(PostgresOptions, Sink):
    kind = "postgres"
    summary = "Records as rows of a PostgreSQL table."
    tells_people = False
    batches = True
    secrets = frozenset({"password"})
    example: ClassVar[Mapping[str, Any]] = {
        "host": "db.example.org",
        "database": "warehouse",
        "user": "dash_writer",
        "table": "public.measurements",
        "create_table": True,
    }

    table = param.String(default="", doc="The table, with its schema: public.measurements.")
    create_table = param.Boolean(
        default=False, doc="Whether the table, and columns that it lacks, are made by the first record that needs them."
    )

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems() + self.connection_problems()
        parts = self.table.split(".")
        if not self.table:
            found.append(("table", "is missing: a table such as public.measurements"))
        elif len(parts) > 2 or not all(_NAME.fullmatch(part) for part in parts):
            found.append(("table", "is no table's name: a name, or a schema and a name with a dot between"))
        return found

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        return super().json_schema() | {"required": ["host", "database", "user", "table"]}

    def send(self, message: Message, reach: Reach) -> Answer:
        schema, _, name = self.table.rpartition(".")
        table = Table(schema or "public", name, self.create_table)
        test = message.type == "test"
        if not test and message.type != "records":
            raise Permanent(f"this sink takes records, and this is a message of type {message.type}")
        records = list(message.payload.get("records", ()))
        new = write_records(self.target(reach, float(self.timeout_seconds)), table, message.id, records, keep=not test)
        request = f"INSERT INTO {table}: {len(records)} rows of {message.id}"
        if test:
            return Answer(0, request, f"{new} rows would have been added; they were taken back")
        there = f", {len(records) - new} were there already" if new < len(records) else ""
        return Answer(0, request, f"{new} rows added{there}")
