"""Two mappings over the same payloads: what each makes of them, row beside row.

Both go through the plans that live payloads go through. Rows are the same where they have the same place, a payload and
an index in it; or the same key, where duplicates are removed and both mappings have that key. Values are compared
exactly: a number that moved in its last digits differs, and is counted as rounding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import polars as pl

from dash_app.domain.events import Payload, Reject
from dash_app.domain.specs import FieldSpec
from dash_app.pipelines.difference import (
    EXAMPLES,
    SUM_LIMIT,
    Difference,
    Example,
    FieldDifference,
    FieldShape,
    Kind,
    Refusal,
    RejectGroup,
    Row,
    Shift,
    Sides,
    Tally,
    Totals,
    general,
    saturated,
)
from dash_app.pipelines.mapping import Plan

#: Numbers closer than this, of their size, differ by rounding.
ROUNDING = 1e-9
#: Characters of a text, and fields of a record, that an example shows.
SHOWN = 160
SHOWN_FIELDS = 12

_PLACE = ["_payload", "_index"]
#: Which record of a key stays; `dash_app.storage.silver_keys` has the rule for what is stored.
_RANK = {"ignore": ["_received", "_payload", "_index"], "replace": ["_payload", "_index"]}
_NUMBERS = ("number", "integer")
_ROUNDED, _CHANGED, _GAINED, _LOST, _RETYPED = 1, 2, 3, 4, 5
_KINDS: Mapping[int, Kind] = {
    _CHANGED: "changed",
    _GAINED: "gained",
    _LOST: "lost",
    _RETYPED: "retyped",
    _ROUNDED: "rounding",
}


def compare(a: Plan, b: Plan, payloads: Sequence[Payload], *, without_duplicates: bool = False) -> Difference:
    """What changes when `b` maps these payloads and no longer `a`.

    `without_duplicates`: of each key the record stays that would be stored if these were all payloads, and rows are
    aligned by key where both mappings have the same. Without it each record counts as it comes, and differences of
    parts can be added. Takes memory in proportion to the payloads: hand in bounded parts.
    """
    before, after = _Side.of(a, payloads, without_duplicates), _Side.of(b, payloads, without_duplicates)
    by_key = without_duplicates and bool(a.spec.key) and a.spec.key == b.spec.key
    aligned = _aligned(before.frame, after.frame, ["_key"] if by_key else _PLACE)
    fields, time, rounded, changed = _values(a, b, before.frame, after.frame, aligned)
    both = aligned.before.len()
    gone, new = aligned.gone, aligned.new
    return Difference(
        aligned="key" if by_key else "place",
        keyed=without_duplicates and bool(a.spec.key or b.spec.key),
        payloads=len(payloads),
        bytes=sum(len(payload.body) for payload in payloads),
        records=Sides(before.frame.height, after.frame.height),
        filtered=Sides(before.filtered, after.filtered),
        rejected=Sides(len(before.rejects), len(after.rejects)),
        duplicates=Sides(before.duplicates.height, after.duplicates.height),
        equal=both - rounded - changed,
        rounded=rounded,
        changed=changed,
        gone=gone.height,
        new=new.height,
        gone_why=_reasons(gone, after, a, b),
        new_why=_reasons(new, before, a, b),
        gone_rows=_rows(gone, a, after, b),
        new_rows=_rows(new, b, before, a),
        time=time,
        fields=fields,
        totals=_totals(a, b, before.frame, after.frame),
        rejects=_rejects(before.rejects, after.rejects),
    )


# Rows beside rows ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Side:
    """What one mapping made of the payloads. `duplicates`: places of records removed for their key."""

    plan: Plan
    frame: pl.DataFrame
    rejects: Sequence[Reject]
    filtered: int
    duplicates: pl.DataFrame

    @classmethod
    def of(cls, plan: Plan, payloads: Sequence[Payload], without_duplicates: bool) -> _Side:
        mapped = plan.run(payloads)
        frame, duplicates = mapped.frame, mapped.frame.select(_PLACE).clear()
        if without_duplicates and plan.spec.key:
            kept = (
                frame.sort(_RANK[plan.spec.on_duplicate], descending=plan.spec.on_duplicate == "replace")
                .unique("_key", keep="first", maintain_order=True)
                .sort(_PLACE)
            )
            duplicates = frame.select(_PLACE).join(kept.select(_PLACE), on=_PLACE, how="anti")
            frame = kept
        return cls(plan, frame, mapped.rejects, mapped.filtered, duplicates)


@dataclass(frozen=True, slots=True)
class _Aligned:
    """Numbers of the rows that are the same on both sides, pair by pair; and the rows that only one side has."""

    before: pl.Series
    after: pl.Series
    gone: pl.DataFrame
    new: pl.DataFrame


def _aligned(a: pl.DataFrame, b: pl.DataFrame, on: list[str]) -> _Aligned:
    left, right = a.select(on).with_row_index("_a"), b.select(on).with_row_index("_b")
    if a.height == b.height and left.select(on).equals(right.select(on)):
        # The usual case: neither side lost or gained a row.
        return _Aligned(left["_a"], right["_b"], a.clear(), b.clear())
    pairs = left.join(right, on=on, how="inner").sort("_a")
    gone = left.join(right, on=on, how="anti").get_column("_a").sort()
    new = right.join(left, on=on, how="anti").get_column("_b").sort()
    return _Aligned(pairs["_a"], pairs["_b"], a[gone], b[new])


def _reasons(rows: pl.DataFrame, other: _Side, a: Plan, b: Plan) -> dict[str, int]:
    """Why the other side has not these rows: counts by reason."""
    if rows.is_empty():
        return {}
    counts = _with_reason(rows.select(_PLACE), other, a, b).get_column("_why").value_counts()
    return dict(sorted(counts.iter_rows()))


def _with_reason(places: pl.DataFrame, other: _Side, a: Plan, b: Plan) -> pl.DataFrame:
    """The places with `_why`: rejected, duplicate, filtered (by where), or elsewhere: no record stands there."""
    refused = [(one.payload, one.index) for one in other.rejects]
    schema = {"_payload": pl.Int64, "_index": pl.Int32}
    records = pl.DataFrame([one for one in refused if one[1] >= 0], schema, orient="row").unique()
    whole = [one.payload for one in other.rejects if one.index < 0 and one.field != "where"]
    rest = "filtered" if other.plan.spec.where is not None and a.spec.records == b.spec.records else "elsewhere"
    yes = pl.lit(True)
    return (
        places.join(records.with_columns(_refused=yes), on=_PLACE, how="left", maintain_order="left")
        .join(other.duplicates.with_columns(_twice=yes), on=_PLACE, how="left", maintain_order="left")
        .with_columns(
            _why=pl.when(pl.col("_refused").is_not_null() | pl.col("_payload").is_in(whole))
            .then(pl.lit("rejected"))
            .when(pl.col("_twice").is_not_null())
            .then(pl.lit("duplicate"))
            .otherwise(pl.lit(rest))
        )
    )


def _rows(rows: pl.DataFrame, own: Plan, other: _Side, others: Plan) -> tuple[Row, ...]:
    """The first of the rows that only one side has, as examples."""
    first = rows.head(EXAMPLES)
    if first.is_empty():
        return ()
    whys = _with_reason(first.select(_PLACE), other, own, others).get_column("_why")
    names = ["_time", *(field.name for field in own.spec.fields[:SHOWN_FIELDS])]
    return tuple(
        Row(row["_payload"], row["_index"], why, {name: plain(row[name]) for name in names})
        for row, why in zip(first.iter_rows(named=True), whys, strict=True)
    )


# Values beside values ------------------------------------------------------------------------------------------------


def _values(
    a: Plan, b: Plan, before: pl.DataFrame, after: pl.DataFrame, aligned: _Aligned
) -> tuple[tuple[FieldDifference, ...], FieldDifference, int, int]:
    """What became of each field and of `_time`, and how many rows differ: by rounding alone, and by more."""
    left, right = before[aligned.before], after[aligned.after]
    # Of rows that are one by their key the new one is named: it is the one to look at.
    pairs = right.select(_PLACE)
    theirs = {field.name: field for field in a.spec.fields}
    ours = {field.name: field for field in b.spec.fields}
    common = [name for name in ours if name in theirs]
    columns: list[pl.Series] = []
    for number, name in enumerate(("_time", *common)):
        columns += [left[name].alias(f"a{number}"), right[name].alias(f"b{number}")]
    pairs = pairs.hstack(columns)
    kinds = ["timestamp", *(theirs[name].type for name in common)], ["timestamp", *(ours[name].type for name in common)]
    same = [_same(number, *types) for number, types in enumerate(zip(*kinds, strict=True))]
    unequal = pairs.select((~one).sum().alias(str(number)) for number, one in enumerate(same)).row(0)
    differing = [number for number, count in enumerate(unequal) if count]
    if differing:
        pairs = pairs.with_columns(
            _status(number, same[number], kinds[0][number], kinds[1][number]).alias(f"s{number}")
            for number in differing
        )
    found = {
        name: _difference(name, theirs.get(name), ours.get(name), pairs, number, unequal[number])
        for number, name in enumerate(("_time", *common))
    }
    fields = [found[name] if name in found else _alone(field, after, "added") for name, field in ours.items()]
    fields += [_alone(field, before, "removed") for name, field in theirs.items() if name not in ours]
    return tuple(fields), found["_time"], *_differing(pairs, [f"s{number}" for number in differing])


def _same(number: int, type_a: str, type_b: str) -> pl.Expr:
    a, b = pl.col(f"a{number}"), pl.col(f"b{number}")
    if type_a == type_b:
        return a.eq_missing(b)
    neither = a.is_null() & b.is_null()
    if type_a in _NUMBERS and type_b in _NUMBERS:
        whole, real = (a, b) if type_a == "integer" else (b, a)
        # Both ways, since a float cannot tell apart what is beyond 2^53.
        equal = (whole.cast(pl.Float64) == real) & (real.cast(pl.Int64, strict=False) == whole)
        return equal.fill_null(False) | neither
    return neither


def _status(number: int, same: pl.Expr, type_a: str, type_b: str) -> pl.Expr:
    """0 where the values are the same, else what became of them."""
    a, b = pl.col(f"a{number}"), pl.col(f"b{number}")
    if type_a in _NUMBERS and type_b in _NUMBERS:
        x, y = a.cast(pl.Float64), b.cast(pl.Float64)
        near = (x - y).abs() <= ROUNDING * pl.max_horizontal(x.abs(), y.abs())
        # Whole numbers are not rounded: 10 000 000 000 and the next one are two ids.
        alike, kind = near if "number" in (type_a, type_b) else pl.lit(False), _ROUNDED
    elif type_a == type_b:
        alike, kind = pl.lit(False), _RETYPED
    else:
        alike, kind = _text(a, type_a) == _text(b, type_b), _RETYPED
    return (
        pl.when(same)
        .then(0)
        .when(a.is_null())
        .then(_GAINED)
        .when(b.is_null())
        .then(_LOST)
        .when(alike)
        .then(kind)
        .otherwise(_CHANGED)
        .cast(pl.Int8)
    )


def _text(value: pl.Expr, kind: str) -> pl.Expr:
    """A value as it would be written, to tell whether another type holds the same."""
    if kind == "timestamp":
        return value.dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")
    text = value.cast(pl.String)
    return text.str.strip_suffix(".0") if kind == "number" else text


def _differing(pairs: pl.DataFrame, statuses: Sequence[str]) -> tuple[int, int]:
    """How many rows differ by rounding alone, and how many by more."""
    if not statuses:
        return 0, 0
    more = pl.any_horizontal(pl.col(name) > _ROUNDED for name in statuses)
    some = pl.any_horizontal(pl.col(name) > 0 for name in statuses)
    changed, touched = pairs.select(more.sum().alias("more"), some.sum().alias("some")).row(0)
    return touched - changed, changed


def _difference(
    name: str, before: FieldSpec | None, after: FieldSpec | None, pairs: pl.DataFrame, number: int, unequal: int
) -> FieldDifference:
    shapes = _shape(before), _shape(after)
    if not unequal:
        return FieldDifference(name, *shapes, pairs.height)
    values = pairs.select(*_PLACE, a=f"a{number}", b=f"b{number}", s=f"s{number}").filter(pl.col("s") > 0)
    counts = dict(values.get_column("s").value_counts().iter_rows())
    kinds: dict[str, Tally] = {
        kind: Tally(counts[status], _examples(values.filter(pl.col("s") == status).head(EXAMPLES)))
        for status, kind in _KINDS.items()
        if status in counts
    }
    return FieldDifference(name, *shapes, pairs.height - unequal, kinds, _shift(values))


def _examples(values: pl.DataFrame) -> tuple[Example, ...]:
    return tuple(Example(payload, index, plain(a), plain(b)) for payload, index, a, b, *_ in values.iter_rows())


def _shift(values: pl.DataFrame) -> Shift | None:
    """How far numbers moved, or times in seconds; None for values of another kind."""
    a, b = pl.col("a"), pl.col("b")
    kinds = values.schema["a"], values.schema["b"]
    if all(isinstance(kind, pl.Datetime) for kind in kinds):
        moved = (b - a).dt.total_microseconds() / 1e6
    elif all(kind.is_numeric() for kind in kinds):
        moved = b.cast(pl.Float64) - a.cast(pl.Float64)
    else:
        return None
    moves = (
        values.with_columns(_by=moved.clip(-SUM_LIMIT, SUM_LIMIT))
        .filter(pl.col("_by").is_not_null() & pl.col("_by").is_not_nan())
        .with_columns(_size=pl.col("_by").abs())
    )
    if moves.is_empty():
        return None
    largest = int(moves["_size"].arg_max() or 0)
    (example,) = _examples(moves[largest : largest + 1])
    return Shift(
        moves.height,
        saturated(float(moves["_by"].sum())),
        saturated(float(moves["_size"].sum())),
        moves["_by"][largest],
        example,
    )


def _alone(field: FieldSpec, frame: pl.DataFrame, kind: Literal["added", "removed"]) -> FieldDifference:
    """A field that one mapping has alone: its values are all that there is to tell."""
    values = frame.select(*_PLACE, field.name).drop_nulls(field.name)
    rows = values.head(EXAMPLES).iter_rows()
    if kind == "added":
        examples = tuple(Example(payload, index, None, plain(value)) for payload, index, value in rows)
        return FieldDifference(field.name, None, _shape(field), 0, {kind: Tally(values.height, examples)})
    examples = tuple(Example(payload, index, plain(value), None) for payload, index, value in rows)
    return FieldDifference(field.name, _shape(field), None, 0, {kind: Tally(values.height, examples)})


def _shape(field: FieldSpec | None) -> FieldShape | None:
    return FieldShape(field.type, field.unit, field.role) if field else None


# Totals and rejects --------------------------------------------------------------------------------------------------


def _totals(
    a: Plan, b: Plan, before: pl.DataFrame, after: pl.DataFrame
) -> dict[str, tuple[Totals | None, Totals | None]]:
    left = {field.name: _total(before[field.name]) for field in a.spec.metrics}
    right = {field.name: _total(after[field.name]) for field in b.spec.metrics}
    names = [*right, *(name for name in left if name not in right)]
    return {name: (left.get(name), right.get(name)) for name in names}


def _total(values: pl.Series) -> Totals:
    if values.dtype.is_float():
        values = values.fill_nan(None)
    low: Any = values.min()
    high: Any = values.max()
    return Totals(values.len() - values.null_count(), saturated(float(values.cast(pl.Float64).sum())), low, high)


def _rejects(before: Sequence[Reject], after: Sequence[Reject]) -> tuple[RejectGroup, ...]:
    """Rejects that are not the same on both sides, by what became of them and why, in the order of their records."""
    left = {(one.payload, one.index): one for one in before}
    right = {(one.payload, one.index): one for one in after}
    counts: dict[tuple[str, str, str, str, str], int] = {}
    examples: dict[tuple[str, str, str, str, str], list[Refusal]] = {}
    for place in sorted(left.keys() | right.keys()):
        old, new = left.get(place), right.get(place)
        if old and new and (old.field, old.reason) == (new.field, new.reason):
            continue
        key = (
            "changed" if old and new else "gone" if old else "new",
            old.field if old else "",
            general(old.reason) if old else "",
            new.field if new else "",
            general(new.reason) if new else "",
        )
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= EXAMPLES:
            excerpt = max((one.excerpt for one in (new, old) if one), key=len)
            refusal = Refusal(*place, old.reason if old else "", new.reason if new else "", cut(excerpt))
            examples.setdefault(key, []).append(refusal)
    return tuple(RejectGroup(*key, counts[key], tuple(examples[key])) for key in counts)  # type: ignore[arg-type]


# Values for showing --------------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """A value as JSON has it, a long text cut."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return cut(value) if isinstance(value, str) else value


def cut(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
