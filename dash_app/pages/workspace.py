"""One person's door to the house: whatever a page reads or changes goes through here, and nothing else does.

A workspace belongs to a principal and sees that principal's team alone. Its methods run in threads, so that a page
never holds up the server's event loop, and raise DashError; what they answer are frozen dataclasses, made for showing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from dash_app.app import App
from dash_app.domain.access import Principal
from dash_app.domain.errors import Conflict, DashError, Invalid, NotFound, Unauthorized
from dash_app.domain.events import Payload, PayloadInfo, Reject
from dash_app.domain.kinds import Kind
from dash_app.domain.mapping import load_mapping_text, mapping_text, parse_mapping
from dash_app.domain.specs import Dashboard, MappingVersion, Pipeline
from dash_app.live.views import health
from dash_app.pages.shown import Created, Detail, Line, Overview, Preview
from dash_app.pipelines import dashboards as dashboard_documents
from dash_app.pipelines import setup
from dash_app.pipelines.mapping import compile_mapping
from dash_app.pipelines.propose import propose_dashboard
from dash_app.pipelines.query import Queries
from dash_app.storage import bronze, catalog, ledger
from dash_app.storage.ledger import Run
from dash_app.storage.unit import Unit

T = TypeVar("T")
#: Answers who the same browser is now; None where its session has ended.
Renew = Callable[[], Awaitable[Principal | None]]

#: Rows of a page's lists.
SHOWN = 100
#: Payloads that a preview maps, rows that it shows, and bytes that it reads.
PREVIEWED = 20
PREVIEW_ROWS = 50
PREVIEW_BYTES = 4 << 20
#: Pipelines whose records of the last day the first page adds up.
MOST_COUNTED = 40


class Workspace:
    """What one principal can see and do. `base`: how the browser reaches this server, such as http://127.0.0.1:5006."""

    def __init__(self, app: App, queries: Queries, principal: Principal, base: str, renew: Renew) -> None:
        self._app = app
        self._queries = queries
        self._renew = renew
        self.principal = principal
        self.base = (app.settings.public_url or base).rstrip("/")

    async def _allow(self, action: str) -> None:
        """Asks again who this is: a page may stay open for longer than its session, or than a role."""
        principal = await self._renew()
        if principal is None or (principal.user, principal.team) != (self.principal.user, self.principal.team):
            raise Unauthorized("Your session has ended; log in again.")
        self.principal = principal
        principal.require(action)

    async def _read(self, action: str, function: Callable[[Unit], T]) -> T:
        await self._allow(action)

        def run() -> T:
            with self._app.database.team(self.principal.team) as unit:
                return function(unit)

        return await asyncio.to_thread(run)

    async def _write(self, action: str, function: Callable[[Unit], T]) -> T:
        def run(unit: Unit) -> T:
            answer = function(unit)
            unit.commit()
            return answer

        return await self._read(action, run)

    # Lists --------------------------------------------------------------------------------------------------------

    def _lines(self, unit: Unit, found: Sequence[Pipeline]) -> list[Line]:
        stats = catalog.stats(unit, [p.id for p in found])
        failures = dict(unit.rows("SELECT pipeline_id, failures FROM polls WHERE failures > 0"))
        rejects = dict(
            unit.rows(
                "SELECT pipeline_id, count(*) FROM rejects WHERE at > now() - interval '1 hour' GROUP BY pipeline_id"
            )
        )
        return [
            Line(
                p,
                stats[p.id],
                health(p, stats[p.id], failures.get(p.id, 0), rejects.get(p.id, 0)),
                rejects.get(p.id, 0),
                failures.get(p.id, 0),
            )
            for p in found
        ]

    async def pipelines(self) -> list[Line]:
        return await self._read("pipelines.read", lambda unit: self._lines(unit, catalog.pipelines(unit)))

    async def dashboards(self) -> list[Dashboard]:
        return await self._read("dashboards.read", catalog.dashboards)

    async def dashboard(self, uid: str) -> Dashboard:
        """NotFound where there is none."""
        return await self._read("dashboards.read", lambda unit: catalog.dashboard(unit, uid))

    async def overview(self) -> Overview:
        def read(unit: Unit) -> Overview:
            lines = self._lines(unit, catalog.pipelines(unit))
            return Overview(lines, catalog.dashboards(unit), self._today(unit, lines))

        return await self._read("pipelines.read", read)

    def _today(self, unit: Unit, lines: Sequence[Line]) -> int | None:
        mapped = [line for line in lines if line.pipeline.mapping_version is not None]
        if len(mapped) > MOST_COUNTED:
            return None
        total = 0
        for line in mapped:
            document = {
                "pipeline": str(line.pipeline.id),
                "select": [{"agg": "count", "as": "n"}],
                "from": "now-24h",
                "to": "now",
            }
            try:
                frame = self._queries.run(self.principal.team, document).frame
            except DashError:
                # Too slow, or its table is being swapped: the first page has no figure rather than no page.
                return None
            total += int(frame["n"][0] or 0)
        return total

    # One pipeline -------------------------------------------------------------------------------------------------

    async def detail(self, ref: str) -> Detail:
        """NotFound where there is no such pipeline."""

        def read(unit: Unit) -> Detail:
            found = catalog.pipeline(unit, ref)
            kind = self._app.sources[found.source_kind]
            source = kind.from_options(found.source_options)
            signature = getattr(source, "signature", None)
            url = self._webhook_url(found.id) if kind.pushed else None
            runs = ledger.runs(unit, found.id, limit=1)
            versions = catalog.versions(unit, found.id)
            return Detail(
                line=self._lines(unit, [found])[0],
                options=found.source_options,
                webhook_url=url,
                signed=bool(signature is not None and signature.signed),
                secrets=len(self._app.vault.get_all(unit, found.id, "webhook")) if kind.pushed else 0,
                script=signature.curl(url, "YOUR-SECRET") if signature is not None and url else "",
                poll=ledger.poll(unit, found.id),
                last_run=runs[0] if runs else None,
                dashboard=_dashboard_of(catalog.dashboards(unit), found),
                fields=[f.name for f in versions[0].columns] if versions and versions[0].created else [],
            )

        return await self._read("pipelines.read", read)

    def _webhook_url(self, pipeline: UUID) -> str:
        return f"{self.base}/webhooks/{pipeline}"

    async def payloads(self, pipeline: UUID) -> list[PayloadInfo]:
        """The newest, without their bodies."""
        return await self._read(
            "payloads.read", lambda unit: bronze.recent(unit, self._app.objects, pipeline, limit=SHOWN)
        )

    async def payload(self, pipeline: UUID, payload: str) -> Payload:
        """One payload, body and all, from the inbox or from bronze; NotFound."""
        number = int(payload) if payload.isascii() and payload.isdigit() and len(payload) < 20 else 0

        def read(unit: Unit) -> Payload:
            found = (
                bronze.read_payload(unit, self._app.objects, number, pipeline=pipeline) if 0 < number < 2**63 else None
            )
            if found is None:
                raise NotFound(f"this pipeline has no payload '{payload[:40]}'")
            return found

        return await self._read("payloads.read", read)

    async def rejects(self, pipeline: UUID, payload: int | None = None) -> list[Reject]:
        def read(unit: Unit) -> list[Reject]:
            return [reject for _, reject in ledger.rejects(unit, pipeline, limit=SHOWN, payload=payload)]

        return await self._read("pipelines.read", read)

    async def runs(self, pipeline: UUID) -> list[Run]:
        return await self._read("pipelines.read", lambda unit: ledger.runs(unit, pipeline, limit=SHOWN))

    async def pause(self, pipeline: UUID) -> Pipeline:
        return await self._write("pipelines.write", lambda unit: setup.pause(unit, pipeline, self.principal))

    async def resume(self, pipeline: UUID) -> Pipeline:
        made = await self._write("pipelines.write", lambda unit: setup.resume(unit, pipeline, self.principal))
        # What was held is mapped at once.
        await asyncio.to_thread(setup.ring, self._app, made.id)
        return made

    async def rotate_secret(self, pipeline: UUID) -> Created:
        """A new signing secret; the one before it stays valid beside it."""

        def rotate(unit: Unit) -> Created:
            secret = setup.rotate_secret(unit, self._app, pipeline, self.principal)
            return self._created(catalog.pipeline(unit, pipeline), secret)

        return await self._write("pipelines.write", rotate)

    async def create_dashboard(self, pipeline: UUID) -> str:
        """The uid of a new dashboard proposed for a pipeline. Conflict where there is no mapping to propose it from."""

        def create(unit: Unit) -> str:
            found = catalog.pipeline(unit, pipeline)
            if found.mapping_version is None:
                raise Conflict(
                    "There is no mapping yet: send the first payload, or write a mapping, and then try again."
                )
            spec = parse_mapping(catalog.mapping(unit, found.id, found.mapping_version).document)
            document = propose_dashboard(found, spec)
            document["uid"] = dashboard_documents.free_uid(unit, document["uid"])
            return dashboard_documents.create_dashboard(unit, self.principal.team, document, self.principal).uid

        return await self._write("dashboards.write", create)

    # Making one ---------------------------------------------------------------------------------------------------

    def sources(self) -> list[type[Kind]]:
        return list(self._app.sources)

    def check_source(self, kind: str, options: Mapping[str, Any]) -> list[tuple[str, str]]:
        """(option, message) of everything that is wrong with a source's options."""
        try:
            self._app.sources[kind].from_options(options, "")
        except Invalid as error:
            return [(place.lstrip("."), what) for place, what in error.problems]
        return []

    def is_open(self, kind: str, options: Mapping[str, Any]) -> bool:
        """Whether anybody who knows its address could send to such a source."""
        try:
            signature = getattr(self._app.sources[kind].from_options(options, ""), "signature", None)
        except Invalid:
            return False
        return signature is not None and not signature.signed

    async def create_pipeline(self, document: Mapping[str, Any]) -> Created:
        """Invalid names each place that is wrong: name, slug, source.options.url, mapping.fields[0].type."""

        def create(unit: Unit) -> Created:
            made, secret = setup.create_pipeline(unit, self._app, self.principal.team, document, self.principal)
            return self._created(made, secret)

        return await self._write("pipelines.write", create)

    def _created(self, made: Pipeline, secret: str | None) -> Created:
        kind = self._app.sources[made.source_kind]
        signature = getattr(kind.from_options(made.source_options), "signature", None)
        url = self._webhook_url(made.id) if kind.pushed else None
        script = signature.curl(url, secret or "") if signature is not None and url else ""
        return Created(made, secret, url, script, bool(signature is not None and signature.signed))

    # Mapping ------------------------------------------------------------------------------------------------------

    async def mapping(self, pipeline: UUID) -> tuple[str, list[MappingVersion]]:
        """The active mapping as text ('' where there is none), and all versions, newest first."""

        def read(unit: Unit) -> tuple[str, list[MappingVersion]]:
            active = catalog.pipeline(unit, pipeline).mapping_version
            versions = catalog.mappings(unit, pipeline)
            shown = next((v for v in versions if v.version == active), None)
            return (mapping_text(shown.document) if shown else ""), versions

        return await self._read("pipelines.read", read)

    async def preview(self, pipeline: UUID, text: str) -> Preview:
        """What the mapping in `text` makes of the last payloads; everything that is wrong with it is in the answer."""

        await self._allow("payloads.read")

        def run() -> Preview:
            try:
                spec = parse_mapping(load_mapping_text(text))
                plan = compile_mapping(spec)
            except Invalid as error:
                return Preview(problems=error.problems or (("", error.message),))
            with self._app.database.team(self.principal.team) as unit:
                chosen = bronze.newest(unit, self._app.objects, pipeline, limit=PREVIEWED, max_bytes=PREVIEW_BYTES)
            mapped = plan.run(chosen)
            frame = mapped.frame
            columns = [name for name in frame.columns if name not in ("_received", "_payload", "_index", "_key")]
            return Preview(
                columns=columns,
                numeric=frozenset(name for name in columns if frame.schema[name].is_numeric()),
                units={f.name: f.unit for f in spec.fields if f.unit},
                rows=frame.select(columns).tail(PREVIEW_ROWS).reverse().rows(),
                records=frame.height,
                rejects=mapped.rejects[:PREVIEW_ROWS],
                rejected=len(mapped.rejects),
                filtered=mapped.filtered,
                payloads=len(chosen),
            )

        return await asyncio.to_thread(run)

    async def save_mapping(self, pipeline: UUID, text: str, note: str) -> int:
        """The number of the new version, which new payloads are mapped with from now on. Raises Invalid."""
        document = load_mapping_text(text)
        return await self._write(
            "pipelines.write",
            lambda unit: setup.save_mapping(unit, pipeline, document, self.principal, note=note[:500]).version,
        )


def _dashboard_of(dashboards: Sequence[Dashboard], pipeline: Pipeline) -> str | None:
    """The dashboard to open from a pipeline: the one named like it, else the first that shows nothing but it."""
    names = {pipeline.slug, str(pipeline.id)}
    for one in dashboards:
        if one.uid == pipeline.slug:
            return one.uid
    for one in dashboards:
        shown = {str(tile.get("query", {}).get("pipeline")) for tile in one.document.get("tiles", [])}
        if shown and shown <= names:
            return one.uid
    return None
