"""Sources: what there is to choose from, how one is made, tried, changed and watched, for one person's team."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

from dash_app.domain.errors import Forbidden, Invalid, NotFound
from dash_app.domain.kinds import Kind
from dash_app.domain.specs import Pipeline
from dash_app.pages.desk import Desk
from dash_app.pages.parts.form import form_of
from dash_app.pages.shown import Created
from dash_app.pages.sourced import Direction, KindCard, Script, Sourced, kind_title
from dash_app.pipelines import setup
from dash_app.pipelines.sources.base import PollSource
from dash_app.pipelines.sources.pipeline import FromPipeline
from dash_app.pipelines.sources.streaming import StreamSource
from dash_app.pipelines.sources.webhook import SignatureScheme, Webhook
from dash_app.pipelines.trials import hook as hook_trial
from dash_app.pipelines.trials import trial
from dash_app.pipelines.trials.hook import HookTrial
from dash_app.storage import catalog, ledger, streams
from dash_app.storage.unit import Unit

#: Stands in scripts where the secret belongs.
PLACEHOLDER = "YOUR-SECRET"
#: Runs that the tab lists.
RUNS = 8


class SourceDesk(Desk):
    """The part of the workspace that is about sources."""

    # Choosing and making ------------------------------------------------------------------------------------------

    def source_cards(self) -> list[KindCard]:
        """The kinds of source, those that people look for first before the others."""
        first = {"webhook": 0, "http_poll": 1, "upload": 2, "mqtt": 3, "postgres": 4}
        cards = [KindCard(one.kind, kind_title(one.kind), one.summary, _direction(one)) for one in self._app.sources]
        return sorted(cards, key=lambda one: (first.get(one.kind, 99), one.title))

    def known_senders(self) -> list[tuple[str, str]]:
        """(scheme, title) of the services whose webhooks are known by name."""
        return [(one.kind, one.title) for one in self._app.schemes if one.secret_from or one.kind == "github"]

    def source_kind(self, kind: str) -> type[Kind]:
        """NotFound where there is none."""
        if kind not in self._app.sources:
            raise NotFound
        return self._app.sources[kind]

    def source_form(self, kind: str, options: Mapping[str, Any], kept: frozenset[str] = frozenset()) -> dict[str, Any]:
        """What the form of a kind asks for; `kept`: secrets that are stored already."""
        made = form_of(self.source_kind(kind), options, kept)
        return {**made, "kind": kind, "schemes": _scheme_facts(self._app.schemes) if kind == Webhook.kind else {}}

    def check_source(self, kind: str, options: Mapping[str, Any]) -> list[tuple[str, str]]:
        """(option, message) of everything that is wrong with a source's options."""
        try:
            self.source_kind(kind).from_options(options, "")
        except Invalid as error:
            return [(place.lstrip("."), what) for place, what in error.problems]
        return []

    async def create_pipeline(self, document: Mapping[str, Any]) -> Created:
        """Invalid names each place that is wrong: name, slug, source.options.url, mapping.fields[0].type."""

        def create(unit: Unit) -> Created:
            made, secret = setup.create_pipeline(unit, self._app, self.principal.team, document, self.principal)
            return self._created(made, secret)

        return await self._write("pipelines.write", create)

    async def try_source(self, kind: str, options: Mapping[str, Any], pipeline: UUID | None) -> dict[str, Any]:
        """What one real request brings, as JSON; `pipeline`: whose stored secrets stand in for those left out."""
        await self._allow("pipelines.write")
        self.source_kind(kind)

        def run() -> dict[str, Any]:
            secrets: dict[str, Any] = {}
            if pipeline is not None:
                # Closed before the request, so that no connection waits for somebody else's server.
                with self._app.database.team(self.principal.team) as unit:
                    found = catalog.pipeline(unit, pipeline)
                    secrets = trial.kept_secrets(unit, self._app, found, options) if found.source_kind == kind else {}
            return asdict(trial.try_source(self._app, kind, options, secrets))

        return await asyncio.to_thread(run)

    # One pipeline's -----------------------------------------------------------------------------------------------

    async def sourced(self, pipeline: Pipeline) -> Sourced:
        """All that the tab "Source" shows."""

        def read(unit: Unit) -> Sourced:
            kind = self._app.sources[pipeline.source_kind]
            # Of others the stored options alone are no whole source: their secrets are kept apart.
            source = kind.from_options(pipeline.source_options) if issubclass(kind, Webhook) else None
            kept = frozenset(name for name in kind.secrets if self._app.vault.get_all(unit, pipeline.id, name))
            poll = ledger.poll(unit, pipeline.id)
            known: dict[str, Any] = {}
            if isinstance(source, Webhook):
                signature = source.signature
                known = {
                    "scripts": scripts_of(signature, self._webhook_url(pipeline.id), PLACEHOLDER),
                    "sample": signature.sample("1"),
                    "secret_from": signature.secret_from,
                    "covers_body": signature.covers_body or not signature.signed,
                }
            if issubclass(kind, FromPipeline):
                known["upstream"] = catalog.pipeline(unit, pipeline.source_options["pipeline"]).slug
            return Sourced(
                kind=pipeline.source_kind,
                title=kind_title(pipeline.source_kind),
                summary=kind.summary,
                direction=_direction(kind),
                form=self.source_form(pipeline.source_kind, pipeline.source_options, kept),
                runs=ledger.runs(unit, pipeline.id, limit=RUNS) if poll else (),
                poll=poll,
                cursor=json.dumps(poll.cursor, indent=2, ensure_ascii=False) if poll and poll.cursor else "",
                stream=streams.stream(unit, pipeline.id) if issubclass(kind, StreamSource) else None,
                triable=issubclass(kind, PollSource),
                **known,
            )

        return await self._read("pipelines.read", read)

    async def save_source(self, pipeline: UUID, options: Mapping[str, Any], revision: int) -> Pipeline:
        """All options anew, secrets that are left out stay. Invalid; PreconditionFailed where another was quicker."""
        return await self._write(
            "pipelines.write",
            lambda unit: setup.update_pipeline(
                unit,
                self._app,
                pipeline,
                {"source": {"options": options}},
                self.principal,
                expected_revision=revision,
            ),
        )

    async def poll_now(self, pipeline: UUID) -> None:
        """The next run is due at once. NotFound where nothing is polled."""

        def move(unit: Unit) -> None:
            if ledger.poll(unit, pipeline) is None:
                raise NotFound("this pipeline polls nothing")
            ledger.poll_now(unit, pipeline)

        await self._write("pipelines.write", move)

    async def try_hook(self, pipeline: UUID, body: str | None, content_type: str) -> HookTrial:
        """A signed sample along the road of every delivery."""
        await self._allow("pipelines.write")
        team = self.principal.team
        return await asyncio.to_thread(hook_trial.try_hook, self._app, team, pipeline, body, content_type)

    async def rotate_secret(self, pipeline: UUID, secret: str | None = None, *, keep_old: bool = True) -> Created:
        """A new signing secret, or the one brought along; `keep_old`: the one before it stays valid beside it."""

        def rotate(unit: Unit) -> Created:
            found = catalog.pipeline(unit, pipeline)
            kind = self._app.sources[found.source_kind]
            if not issubclass(kind, Webhook) or not kind.from_options(found.source_options).signature.signed:
                raise Forbidden("This pipeline's source takes no signing secret.")
            made = setup.rotate_secret(unit, self._app, pipeline, self.principal, secret=secret, keep_old=keep_old)
            return self._created(catalog.pipeline(unit, pipeline), made)

        return await self._write("pipelines.write", rotate)

    async def retire_secret(self, pipeline: UUID) -> None:
        """Ends the secret before the newest one. NotFound where there is none."""
        await self._write(
            "pipelines.write", lambda unit: setup.retire_secret(unit, self._app, pipeline, self.principal)
        )

    def _webhook_url(self, pipeline: UUID) -> str:
        return f"{self.base}/webhooks/{pipeline}"

    def _created(self, made: Pipeline, secret: str | None) -> Created:
        kind = self._app.sources[made.source_kind]
        if not issubclass(kind, Webhook):
            return Created(made, secret, None, (), False)
        signature, url = kind.from_options(made.source_options).signature, self._webhook_url(made.id)
        return Created(
            made, secret, url, scripts_of(signature, url, secret or ""), signature.signed, signature.secret_from
        )


def scripts_of(signature: SignatureScheme, url: str, secret: str) -> list[Script]:
    """Scripts that send a signed sample: for a terminal, for Python and for JavaScript."""
    return [
        Script("curl", "curl", signature.curl(url, secret)),
        Script("python", "Python", signature.python_snippet(url, secret)),
        Script("javascript", "JavaScript", signature.javascript_snippet(url, secret)),
    ]


def _scheme_facts(schemes: Any) -> dict[str, Any]:
    return {
        one.kind: {"signed": one.signed, "covers": one.covers_body or not one.signed, "from": one.secret_from}
        for one in schemes
    }


def _direction(kind: type[Kind]) -> Direction:
    if getattr(kind, "pushed", False):
        return "pushed"
    if issubclass(kind, PollSource):
        return "polled"
    if issubclass(kind, StreamSource):
        return "streamed"
    return "fed" if issubclass(kind, FromPipeline) else "brought"
