"""One person's door to the house: whatever a page reads or changes goes through here, and nothing else does.

A workspace belongs to a principal and sees that principal's team alone. Its methods run in threads, so that a page
never holds up the server's event loop, and raise DashError; what they answer are frozen dataclasses, made for showing.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from dash_app.domain.access import Principal
from dash_app.domain.errors import DashError, NotFound
from dash_app.domain.events import PayloadInfo
from dash_app.domain.ids import as_uuid
from dash_app.domain.mapping import mapping_text, parse_mapping
from dash_app.domain.mapping_edits import ordered
from dash_app.domain.specs import MappingVersion, Pipeline
from dash_app.live.replays_view import active_and_back, told
from dash_app.live.views import health
from dash_app.pages.compared import Compared
from dash_app.pages.replayed import Refused, Standing, Table, Traced, VersionLine
from dash_app.pages.shown import Detail, Line, Overview
from dash_app.pages.workspace_alerts import AlertDesk
from dash_app.pages.workspace_dashboards import DashboardDesk, dashboard_of
from dash_app.pages.workspace_reports import ReportDesk
from dash_app.pages.workspace_sinks import SinkDesk
from dash_app.pages.workspace_sources import PLACEHOLDER, SourceDesk, scripts_of
from dash_app.pipelines import comparisons as compared
from dash_app.pipelines import drift, rollout, setup
from dash_app.pipelines.comparisons import Side
from dash_app.pipelines.difference import Difference
from dash_app.pipelines.drift import Report
from dash_app.pipelines.lineage import lay_out
from dash_app.pipelines.mapping_difference import mapping_difference
from dash_app.pipelines.preview import MAX_PAYLOADS
from dash_app.pipelines.samples import Samples
from dash_app.storage import (
    bronze,
    catalog,
    comparisons,
    dashboards,
    drafts,
    generations,
    ledger,
    lineage,
    payloads,
    replay_estimate,
    replays,
)
from dash_app.storage.comparisons import Comparison
from dash_app.storage.drafts import Draft
from dash_app.storage.generations import Generation
from dash_app.storage.ledger import Run
from dash_app.storage.lineage import Trace
from dash_app.storage.replay_estimate import Estimate
from dash_app.storage.replays import Replay
from dash_app.storage.unit import Unit

T = TypeVar("T")
#: Rows of a page's lists.
SHOWN = 100
#: Bytes of payloads that the mapping's editor holds to try mappings on.
SAMPLE_BYTES = 8 << 20
#: Comparisons over all payloads that a page lists.
COMPARISONS = 10
#: Pipelines whose records of the last day the first page adds up.
MOST_COUNTED = 40
#: For so long a person who was allowed to read samples is not asked for anew.
ALLOWED_SECONDS = 1.0


class Workspace(SourceDesk, DashboardDesk, SinkDesk, AlertDesk, ReportDesk):
    """What one principal can see and do. `base`: how the browser reaches this server, such as http://127.0.0.1:5006."""

    _samples_allowed = -math.inf

    # Lists --------------------------------------------------------------------------------------------------------

    def _lines(self, unit: Unit, found: Sequence[Pipeline]) -> list[Line]:
        stats = catalog.stats(unit, [p.id for p in found])
        failures = dict(unit.rows("SELECT pipeline_id, failures FROM polls WHERE failures > 0"))
        rejects = ledger.recent_rejects(unit)
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

    async def overview(self) -> Overview:
        def read(unit: Unit) -> Overview:
            lines = self._lines(unit, catalog.pipelines(unit))
            shown = sorted(dashboards.lines(unit, self.principal.user), key=lambda one: not one.starred)
            return Overview(lines, shown, self._today(unit, lines))

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
            # Only who takes what is sent has a signature; others may not be whole without their secrets.
            source = kind.from_options(found.source_options) if kind.pushed else None
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
                scripts=scripts_of(signature, url, PLACEHOLDER) if signature is not None and url else (),
                poll=ledger.poll(unit, found.id),
                last_run=runs[0] if runs else None,
                dashboard=dashboard_of(unit, found),
                fields=[f.name for f in versions[0].columns] if versions and versions[0].created else [],
            )

        return await self._read("pipelines.read", read)

    async def payloads(self, pipeline: UUID) -> list[PayloadInfo]:
        """The newest, without their bodies."""
        return await self._read(
            "payloads.read", lambda unit: bronze.recent(unit, self._app.objects, pipeline, limit=SHOWN)
        )

    async def runs(self, pipeline: UUID) -> list[Run]:
        return await self._read("pipelines.read", lambda unit: ledger.runs(unit, pipeline, limit=SHOWN))

    async def pause(self, pipeline: UUID) -> Pipeline:
        return await self._write("pipelines.write", lambda unit: setup.pause(unit, pipeline, self.principal))

    async def resume(self, pipeline: UUID) -> Pipeline:
        made = await self._write("pipelines.write", lambda unit: setup.resume(unit, pipeline, self.principal))
        # What was held is mapped at once.
        await asyncio.to_thread(setup.ring, self._app, made.id)
        return made

    # Drift --------------------------------------------------------------------------------------------------------

    async def drift(self, pipeline: UUID) -> Report:
        """What was seen in what came, and how it differs from the mapping."""
        return await self._read("payloads.read", lambda unit: drift.report(unit, catalog.pipeline(unit, pipeline)))

    async def dismiss_drift(self, pipeline: UUID, paths: Sequence[str]) -> None:
        """Takes what is seen at these paths as known. Raises Invalid."""
        await self._write("pipelines.write", lambda unit: drift.dismiss(unit, catalog.pipeline(unit, pipeline), paths))

    async def set_drift_policy(self, pipeline: UUID, policy: str) -> None:
        """What is done about new fields and changed types: keep, evolve or pause. Raises Invalid."""

        def change(unit: Unit) -> None:
            changed = setup.update_pipeline(unit, self._app, pipeline, {"drift": policy}, self.principal)
            drift.set_policy(unit, changed, policy)

        await self._write("pipelines.write", change)

    # Mapping ------------------------------------------------------------------------------------------------------

    async def mapping(self, pipeline: UUID) -> tuple[str, list[MappingVersion]]:
        """The active mapping as text ('' where there is none), and all versions, newest first."""

        def read(unit: Unit) -> tuple[str, list[MappingVersion]]:
            active = catalog.pipeline(unit, pipeline).mapping_version
            versions = catalog.mappings(unit, pipeline)
            shown = next((v for v in versions if v.version == active), None)
            return (mapping_text(ordered(shown.document)) if shown else ""), versions

        return await self._read("pipelines.read", read)

    async def samples(self, pipeline: UUID) -> Samples:
        """The newest payloads, to try mappings on."""
        return await self._read(
            "payloads.read",
            lambda unit: Samples(
                bronze.newest(unit, self._app.objects, pipeline, limit=MAX_PAYLOADS, max_bytes=SAMPLE_BYTES)
            ),
        )

    async def pasted(self, pipeline: UUID, text: str, content_type: str) -> Samples:
        """A payload that was never received, to try mappings on. Raises Invalid."""
        await self._allow("payloads.read")
        return Samples.of_text(pipeline, text, content_type)

    async def with_samples(self, function: Callable[[], T]) -> T:
        """What a function of samples answers, in a thread; for who may read payloads."""
        # They are in memory already, and asked about at every key that is pressed.
        if time.monotonic() - self._samples_allowed > ALLOWED_SECONDS:
            await self._allow("payloads.read")
            self._samples_allowed = time.monotonic()
        return await asyncio.to_thread(function)

    async def look(self, pipeline: UUID) -> tuple[int, int]:
        """How many payloads have come so far, and the number of the newest version of the mapping."""
        return await self._read(
            "payloads.read",
            lambda unit: (
                catalog.stats(unit, [pipeline])[pipeline].payloads,
                drafts.newest_version(unit, pipeline),
            ),
        )

    async def save_mapping(
        self, pipeline: UUID, document: Mapping[str, Any], note: str, activate: setup.Activate, base: int
    ) -> setup.Saved:
        """The next version. Raises Invalid, and Conflict where there is a version newer than `base`."""
        saved = await self._write(
            "pipelines.write",
            lambda unit: setup.save_mapping(
                unit, pipeline, document, self.principal, note=note[:1000], activate=activate, base=base
            ),
        )
        # What waited for a mapping, or for its replay, is looked at now.
        await asyncio.to_thread(setup.ring, self._app, pipeline)
        return saved

    async def share_draft(self, pipeline: UUID, text: str, base: int) -> Draft:
        """Keeps a text that is not saved yet, so that a link to it can be opened by the team. Raises TooLarge."""
        return await self._write(
            "pipelines.write",
            lambda unit: drafts.create(
                unit, self.principal.team, pipeline, text, base=base, author=self.principal.email
            ),
        )

    async def draft(self, pipeline: UUID, draft: str) -> Draft:
        """NotFound where this pipeline has no such draft."""
        return await self._read("pipelines.read", lambda unit: drafts.find(unit, pipeline, draft))

    # Replays ------------------------------------------------------------------------------------------------------

    async def standing(self, pipeline: UUID, *, most: int = SHOWN) -> Standing:
        """What is read, what one can go back to, replays under way and past, and what each version is to them."""

        def read(unit: Unit) -> Standing:
            active, back = active_and_back(unit, pipeline)
            found = replays.of_pipeline(unit, pipeline, limit=most)
            now = next((one for one in found if one.state in replays.OPEN), None)
            readable = lineage.kept_versions(unit, pipeline)
            lines = []
            for version in catalog.mappings(unit, pipeline):
                state = "kept" if version.version in readable else "none"
                for name, one in (("grace", back), ("filling", now), ("read", active)):
                    if one is not None and one.version == version.version:
                        state = name
                lines.append(VersionLine(version, state, version.version in readable))
            since = _since(active, back, found, lines)
            past = [one for one in found if one is not now]
            return Standing(active, since, back, now, past, lines, told(now) if now else {})

        return await self._read("pipelines.read", read)

    async def replay_estimate(self, pipeline: UUID, start: datetime | None, end: datetime | None) -> Estimate:
        return await self._read(
            "pipelines.read", lambda unit: replay_estimate.estimate(unit, pipeline, *rollout.bounds(start, end))
        )

    async def begin_replay(
        self,
        pipeline: UUID,
        version: int,
        start: datetime | None,
        end: datetime | None,
        throttle: int | None,
        note: str,
    ) -> UUID:
        """Raises Invalid, NotFound for the version, Conflict where a replay is under way."""

        def begin(unit: Unit) -> UUID:
            found = catalog.pipeline(unit, pipeline)
            return rollout.begin_replay(
                unit, found, version, self.principal, start=start, end=end, throttle=throttle, note=note[:1000]
            )

        made = await self._write("pipelines.write", begin)
        await asyncio.to_thread(setup.ring, self._app, pipeline)
        return made

    async def move_replay(self, pipeline: UUID, replay: str, action: str) -> None:
        """`action`: pause, resume or cancel. Conflict where that is no legal move."""
        await self._write(
            "pipelines.write",
            lambda unit: rollout.move_replay(unit, self._replay(unit, pipeline, replay), action, self.principal),
        )
        await asyncio.to_thread(setup.ring, self._app, pipeline)

    async def throttle_replay(self, pipeline: UUID, replay: str, records: int | None) -> None:
        await self._write(
            "pipelines.write",
            lambda unit: rollout.throttle_replay(unit, self._replay(unit, pipeline, replay), records, self.principal),
        )

    async def roll_back(self, pipeline: UUID) -> Pipeline:
        """Conflict where there is nothing to go back to."""
        return await self._swap(pipeline, rollout.roll_back)

    async def discard(self, pipeline: UUID) -> Pipeline:
        return await self._swap(pipeline, rollout.discard)

    async def _swap(self, pipeline: UUID, move: Callable[[Unit, Pipeline, Principal], Pipeline]) -> Pipeline:
        made = await self._write(
            "pipelines.write", lambda unit: move(unit, catalog.pipeline(unit, pipeline), self.principal)
        )
        await asyncio.to_thread(setup.close_view, self._app, pipeline)
        await asyncio.to_thread(setup.ring, self._app, pipeline)
        return made

    def _replay(self, unit: Unit, pipeline: UUID, replay: str) -> UUID:
        number = as_uuid(replay)
        if number is None or replays.get(unit, number).pipeline != pipeline:
            raise NotFound("no such replay")
        return number

    # Lineage ------------------------------------------------------------------------------------------------------

    async def traced(self, pipeline: UUID, payload: str, record: int | None) -> Traced:
        """A payload with all that became of it, and the place of one of its records in it; NotFound."""
        number = int(payload) if payload.isascii() and payload.isdigit() and len(payload) < 20 else 0

        def read(unit: Unit) -> Traced:
            found = lineage.trace(unit, self._app.objects, pipeline, number) if 0 < number < 2**63 else None
            if found is None:
                raise NotFound(f"this pipeline has no payload '{payload[:40]}'")
            version = _version_of(found, record) or catalog.pipeline(unit, pipeline).mapping_version
            path = parse_mapping(catalog.mapping(unit, pipeline, version).document).records if version else None
            body = lay_out(found.payload.body, found.payload.content_type, path, record)
            return Traced(found, body, _tables(found), record, _opened(self._app.settings.bronze_url, found))

        return await self._read("payloads.read", read)

    async def refused(self, pipeline: UUID, field: str, reason: str) -> Refused:
        """Rejects in groups, and the newest of them all, or of the group of a field and a reason."""

        def read(unit: Unit) -> Refused:
            if field:
                found = lineage.rejects_of_group(unit, pipeline, field, reason, limit=SHOWN)
            else:
                found = [one for _, one in ledger.rejects(unit, pipeline, limit=SHOWN)]
            groups = lineage.reject_groups(unit, pipeline)
            return Refused(groups, found, lineage.waiting_again(unit, pipeline))

        return await self._read("payloads.read", read)

    async def waiting_again(self, pipeline: UUID) -> int:
        """How many payloads are to be mapped again."""
        return await self._read("pipelines.read", lambda unit: lineage.waiting_again(unit, pipeline))

    async def map_again(self, pipeline: UUID, payloads: Sequence[int]) -> int:
        """How many will be; Invalid for none or too many, NotFound for one that is not there."""
        count = await self._write(
            "pipelines.write",
            lambda unit: rollout.map_again(unit, catalog.pipeline(unit, pipeline), payloads, self.principal),
        )
        await asyncio.to_thread(setup.ring, self._app, pipeline)
        return count

    async def map_group_again(self, pipeline: UUID, field: str, reason: str) -> tuple[int, int]:
        """As `map_again`, for the payloads of a group of rejects as far as they are still kept: how many will be, and
        how many are gone. NotFound where all are."""

        def kept(unit: Unit) -> tuple[list[int], int]:
            found = lineage.payloads_of_group(unit, pipeline, field, reason, limit=rollout.MOST_AGAIN + 1)
            known = payloads.known(unit, pipeline, found)
            return [one for one in found if one in known], len(found) - len(known)

        found, gone = await self._read("payloads.read", kept)
        if gone and not found:
            raise NotFound("the payloads of this group are not kept any more, so that they cannot be mapped again")
        return await self.map_again(pipeline, found), gone

    # Comparing versions -------------------------------------------------------------------------------------------

    async def compare_sample(
        self,
        pipeline: UUID,
        a: int,
        b: int | None,
        draft: str,
        limit: int,
        start: datetime | None,
        end: datetime | None,
    ) -> Compared:
        """What differs over the newest payloads between version `a` and version `b`, or a draft where that is None.

        Raises NotFound for a version or a draft that is not there, Invalid for a draft that is no mapping.
        """

        def read(unit: Unit) -> Compared:
            found = catalog.pipeline(unit, pipeline)
            sides = self._sides(unit, found, a, b, draft)
            difference = compared.compare_sample(unit, self._app, pipeline, *sides, limit=limit, start=start, end=end)
            return self._compared(unit, found, *sides, difference)

        return await self._read("payloads.read", read)

    async def start_comparison(
        self, pipeline: UUID, a: int, b: int | None, draft: str, start: datetime | None, end: datetime | None
    ) -> UUID:
        """Has a worker compare all payloads, or those of a range. Conflict where too many are on their way."""

        def create(unit: Unit) -> UUID:
            found = catalog.pipeline(unit, pipeline)
            sides = self._sides(unit, found, a, b, draft)
            return compared.start_comparison(unit, found, *sides, self.principal, start=start, end=end).id

        made = await self._write("payloads.read", create)
        await asyncio.to_thread(compared.queue, self._app, made)
        return made

    async def comparison(self, pipeline: UUID, comparison: str) -> Compared:
        """A comparison over all payloads as it stands; NotFound where this pipeline has none such."""

        def read(unit: Unit) -> Compared:
            return self._kept(unit, self._found(unit, pipeline, comparison))

        return await self._read("payloads.read", read)

    async def last_comparison(
        self, pipeline: UUID, a: int, b: int | None, draft: str, start: datetime | None, end: datetime | None
    ) -> Compared | None:
        """The newest comparison over all payloads of these two mappings and this range; None where there is none."""

        def read(unit: Unit) -> Compared | None:
            sides = self._sides(unit, catalog.pipeline(unit, pipeline), a, b, draft)
            one = compared.last_comparison(unit, pipeline, *sides, start=start, end=end)
            return self._kept(unit, one) if one else None

        return await self._read("payloads.read", read)

    async def comparisons(self, pipeline: UUID) -> list[Comparison]:
        """Over all payloads, newest first."""
        return await self._read(
            "pipelines.read", lambda unit: comparisons.of_pipeline(unit, pipeline, limit=COMPARISONS)
        )

    async def cancel_comparison(self, pipeline: UUID, comparison: str) -> None:
        await self._write(
            "payloads.read", lambda unit: comparisons.cancel(unit, self._found(unit, pipeline, comparison).id)
        )

    async def count_payloads(self, pipeline: UUID, start: datetime | None, end: datetime | None) -> int:
        """About how many payloads a comparison over all of a range would take."""
        return await self._read("pipelines.read", lambda unit: compared.count_payloads(unit, pipeline, start, end))

    def _sides(self, unit: Unit, pipeline: Pipeline, a: int, b: int | None, draft: str) -> tuple[Side, Side]:
        text = drafts.find(unit, pipeline.id, draft).text if b is None else None
        return compared.sides(unit, pipeline, a, b, text)

    def _found(self, unit: Unit, pipeline: UUID, comparison: str) -> Comparison:
        number = as_uuid(comparison)
        found = comparisons.get(unit, number) if number is not None else None
        if found is None or found.pipeline != pipeline:
            raise NotFound(f"this pipeline has no comparison '{comparison[:40]}'")
        return found

    def _kept(self, unit: Unit, one: Comparison) -> Compared:
        sides = compared.sides_of(unit, one)
        found = catalog.pipeline(unit, one.pipeline)
        return self._compared(unit, found, *sides, compared.difference_of(one), one)

    def _compared(
        self,
        unit: Unit,
        pipeline: Pipeline,
        a: Side,
        b: Side,
        difference: Difference | None,
        comparison: Comparison | None = None,
    ) -> Compared:
        tiles = compared.tiles_of(unit, pipeline, a, b, difference) if difference else []
        alerts = compared.alerts_of(unit, pipeline, a, b, difference) if difference else []
        keyed = bool(a.spec.key or b.spec.key)
        return Compared(difference, mapping_difference(a.spec, b.spec), tiles, comparison, keyed, alerts)


def _since(
    active: Generation | None, back: Generation | None, found: Sequence[Replay], lines: Sequence[VersionLine]
) -> datetime | None:
    """From when on what is read is read."""
    if active is None:
        return None
    if back is not None and back.grace_until is not None:
        return back.grace_until - generations.GRACE
    made = next((one.version.created_at for one in lines if one.version.version == active.version), None)
    swapped = next((one.finished_at for one in found if one.generation == active.generation), None)
    return max((moment for moment in (made, swapped) if moment), default=None)


def _version_of(found: Trace, record: int | None) -> int | None:
    """The mapping version that made a record of a payload, or refused it."""
    for made in found.made:
        if record is not None and record in made.frame["_index"]:
            return made.version
    return next((one.mapping_version for one in found.rejects if one.index == record), None)


def _tables(found: Trace) -> list[Table]:
    tables = []
    for made in found.made:
        numeric = {field.name for field in made.fields if field.type in ("number", "integer")}
        columns = [("Time", "", False), *((f.name, f.unit or "", f.name in numeric) for f in made.fields)]
        cells = made.frame.select("_time", *(field.name for field in made.fields))
        tables.append(Table(made.version, columns, list(zip(made.frame["_index"], cells.iter_rows(), strict=True))))
    return tables


def _opened(store: str, found: Trace) -> list[tuple[str, str]]:
    if found.file is None:
        return []
    # Where the folder lies on the server is nobody's business but the server's.
    place = f"{store}/{found.file}" if store.startswith("s3:") else f"bronze/{found.file}"
    number = found.payload.id
    return [
        ("DuckDB", f"SELECT *, decode(body) AS text FROM '{place}' WHERE payload_id = {number};"),
        ("Polars", f'pl.scan_parquet("{place}").filter(pl.col("payload_id") == {number}).collect()'),
    ]
