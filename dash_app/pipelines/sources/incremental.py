"""How far a poll has come in the records themselves: the highest value of a field, asked for again from there on.

The mark moves only when a run is complete, because the pages of a run may come in any order. APIs usually answer with
the records *from* the mark on, the mark's own among them; so the mark also knows which records stood exactly on it,
and a page that holds nothing else is not new. With a `lag` the next run asks from that much before the mark, for what
comes late; then the mark knows the records of all that stretch.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Self

import param

from dash_app.domain.errors import Permanent
from dash_app.domain.kinds import Kind
from dash_app.domain.plain_text import is_storable
from dash_app.pipelines.sources import selecting

#: With more records near the mark than this, they count as new each time instead of making the cursor grow.
MAX_EDGE = 500

Value = float | int | str


@dataclass(frozen=True, slots=True)
class Mark:
    """A value (number or text; None: none yet), and the digests of the records on it, or not more than the lag before
    it, each with its value."""

    value: Value | None = None
    edge: Mapping[str, Value] | None = None

    def to_json(self) -> dict[str, Any]:
        return {"value": self.value, "edge": dict(self.edge or {})}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        edge = document["edge"]
        # Cursors of before there was a lag hold nothing but the digests of what stood on the mark.
        return cls(document["value"], dict.fromkeys(edge, document["value"]) if isinstance(edge, list) else edge)


class Incremental(Kind):
    """The option `incremental`."""

    kind = "incremental"
    summary = "Asks for what came after the highest value seen so far."

    cursor_path = param.String(default="", doc="The path within a record to the value that grows.")
    cursor_param = param.String(default="", doc="The parameter that sends the highest value back. Empty: none is sent.")
    cursor_body_path = param.String(
        default="", doc="The place in the request's JSON that sends it back, instead of a parameter."
    )
    initial_value = param.Parameter(default=None, doc="What the first run sends, text or a number. Absent: nothing.")
    lag = param.Number(
        default=0,
        bounds=(0, None),
        doc="How far before the highest value to ask again, for what comes late: seconds where it is a time, days "
        "where it is a date, else in its own unit.",
    )

    def problems(self) -> list[tuple[str, str]]:
        found = []
        if not self.cursor_path:
            found.append(("cursor_path", "is missing: the path within a record to the value that grows"))
        elif wrong := selecting.problem(self.cursor_path):
            found.append(("cursor_path", wrong))
        if self.cursor_body_path and (wrong := selecting.place_problem(self.cursor_body_path)):
            found.append(("cursor_body_path", wrong))
        if self.cursor_body_path and self.cursor_param:
            found.append(("cursor_body_path", "stands beside cursor_param; the value is sent in one place"))
        if self.initial_value is not None and not _is_value(self.initial_value):
            found.append(("initial_value", "is neither text nor a number"))
        elif self.lag and self.initial_value is not None and before(self.initial_value, self.lag) is None:
            found.append(("lag", "needs values that are numbers or ISO 8601 times; initial_value is neither"))
        return found

    def start(self) -> Mark:
        return Mark(self.initial_value)

    def sent(self, mark: Mark) -> tuple[dict[str, str], dict[str, Value]]:
        """What asks for the records from the mark on: parameters, and values by their place in the request's JSON."""
        # The first value is what somebody wrote down: nothing before it is wanted.
        value = mark.value if mark.value == self.initial_value else self._floor(mark.value)
        if value is None:
            return {}, {}
        params = {self.cursor_param: str(value)} if self.cursor_param else {}
        return params, {self.cursor_body_path: value} if self.cursor_body_path else {}

    def advanced(self, mark: Mark, records: Iterable[Any]) -> Mark:
        """The mark after these records. Values of another type than the mark's take its place."""
        value = mark.value
        edge: dict[str, Value] | None = dict(mark.edge or {})
        floor = self._floor(value)
        for record in records:
            found = self._value(record)
            if found is None:
                continue
            if value is None or not _comparable(found, value):
                value, edge, floor = found, {}, self._floor(found)
            elif found > value:  # type: ignore[operator]
                value, floor = found, self._floor(found)
                edge = {} if edge is None else {one: at for one, at in edge.items() if at >= floor}  # type: ignore[operator]
            if edge is not None and found >= floor:  # type: ignore[operator]
                edge[_digest(record)] = found
                if len(edge) > MAX_EDGE:
                    edge = None
        return Mark(value, edge or {})

    def is_new(self, mark: Mark, records: Iterable[Any]) -> bool:
        """Whether a record lies beyond the mark, or within its edge and was not there before, or has no value."""
        floor = self._floor(mark.value)
        for record in records:
            found = self._value(record)
            if found is None or mark.value is None or not _comparable(found, mark.value):
                return True
            if found > mark.value:  # type: ignore[operator]
                return True
            if found >= floor and _digest(record) not in (mark.edge or {}):  # type: ignore[operator]
                return True
        return False

    def _floor(self, value: Value | None) -> Value | None:
        """The lowest value that is asked for again."""
        if value is None or not self.lag:
            return value
        found = before(value, self.lag)
        if found is None:
            raise Permanent(
                f"incremental.lag needs values that are numbers or ISO 8601 times; at {self.cursor_path} is "
                f"'{str(value)[:60]}'"
            )
        return found

    def _value(self, record: Any) -> Value | None:
        found = selecting.first(record, selecting.parse(self.cursor_path))
        if isinstance(found, str) and not is_storable(found):
            raise Permanent(
                f"a record's value at {self.cursor_path} (incremental.cursor_path) holds NUL or half a character, and "
                "cannot be kept as the place to go on from"
            )
        return found if _is_value(found) else None


def before(value: Value, lag: float) -> Value | None:
    """The value that lies `lag` before another one, written as that one is; None where it is text but no time."""
    if not isinstance(value, str):
        whole = isinstance(value, int) and float(lag).is_integer()
        return value - int(lag) if whole else value - lag
    try:
        if len(value) == 10:
            return (date.fromisoformat(value) - timedelta(days=lag)).isoformat()
        at = datetime.fromisoformat(value) - timedelta(seconds=lag)
    except (ValueError, OverflowError):
        return None
    digits = len(value.partition(".")[2].rstrip("Zz").partition("+")[0].partition("-")[0])
    spec = "seconds" if not digits else "milliseconds" if digits <= 3 else "microseconds"
    text = at.isoformat("T" if "T" in value else " ", timespec=spec)
    return text.removesuffix("+00:00") + "Z" if value.endswith("Z") else text


def _is_value(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int | str) and not isinstance(value, bool)


def _comparable(one: Value, other: Value) -> bool:
    return isinstance(one, str) == isinstance(other, str)


def _digest(record: Any) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]
