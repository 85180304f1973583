"""A compiled mapping at work: payloads in, records and rejects out.

A plan takes payloads and gives typed records, refused records with the reason, and a count of what `where` left out.
Every record is judged by itself: what comes of it depends on its payload and on the mapping, never on what else was in
the batch.

Each record has at most one reject, for the first thing that is wrong, in this order: it cannot be read; a value is of
the wrong type (time, key, then the fields in their order); a time cannot be read, or a computed field fails; `where`
fails.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from dash_app.domain.events import Payload, Reject
from dash_app.domain.specs import MappingSpec
from dash_app.pipelines import times
from dash_app.pipelines.decode import (
    JSON_BLANKS,
    MAX_RECORDS,
    Decoder,
    Loose,
    body_kind,
    excerpt_of,
    lines_of,
    value_at,
    without_mark,
)
from dash_app.pipelines.expression_plan import DTYPES
from dash_app.pipelines.loose import WANTS, Leaf, column_of, columns_of
from dash_app.pipelines.shape import Shape
from dash_app.pipelines.strict import Strict, StrictRoad

#: Bytes that go down the strict road at once. Larger batches are read in pieces, which changes nothing but speed: what
#: passes over a piece after the first finds it in the processor's cache.
STRICT_BYTES = 2 * 1024 * 1024
#: Fewer bytes than these are sooner read one by one than in columns.
STRICT_FROM_BYTES = 32 * 1024
#: A payload with fewer lines than this is not worth a parse of its own.
STRICT_LINES = 200

_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_PLACES = {"_pos": pl.Int32, "_index": pl.Int32, "_row": pl.Int32}


@dataclass(frozen=True, slots=True)
class Mapped:
    """What became of some payloads.

    `frame`: one row a record, by (_payload, _index); columns `_time` and `_received` (microseconds UTC), `_payload`
    (Int64), `_index` (Int32), the fields under their names (number Float64, integer Int64, boolean, text String,
    timestamp as `_time`, json String with canonical JSON), and `_key` (String) where the mapping has a key.
    `filtered`: how many `where` left out.
    """

    frame: pl.DataFrame
    rejects: list[Reject]
    filtered: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What stands in some payloads, before any of it is judged: the same for every plan that reads as `how` says.

    It is never changed, but for the columns that its records remember. `strict`: leaves that came down the strict road.
    """

    payloads: Sequence[Payload]
    how: tuple[Any, ...]
    decoder: Decoder
    strict: Sequence[pl.DataFrame]


class Plan:
    """A compiled mapping. It holds no state between runs and may be used by several threads."""

    def __init__(self, spec: MappingSpec, *, version: int = 0, strict: bool | None = None) -> None:
        self.spec = spec
        self.version = version
        self._shape = shape = Shape.of(spec)
        self._leaves = [leaf for leaf in shape.leaves if leaf.origin == "record"]
        self._outer = [leaf for leaf in shape.leaves if leaf.origin != "record"]
        plain = strict is not False and spec.records is None and all(leaf.origin != "payload" for leaf in self._outer)
        self._strict_from = 0 if strict else STRICT_FROM_BYTES
        self._strict = StrictRoad.of(self._leaves) if plain else None
        self._how = (spec.records, shape.scalars, self._strict, self._strict_from)
        self._no_leaves = pl.DataFrame(schema=_PLACES | {leaf.column: WANTS[leaf.want] for leaf in self._leaves})
        self._columns = {
            "_time": times.MOMENT,
            "_received": times.MOMENT,
            "_payload": pl.Int64(),
            "_index": pl.Int32(),
            **{field.name: DTYPES[field.type] for field in spec.fields},
            **({"_key": pl.String()} if spec.key else {}),
        }

    def schema(self) -> list[dict[str, str]]:
        """The fields: name, type, unit and role of each."""
        return [
            {"name": field.name, "type": field.type, "unit": field.unit, "role": field.role}
            for field in self.spec.fields
        ]

    def run(self, payloads: Sequence[Payload]) -> Mapped:
        """Map payloads (no two with one id). The order of the result is theirs by id, whatever order they come in."""
        return self.judge(self.read(payloads))

    def read(self, payloads: Sequence[Payload], known: Reading | None = None) -> Reading:
        """The first half of a run; `known` itself where it is of the same payloads, read in the same way."""
        ordered = sorted(payloads, key=lambda payload: payload.id)
        if known is not None and known.how == self._how and _same(known.payloads, ordered):
            return known
        return _Reader(self, ordered).reading()

    def judge(self, reading: Reading) -> Mapped:
        """The second half: what a reading, by this plan or by one that reads alike, becomes under this mapping."""
        return _Run(self, reading).mapped()


def _same(one: Sequence[Payload], other: Sequence[Payload]) -> bool:
    return len(one) == len(other) and all(map(operator.is_, one, other))


class _Reader:
    """A batch on its way from bodies to what stands in them. `position` is a payload's place in it."""

    def __init__(self, plan: Plan, payloads: Sequence[Payload]) -> None:
        self.plan = plan
        self.payloads = payloads
        self.decoder = Decoder(plan.spec.records, plan._shape.scalars)
        self.strict: list[pl.DataFrame] = []

    def reading(self) -> Reading:
        self._decode()
        return Reading(self.payloads, self.plan._how, self.decoder, self.strict)

    def _decode(self) -> None:
        group: list[tuple[int, bytes]] = []
        size = 0
        for position, payload in enumerate(self.payloads):
            body = without_mark(payload.body)
            line = self._strict_body(body, body_kind(payload.content_type))
            if line is None:
                self.decoder.payload(position, payload, body)
                continue
            group.append((position, line))
            size += len(line)
            if size > STRICT_BYTES:
                self._read(group)
                group, size = [], 0
        if size >= self.plan._strict_from:
            self._read(group)
        else:
            for position, _ in group:
                self._loosely(position)

    def _strict_body(self, body: bytes, kind: str) -> bytes | None:
        """The body for the strict road: lines, or a JSON object on one line; None where it cannot go there."""
        if self.plan._strict is None or not self.plan._strict.takes(body):
            return None
        if kind == "lines":
            return body if body and body.count(b"\n") < MAX_RECORDS else None
        if kind != "json":
            return None
        body = body.strip(JSON_BLANKS)
        return body if body.startswith(b"{") and b"\n" not in body else None

    def _read(self, group: Sequence[tuple[int, bytes]]) -> None:
        if not group or self.plan._strict is None:
            return
        strict = self.plan._strict.read([body for _, body in group])
        if strict is not None:
            self._take(strict, [position for position, _ in group])
            return
        for position, body in group:
            # The parser does not say which line it stumbled on, so the payloads are tried one by one where that pays.
            if len(group) > 1 and body.count(b"\n") >= STRICT_LINES:
                self._read([(position, body)])
            else:
                self._loosely(position)

    def _loosely(self, position: int) -> None:
        payload = self.payloads[position]
        self.decoder.payload(position, payload, without_mark(payload.body))

    def _take(self, strict: Strict, positions: Sequence[int]) -> None:
        loose = [(number, strict.line(number)) for number in np.flatnonzero(strict.loose).tolist()]
        for number, raw in loose:
            strict.blank[number] |= not raw
        place = np.array(positions, np.int32)[strict.body]
        written = ~strict.blank
        count = np.cumsum(written)
        first = np.searchsorted(strict.body, np.arange(len(positions)))
        index = (count - 1 - (count[first] - written[first])[strict.body]).astype(np.int32)
        rows = np.flatnonzero(written & ~strict.loose)
        self.strict.append(
            strict.frame.select(
                pl.Series("_pos", place[rows]), pl.Series("_index", index[rows]), pl.lit(-1, pl.Int32).alias("_row"),
                pl.all(),
            )
        )  # fmt: skip
        for number, raw in loose:
            if not raw:
                continue
            position = positions[int(strict.body[number])]
            if body_kind(self.payloads[position].content_type) == "lines":
                self.decoder.line(position, int(index[number]), raw)
            else:
                self._loosely(position)
        for number in np.flatnonzero(np.bincount(strict.body[written], minlength=len(positions)) == 0).tolist():
            self._loosely(positions[number])


class _Run:
    """One batch on its way from what stands in it to records."""

    def __init__(self, plan: Plan, reading: Reading) -> None:
        self.plan = plan
        self.payloads = reading.payloads
        self.decoder = replace(reading.decoder, refusals=list(reading.decoder.refusals))
        #: Leaves of records by the road that they came; `_row` says where a record is kept for showing it.
        self.strict = reading.strict
        self.frames: list[pl.DataFrame] = []
        self._lines: dict[int, list[bytes]] = {}

    def mapped(self) -> Mapped:
        self._type(self.decoder.typed, textual=False)
        self._type(self.decoder.texts, textual=True)
        return self._finish(self._with_outer(self._merged()))

    def _merged(self) -> pl.DataFrame:
        """All records in order. What came down the strict road is in order already, and mostly nearly all of them."""
        if len(self.frames) == 1 and self.frames[0].height == 1 and not self.strict:
            return self.frames[0]  # one record, as most live batches are
        strict = pl.concat([self.plan._no_leaves, *self.strict])
        if not self.frames:
            return strict
        loose = pl.concat(self.frames)
        at = (loose["_pos"].to_numpy().astype(np.int64) << 31) + loose["_index"].to_numpy()
        if (at[1:] < at[:-1]).any():
            loose = loose[np.argsort(at, kind="stable")]
        if not self.strict:
            return loose
        place = pl.col("_pos").cast(pl.Int64) * 2**31 + pl.col("_index")
        loose = loose.with_columns(_place=place)
        return strict.with_columns(_place=place).merge_sorted(loose, "_place").drop("_place")

    # -- from leaves to records

    def _type(self, loose: Loose, *, textual: bool) -> None:
        if not loose.records:
            return
        frame, failing = columns_of(loose, self.plan._leaves, textual=textual)
        # Rows of texts are counted on from the typed ones, so that one number tells where a record is kept.
        offset = len(self.decoder.typed.records) if textual else 0
        rows = np.arange(len(loose.records), dtype=np.int32)
        frame.insert_column(0, pl.Series("_pos", loose.positions, pl.Int32))
        frame.insert_column(1, pl.Series("_index", loose.indexes, pl.Int32))
        frame.insert_column(2, pl.Series("_row", rows + offset))
        for row, (leaf, reason) in failing.items():
            self._refuse(loose.positions[row], loose.indexes[row], leaf.label, reason, loose.excerpt(row))
        if failing:
            kept = np.ones(len(rows), np.bool_)
            kept[list(failing)] = False
            frame = frame.filter(pl.Series(kept))
        self.frames.append(frame)

    def _with_outer(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame with the leaves that are the payload's or its headers'; records where those do not fit are
        refused."""
        bad: dict[int, tuple[Leaf, str]] = {}
        for leaf in self.plan._outer:
            values, reasons = self._outer(leaf)
            frame = frame.with_columns(values.gather(frame["_pos"]).alias(leaf.column))
            if leaf.rejects:
                for position, reason in reasons.items():
                    bad.setdefault(position, (leaf, reason))
        if not bad:
            return frame
        wrong = frame["_pos"].is_in(list(bad))
        for row in frame.filter(wrong).select(*_PLACES).iter_rows():
            leaf, reason = bad[row[0]]
            self._refuse(row[0], row[1], leaf.label, reason, self._excerpt(*row))
        return frame.filter(~wrong)

    def _outer(self, leaf: Leaf) -> tuple[pl.Series, dict[int, str]]:
        if leaf.origin == "headers":
            name = str(leaf.path[0])
            return column_of([payload.headers.get(name) or None for payload in self.payloads], leaf.want, textual=True)
        values = [value_at(self.decoder.whole.get(place), leaf.path) for place in range(len(self.payloads))]
        textual = [body_kind(payload.content_type) in ("form", "xml") for payload in self.payloads]
        typed, reasons = column_of(
            [None if text else value for text, value in zip(textual, values, strict=True)], leaf.want, textual=False
        )
        if not any(textual):
            return typed, reasons
        texts, more = column_of(
            [value if text else None for text, value in zip(textual, values, strict=True)], leaf.want, textual=True
        )
        return texts.zip_with(pl.Series(textual, dtype=pl.Boolean), typed), reasons | more

    def _finish(self, frame: pl.DataFrame) -> Mapped:
        shape = self.plan._shape
        at = frame["_pos"].to_numpy()
        ids = np.array([payload.id for payload in self.payloads], np.int64)
        micros = np.array([(payload.received_at - _EPOCH) // _MICROSECOND for payload in self.payloads], np.int64)
        received = pl.Series("_received", micros[at]).cast(times.MOMENT)
        outer = [pl.Series("_payload", ids[at]), received]
        if self.plan.spec.time is None:
            outer.append(received.alias("_time"))
        frame = self._refuse_flagged(shape.apply(frame.hstack(outer)))
        filtered = 0
        if shape.where is not None:
            kept = frame.filter(pl.col(shape.where))
            filtered = frame.height - kept.height
            self._refuse_emptied(frame, kept)
            frame = kept
        columns = ((frame.get_column(name), dtype) for name, dtype in self.plan._columns.items())
        frame = pl.DataFrame([column if column.dtype == dtype else column.cast(dtype) for column, dtype in columns])
        return Mapped(frame, self._rejects(), filtered)

    def _refuse_flagged(self, frame: pl.DataFrame) -> pl.DataFrame:
        checks = [check for check in self.plan._shape.checks if check.rejects]
        if not checks:
            return frame
        flagged = frame.select(pl.any_horizontal(check.flag for check in checks)).to_series()
        if not flagged.any():
            return frame
        needed = {*_PLACES, *(check.flag for check in checks), *(check.source for check in checks if check.source)}
        for row in frame.filter(flagged).select(sorted(needed)).iter_rows(named=True):
            check = next(check for check in checks if row[check.flag])
            excerpt = self._excerpt(row["_pos"], row["_index"], row["_row"])
            self._refuse(row["_pos"], row["_index"], check.label, check.reason(row), excerpt)
        return frame.filter(~flagged)

    def _refuse_emptied(self, frame: pl.DataFrame, kept: pl.DataFrame) -> None:
        """A payload of which nothing is left, not even a reject, is told about: none goes without a trace."""
        known = {refusal.position for refusal in self.decoder.refusals}
        left = set(kept["_pos"].unique().to_list())
        for position, count in sorted(frame["_pos"].value_counts().iter_rows()):
            if position not in left and position not in known:
                every = "its record was" if count == 1 else f"all its {count:,} records were"
                self._refuse(position, -1, "where", f"{every} left out by where", "")

    def _refuse(self, position: int, index: int, name: str, reason: str, excerpt: str) -> None:
        self.decoder.refuse(position, index, name, reason, excerpt.encode())

    def _rejects(self) -> list[Reject]:
        refusals = sorted(self.decoder.refusals, key=lambda one: (one.position, one.index))
        return [
            Reject(self.payloads[one.position].id, one.index, one.field, one.reason, one.excerpt, self.plan.version)
            for one in refusals
        ]

    def _excerpt(self, position: int, index: int, row: int) -> str:
        """The text of a record: `row` tells where it is kept; −1 is a line of its payload (or its only one)."""
        typed, texts = self.decoder.typed, self.decoder.texts
        if row >= 0:
            return typed.excerpt(row) if row < len(typed.records) else texts.excerpt(row - len(typed.records))
        if position not in self._lines:
            self._lines[position] = list(lines_of(without_mark(self.payloads[position].body)))
        return excerpt_of(self._lines[position][index])
