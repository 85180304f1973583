"""What an operation of the API is: one declaration, from which both its handler and its documentation are made.

A handler is a plain function that runs in a thread, takes the `Call` and answers the JSON body (or an `Answer`). The
unit of work is opened when it is first asked for and committed by whoever called the handler.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from dash_app.app import App
from dash_app.domain import ids
from dash_app.domain.access import Principal
from dash_app.domain.errors import BadRequest, NotFound, PreconditionFailed
from dash_app.domain.specs import Pipeline
from dash_app.storage import catalog
from dash_app.storage.unit import Unit
from dash_app.web.api.schema import Schema

if TYPE_CHECKING:
    from dash_app.pipelines.query import Queries

T = TypeVar("T")

LIMIT: Schema = {
    "type": "integer",
    "minimum": 1,
    "maximum": 1000,
    "default": 100,
    "description": "How many items at most.",
}
CURSOR: Schema = {"type": "string", "maxLength": 400, "description": "`next` of the page before."}
PAGED: Mapping[str, Schema] = {"limit": LIMIT, "cursor": CURSOR}


@dataclass(frozen=True)
class Answer:
    """An answer that is more than a JSON body with the operation's own status."""

    body: Any = None
    status: int | None = None
    #: With a content type the body is bytes that go out as they are.
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """One method on one path below /api/v1."""

    method: str
    #: Such as /pipelines/{pipeline}/records.
    path: str
    #: The operationId, in snake case.
    name: str
    tag: str
    summary: str
    #: One of `domain.access.ACTIONS`; None: anybody who is known.
    action: str | None
    run: Callable[[Call], Any]
    #: Schema of the answer's JSON body; None: it has none, or is described by `media`.
    answer: Schema | None = None
    status: int = 200
    detail: str = ""
    body: Schema | None = None
    query: Mapping[str, Schema] = field(default_factory=dict)
    #: Whether an Idempotency-Key makes repeating it safe.
    keyed: bool = False
    #: Whether the answer carries the revision as its ETag, and whether If-Match is honoured.
    tagged: bool = False
    matched: bool = False
    #: Content types of answers beside JSON.
    media: tuple[str, ...] = ()
    #: Whether texts of the body may hold U+0000 (payloads that are tried out may).
    raw_text: bool = False
    #: The most bytes of a body that is taken as it is, in `Call.raw`; 0: bodies are JSON.
    binary: int = 0
    #: Headers that it reads, with what they say.
    reads: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Call:
    """One request, read and checked, on its way through a handler."""

    app: App
    queries: Queries
    principal: Principal
    operation: Operation
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    #: Scheme and host under which the caller reaches us, without a slash at its end.
    base_url: str
    xsrf: str
    stack: ExitStack
    #: The body of an operation that takes bytes.
    raw: bytes = b""
    after: list[Callable[[], None]] = field(default_factory=list)
    _unit: Unit | None = None

    @property
    def unit(self) -> Unit:
        """The team's unit of work, the same for the whole call."""
        if self._unit is None:
            self._unit = self.stack.enter_context(self.app.database.team(self.principal.team))
        return self._unit

    def commit(self) -> None:
        if self._unit is not None:
            self._unit.commit()

    def then(self, what: Callable[[], None]) -> None:
        """Runs `what` once the unit is committed."""
        self.after.append(what)

    def pipeline(self) -> Pipeline:
        """The pipeline that the path names, by id or slug. Raises NotFound."""
        return catalog.pipeline(self.unit, self.path["pipeline"])

    def number(self, name: str) -> int:
        """A path parameter that is a whole number below 2^63. Raises NotFound: ids are opaque, this one is nobody's."""
        text = self.path[name]
        if not text.isascii() or not text.isdecimal() or len(text) > 19 or int(text) >= 1 << 63:
            raise NotFound
        return int(text)

    def expected_revision(self) -> int | None:
        """The revision that If-Match asks for; None: any. Raises PreconditionFailed for what was never an ETag."""
        given = self.headers.get("If-Match")
        if given is None or given.strip() == "*":
            return None
        text = given.strip()
        if (
            len(text) > 2
            and text[0] == text[-1] == '"'
            and text[1:-1].isascii()
            and text[1:-1].isdecimal()
            and len(text) < 13
        ):
            return int(text[1:-1])
        raise PreconditionFailed('If-Match takes one ETag as it was answered, such as "3", or *')

    def after_id(self) -> int | None:
        """The cursor as the number that `page` put into it."""
        text = self.after_text()
        if text is None:
            return None
        if not text.isascii() or not text.isdecimal() or len(text) > 19 or int(text) >= 1 << 63:
            raise BadRequest("parameter 'cursor' is not one that `next` named")
        return int(text)

    def after_text(self) -> str | None:
        given = self.query.get("cursor")
        if given is None:
            return None
        try:
            text = base64.b64decode(given + "=" * (-len(given) % 4), altchars=b"-_", validate=True).decode("ascii")
        except (ValueError, binascii.Error):
            raise BadRequest("parameter 'cursor' is not one that `next` named") from None
        if "\x00" in text:
            raise BadRequest("parameter 'cursor' is not one that `next` named")
        return text

    def page(self, found: Sequence[T], shape: Callable[[T], Any], place: Callable[[T], object]) -> dict[str, Any]:
        """A page of the items `found`, one more than `limit` where there are more; `place`: what the cursor holds."""
        limit: int = self.query["limit"]
        shown = found[:limit]
        following = None
        if len(found) > limit:
            following = base64.urlsafe_b64encode(str(place(shown[-1])).encode()).decode().rstrip("=")
        return {"items": [shape(item) for item in shown], "next": following}

    def page_of_all(
        self, everything: Iterable[T], shape: Callable[[T], Any], place: Callable[[T], object]
    ) -> dict[str, Any]:
        """A page of a list that is short enough to be read whole."""
        rest = list(everything)
        after = self.after_text()
        if after is not None:
            places = [str(place(item)) for item in rest]
            rest = rest[places.index(after) + 1 :] if after in places else []
        return self.page(rest[: self.query["limit"] + 1], shape, place)


def uuid_of(text: str) -> Any:
    """The UUID in a path. Raises NotFound: ids are opaque, and this one is nobody's."""
    found = ids.as_uuid(text)
    if found is None:
        raise NotFound
    return found
