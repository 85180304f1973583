"""A pipeline's tab "Source": its options shown and edited, its scripts and secrets, its runs, its connection; and a way
to try each of it."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from dash_app.domain.errors import BadRequest
from dash_app.pages.new_pipeline import created_json, options_of
from dash_app.pages.shown import Detail
from dash_app.pages.workspace import Workspace

#: `POST /pipelines/{ref}/actions/…`; bodies and answers are JSON objects.
SOURCE_ACTIONS = frozenset({"check", "try", "save", "test", "rotate", "retire", "poll"})


async def source_values(workspace: Workspace, detail: Detail) -> dict[str, Any]:
    """What parts/source.html asks for."""
    sourced = await workspace.sourced(detail.pipeline)
    facts = {
        **sourced.form,
        "actions": f"{detail.line.address}/actions",
        "direction": sourced.direction,
        "revision": detail.pipeline.revision,
        "writes": workspace.principal.may("pipelines.write"),
        "sample": sourced.sample,
        "address": detail.line.address,
    }
    scripts = [{"name": one.name, "title": one.title, "text": one.text} for one in sourced.scripts]
    return {"sourced": sourced, "facts": facts, "scripts": scripts}


async def act_on_source(
    workspace: Workspace, detail: Detail, action: str, said: Mapping[str, Any]
) -> Mapping[str, Any]:
    pipeline, kind = detail.pipeline.id, detail.pipeline.source_kind
    match action:
        case "check":
            return {"problems": workspace.check_source(kind, options_of(said))}
        case "try":
            return await workspace.try_source(kind, options_of(said), pipeline)
        case "save":
            revision = said.get("revision")
            if isinstance(revision, bool) or not isinstance(revision, int):
                raise BadRequest("'revision' is the number of the pipeline as it was read")
            saved = await workspace.save_source(pipeline, options_of(said), revision)
            return {"revision": saved.revision}
        case "test":
            return await _test(workspace, detail, said)
        case "rotate":
            secret = said.get("secret") or None
            if secret is not None and not isinstance(secret, str):
                raise BadRequest("'secret' is a text")
            made = await workspace.rotate_secret(pipeline, secret, keep_old=said.get("keep_old", True) is not False)
            return created_json(made) | {"brought": secret is not None}
        case "retire":
            await workspace.retire_secret(pipeline)
        case _:
            await workspace.poll_now(pipeline)
    return {"refresh": True}


async def _test(workspace: Workspace, detail: Detail, said: Mapping[str, Any]) -> Mapping[str, Any]:
    body, content_type = said.get("body"), said.get("content_type") or "application/json"
    if not isinstance(body, str | None) or not isinstance(content_type, str):
        raise BadRequest("'body' and 'content_type' are texts")
    made = await workspace.try_hook(detail.pipeline.id, body, content_type[:200])
    payload = made.answer.get("payload_id")
    return {
        "ok": made.ok,
        "status": int(made.status),
        "reason": HTTPStatus(made.status).phrase,
        "answer": dict(made.answer),
        "headers": dict(made.headers),
        "body": made.body,
        "seconds": made.seconds,
        "warnings": list(made.warnings),
        "payload": f"{detail.line.address}?tab=payloads&payload={payload}" if payload else "",
    }
