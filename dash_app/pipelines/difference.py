"""What changes when the same payloads are mapped otherwise: counts, totals and a few examples, as values that add up.

Differences are added in the order of their payloads. Then examples are the first there are, and how the payloads were
cut into batches does not matter (but for the last digits of sums). All of it is bounded, however many rows there were,
and has a JSON document, so that a comparison can be kept and taken up again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

#: Examples of each kind.
EXAMPLES = 3
#: Groups of rejects that are told apart; what goes beyond is counted.
GROUPS = 60
#: Sums saturate here, as they do in rollups, so that any two can be added.
SUM_LIMIT = 1e300

#: What can become of a field's value. `rounding`: numbers that differ by less than 1e-9 of their size; `gained`: null
#: before; `lost`: null after; `retyped`: written alike in another type.
Kind = Literal["changed", "rounding", "gained", "lost", "retyped", "added", "removed"]
KINDS: tuple[Kind, ...] = ("changed", "gained", "lost", "retyped", "rounding", "added", "removed")
#: What can become of a reject.
Turn = Literal["new", "gone", "changed"]


def saturated(value: float) -> float:
    return max(-SUM_LIMIT, min(SUM_LIMIT, value))


@dataclass(frozen=True, slots=True)
class Example:
    """One value before and after, with its record's place."""

    payload: int
    index: int
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Tally:
    """How many, and the first few."""

    count: int = 0
    examples: tuple[Example, ...] = ()

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.count + other.count, (*self.examples, *other.examples)[:EXAMPLES])


@dataclass(frozen=True, slots=True)
class Shift:
    """How far numbers moved: after − before, over those that differ. `largest` is the first with the greatest size."""

    count: int
    total: float
    total_size: float
    largest_by: float
    largest: Example

    @property
    def mean(self) -> float:
        return self.total / self.count

    def __add__(self, other: Shift) -> Shift:
        more = abs(other.largest_by) > abs(self.largest_by)
        return Shift(
            self.count + other.count,
            saturated(self.total + other.total),
            saturated(self.total_size + other.total_size),
            other.largest_by if more else self.largest_by,
            other.largest if more else self.largest,
        )


@dataclass(frozen=True, slots=True)
class FieldShape:
    """A field as one mapping has it."""

    type: str
    unit: str
    role: str


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """What becomes of one field's values, over the rows that both have.

    `before` and `after` are None where that mapping has no such field; then `kinds` counts the values that are added
    or removed with it, over all of the other's rows.
    """

    name: str
    before: FieldShape | None
    after: FieldShape | None
    equal: int = 0
    kinds: Mapping[str, Tally] = field(default_factory=dict)
    shift: Shift | None = None

    @property
    def differing(self) -> int:
        """Values that are not the same any more, rounding left aside."""
        return sum(tally.count for kind, tally in self.kinds.items() if kind != "rounding")

    @property
    def touched(self) -> bool:
        """Whether there is anything to tell of it."""
        return bool(self.kinds) or self.before != self.after

    def __add__(self, other: FieldDifference) -> FieldDifference:
        kinds: dict[str, Tally] = {
            kind: self.kinds.get(kind, Tally()) + other.kinds.get(kind, Tally())
            for kind in KINDS
            if kind in self.kinds or kind in other.kinds
        }
        shift = self.shift + other.shift if self.shift and other.shift else self.shift or other.shift
        return FieldDifference(self.name, self.before, self.after, self.equal + other.equal, kinds, shift)


@dataclass(frozen=True, slots=True)
class Totals:
    """A metric over all rows of one side. `min` and `max` are None where no row has a value."""

    count: int = 0
    sum: float = 0.0
    min: float | int | None = None
    max: float | int | None = None

    @property
    def avg(self) -> float | None:
        return self.sum / self.count if self.count else None

    def __add__(self, other: Totals) -> Totals:
        low = [one for one in (self.min, other.min) if one is not None]
        high = [one for one in (self.max, other.max) if one is not None]
        return Totals(
            self.count + other.count,
            saturated(self.sum + other.sum),
            min(low, default=None),
            max(high, default=None),
        )


@dataclass(frozen=True, slots=True)
class Row:
    """A record that only one side has, and why the other has it not: rejected, filtered, duplicate, elsewhere."""

    payload: int
    index: int
    why: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reject as an example."""

    payload: int
    index: int
    before: str
    after: str
    excerpt: str


@dataclass(frozen=True, slots=True)
class RejectGroup:
    """Rejects for one reason that are new, gone, or have another reason now. Texts are '' where that side has none."""

    turn: Turn
    field_before: str
    reason_before: str
    field_after: str
    reason_after: str
    count: int
    examples: tuple[Refusal, ...]

    @property
    def key(self) -> tuple[str, ...]:
        return (self.turn, self.field_before, self.reason_before, self.field_after, self.reason_after)

    def __add__(self, other: RejectGroup) -> RejectGroup:
        examples = (*self.examples, *other.examples)[:EXAMPLES]
        return replace(self, count=self.count + other.count, examples=examples)


@dataclass(frozen=True, slots=True)
class Sides:
    """One count before and after."""

    before: int = 0
    after: int = 0

    def __add__(self, other: Sides) -> Sides:
        return Sides(self.before + other.before, self.after + other.after)


@dataclass(frozen=True, slots=True)
class Difference:
    """What two mappings make of the same payloads.

    Rows that both have are equal, or the same but for rounding (`rounded`), or `changed` in their time or a field that
    both mappings have; `gone` only the first has, `new` only the second. `aligned`: what makes two rows one and the
    same: their place (payload and index) or their key. `keyed`: duplicates were removed on either side; such a
    difference cannot be added to another one, which may hold more of them.
    """

    aligned: Literal["place", "key"] = "place"
    keyed: bool = False
    payloads: int = 0
    bytes: int = 0
    records: Sides = Sides()
    #: Left out by `where`; refused; and removed because their key was there already.
    filtered: Sides = Sides()
    rejected: Sides = Sides()
    duplicates: Sides = Sides()
    equal: int = 0
    rounded: int = 0
    changed: int = 0
    gone: int = 0
    new: int = 0
    gone_why: Mapping[str, int] = field(default_factory=dict)
    new_why: Mapping[str, int] = field(default_factory=dict)
    gone_rows: tuple[Row, ...] = ()
    new_rows: tuple[Row, ...] = ()
    #: `_time` of rows that both have; its shift is in seconds.
    time: FieldDifference = FieldDifference("_time", None, None)
    fields: tuple[FieldDifference, ...] = ()
    #: By metric: its totals before and after; None where that side has no such metric.
    totals: Mapping[str, tuple[Totals | None, Totals | None]] = field(default_factory=dict)
    rejects: tuple[RejectGroup, ...] = ()
    #: Rejects of groups beyond those that are told apart, by what became of them.
    rejects_beyond: Mapping[str, int] = field(default_factory=dict)

    @property
    def both(self) -> int:
        return self.equal + self.rounded + self.changed

    @property
    def is_empty(self) -> bool:
        """Whether both mappings gave the very same rows, fields and rejects."""
        return not (
            self.rounded
            or self.changed
            or self.gone
            or self.new
            or self.rejects
            or self.rejects_beyond
            or any(one.touched for one in self.fields)
        )

    def turned(self, turn: Turn) -> int:
        """How many rejects are new, gone or changed."""
        return sum(g.count for g in self.rejects if g.turn == turn) + self.rejects_beyond.get(turn, 0)

    def bounded(self) -> Difference:
        """This with no more groups of rejects than are kept."""
        rejects, beyond = _grouped(self.rejects)
        return replace(self, rejects=rejects, rejects_beyond=_summed(self.rejects_beyond, beyond))

    def __add__(self, other: Difference) -> Difference:
        if self.keyed or other.keyed:
            raise ValueError("differences without duplicates cannot be added: a key may stand in both")
        if not self.payloads or not other.payloads:
            return (self if self.payloads else other).bounded()
        rejects, beyond = _grouped((*self.rejects, *other.rejects))
        return Difference(
            self.aligned,
            self.keyed,
            self.payloads + other.payloads,
            self.bytes + other.bytes,
            self.records + other.records,
            self.filtered + other.filtered,
            self.rejected + other.rejected,
            self.duplicates + other.duplicates,
            self.equal + other.equal,
            self.rounded + other.rounded,
            self.changed + other.changed,
            self.gone + other.gone,
            self.new + other.new,
            _summed(self.gone_why, other.gone_why),
            _summed(self.new_why, other.new_why),
            (*self.gone_rows, *other.gone_rows)[:EXAMPLES],
            (*self.new_rows, *other.new_rows)[:EXAMPLES],
            self.time + other.time,
            tuple(one + two for one, two in zip(self.fields, other.fields, strict=True)),
            {
                name: (_sum(before, other.totals[name][0]), _sum(after, other.totals[name][1]))
                for name, (before, after) in self.totals.items()
            },
            rejects,
            _summed(_summed(self.rejects_beyond, other.rejects_beyond), beyond),
        )

    def to_document(self) -> dict[str, Any]:
        """JSON-ready; payload ids are texts, since JSON's readers round numbers of 63 bits."""
        made: dict[str, Any] = _written(asdict(self))
        return made

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Difference:
        """What `to_document` wrote."""
        sides = {name: Sides(**document[name]) for name in ("records", "filtered", "rejected", "duplicates")}
        return cls(
            **{
                **document,
                **sides,
                "gone_rows": tuple(map(_row, document["gone_rows"])),
                "new_rows": tuple(map(_row, document["new_rows"])),
                "time": _field(document["time"]),
                "fields": tuple(map(_field, document["fields"])),
                "totals": {
                    name: (Totals(**before) if before else None, Totals(**after) if after else None)
                    for name, (before, after) in document["totals"].items()
                },
                "rejects": tuple(map(_group, document["rejects"])),
            }
        )


# Rejects -------------------------------------------------------------------------------------------------------------

_QUOTED = re.compile(r"'[^']*'…?")
_NUMBER = re.compile(r"\b(number|its|after|found) -?[\d.,]+(?:e[+-]?\d+)?\b")


def general(reason: str) -> str:
    """A reason without the value that it names, so that rejects for one reason are one group."""
    return _NUMBER.sub(r"\1 …", _QUOTED.sub("'…'", reason))


def grouped(groups: Iterable[RejectGroup]) -> tuple[RejectGroup, ...]:
    """Groups of one key as one, in the order in which they first come."""
    found: dict[tuple[str, ...], RejectGroup] = {}
    for group in groups:
        known = found.get(group.key)
        found[group.key] = known + group if known else group
    return tuple(found.values())


def _grouped(groups: Sequence[RejectGroup]) -> tuple[tuple[RejectGroup, ...], dict[str, int]]:
    """The first groups, and how many rejects stand in others."""
    whole = grouped(groups)
    beyond: dict[str, int] = {}
    for group in whole[GROUPS:]:
        beyond[group.turn] = beyond.get(group.turn, 0) + group.count
    return whole[:GROUPS], beyond


# Small sums and documents --------------------------------------------------------------------------------------------


def _summed(one: Mapping[str, int], two: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + two.get(name, 0) for name in (*one, *(n for n in two if n not in one))}


def _sum(one: Totals | None, two: Totals | None) -> Totals | None:
    return one + two if one and two else one or two


def _written(value: Any) -> Any:
    if isinstance(value, dict):
        # A record's values are JSON already, and may well have a field called payload.
        return {
            name: str(one) if name == "payload" and isinstance(one, int) else one if name == "values" else _written(one)
            for name, one in value.items()
        }
    return [_written(one) for one in value] if isinstance(value, list | tuple) else value


def _example(document: Mapping[str, Any]) -> Example:
    return Example(**{**document, "payload": int(document["payload"])})


def _row(document: Mapping[str, Any]) -> Row:
    return Row(**{**document, "payload": int(document["payload"])})


def _field(document: Mapping[str, Any]) -> FieldDifference:
    shift = document["shift"]
    return FieldDifference(
        document["name"],
        FieldShape(**document["before"]) if document["before"] else None,
        FieldShape(**document["after"]) if document["after"] else None,
        document["equal"],
        {kind: Tally(one["count"], tuple(map(_example, one["examples"]))) for kind, one in document["kinds"].items()},
        Shift(**{**shift, "largest": _example(shift["largest"])}) if shift else None,
    )


def _group(document: Mapping[str, Any]) -> RejectGroup:
    examples = tuple(Refusal(**{**one, "payload": int(one["payload"])}) for one in document["examples"])
    return RejectGroup(**{**document, "examples": examples})
