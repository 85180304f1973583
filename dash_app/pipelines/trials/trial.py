"""Trying a source out before it is saved: one real request, and what would become of its answer.

What a person sees here is what the server said: its status, its headers, the beginning of its body, how its pages seem
to follow each other, which records the selector finds in it, and the mapping that would be proposed for them. Nothing
is stored. Whatever is wrong is named in `problems`, each with the option it belongs to, and no secret is shown, even
where the server sends it back.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import structlog

from dash_app.domain.errors import DashError, Invalid
from dash_app.domain.specs import Pipeline
from dash_app.pipelines.delivery.masking import words
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.secret_hosts import named_hosts
from dash_app.pipelines.sources.base import PollSource, Source
from dash_app.pipelines.sources.fetching import without_secret_bytes, without_secrets
from dash_app.pipelines.sources.http_poll import HttpPoll
from dash_app.pipelines.sources.outside import Outside
from dash_app.pipelines.sources.streaming import StreamSource
from dash_app.pipelines.streaming.trial import first_payloads
from dash_app.pipelines.trials.http import HttpTrial
from dash_app.pipelines.trials.tried import MAX_RECORDS, MAX_TEXT, FieldFound, Pagination, Trial, propose
from dash_app.storage.unit import Unit

log = structlog.get_logger(__name__)

__all__ = ["MAX_RECORDS", "MAX_TEXT", "FieldFound", "Pagination", "Trial", "kept_secrets", "try_source"]


def try_source(
    app: Resources, kind: str, options: Mapping[str, Any], secrets: Mapping[str, Any] | None = None
) -> Trial:
    """What one request of such a source brings. It blocks: run it in a thread, and hold no connection meanwhile.

    `secrets`: secret options that are stored already (`kept_secrets`); `options` come before them. Raises nothing that
    has to do with the source: what is wrong stands in the trial.
    """
    try:
        source = app.sources[kind].from_options(dict(secrets or {}) | dict(options))
    except Invalid as error:
        return Trial(False, error.problems or (("kind", error.message),))
    try:
        return _tried(app, kind, source)
    except Exception as error:
        # A bug; what it says may hold anything, and is for the log alone.
        log.exception("trial.broke", kind=kind)
        return Trial(False, (("answer", f"internal error ({type(error).__name__}); the node's log says more"),))


def _tried(app: Resources, kind: str, source: Source) -> Trial:
    if isinstance(source, StreamSource):
        return _stream(app, source)
    if not isinstance(source, PollSource):
        return Trial(False, (("kind", f"a source of the kind {kind} asks nobody: there is nothing to try"),))
    with app.reach.client() as client:
        if isinstance(source, HttpPoll):
            return HttpTrial(source, client).made()
        return _any(app, source, client)


def kept_secrets(unit: Unit, app: Resources, pipeline: Pipeline, options: Mapping[str, Any]) -> dict[str, Any]:
    """The stored secrets of a pipeline as options, for a try with changed options. None where these name another host:
    what is stored goes where it was meant to go."""
    if named_hosts(options) - named_hosts(pipeline.source_options):
        return {}
    kind = app.sources[pipeline.source_kind]
    found = {name: app.vault.get_all(unit, pipeline.id, name) for name in kind.secrets}
    return {name: kind.secret_from_text(name, texts[0]) for name, texts in found.items() if texts}


def _any(app: Resources, source: PollSource, client: httpx.Client) -> Trial:
    """A try of any other source that is polled: its first page."""
    began = time.monotonic()
    try:
        outside = Outside(client, app.reach, app.watch_roots, trial=True)
        page = next(iter(source.fetch(None, outside, datetime.now(UTC))), None)
    except DashError as error:
        return Trial(
            False, (("answer", without_secrets(error.message, _secrets_of(source))),), seconds=time.monotonic() - began
        )
    seconds = time.monotonic() - began
    if page is None or not page.body:
        return Trial(False, (("answer", "there is nothing new: no payload would be stored"),), seconds=seconds)
    return _brought(page.body, page.content_type, page.headers, page.url, seconds, _secrets_of(source))


def _stream(app: Resources, source: StreamSource) -> Trial:
    """A try of a stream: what comes within a moment."""
    began = time.monotonic()
    try:
        arrivals, problem = first_payloads(app.reach, source)
    except DashError as error:
        arrivals, problem = [], error.message
    seconds = time.monotonic() - began
    secrets = _secrets_of(source)
    if not arrivals:
        return Trial(False, (("answer", without_secrets(problem, secrets)),), url=source.address(), seconds=seconds)
    first = max(arrivals, key=lambda one: len(one.body))
    return _brought(first.body, first.content_type, first.headers, first.source, seconds, secrets)


def _brought(
    body: bytes, content_type: str, headers: Mapping[str, str], url: str, seconds: float, secrets: Sequence[str]
) -> Trial:
    """What a payload would become."""
    body = without_secret_bytes(body, secrets)
    proposed = propose(body, content_type, headers, secrets)
    return Trial(
        ok=True,
        url=url,
        headers={name: without_secrets(value, secrets) for name, value in headers.items()},
        content_type=content_type,
        size=len(body),
        text=body[:MAX_TEXT].decode("utf-8", "ignore").replace("\0", "\ufffd"),
        cut=len(body) > MAX_TEXT,
        seconds=seconds,
        count=proposed.count,
        mapping=proposed.mapping,
        note=proposed.note,
        fields=proposed.fields,
    )


def _secrets_of(source: Source) -> Sequence[str]:
    return words(getattr(source, name) for name in source.secrets)
