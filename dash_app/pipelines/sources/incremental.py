"""How far a poll has come in the records themselves: the highest value of a field, asked for again from there on.

The mark moves only when a run is complete, because the pages of a run may come in any order. APIs usually answer with
the records *from* the mark on, the mark's own among them; so the mark also knows which records stood exactly on it,
and a page that holds nothing else is not new.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import param

from dash_app.domain.kinds import Kind
from dash_app.pipelines.sources import selecting

#: With more records on the mark than this, they count as new each time instead of making the cursor grow.
MAX_EDGE = 500


@dataclass(frozen=True, slots=True)
class Mark:
    """A value (number or text; None: none yet) and the digests of the records that had exactly this value."""

    value: float | int | str | None = None
    edge: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"value": self.value, "edge": list(self.edge)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        return cls(document["value"], tuple(document["edge"]))


class Incremental(Kind):
    """The option `incremental`."""

    kind = "incremental"
    summary = "Asks for what came after the highest value seen so far."

    cursor_path = param.String(default="", doc="The path within a record to the value that grows.")
    cursor_param = param.String(default="", doc="The parameter that sends the highest value back. Empty: none is sent.")
    initial_value = param.Parameter(default=None, doc="What the first run sends, text or a number. Absent: nothing.")

    def problems(self) -> list[tuple[str, str]]:
        found = []
        if not self.cursor_path:
            found.append(("cursor_path", "is missing: the path within a record to the value that grows"))
        elif wrong := selecting.problem(self.cursor_path):
            found.append(("cursor_path", wrong))
        if self.initial_value is not None and not _is_value(self.initial_value):
            found.append(("initial_value", "is neither text nor a number"))
        return found

    def start(self) -> Mark:
        return Mark(self.initial_value)

    def params(self, mark: Mark) -> dict[str, str]:
        """The parameter that asks for what came after the mark."""
        return {} if mark.value is None or not self.cursor_param else {self.cursor_param: str(mark.value)}

    def advanced(self, mark: Mark, records: Iterable[Any]) -> Mark:
        """The mark after these records. Values of another type than the mark's take its place."""
        value, edge = mark.value, list(mark.edge)
        for record in records:
            found = self._value(record)
            if found is None:
                continue
            if value is None or not _comparable(found, value) or found > value:  # type: ignore[operator]
                value, edge = found, [_digest(record)]
            elif found == value and len(edge) <= MAX_EDGE and (digest := _digest(record)) not in edge:
                edge.append(digest)
        return Mark(value, tuple(edge)) if len(edge) <= MAX_EDGE else Mark(value)

    def is_new(self, mark: Mark, records: Iterable[Any]) -> bool:
        """Whether a record lies beyond the mark, or on it and was not there before, or has no value to tell by."""
        for record in records:
            found = self._value(record)
            if found is None or mark.value is None or not _comparable(found, mark.value):
                return True
            if found > mark.value or (found == mark.value and _digest(record) not in mark.edge):  # type: ignore[operator]
                return True
        return False

    def _value(self, record: Any) -> float | int | str | None:
        found = selecting.first(record, selecting.parse(self.cursor_path))
        return found if _is_value(found) else None


def _is_value(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int | str) and not isinstance(value, bool)


def _comparable(one: float | int | str, other: float | int | str) -> bool:
    return isinstance(one, str) == isinstance(other, str)


def _digest(record: Any) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]
