"""The part of a workspace that dashboards need: lists, documents, versions, annotations, templates, and what a person
prefers. `Workspace` stands on it; its methods run in threads and raise DashError as all of them do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from dash_app.domain.dashboard_changes import Change, changes
from dash_app.domain.dashboards import check_dashboard, pipelines_of
from dash_app.domain.errors import BadRequest, Conflict, Invalid, NotFound
from dash_app.domain.ids import as_uuid
from dash_app.domain.mapping import parse_mapping
from dash_app.domain.specs import Dashboard, DashboardLine, DashboardVersion, DeletedDashboard, FieldSpec, Pipeline
from dash_app.pages.desk import Desk
from dash_app.pages.replayed import Travel
from dash_app.pipelines import annotations as annotating
from dash_app.pipelines import dashboard_templates as templates
from dash_app.pipelines import dashboards as documents
from dash_app.pipelines import tile_checks
from dash_app.pipelines.dashboard_templates import Template
from dash_app.pipelines.propose import propose_dashboard
from dash_app.storage import annotations as stored_annotations
from dash_app.storage import catalog, dashboards, lineage, preferences
from dash_app.storage.annotations import Annotation
from dash_app.storage.preferences import Preferences
from dash_app.storage.unit import Unit


class DashboardDesk(Desk):
    """What one principal can see and do with the team's dashboards."""

    # Lists --------------------------------------------------------------------------------------------------------

    async def dashboards(
        self, *, search: str = "", tag: str = "", folder: str | None = None, starred: bool = False
    ) -> list[DashboardLine]:
        """By title, each with whether this person has starred it."""
        return await self._read(
            "dashboards.read",
            lambda unit: dashboards.lines(
                unit, self.principal.user, search=search, tag=tag, folder=folder, starred=starred
            ),
        )

    async def dashboard(self, uid: str) -> Dashboard:
        """NotFound where there is none."""
        return await self._read("dashboards.read", lambda unit: dashboards.get(unit, uid))

    async def star_dashboard(self, uid: str, on: bool) -> None:
        """Whoever may read a dashboard may star it: it is nobody else's business."""
        change = dashboards.star if on else dashboards.unstar
        await self._write("dashboards.read", lambda unit: change(unit, self.principal.user, dashboards.get(unit, uid)))

    async def is_starred(self, uid: str) -> bool:
        return await self._read(
            "dashboards.read", lambda unit: dashboards.is_starred(unit, self.principal.user, dashboards.get(unit, uid))
        )

    # Making and saving --------------------------------------------------------------------------------------------

    async def propose_dashboard(self, pipeline: UUID) -> dict[str, Any]:
        """A document for a pipeline, not saved. Conflict where there is no mapping to propose it from."""
        return await self._read("dashboards.write", lambda unit: _proposed(unit, pipeline))

    async def create_dashboard(self, pipeline: UUID) -> str:
        """The uid of a new dashboard proposed for a pipeline. Conflict where there is no mapping to propose it from."""
        return await self._write(
            "dashboards.write",
            lambda unit: (
                documents.create_dashboard(
                    unit, self.principal.team, _proposed(unit, pipeline), self.principal, note="Proposed"
                ).uid
            ),
        )

    async def new_dashboard(self, document: Mapping[str, Any], note: str = "") -> Dashboard:
        """Saves a new dashboard; without a uid it gets a free one made from its title. Raises Invalid, Conflict."""

        def create(unit: Unit) -> Dashboard:
            made = dict(document)
            if not made.get("uid"):
                made["uid"] = documents.free_uid(unit, documents.uid_for(str(made.get("title") or "")))
            return documents.create_dashboard(unit, self.principal.team, made, self.principal, note=note)

        return await self._write("dashboards.write", create)

    async def check_dashboard(self, document: Mapping[str, Any]) -> list[tuple[str, str]]:
        """(place, message) of everything that is wrong with a document."""
        await self._allow("dashboards.read")
        try:
            check_dashboard(document)
        except Invalid as error:
            return list(error.problems) or [("", error.message)]
        return []

    async def save_dashboard(
        self, uid: str, document: Mapping[str, Any], base: int | None, note: str = ""
    ) -> Dashboard:
        """The next revision. Raises Invalid, and PreconditionFailed where `base` is not the newest any more: its
        `extra` has `revision`, `updated_by` and `changes`."""
        return await self._write(
            "dashboards.write",
            lambda unit: documents.update_dashboard(
                unit, uid, document, self.principal, expected_revision=base, note=note
            ),
        )

    async def copy_dashboard(self, uid: str, title: str | None = None) -> Dashboard:
        return await self._write(
            "dashboards.write", lambda unit: documents.copy_dashboard(unit, uid, self.principal, title=title)
        )

    async def copy_tile(self, source: str, tile: str, target: str) -> Dashboard:
        """Puts a copy of a tile into another dashboard (or the same), with the variables it needs; answers that one."""
        return await self._write(
            "dashboards.write", lambda unit: documents.copy_tile(unit, source, tile, target, self.principal)
        )

    async def delete_dashboard(self, uid: str) -> None:
        await self._write("dashboards.write", lambda unit: documents.delete_dashboard(unit, uid, self.principal))

    async def undelete_dashboard(self, uid: str) -> Dashboard:
        """Brings back what was deleted. Raises NotFound, Conflict."""
        return await self._write(
            "dashboards.write", lambda unit: documents.undelete_dashboard(unit, uid, self.principal)
        )

    async def deleted_dashboards(self) -> list[DeletedDashboard]:
        """Those that can still be brought back, the last that went first."""
        return await self._read("dashboards.write", dashboards.deleted)

    # Versions -----------------------------------------------------------------------------------------------------

    async def dashboard_versions(self, uid: str, whole: int = 0) -> tuple[Dashboard, list[DashboardVersion]]:
        """The dashboard and the states it was saved in, newest first; so many of them with their document."""

        def read(unit: Unit) -> tuple[Dashboard, list[DashboardVersion]]:
            found = dashboards.get(unit, uid)
            return found, dashboards.versions(unit, found.id, whole=whole)

        return await self._read("dashboards.read", read)

    async def dashboard_version(self, uid: str, revision: int) -> DashboardVersion:
        return await self._read(
            "dashboards.read", lambda unit: dashboards.version(unit, dashboards.get(unit, uid).id, revision)
        )

    async def compare_dashboard(self, uid: str, old: int, new: int) -> list[Change]:
        """What differs between two revisions. Raises NotFound."""
        return await self._read(
            "dashboards.read", lambda unit: documents.changes_between(unit, dashboards.get(unit, uid), old, new)
        )

    async def dashboard_changes(self, uid: str, document: Mapping[str, Any]) -> tuple[Dashboard, list[Change]]:
        """The dashboard as it is saved now, and what a document would change of it."""
        found = await self.dashboard(uid)
        return found, changes(found.document, document)

    async def restore_dashboard(self, uid: str, revision: int, base: int | None = None) -> Dashboard:
        """An earlier state as the next revision. Raises NotFound, Invalid, PreconditionFailed."""
        return await self._write(
            "dashboards.write",
            lambda unit: documents.restore_version(unit, uid, revision, self.principal, expected_revision=base),
        )

    # Annotations --------------------------------------------------------------------------------------------------

    async def annotate(self, uid: str, document: Mapping[str, Any]) -> Annotation:
        """`document`: time, time_end, text, tags, tile. Raises Invalid."""
        return await self._write("dashboards.write", lambda unit: annotating.write(unit, uid, document, self.principal))

    async def change_annotation(self, uid: str, annotation: str, changed: Mapping[str, Any]) -> Annotation:
        number = _uuid(annotation)
        return await self._write(
            "dashboards.write", lambda unit: annotating.rewrite(unit, uid, number, changed, self.principal)
        )

    async def remove_annotation(self, uid: str, annotation: str) -> Annotation:
        """Answers what was removed, so that it can be written again."""
        number = _uuid(annotation)

        def remove(unit: Unit) -> Annotation:
            found = stored_annotations.get(unit, dashboards.get(unit, uid).id, number)
            annotating.remove(unit, uid, number, self.principal)
            return found

        return await self._write("dashboards.write", remove)

    # Editing ------------------------------------------------------------------------------------------------------

    async def check_whole_dashboard(self, document: Mapping[str, Any]) -> list[tuple[str, str]]:
        """(place, message) of everything that is wrong with a document, also beside the pipelines that it asks."""
        return await self._read("dashboards.read", lambda unit: tile_checks.dashboard_problems(unit, document))

    async def pipeline_fields(self, ref: str) -> list[FieldSpec]:
        """What records of a pipeline have. Raises NotFound."""

        def read(unit: Unit) -> list[FieldSpec]:
            found = tile_checks.fields_of(unit, ref)
            if found is None:
                raise NotFound(f"no pipeline '{ref[:80]}'")
            return list(found.values())

        return await self._read("pipelines.read", read)

    async def pipeline_id(self, ref: str) -> UUID:
        """Of its slug or id. Raises NotFound."""
        return await self._read("pipelines.read", lambda unit: catalog.pipeline(unit, ref).id)

    # Templates ----------------------------------------------------------------------------------------------------

    def dashboard_templates(self) -> list[Template]:
        return templates.all_templates()

    async def fitting_templates(self, pipeline: UUID) -> dict[str, dict[str, str]]:
        """For each template the fields of a pipeline for its inputs, as far as their names tell."""
        return await self._read("dashboards.read", lambda unit: templates.fitting(unit, pipeline))

    async def from_template(self, template: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """A document from a template, not saved. `asked`: pipeline, fields, title. Raises NotFound, Invalid."""
        return await self._read("dashboards.write", lambda unit: templates.instantiate(unit, template, asked))

    # What a person prefers ----------------------------------------------------------------------------------------

    async def preferences(self) -> Preferences:
        return await self._read("dashboards.read", lambda unit: preferences.get(unit, self.principal.user))

    async def set_timezone(self, timezone: str) -> Preferences:
        """An IANA name; '' for the browser's. Raises Invalid."""
        return await self._write(
            "dashboards.read", lambda unit: preferences.set_timezone(unit, self.principal.user, timezone)
        )

    # Time travel --------------------------------------------------------------------------------------------------

    async def travel(self, dashboard: Dashboard, asked: str) -> Travel:
        """`asked`: pairs of a pipeline and a mapping version, such as weather:3,quakes:2. NotFound for one that never
        was, BadRequest for what is no such pair."""
        wanted = _pairs(asked)

        def read(unit: Unit) -> Travel:
            chosen = []
            for ref, version in wanted.items():
                found = catalog.pipeline(unit, ref)
                catalog.mapping(unit, found.id, version)
                chosen.append((found, version, version in lineage.kept_versions(unit, found.id)))
            offered: dict[UUID, tuple[Pipeline, Sequence[int]]] = {}
            for name in _pipelines(dashboard.document):
                try:
                    found = catalog.pipeline(unit, name)
                except NotFound:
                    continue
                if found.id not in offered:
                    versions = sorted(lineage.kept_versions(unit, found.id), reverse=True)
                    offered[found.id] = (found, versions)
            return Travel(chosen, [one for one in offered.values() if len(one[1]) > 1])

        return await self._read("dashboards.read", read)


def dashboard_of(unit: Unit, pipeline: Pipeline) -> str | None:
    """The dashboard to open from a pipeline: the one named like it, else the first that shows nothing but it."""
    found = dashboards.documents(unit)
    names = {pipeline.slug, str(pipeline.id)}
    if any(one.uid == pipeline.slug for one in found):
        return pipeline.slug
    return next((one.uid for one in found if (shown := set(_pipelines(one.document))) and shown <= names), None)


def _pipelines(document: Mapping[str, Any]) -> list[str]:
    """The pipelines that a dashboard's tiles ask, each once."""
    return list(dict.fromkeys(name for tile in document.get("tiles", []) for name in pipelines_of(tile)))


def _proposed(unit: Unit, pipeline: UUID) -> dict[str, Any]:
    found = catalog.pipeline(unit, pipeline)
    if found.mapping_version is None:
        raise Conflict("There is no mapping yet: send the first payload, or write a mapping, and then try again.")
    spec = parse_mapping(catalog.mapping(unit, found.id, found.mapping_version).document)
    document = propose_dashboard(found, spec)
    document["uid"] = documents.free_uid(unit, document["uid"])
    return document


def _uuid(text: str) -> UUID:
    found = as_uuid(text)
    if found is None:
        raise NotFound("no such annotation")
    return found


def _pairs(asked: str) -> dict[str, int]:
    made = {}
    for pair in filter(None, (one.strip() for one in asked.split(","))):
        name, _, version = pair.rpartition(":")
        number = int(version) if version.isascii() and version.isdecimal() and len(version) <= 10 else 0
        if not name or not 0 < number < 1 << 31:
            raise BadRequest(f"'{pair[:60]}' is no mapping version of a pipeline; such as mapping=weather:3")
        made[name] = number
    return made
