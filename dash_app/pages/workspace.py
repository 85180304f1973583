"""One person's door to the house: whatever a page reads or changes goes through here, and nothing else does.

A workspace belongs to a principal and sees that principal's team alone. Its methods run in threads, so that a page never
holds up the server's event loop, and raise DashError; what they answer are frozen dataclasses, made for showing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from dash_app.app import App
from dash_app.domain.access import Principal
from dash_app.domain.errors import Conflict, DashError, Invalid, NotFound
from dash_app.domain.events import Payload, PayloadInfo, Reject
from dash_app.domain.kinds import Kind
from dash_app.domain.mapping import load_mapping_text, mapping_text, parse_mapping
from dash_app.domain.specs import Dashboard, MappingVersion, Pipeline, PipelineStats
from dash_app.live.views import health
from dash_app.pipelines import dashboards as dashboard_documents
from dash_app.pipelines import setup
from dash_app.pipelines.mapping import compile_mapping
from dash_app.pipelines.propose import propose_dashboard
from dash_app.pipelines.query import Queries
from dash_app.storage import bronze_reading, catalog, ledger, payloads
from dash_app.storage.ledger import Poll, Run
from dash_app.storage.unit import Unit

T = TypeVar("T")

#: Rows of a page's lists.
SHOWN = 100
#: Payloads that a preview maps, rows that it shows, and bytes that it reads.
PREVIEWED = 20
PREVIEW_ROWS = 50
PREVIEW_BYTES = 4 << 20
#: Pipelines whose records of the last day the first page adds up.
MOST_COUNTED = 40


@dataclass(frozen=True, slots=True)
class Line:
    """One pipeline as lists show it."""

    pipeline: Pipeline
    stats: PipelineStats
    health: str
    #: Rejects of the last hour, and how many polls have failed in a row.
    rejects: int
    failures: int

    @property
    def address(self) -> str:
        return address_of(self.pipeline)


@dataclass(frozen=True, slots=True)
class Overview:
    """What the first page shows. `today`: records of the last 24 hours; None where they were not counted."""

    lines: Sequence[Line]
    dashboards: Sequence[Dashboard]
    today: int | None

    @property
    def attention(self) -> list[Line]:
        """Pipelines that somebody should look at, the worst first."""
        order = {"failing": 0, "rejects": 1, "waiting": 2}
        return sorted((line for line in self.lines if line.health in order), key=lambda line: order[line.health])


@dataclass(frozen=True, slots=True)
class Detail:
    """One pipeline as its own page shows it."""

    line: Line
    options: Mapping[str, Any]
    webhook_url: str | None
    #: How senders sign, and how many secrets are valid now.
    signed: bool
    secrets: int
    #: A script that posts a sample, with a placeholder for the secret.
    script: str
    poll: Poll | None
    last_run: Run | None
    dashboard: str | None
    #: Whether anything has been written into a table yet.
    fields: Sequence[str]

    @property
    def pipeline(self) -> Pipeline:
        return self.line.pipeline


@dataclass(frozen=True, slots=True)
class Created:
    """A new pipeline with what is shown this once."""

    pipeline: Pipeline
    secret: str | None
    webhook_url: str | None
    script: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What a mapping makes of the last payloads. `problems`: (place, message); `rows`: the newest first."""

    problems: Sequence[tuple[str, str]] = ()
    columns: Sequence[str] = ()
    numeric: frozenset[str] = frozenset()
    units: Mapping[str, str] = field(default_factory=dict)
    rows: Sequence[Sequence[Any]] = ()
    records: int = 0
    rejects: Sequence[Reject] = ()
    rejected: int = 0
    filtered: int = 0
    payloads: int = 0


def address_of(pipeline: Pipeline) -> str:
    """The path of a pipeline's page: its slug, or its id where another page has that name."""
    return f"/pipelines/{pipeline.id if pipeline.slug == 'new' else pipeline.slug}"


class Workspace:
    """What one principal can see and do. `base`: how the browser reaches this server, such as http://127.0.0.1:5006."""

    def __init__(self, app: App, queries: Queries, principal: Principal, base: str) -> None:
        self._app = app
        self._queries = queries
        self.principal = principal
        self.base = (app.settings.public_url or base).rstrip("/")

    async def _read(self, action: str, function: Callable[[Unit], T]) -> T:
        self.principal.require(action)

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
            unit.rows("SELECT pipeline_id, count(*) FROM rejects WHERE at > now() - interval '1 hour' GROUP BY pipeline_id")
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
            document = {"pipeline": str(line.pipeline.id), "select": [{"agg": "count", "as": "n"}], "from": "now-24h", "to": "now"}
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
        """The newest that the inbox holds; older ones are in bronze alone."""
        return await self._read("payloads.read", lambda unit: payloads.recent(unit, pipeline, limit=SHOWN))

    async def payload(self, pipeline: UUID, payload: str) -> Payload:
        """One payload, body and all, from the inbox or from bronze; NotFound."""
        number = int(payload) if payload.isascii() and payload.isdigit() and len(payload) < 20 else 0

        def read(unit: Unit) -> Payload:
            found = bronze_reading.read_payload(unit, self._app.objects, number, pipeline=pipeline) if 0 < number < 2**63 else None
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
                raise Conflict("There is no mapping yet: send the first payload, or write a mapping, and then try again.")
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
        return Created(made, secret, url, signature.curl(url, secret or "") if signature is not None and url else "")

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

        self.principal.require("payloads.read")

        def run() -> Preview:
            try:
                spec = parse_mapping(load_mapping_text(text))
                plan = compile_mapping(spec)
            except Invalid as error:
                return Preview(problems=error.problems or (("", error.message),))
            with self._app.database.team(self.principal.team) as unit:
                chosen = self._sample(unit, pipeline)
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

    def _sample(self, unit: Unit, pipeline: UUID) -> list[Payload]:
        infos = payloads.recent(unit, pipeline, limit=PREVIEWED)
        wanted: list[int] = []
        room = PREVIEW_BYTES
        for info in infos:
            room -= info.size
            if room < 0 and wanted:
                break
            wanted.append(info.id)
        if not wanted:
            # Nothing in the inbox any more: the newest of each of the last bronze files.
            rows = unit.rows(
                "SELECT max_payload FROM bronze_files WHERE pipeline_id = %s ORDER BY max_payload DESC LIMIT 3", (pipeline,)
            )
            wanted = [row[0] for row in rows]
        return bronze_reading.read_payloads(unit, self._app.objects, wanted, pipeline=pipeline)

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

