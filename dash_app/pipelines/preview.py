"""What a mapping makes of some payloads, before it is saved: one function for the editor, the API and the command line.

It is the plan that live payloads go through, and no other. Payloads are mapped in portions, between which somebody who
has typed on can call it off; since every record is judged by itself, portions give what one run would.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from dash_app.domain.errors import Invalid
from dash_app.domain.events import Payload, Reject
from dash_app.domain.mapping import parse_mapping
from dash_app.domain.specs import MappingSpec
from dash_app.pipelines.mapping import Mapped, compile_mapping, run_tests
from dash_app.pipelines.plan import Plan, Reading

#: Payloads that a preview maps at most.
MAX_PAYLOADS = 100
_PORTION_BYTES = 2 << 20
#: Values that are named where a reason was found with several.
_NAMED = 3
_FOUND = re.compile(r"(?P<head>.* expected), found (?P<what>.*)", re.DOTALL)


class CalledOff(Exception):
    """Nobody waits for this preview any more."""


@dataclass(frozen=True, slots=True)
class RejectGroup:
    """Rejects for one reason. `payloads`: in how many of the payloads; `first`: the first of them."""

    field: str
    reason: str
    payloads: int
    rejects: int
    first: Reject

    def sentence(self, of: int) -> str:
        """`mag`: number expected, found text 'n/a' in 3 of 100 payloads"""
        return f"`{self.field}`: {self.reason} in {self.payloads} of {of} payload{'' if of == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Preview:
    """`mapped`: all records and rejects; `refused`: rejects by payload; `failures`: what the document's tests say."""

    spec: MappingSpec
    mapped: Mapped
    payloads: int
    refused: Mapping[int, int]
    groups: Sequence[RejectGroup]
    failures: Sequence[str]
    nulls: Mapping[str, int]

    @property
    def clean(self) -> int:
        """Payloads of which nothing was refused."""
        return self.payloads - len(self.refused)


def compiled(document: Mapping[str, Any]) -> Plan:
    """The plan of a mapping document; Invalid with each place that is wrong."""
    return compile_mapping(parse_mapping(document))


def preview(
    mapping: Mapping[str, Any] | Plan,
    payloads: Sequence[Payload],
    *,
    unwanted: Callable[[], bool] = lambda: False,
    readings: MutableMapping[int, Reading] | None = None,
) -> Preview:
    """What a mapping document (or its plan) makes of payloads, and whether its tests hold.

    `readings`: what was read for the preview before this one, by portion; used where it still holds, and brought up to
    date. Raises Invalid where the document is not valid, CalledOff when `unwanted` says that nobody waits any more.
    """
    plan = mapping if isinstance(mapping, Plan) else compiled(mapping)
    parts: list[Mapped] = []
    readings = {} if readings is None else readings
    for number, portion in enumerate(_portions(payloads)):
        if unwanted():
            raise CalledOff
        reading = readings[number] = plan.read(portion, readings.get(number))
        parts.append(plan.judge(reading))
    mapped = _together(parts) if parts else plan.run([])
    if unwanted():
        raise CalledOff
    refused: dict[int, int] = {}
    for reject in mapped.rejects:
        refused[reject.payload] = refused.get(reject.payload, 0) + 1
    names = [field.name for field in plan.spec.fields]
    nulls = mapped.frame.select(names).null_count().row(0) if mapped.frame.height else [0] * len(names)
    return Preview(
        spec=plan.spec,
        mapped=mapped,
        payloads=len(payloads),
        refused=refused,
        groups=group_rejects(mapped.rejects),
        failures=run_tests(plan.spec),
        nulls=dict(zip(names, nulls, strict=True)),
    )


def group_rejects(rejects: Sequence[Reject]) -> list[RejectGroup]:
    """Rejects by field and by what was expected there, the most frequent first; up to three of the values found are
    named."""
    kinds: dict[tuple[str, str], list[Reject]] = {}
    founds: dict[tuple[str, str], dict[str, None]] = {}
    for reject in rejects:
        hit = _FOUND.fullmatch(reject.reason)
        kind = (reject.field, hit["head"] if hit else reject.reason)
        kinds.setdefault(kind, []).append(reject)
        if hit:
            founds.setdefault(kind, {})[hit["what"]] = None
    groups = [
        RejectGroup(
            field,
            _named(head, list(founds.get((field, head), ()))),
            len({one.payload for one in found}),
            len(found),
            found[0],
        )
        for (field, head), found in kinds.items()
    ]
    return sorted(groups, key=lambda group: (-group.payloads, -group.rejects))


def problems_of(error: Invalid) -> Sequence[tuple[str, str]]:
    """(place, message) of everything that is wrong; the place may be empty."""
    return error.problems or (("", error.message),)


def _named(head: str, found: Sequence[str]) -> str:
    if not found:
        return head
    more = len(found) - _NAMED
    others = f" and {more} other value{'' if more == 1 else 's'}" if more > 0 else ""
    return f"{head}, found {', '.join(found[:_NAMED])}{others}"


def _portions(payloads: Sequence[Payload]) -> Iterator[Sequence[Payload]]:
    """In order of their ids, cut where a portion has grown to its size."""
    portion: list[Payload] = []
    size = 0
    for payload in sorted(payloads, key=lambda one: one.id):
        portion.append(payload)
        size += len(payload.body)
        if size >= _PORTION_BYTES:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def _together(parts: Sequence[Mapped]) -> Mapped:
    if len(parts) == 1:
        return parts[0]
    return Mapped(
        pl.concat([part.frame for part in parts]),
        [reject for part in parts for reject in part.rejects],
        sum(part.filtered for part in parts),
    )
