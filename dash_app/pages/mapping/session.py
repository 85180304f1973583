"""One open editor of a mapping: hears what the browser says, keeps the document with its history, and answers.

Edits are applied one after the other in the order in which they were made. Previews run beside them, in threads; the
newest one wins, and one that nobody waits for any more ends at its next portion.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import structlog

from dash_app.domain.errors import Conflict, Forbidden, Invalid
from dash_app.domain.mapping import mapping_text
from dash_app.domain.mapping_changes import merged
from dash_app.domain.mapping_edits import ordered
from dash_app.domain.mapping_history import History, begin, edit, is_blank, redo, undo
from dash_app.domain.specs import MappingVersion, Pipeline
from dash_app.pages.boundary import problem_of
from dash_app.pages.mapping import told
from dash_app.pages.mapping.messages import refusal, seq_of
from dash_app.pages.workspace import Workspace

if TYPE_CHECKING:
    from dash_app.pipelines.samples import Samples
    from dash_app.storage.drafts import Draft

log = structlog.get_logger(__name__)

Message = Mapping[str, Any]
Send = Callable[[Any], None]
#: Messages that wait at most; who sends more is no person.
MAX_WAITING = 50
#: With so many waiting, a text that is typed takes the place of the one before it that nobody has read yet.
CROWDED = 8
CHOICES = ("now", "now_and_replay", "after_replay", "no")


@dataclass(frozen=True)
class Subject:
    """What the page is about, read before it is made. `text`: the active mapping's, '' where there is none."""

    pipeline: Pipeline
    text: str
    versions: Sequence[MappingVersion]
    draft: Draft | None = None
    #: A version to begin from instead of the active one.
    opened: MappingVersion | None = None

    @property
    def newest(self) -> int:
        return self.versions[0].version if self.versions else 0

    @property
    def base(self) -> int:
        """The newest version that is in what is shown first. A draft has its own; the active version may be older than
        the newest, which nobody has seen by looking at the active one; who opens a version has seen the list."""
        if self.draft:
            return self.draft.base
        return self.newest if self.opened else self.active

    @property
    def active(self) -> int:
        return self.pipeline.mapping_version or 0

    @property
    def first_text(self) -> str:
        if self.draft:
            return self.draft.text
        return mapping_text(ordered(self.opened.document)) if self.opened else self.text


class Session:
    """The editor of one page. `heard` takes what the browser says; `send` is set by whoever made the component.

    `history`: that of `subject.first_text`, where it was read already: a long text takes the YAML reader a second.
    """

    def __init__(self, workspace: Workspace, subject: Subject, history: History | None = None) -> None:
        self.send: Send = lambda message: None
        self._workspace = workspace
        self._subject = subject
        self._pipeline = subject.pipeline.id
        self._saved = subject.text
        #: The version whose text `_saved` is.
        self._saved_version = subject.active
        self._active = subject.pipeline.mapping_version
        self._versions = list(subject.versions)
        #: The newest version that the person at the page has seen.
        self._base = subject.base
        self._history = begin(subject.first_text) if history is None else history
        self._samples: Samples | None = None
        self._arrived = 0
        self._wanted = 0
        #: Messages in the order in which they came, each with why it is refused, or ''.
        self._waiting: deque[tuple[Message, str]] = deque()
        #: Whether what stands in the browser as text was refused, so that it is not what would be saved.
        self._text_refused = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._consumer: asyncio.Task[Any] | None = None

    @property
    def may_write(self) -> bool:
        return self._workspace.principal.may("pipelines.write")

    def first(self) -> dict[str, Any]:
        """What the browser begins with."""
        draft, opened = self._subject.draft, self._subject.opened
        return {
            "pipeline": str(self._pipeline),
            "may_write": self.may_write,
            "state": told.state(self._history, self._saved),
            "base": self._base,
            "newest": self._subject.newest,
            "draft": {"id": draft.id, "author": draft.author, "at": draft.created_at.timestamp() * 1000}
            if draft
            else None,
            "opened": opened.version if opened else None,
            **told.versions(self._versions, self._active),
        }

    # -- what is said

    def heard(self, message: Any) -> None:
        """Takes a message of the browser, which is answered in its turn. Called on the event loop."""
        if not isinstance(message, Mapping):
            return
        why = refusal(message)
        if why:
            # Of what is refused only the head is kept until its turn comes.
            message = {"type": message.get("type"), "seq": seq_of(message), "text_edit": _is_text_edit(message)}
        elif len(self._waiting) >= CROWDED and _is_text_edit(message) and _is_text_edit(self._waiting[-1][0]):
            self._waiting.pop()
        if len(self._waiting) >= MAX_WAITING:
            self._tell_problem(message, Invalid("Too much at once; wait a moment and try it again."))
            return
        self._waiting.append((message, why))
        if self._consumer is None or self._consumer.done():
            self._consumer = asyncio.ensure_future(self._consume())

    def close(self) -> None:
        """The page is gone: nothing that still runs for it is wanted."""
        self._wanted += 1
        for task in (*self._tasks, *([self._consumer] if self._consumer else [])):
            task.cancel()
        self._samples = None

    async def _consume(self) -> None:
        while self._waiting:
            message, why = self._waiting.popleft()
            await self._guarded(message, self._refuse(message, why) if why else self._answer(message))

    async def _refuse(self, message: Message, why: str) -> None:
        self._text_refused = self._text_refused or bool(message.get("text_edit"))
        self._tell_problem(message, Invalid(why))
        if message.get("type") == "start":
            # What was kept cannot be taken back, but the editor can be used.
            await self._load(message)

    async def _guarded(self, message: Message, answer: Awaitable[None]) -> None:
        try:
            await answer
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._tell_problem(message, error)

    def _tell_problem(self, message: Message, error: Exception) -> None:
        kind = message.get("type")
        of = kind if isinstance(kind, str) and kind in self._ACTIONS else ""
        told_of = {"type": "problem", "of": of, "seq": seq_of(message)}
        self.send(told_of | problem_of(error, "mapping").as_json())

    async def _answer(self, message: Message) -> None:
        kind = message.get("type")
        action = self._ACTIONS.get(kind) if isinstance(kind, str) else None
        if action is None:
            raise Invalid(f"'{str(kind)[:40]}' is nothing that the editor does")
        await action(self, message)

    def _aside(self, message: Message, answer: Awaitable[None]) -> None:
        """Runs beside the edits."""
        task = asyncio.ensure_future(self._guarded(message, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- editing

    async def _start(self, message: Message) -> None:
        """The browser stands; `text` is what it had kept of an earlier visit, `base` the version it was made from: what
        was saved since then is not in it."""
        kept, base = message.get("text"), message.get("base")
        if isinstance(kept, str) and self.may_write and kept != self._history.present.text:
            try:
                operation = {"op": "text", "text": kept}
                self._history = await asyncio.to_thread(edit, self._history, operation, time.monotonic())
                if isinstance(base, int) and not isinstance(base, bool) and 0 <= base <= self._subject.newest:
                    self._base = base
                await self._tell_state(message)
            except Invalid as error:
                self._tell_problem(message, error)
        await self._load(message)

    async def _edit(self, message: Message) -> None:
        operation = message.get("operation")
        if not isinstance(operation, Mapping):
            raise Invalid("an operation is needed")
        try:
            await self._change(message, lambda history: edit(history, operation, time.monotonic()))
        except Invalid:
            self._text_refused = self._text_refused or operation.get("op") == "text"
            raise

    async def _undo(self, message: Message) -> None:
        await self._change(message, undo)

    async def _redo(self, message: Message) -> None:
        await self._change(message, redo)

    def _check_may_write(self) -> None:
        if not self.may_write:
            raise Forbidden("Only editors may change a mapping.")

    async def _change(self, message: Message, change: Callable[[History], History]) -> None:
        self._check_may_write()
        # A text of 256 KiB takes the YAML reader a second.
        self._history = await asyncio.to_thread(change, self._history)
        self._text_refused = False
        await self._tell_state(message)
        self._show_preview(message)

    async def _tell_state(self, message: Message) -> None:
        state = await asyncio.to_thread(told.state, self._history, self._saved)
        self.send({"type": "state", "seq": seq_of(message), "base": self._base, **state})

    # -- previews

    def _show_preview(self, message: Message) -> None:
        self._wanted += 1
        self._aside(message, self._preview(seq_of(message), self._wanted))

    async def _preview(self, seq: Any, asked: int) -> None:
        state, samples = self._history.present, self._samples
        if samples is None:
            return
        answer: dict[str, Any] = {"type": "preview", "seq": seq, "problems": [], "result": None}
        if state.problem:
            answer["problems"] = told.problems(state.text, [("", state.problem)])
        elif not state.blank:

            def run() -> None:
                try:
                    answer["result"] = told.preview(samples.preview(state.document, lambda: asked != self._wanted))
                except Invalid as error:
                    if asked != self._wanted:
                        return
                    answer["problems"] = told.problems(state.text, error.problems or [("", error.message)])

            try:
                await self._workspace.with_samples(run)
            except Exception:
                if asked == self._wanted:
                    raise
        if asked == self._wanted:
            self.send(answer)

    # -- payloads

    async def _load(self, message: Message) -> None:
        self._samples = await self._workspace.samples(self._pipeline)
        self._arrived, _ = await self._workspace.look(self._pipeline)
        self._tell_payloads(message)

    def _tell_payloads(self, message: Message) -> None:
        assert self._samples is not None
        self.send({"type": "payloads", **told.payload_list(self._samples)})
        self._show_preview(message)

    async def _paste(self, message: Message) -> None:
        kind = str(message.get("content_type") or "application/json")[:200]
        samples = await self._workspace.pasted(self._pipeline, str(message.get("text", "")), kind)
        # Where it cannot be read, the person who pasted it is told, and nothing changes.
        await self._workspace.with_samples(lambda: samples.document(samples.payloads[0].id))
        self._samples = samples
        self._tell_payloads(message)
        await self._open({"id": str(samples.payloads[0].id)})

    async def _look(self, message: Message) -> None:
        arrived, newest = await self._workspace.look(self._pipeline)
        waiting = 0 if self._samples is None else max(0, arrived - self._arrived)
        self.send({"type": "look", "waiting": waiting, "newest": newest, "base": self._base})

    async def _search(self, message: Message) -> None:
        samples, text = self._held(), str(message.get("text", ""))[:200]
        found = await self._workspace.with_samples(lambda: samples.search(text))
        self.send({"type": "found", "text": text, "ids": [str(one) for one in found]})

    async def _open(self, message: Message) -> None:
        samples, number = self._held(), _number(message.get("id"))
        payload = samples.payload(number)
        answer: dict[str, Any] = {"type": "payload", "payload": told.payload_head(payload), "tree": None, "wrong": ""}
        try:
            answer["tree"] = await self._workspace.with_samples(lambda: told.node(samples.tree(number)))
        except Invalid as error:
            answer["wrong"] = error.message
            answer["text"] = payload.body[:4096].decode("utf-8", "replace")
        self.send(answer)

    async def _children(self, message: Message) -> None:
        samples, number, path = self._held(), _number(message.get("id")), _path(message.get("path"))
        start = message.get("start")
        begin_at = start if isinstance(start, int) else 0
        found = await self._workspace.with_samples(lambda: told.nodes(samples.children(number, path, begin_at)))
        self.send({"type": "children", "id": str(number), "path": path, "start": begin_at, "nodes": found})

    async def _take(self, message: Message) -> None:
        """A place of a payload becomes a field, the time, a part of the key, or where the records are."""
        samples, number, path = self._held(), _number(message.get("id")), _path(message.get("path"))
        document, use = self._history.present.document, message.get("as")
        operations: dict[str, Callable[[], dict[str, Any]]] = {
            "field": lambda: {"op": "add", "field": samples.suggest(number, path, document)},
            "header": lambda: {"op": "add", "field": samples.suggest_header(number, str(path[0]), document)},
            "time": lambda: {"op": "time", **samples.suggest_time(number, path, document)},
            "key": lambda: {"op": "key", "paths": samples.suggest_key(number, path, document)},
            "records": lambda: {"op": "records", "path": samples.suggest_records(number, path), "rebase": True},
        }
        if use not in operations or (not path and use != "records"):
            raise Invalid("there is nothing to be made of this place")
        operation = await self._workspace.with_samples(operations[str(use)])
        await self._change(message, lambda history: edit(history, operation, time.monotonic()))

    async def _infer(self, message: Message) -> None:
        self._check_may_write()
        samples = self._held()
        found = await self._workspace.with_samples(samples.infer)
        if found is None:
            raise Invalid("Nothing in these payloads can be read as records; write the mapping by hand.")
        text = f"# {found[1][:1].upper()}{found[1][1:]}\n{mapping_text(ordered(found[0]))}"
        operation = {"op": "replace", "text": text}
        await self._change(message, lambda history: edit(history, operation, time.monotonic()))

    def _held(self) -> Samples:
        if self._samples is None:
            raise Invalid("The payloads are not there yet.")
        return self._samples

    # -- saving

    async def _save(self, message: Message) -> None:
        state, activate = self._history.present, message.get("activate")
        if activate not in CHOICES:
            raise Invalid(f"'{str(activate)[:40]}' is unknown; one of {', '.join(CHOICES)}")
        if state.problem:
            raise Invalid(state.problem)
        if self._text_refused:
            raise Invalid("What stands in the text was refused, so it would not be what is saved; mend it or undo it.")
        note = str(message.get("note") or "").strip()
        try:
            saved = await self._workspace.save_mapping(
                self._pipeline, dict(state.document), note, cast(Any, activate), self._base
            )
        except Conflict as error:
            await self._tell_conflict(error)
            return
        self._saved = state.text
        self._base = self._saved_version = saved.version.version
        await self._read_versions()
        replay = str(saved.replay) if saved.replay else None
        self.send({"type": "saved", "version": saved.version.version, "replay": replay, "activate": activate})
        self._tell_versions()
        await self._tell_state(message)

    async def _tell_conflict(self, error: Conflict) -> None:
        await self._read_versions()
        newest = self._newest()
        if newest is None or newest.version <= self._base:
            # Something else is in the way, such as a replay that runs: its own words say what.
            raise error
        self.send({"type": "conflict", **told.conflict(self._base_document(), newest, self._history.present.document)})
        self._tell_versions()

    async def _differ(self, message: Message) -> None:
        """What somebody else has saved meanwhile, held against the edits here."""
        await self._tell_conflict(Conflict("Nobody has saved anything meanwhile."))

    async def _settle(self, message: Message) -> None:
        """How a conflict is settled: `mine` goes on top of theirs, `theirs` takes its place, `both` are merged."""
        newest, choice = self._newest(), message.get("choice")
        if newest is None or choice not in ("mine", "theirs", "both"):
            raise Invalid("there is nothing to settle")
        theirs = mapping_text(ordered(newest.document))
        operation: dict[str, Any] = {"op": "replace", "text": theirs}
        if choice == "both":
            both, _ = merged(self._base_document(), newest.document, self._history.present.document)
            operation = {"op": "replace", "document": both}
        if choice != "mine":
            await self._change(message, lambda history: edit(history, operation, time.monotonic()))
        self._base = self._saved_version = newest.version
        self._saved = theirs
        await self._tell_state(message)
        self.send({"type": "settled", "choice": choice, "base": self._base})

    async def _revert(self, message: Message) -> None:
        """Back to what is saved; undo brings the edits back."""
        operation = {"op": "replace", "text": self._saved}
        self._check_may_write()
        before, self._base = self._base, self._saved_version
        try:
            await self._change(message, lambda history: edit(history, operation, time.monotonic()))
        except Exception:
            self._base = before
            raise

    async def _share(self, message: Message) -> None:
        if is_blank(self._history.present.text):
            raise Invalid("There is nothing to share yet.")
        made = await self._workspace.share_draft(self._pipeline, self._history.present.text, self._base)
        self.send({"type": "shared", "draft": made.id})

    async def _read_versions(self) -> None:
        _, self._versions = await self._workspace.mapping(self._pipeline)
        self._active = (await self._workspace.detail(str(self._pipeline))).pipeline.mapping_version

    def _tell_versions(self) -> None:
        self.send({"type": "versions", **told.versions(self._versions, self._active)})

    def _newest(self) -> MappingVersion | None:
        return self._versions[0] if self._versions else None

    def _base_document(self) -> Mapping[str, Any]:
        return next((one.document for one in self._versions if one.version == self._base), {})

    _ACTIONS: Mapping[str, Callable[[Session, Message], Awaitable[None]]] = {
        "start": _start,
        "edit": _edit,
        "undo": _undo,
        "redo": _redo,
        "load": _load,
        "paste": _paste,
        "look": _look,
        "search": _search,
        "open": _open,
        "children": _children,
        "take": _take,
        "infer": _infer,
        "save": _save,
        "differ": _differ,
        "settle": _settle,
        "revert": _revert,
        "share": _share,
    }


def _is_text_edit(message: Message) -> bool:
    operation = message.get("operation")
    return message.get("type") == "edit" and isinstance(operation, Mapping) and operation.get("op") == "text"


def _number(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    raise Invalid("the id of a payload is a number")


def _path(value: Any) -> list[str | int]:
    if not isinstance(value, list) or not all(
        isinstance(one, str | int) and not isinstance(one, bool) for one in value
    ):
        raise Invalid("a path is a list of names and places")
    return value
