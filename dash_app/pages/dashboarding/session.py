"""The server's side of one open editor of a dashboard: it answers what the browser asks.

The document lives in the browser, with its history, and what its tiles show comes over the live channel. What is left
to be asked here is what only the server knows: whether a document would be accepted, which fields a pipeline has, and
the saving of it. Every message is a question with a number; the answer carries the same number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from dash_app.domain.errors import Forbidden, Invalid, PreconditionFailed
from dash_app.domain.mapping_text import check_plain
from dash_app.domain.specs import Dashboard, FieldSpec
from dash_app.domain.tiles import TILES
from dash_app.domain.tiles.text import LONGEST
from dash_app.pages.boundary import problem_of
from dash_app.pages.mapping.messages import seq_of
from dash_app.pages.markdown import render
from dash_app.pages.workspace import Workspace

log = structlog.get_logger(__name__)

Message = Mapping[str, Any]
Send = Callable[[Any], None]
#: Questions that are answered at the same time; who asks more is no person.
MOST_AT_ONCE = 30


class Asked:
    """Questions of one browser and their answers. `actions`: by type, what answers them."""

    #: The name under which what goes wrong is logged.
    where = "dashboard"

    def __init__(self, workspace: Workspace) -> None:
        self.send: Send = lambda message: None
        self._workspace = workspace
        self._tasks: set[asyncio.Task[None]] = set()
        self.actions: dict[str, Callable[[Message], Awaitable[Any]]] = {}

    def heard(self, message: Any) -> None:
        """Takes a question of the browser. Called on the event loop."""
        if not isinstance(message, Mapping):
            return
        if len(self._tasks) >= MOST_AT_ONCE:
            self._tell_problem(message, Invalid("Too much at once; wait a moment and try it again."))
            return
        task = asyncio.ensure_future(self._answer(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """The page is gone: nothing that still runs for it is wanted."""
        for task in self._tasks:
            task.cancel()

    async def _answer(self, message: Message) -> None:
        try:
            check_plain(message)
            kind = message.get("type")
            action = self.actions.get(kind) if isinstance(kind, str) else None
            if action is None:
                raise Invalid(f"'{str(kind)[:40]}' is nothing that the editor asks")
            self.send({"type": "answer", "seq": seq_of(message), "value": await action(message)})
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._tell_problem(message, error)

    def _tell_problem(self, message: Message, error: Exception) -> None:
        self.send({"type": "problem", "seq": seq_of(message)} | problem_of(error, self.where).as_json())


class Session(Asked):
    """The editor of one dashboard."""

    def __init__(self, workspace: Workspace, dashboard: Dashboard) -> None:
        super().__init__(workspace)
        self._uid = dashboard.uid
        self._dashboard = dashboard
        self._saving = asyncio.Lock()
        self.actions = {
            "check": self._check,
            "fields": self._fields,
            "save": self._save,
            "newest": self._newest,
            "versions": self._versions,
            "version": self._version,
            "restore": self._restore,
            "copy": self._copy,
            "delete": self._delete,
            "markdown": self._markdown,
        }

    def first(self, pipelines: list[dict[str, str]], folders: list[str]) -> dict[str, Any]:
        """What the browser begins with."""
        principal = self._workspace.principal
        return {
            "dashboard": saved(self._dashboard),
            "me": str(principal.user),
            "may_write": principal.may("dashboards.write"),
            "kinds": kinds(),
            "pipelines": pipelines,
            "folders": folders,
        }

    def _check_may_write(self) -> None:
        if not self._workspace.principal.may("dashboards.write"):
            raise Forbidden("Only editors may change a dashboard.")

    async def _check(self, message: Message) -> list[tuple[str, str]]:
        return await self._workspace.check_whole_dashboard(_document(message))

    async def _markdown(self, message: Message) -> dict[str, str]:
        """The text of a text tile as clean HTML."""
        text = message.get("text")
        if not isinstance(text, str) or len(text) > LONGEST:
            raise Invalid(f"text: at most {LONGEST:,} characters of Markdown are needed")
        return {"html": await asyncio.to_thread(render, text)}

    async def _fields(self, message: Message) -> list[dict[str, str]]:
        return [field(one) for one in await self._workspace.pipeline_fields(_text(message, "pipeline"))]

    async def _save(self, message: Message) -> dict[str, Any]:
        """The saved dashboard, or, where somebody saved meanwhile, theirs under `conflict`."""
        self._check_may_write()
        document, base = _document(message), _revision(message, "base")
        note = str(message.get("note") or "").strip()[:1000]
        async with self._saving:
            try:
                return {"saved": saved(await self._workspace.save_dashboard(self._uid, document, base, note))}
            except PreconditionFailed:
                return {"conflict": await self._newest(message)}

    async def _newest(self, message: Message) -> dict[str, Any]:
        """As it is saved now, with the note it was saved with."""
        found, versions = await self._workspace.dashboard_versions(self._uid)
        note = next((one.note for one in versions if one.revision == found.revision), "")
        return saved(found) | {"note": note}

    async def _versions(self, message: Message) -> dict[str, Any]:
        found, versions = await self._workspace.dashboard_versions(self._uid)
        return {
            "current": found.revision,
            "versions": [
                {
                    "revision": one.revision,
                    "note": one.note,
                    "author": one.author,
                    "at": round(one.created_at.timestamp() * 1000),
                }
                for one in versions
            ],
        }

    async def _version(self, message: Message) -> dict[str, Any]:
        one = await self._workspace.dashboard_version(self._uid, _revision(message, "revision"))
        return {"revision": one.revision, "document": one.document}

    async def _restore(self, message: Message) -> dict[str, Any]:
        """An earlier version becomes the newest; somebody else's save meanwhile is in the way of it."""
        self._check_may_write()
        async with self._saving:
            try:
                made = await self._workspace.restore_dashboard(
                    self._uid, _revision(message, "revision"), _revision(message, "base")
                )
            except PreconditionFailed:
                return {"conflict": await self._newest(message)}
        return {"saved": saved(made)}

    async def _copy(self, message: Message) -> dict[str, Any]:
        """A new dashboard of the document as it stands in the editor, saved or not."""
        self._check_may_write()
        document = _document(message)
        title = str(document.get("title") or "Dashboard")[:190]
        made = await self._workspace.new_dashboard({**document, "uid": None, "title": f"{title} (copy)"}, "Copied")
        return saved(made)

    async def _delete(self, message: Message) -> None:
        self._check_may_write()
        await self._workspace.delete_dashboard(self._uid)


def saved(dashboard: Dashboard) -> dict[str, Any]:
    """A dashboard as the browser is told of it; the time is epoch milliseconds."""
    return {
        "uid": dashboard.uid,
        "document": dashboard.document,
        "revision": dashboard.revision,
        "author": dashboard.updated_by,
        "at": round(dashboard.updated_at.timestamp() * 1000),
    }


def kinds() -> list[dict[str, Any]]:
    """Every kind of tile with what a form for its options needs."""
    return [
        {
            "kind": one.kind,
            "title": one.title,
            "summary": one.summary,
            "needs": one.needs,
            "queries": one.queries,
            "schema": one.json_schema(),
        }
        for one in TILES
    ]


def field(spec: FieldSpec) -> dict[str, str]:
    return {"name": spec.name, "type": spec.type, "unit": spec.unit, "role": spec.role}


def _document(message: Message) -> dict[str, Any]:
    document = message.get("document")
    if not isinstance(document, Mapping):
        raise Invalid("the document of a dashboard is an object")
    return dict(document)


def _text(message: Message, key: str) -> str:
    value = message.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= 100:
        raise Invalid(f"{key}: a text is needed")
    return value


def _revision(message: Message, key: str) -> int:
    value = message.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 31:
        raise Invalid(f"{key}: the number of a version is needed")
    return value
