"""The part of a workspace that sinks need: their documents, what they have delivered, and trying them.
`Workspace` stands on it; its methods run in threads and raise DashError as all of them do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from dash_app.domain.errors import Invalid, NotFound
from dash_app.domain.ids import as_uuid
from dash_app.pages.delivered import SinkDetail, SinkLine, Traced
from dash_app.pages.desk import Desk
from dash_app.pipelines.delivery import setup as sink_setup
from dash_app.pipelines.delivery import unsaved as sink_unsaved
from dash_app.storage import alerts, delivery_history, reports, sinks
from dash_app.storage.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dash_app.pipelines.sinks.base import Sink as SinkKind
    from dash_app.storage.deliveries import Attempt
    from dash_app.storage.delivery_history import Delivery
    from dash_app.storage.sinks import Sink

#: Deliveries that a page lists, and that an overview shows; characters of a payload that are shown.
LISTED = 100
RECENT = 8
SHOWN_PAYLOAD = 100_000
#: The name and text that stand in for what a form does not say yet.
_UNNAMED = "Untitled"


class SinkDesk(Desk):
    """What one principal can see and do with the team's sinks."""

    # Reading ------------------------------------------------------------------------------------------------------

    def sink_kinds(self) -> list[type[SinkKind]]:
        return list(self._app.sinks)

    def sink_kind(self, kind: str) -> type[SinkKind]:
        """NotFound where there is no such kind."""
        if kind not in self._app.sinks:
            raise NotFound(f"there is no kind of sink '{kind[:40]}'; there are {', '.join(self._app.sinks.names())}")
        return self._app.sinks[kind]

    async def sinks(self) -> list[SinkLine]:
        """By name."""

        def read(unit: Unit) -> list[SinkLine]:
            return sorted(_lines(unit, sinks.sinks(unit)), key=lambda one: one.sink.name.lower())

        return await self._read("sinks.read", read)

    async def sink(self, ref: str) -> SinkDetail:
        """NotFound where there is no such sink."""

        def read(unit: Unit) -> SinkDetail:
            found = sinks.get(unit, ref)
            summary = self._app.sinks[found.kind].summary if found.kind in self._app.sinks else ""
            return SinkDetail(
                _lines(unit, [found])[0],
                summary,
                delivery_history.listed(unit, found.id, limit=RECENT),
                [(one.slug, one.name) for one in alerts.of_sink(unit, found.id)],
                [(one.slug, one.name) for one in reports.of_sink(unit, found.id)],
            )

        return await self._read("sinks.read", read)

    async def deliveries(self, sink: UUID, state: str | None, before: str) -> list[Delivery]:
        """A sink's messages, newest first, before the one with an id."""
        number = as_uuid(before) if before else None
        return await self._read(
            "sinks.read",
            lambda unit: delivery_history.listed(unit, sink, state=state, limit=LISTED, before=number),
        )

    async def delivery(self, sink: UUID, delivery: str) -> Traced:
        """One message with its payload and its attempts. NotFound where this sink has no such message."""
        number = _uuid(delivery)

        def read(unit: Unit) -> Traced:
            found, payload = delivery_history.get(unit, sink, number)
            return Traced(found, _pretty(payload), delivery_history.attempts(unit, number))

        return await self._read("sinks.read", read)

    async def kept_secrets(self, ref: str | None) -> frozenset[str]:
        """Names of the secrets that a sink has; what they are is nobody's to read."""
        if ref is None:
            return frozenset()

        def read(unit: Unit) -> frozenset[str]:
            found = sinks.get(unit, ref)
            if found.kind not in self._app.sinks:
                return frozenset()
            names = self._app.sinks[found.kind].secrets
            return frozenset(name for name in names if self._app.vault.get_all(unit, found.id, name))

        return await self._read("sinks.read", read)

    # Trying -------------------------------------------------------------------------------------------------------

    async def test_sink(self, document: Mapping[str, Any], ref: str | None) -> Attempt:
        """Really sends a test message: through a sink as it is saved where there is no document, and otherwise as the
        document has it. Raises Invalid, NotFound, TooManyRequests."""
        await self._allow("sinks.write")
        principal, team = self.principal, self.principal.team

        def run() -> Attempt:
            if not document:
                return sink_setup.test(self._app, team, str(ref), principal).attempt
            return sink_unsaved.try_unsaved(self._app, team, _named(document), principal, of=ref)

        return await asyncio.to_thread(run)

    async def preview_sink(self, document: Mapping[str, Any], pipeline: str, ref: str | None) -> dict[str, Any]:
        """What would be sent of the newest record of a pipeline: `messages` and a `note`. Raises Invalid, NotFound."""

        def read(unit: Unit) -> dict[str, Any]:
            asked = _named({**document, "pipelines": document.get("pipelines") or [pipeline]})
            try:
                found = sink_setup.preview(unit, self._app, asked, pipeline, of=ref, limit=1)
            except Invalid as error:
                # Where it is sent to decides nothing about the words: others stand in for wrong options.
                left = [(place, what) for place, what in error.problems if not place.startswith("options")]
                if left or not error.problems:
                    raise
                stand_in = self._app.sinks[str(asked["kind"])].example
                found = sink_setup.preview(unit, self._app, {**asked, "options": stand_in}, pipeline, limit=1)
            if not found.looked_at:
                return {"messages": [], "note": "This pipeline has no record yet."}
            if not found.kept:
                return {"messages": [], "note": f"None of the last {found.looked_at:,} records meets the condition."}
            wrong = next((one.error for one in found.messages if one.error), "")
            if wrong:
                raise Invalid(problems=[("template.body", wrong)])
            shown = [
                {
                    "title": one.message.title,
                    "text": one.message.text,
                    "payload": json.dumps(one.message.payload, indent=2, ensure_ascii=False, default=str)[
                        :SHOWN_PAYLOAD
                    ],
                }
                for one in found.messages
                if one.message is not None
            ]
            note = f"{found.kept:,} of the last {found.looked_at:,} records meet the condition."
            return {"messages": shown, "note": note if asked.get("where") else ""}

        return await self._read("sinks.write", read)

    # Making and changing ------------------------------------------------------------------------------------------

    async def create_sink(self, document: Mapping[str, Any]) -> tuple[Sink, Mapping[str, str]]:
        """A new sink, and the secrets that were made with it, shown this once. Raises Invalid, Conflict."""
        team = self.principal.team

        def create(unit: Unit) -> tuple[Sink, Mapping[str, str]]:
            made = sink_setup.create_sink(unit, self._app, team, document, self.principal)
            return made.sink, made.secrets

        return await self._write("sinks.write", create)

    async def save_sink(self, ref: str, document: Mapping[str, Any], base: int) -> Sink:
        """Raises NotFound, Invalid, and PreconditionFailed where somebody has saved another one meanwhile."""
        return await self._write(
            "sinks.write",
            lambda unit: sink_setup.update_sink(unit, self._app, ref, document, self.principal, expected_revision=base),
        )

    async def pause_sink(self, ref: str) -> Sink:
        return await self._write("sinks.write", lambda unit: sink_setup.pause(unit, ref, self.principal))

    async def resume_sink(self, ref: str) -> Sink:
        return await self._write("sinks.write", lambda unit: sink_setup.resume(unit, ref, self.principal))

    async def delete_sink(self, ref: str) -> None:
        await self._write("sinks.write", lambda unit: sink_setup.delete_sink(unit, self._app, ref, self.principal))

    async def resend(self, ref: str, delivery: str | None) -> int:
        """Sends one message again, or all dead letters; how many. Raises Conflict where it cannot be."""
        number = _uuid(delivery) if delivery is not None else None
        return await self._write(
            "sinks.write", lambda unit: sink_setup.resend(unit, ref, self.principal, delivery=number)
        )

    async def cancel_delivery(self, ref: str, delivery: str) -> None:
        number = _uuid(delivery)
        await self._write("sinks.write", lambda unit: sink_setup.cancel(unit, ref, number, self.principal))


def _lines(unit: Unit, found: Sequence[Sink]) -> list[SinkLine]:
    wanted = [one.id for one in found]
    waits = delivery_history.waiting(unit, wanted)
    counted: dict[UUID, dict[str, int]] = {}
    # Ids tell time: what is of the last day stands together at the end of the index.
    for sink, state, count in unit.rows(
        "SELECT s, state, n FROM unnest(%s::uuid[]) AS s, LATERAL (SELECT state, count(*) AS n FROM deliveries "
        "WHERE sink_id = s AND id >= %s AND state IN ('sent', 'dead') GROUP BY state) d",
        (wanted, _day_ago(unit)),
    ):
        counted.setdefault(sink, {})[state] = count
    lines = []
    for one in found:
        day, (waiting, letters) = counted.get(one.id, {}), waits.get(one.id, (0, 0))
        lines.append(SinkLine(one, day.get("sent", 0), day.get("dead", 0), waiting, letters))
    return lines


def _day_ago(unit: Unit) -> UUID:
    """The smallest id that can have been given within the last 24 hours."""
    at = unit.value("SELECT (extract(epoch FROM now() - interval '24 hours') * 1000)::bigint")
    return UUID(int=int(at) << 80)


def _named(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document that can be tried before it has a name."""
    return {**document, "name": document.get("name") or _UNNAMED}


def _pretty(payload: bytes) -> str:
    return json.dumps(json.loads(payload), indent=2, ensure_ascii=False)[:SHOWN_PAYLOAD]


def _uuid(text: str) -> UUID:
    found = as_uuid(text)
    if found is None:
        raise NotFound("this sink has no such message")
    return found
