"""From a question about silver to one SELECT: over rollups where they give the same answer, over records elsewhere.

A range is cut into pieces: whole days in the middle from the rollup's day rows, then hours, then minutes towards both
ends, and records where not even a minute fits. Every piece yields partial states (count, sum, extremes, first and last
with the place they hold in time), all pieces of all versions are put under one another, and one aggregate merges them.
What cannot be merged (percentiles, distinct values) reads records throughout.

Values never stand in the text: they are bound. Names come from a mapping's checked field names, and are quoted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from dash_app.domain.buckets import Grid, common_grain, pieces
from dash_app.domain.ids import PAYLOAD_SEQUENCE_BITS
from dash_app.domain.query import MERGEABLE, grid
from dash_app.domain.specs import FieldSpec, FieldType, Measure, QuerySpec, SilverVersion
from dash_app.storage.silver_columns import SYSTEM, Binder, Condition, Statement, cast, column
from dash_app.storage.silver_tables import COLUMN_TYPES, qualified

_FRACTION = {"median": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
#: Partial states that an aggregate is made of.
_STATES = {
    "count": "n",
    "sum": "ns",
    "avg": "ns",
    "min": "<",
    "max": ">",
    "stddev": "nsq<>",
    "first": "f",
    "last": "l",
}
_SUFFIX = {"n": "n", "s": "s", "q": "q", "<": "lo", ">": "hi", "f": "first", "l": "last"}
#: Below this share of the sum of squares, the difference that a deviation is made of has lost its digits.
_CANCELLED = 1e-6
_HUGE = 1e290
#: Rollups cut sums off at 1e300.
_SATURATED = 1e299


def aggregate(
    versions: Sequence[SilverVersion],
    spec: QuerySpec,
    columns: Mapping[str, FieldSpec],
    condition: Condition,
    condition_fields: frozenset[str],
    *,
    rollups: bool = True,
) -> Statement:
    """The statement of an aggregated query. Its columns: the bucket (where there is `every`), `by`, the measures, and
    `unsure` where it says so. One row more than the limit is asked for, so that a cut is seen."""
    build = _Aggregate(versions, spec, columns, condition, condition_fields)
    usable = [version for version in versions if rollups and build.grain and build.from_rollup(version)]
    return build.merged(usable) if usable else build.direct()


class _Aggregate:
    def __init__(
        self,
        versions: Sequence[SilverVersion],
        spec: QuerySpec,
        columns: Mapping[str, FieldSpec],
        condition: Condition,
        condition_fields: frozenset[str],
    ) -> None:
        self.versions = versions
        self.spec = spec
        self.columns = columns
        self.condition = condition
        self.condition_fields = condition_fields
        self.bind = Binder()
        self.grid: Grid | None = grid(spec)
        self.even = self.grid.uniform(spec.start, spec.end) if self.grid else None
        self.edges = self.grid.edges(spec.start, spec.end) if self.grid and not self.even else []
        self.grain = common_grain(self.even, self.edges) if self.grid else 3
        names = dict.fromkeys(m.field for m in spec.select if m.field is not None)
        #: Fields that are aggregated, by their number in the statement.
        self.fields = [self.field(name) for name in names]
        self.numbers = {name: number for number, name in enumerate(names)}

    def field(self, name: str) -> FieldSpec:
        return SYSTEM.get(name) or self.columns[name]

    # Which road ------------------------------------------------------------------------------------------------------

    def from_rollup(self, version: SilverVersion) -> bool:
        """Whether this version's rollup holds all that is asked."""
        if any(m.agg not in MERGEABLE for m in self.spec.select):
            return False
        present = {f.name for f in version.columns}
        needed = {*self.spec.by, *self.condition_fields}
        if not all(name in version.dims or name not in present for name in needed):
            return False
        return all(
            f.name not in SYSTEM and (f.name not in present or _metric(version, f) is not None) for f in self.fields
        )

    def ambiguous(self, version: SilverVersion) -> bool:
        """Whether two rollup rows of one group can claim the same first or last place (one payload, one time)."""
        return any(m.agg in ("first", "last") for m in self.spec.select) and not set(version.dims) <= set(self.spec.by)

    # Rows of one table -----------------------------------------------------------------------------------------------

    def rows(
        self,
        version: SilverVersion,
        name: str,
        outputs: Sequence[str],
        time: str,
        start: datetime,
        end: datetime,
        also: str = "",
    ) -> str:
        kept = version.records_from if name == version.table else version.rollups_from
        if kept is not None:
            start = max(start, kept)
        where = self.condition(lambda one: column(version, self.field(one)), self.bind)
        low, high = self.bind(start, "timestamptz"), self.bind(end, "timestamptz")
        within = f"{also}{time} >= {low} AND {time} < {high} AND ({where})"
        return f"SELECT {', '.join(outputs)} FROM {qualified(version, name)} WHERE {within}"

    def groups(self, version: SilverVersion) -> list[str]:
        return [f"{column(version, self.field(name))} AS g{n}" for n, name in enumerate(self.spec.by)]

    # Records alone ---------------------------------------------------------------------------------------------------

    def direct(self) -> Statement:
        placed = any(m.agg in ("first", "last") for m in self.spec.select)
        parts = []
        for version in self.versions:
            outputs = ["_time AS t", *self.groups(version)]
            outputs += [f"{column(version, f)} AS v{n}" for n, f in enumerate(self.fields)]
            outputs += ["_payload", "_index"] if placed else []
            parts.append(self.rows(version, version.table, outputs, "_time", self.spec.start, self.spec.end))
        return self.outer(parts, [self.direct_measure(m) for m in self.spec.select], source="records")

    def direct_measure(self, measure: Measure) -> str:
        if measure.field is None:
            return "count(*)"
        value, kind, agg = f"v{self.numbers[measure.field]}", self.field(measure.field).type, measure.agg
        if agg == "count":
            return f"count({value})"
        if agg == "count_distinct":
            return f"count(DISTINCT {value})"
        if agg in ("sum", "avg"):
            return f"{agg}({value}::float8)"
        if agg == "stddev":
            spread = f"CASE WHEN min({value}) = max({value}) THEN 0 ELSE stddev_samp({value}::float8) END"
            return f"CASE WHEN count({value}) > 1 THEN {spread} END"
        if agg in _FRACTION:
            return f"percentile_cont({_FRACTION[agg]}) WITHIN GROUP (ORDER BY {value}::float8)"
        if agg in ("first", "last"):
            if kind in ("number", "integer"):
                return _unplaced(agg, _place("t", "_payload", "_index", value, kind, f"{value} IS NOT NULL"), kind)
            way = "DESC" if agg == "last" else "ASC"
            ordered = f"array_agg({value} ORDER BY t {way}, _payload {way}, _index {way})"
            found = f"({ordered} FILTER (WHERE {value} IS NOT NULL))[1]"
            return f"{found}::text" if kind == "json" else found
        if kind == "text":
            return f'{agg}({value} COLLATE "C")'
        return f"{agg}({value})"

    # Rollups, and records at the edges -------------------------------------------------------------------------------

    def merged(self, usable: Sequence[SilverVersion]) -> Statement:
        wanted: list[str] = ["" for _ in self.fields]
        for m in self.spec.select:
            if m.field is not None:
                number = self.numbers[m.field]
                wanted[number] += "".join(s for s in _STATES[str(m.agg)] if s not in wanted[number])
        doubt = any(map(self.ambiguous, usable))
        parts: list[str] = []
        for version in self.versions:
            for grain, start, end in pieces(self.spec.start, self.spec.end, self.grain if version in usable else 0):
                outputs = [
                    "bucket AS t" if grain else "_time AS t",
                    *self.groups(version),
                    "_n AS n" if grain else "1::int8 AS n",
                ]
                for number, (f, states) in enumerate(zip(self.fields, wanted, strict=True)):
                    values = self.rolled(version, f, states) if grain else self.single(version, f, states)
                    for state in states:
                        outputs.append(f"{values[state]} AS {_SUFFIX[state]}{number}")
                name, time, also = (
                    (version.rollup, "bucket", f"grain = {grain} AND ") if grain else (version.table, "_time", "")
                )
                parts.append(self.rows(version, name, outputs, time, start, end, also))
        doubts = self.doubts(wanted, doubt)
        source = "rollup" if len(usable) == len(self.versions) else "mixed"
        return self.outer(parts, [self.merged_measure(m) for m in self.spec.select], source=source, doubts=doubts)

    def rolled(self, version: SilverVersion, f: FieldSpec, states: str) -> dict[str, str]:
        metric = _metric(version, f)
        if metric is None:  # the version lacks the field
            return self.none(f, states)
        number, have = metric
        m, kind = f"m{number}", f.type
        values = {"n": f"{m}_count", "s": f"{m}_sum", "q": f"{m}_sumsq"}
        values |= {"<": cast(f"{m}_min", have, kind), ">": cast(f"{m}_max", have, kind)}
        for state, end in (("f", "first"), ("l", "last")):
            values[state] = _place(
                f"{m}_{end}_at", f"{m}_{end}_by", "0", cast(f"{m}_{end}", have, kind), kind, f"{m}_count > 0"
            )
        return values

    def single(self, version: SilverVersion, f: FieldSpec, states: str) -> dict[str, str]:
        v = column(version, f)
        if v.startswith("NULL::"):
            return self.none(f, states)
        square = (
            f"CASE WHEN abs({v}::float8) < 1e145 THEN ({v}::float8) ^ 2 WHEN {v} IS NOT NULL THEN {_HUGE}::float8 END"
        )
        place = _place("_time", "_payload", "_index", v, f.type, f"({v}) IS NOT NULL")
        return {
            "n": f"(({v}) IS NOT NULL)::int::int8",
            "s": f"({v})::float8",
            "q": square,
            "<": v,
            ">": v,
            "f": place,
            "l": place,
        }

    def none(self, f: FieldSpec, states: str) -> dict[str, str]:
        null = f"NULL::{COLUMN_TYPES[f.type]}"
        nothing = {"n": "0::int8", "<": null, ">": null, "f": "NULL::float8[]", "l": "NULL::float8[]"}
        return {state: nothing.get(state, "NULL::float8") for state in states}

    def merged_measure(self, measure: Measure) -> str:
        if measure.field is None:
            return "coalesce(sum(n), 0)::int8"
        n, kind = self.numbers[measure.field], self.field(measure.field).type
        count, total = f"sum(n{n})", f"sum(s{n})"
        match measure.agg:
            case "count":
                return f"coalesce({count}, 0)::int8"
            case "sum":
                return f"CASE WHEN {count} > 0 THEN {total} END"
            case "avg":
                return f"CASE WHEN {count} > 0 THEN {total} / {count}::float8 END"
            case "min":
                return f"min(lo{n})"
            case "max":
                return f"max(hi{n})"
            case "stddev":
                squares = f"greatest(sum(q{n}) - {total} / {count}::float8 * {total}, 0)"
                spread = f"WHEN sum(q{n}) < {_HUGE} THEN sqrt({squares} / ({count} - 1)::float8)"
                return f"CASE WHEN {count} > 1 THEN CASE WHEN min(lo{n}) = max(hi{n}) THEN 0 {spread} END END"
        return _unplaced(str(measure.agg), f"{measure.agg}{n}", kind)

    def doubts(self, wanted: Sequence[str], places: bool) -> list[str]:
        """Conditions under which the merged answer may differ from that of the records."""
        found = []
        for n, (f, states) in enumerate(zip(self.fields, wanted, strict=True)):
            if "s" in states:
                found.append(f"max(abs(s{n})) > {_SATURATED}")
            if "q" in states:
                left = f"sum(q{n}) - sum(s{n}) / sum(n{n})::float8 * sum(s{n}) < {_CANCELLED} * sum(q{n})"
                several = f"sum(n{n}) > 1 AND min(lo{n}) < max(hi{n})"
                found.append(f"CASE WHEN NOT (sum(q{n}) < {_HUGE}) THEN true WHEN {several} THEN {left} END")
            if not places:
                continue
            slots = (5, 6) if f.type == "integer" else (5,)
            for state, pick in (("f", "min"), ("l", "max")):
                if state in states:
                    # The values at the extreme place, seen from both sides: unequal only where two records share it.
                    a = f"{_SUFFIX[state]}{n}"
                    turned = ", ".join([f"{a}[{i}]" for i in (1, 2, 3, 4)] + [f"-{a}[{i}]" for i in slots])
                    other = f"{pick}(CASE WHEN {a} IS NOT NULL THEN ARRAY[{turned}] END)"
                    found += [f"({pick}({a}))[{i}] <> -({other})[{i}]" for i in slots]
        return found

    # The one aggregate -----------------------------------------------------------------------------------------------

    def outer(
        self, parts: Sequence[str], measures: Sequence[str], *, source: str, doubts: Sequence[str] = ()
    ) -> Statement:
        spec = self.spec
        keys = [f"g{n}" for n in range(len(spec.by))]
        label, bucket = "", ""
        if self.grid:
            if self.even:
                step, origin = self.bind(f"{self.even[0]} seconds", "interval"), self.bind(self.even[1], "timestamptz")
                label, bucket = "k", f"date_bin({step}, t, {origin})"
            else:
                edges = self.bind(self.edges, "timestamptz[]")
                label, bucket = f"({edges})[k]", f"width_bucket(t, {edges})"
            keys.insert(0, "k")
        outputs = [f"{label} AS c0"] if label else []
        outputs += [f"g{n} AS c{len(outputs) + n}" for n in range(len(spec.by))]
        first_measure = len(outputs)
        outputs += [f"{sql} AS c{first_measure + n}" for n, sql in enumerate(measures)]
        if doubts:
            outputs.append(f"coalesce({' OR '.join(doubts)}, false) AS unsure")
        rows = " UNION ALL ".join(f"({part})" for part in parts)
        inner = f"SELECT *{f', {bucket} AS k' if bucket else ''} FROM ({rows}) AS r"
        grouped = f"SELECT {', '.join(outputs)} FROM ({inner}) AS u" + (f" GROUP BY {', '.join(keys)}" if keys else "")
        sql = f"SELECT * FROM ({grouped}) AS a{self.order(bool(label))} LIMIT {self.bind(spec.limit + 1, 'int8')}"
        return Statement(sql, self.bind.params, source, bool(doubts))

    def order(self, bucketed: bool) -> str:
        spec = self.spec
        names = [*(["time"] if bucketed else []), *spec.by, *(m.name for m in spec.select)]
        ways = {}
        if spec.order:
            ways[names.index(spec.order)] = "DESC NULLS LAST" if spec.descending else "ASC NULLS LAST"
        if bucketed:
            ways.setdefault(0, "DESC")  # a limit keeps the newest buckets
        for n, name in enumerate(spec.by, int(bucketed)):
            collate = 'COLLATE "C" ' if self.field(name).type == "text" else ""
            ways[n] = collate + ways.get(n, "ASC NULLS LAST")
        return " ORDER BY " + ", ".join(f"c{n} {way}" for n, way in ways.items()) if ways else ""


def _metric(version: SilverVersion, wanted: FieldSpec) -> tuple[int, FieldType] | None:
    """The number of a field among the version's metrics, and the type it has there; None where the rollup lacks it."""
    if wanted.type not in ("number", "integer"):
        return None
    metrics = [f for f in version.columns if f.is_metric]
    number = next((n for n, f in enumerate(metrics) if f.name == wanted.name), None)
    # Whole numbers out of fractions: what is null in one record cannot be taken out of a sum.
    if number is None or (metrics[number].type == "number" and wanted.type == "integer"):
        return None
    return number, metrics[number].type


def _place(time: str, payload: str, index: str, value: str, kind: FieldType, present: str) -> str:
    """A value behind its place in time, as an array that sorts by place. Every part is exact as a float8: payload ids
    and integers have up to 64 bits and go in two."""
    low = (1 << PAYLOAD_SEQUENCE_BITS) - 1
    parts = [
        f"date_part('epoch', {time})",
        f"({payload} >> {PAYLOAD_SEQUENCE_BITS})::float8",
        f"({payload} & {low})::float8",
        f"({index})::float8",
    ]
    parts += (
        [f"(({value}) >> 32)::float8", f"(({value}) & 4294967295)::float8"]
        if kind == "integer"
        else [f"({value})::float8"]
    )
    return f"CASE WHEN {present} THEN ARRAY[{', '.join(parts)}] END"


def _unplaced(agg: str, place: str, kind: FieldType) -> str:
    found = f"({'min' if agg == 'first' else 'max'}({place}))"
    if kind == "integer":
        return f"({found}[5]::int8 << 32) + {found}[6]::int8"
    return f"{found}[5]"
