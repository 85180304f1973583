"""How the rules of one pipeline are evaluated together: what is read once for many of them.

Rules whose queries agree in condition and groups form a *shape*, which reads minutes of the rollup (`minutes`)
for all of their windows and aggregates. Where at least three rules differ only in the value that a dimension must have
(`where site = 'roof'`), they form one too: it is grouped by that dimension, read for the values that are asked for, and
each rule takes its own group. What no rollup holds (percentiles, distinct values, conditions on numbers, windows of
less than a minute, or of more than two hours) is read from silver window by window, less often the more it costs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Literal

from dash_app.domain.alert_machine import Timing
from dash_app.domain.alerts import AlertSpec, parse_alert, series_key
from dash_app.domain.errors import DashError
from dash_app.domain.expressions import Call, Column, Tree
from dash_app.domain.expressions import Literal as Written
from dash_app.domain.query import parse_query
from dash_app.domain.specs import FieldSpec, Measure, SilverVersion
from dash_app.pipelines.alerts.minutes import MERGED, Columns, Group, Minutes
from dash_app.pipelines.expressions import parse_filter
from dash_app.pipelines.query import check_query
from dash_app.storage import filters, silver_read
from dash_app.storage.alert_reads import MinuteReader
from dash_app.storage.alert_turns import StoredRule
from dash_app.storage.silver_columns import Condition

MINUTE = timedelta(minutes=1)
#: Windows, with what they are compared to, that are held in memory by the minute.
LONGEST_HELD = timedelta(hours=3)
LONGEST_WINDOW = timedelta(hours=2)
#: So many rules that differ in a value alone are read together.
WORTH_SHARING = 3
#: Names of series that a rule keeps made.
MOST_NAMES = 10_000


@dataclass
class Rule:
    """A rule, compiled. `road`: minutes (of `shape`, once anything was mapped), window (read from silver), watch;
    `fixed`: the values that its groups of the shape must have, by their place there."""

    stored: StoredRule
    spec: AlertSpec
    timing: Timing
    measure: Measure
    tree: Tree | None
    road: Literal["minutes", "window", "watch"]
    shape: Shape | None = None
    fixed: Mapping[int, Any] = field(default_factory=dict)
    looked_at: datetime | None = None
    #: Not before this moment: what it reads costs much, or it has failed.
    rests_until: datetime | None = None
    #: History was rewritten since it was judged last: what differs then differs by that alone.
    rewritten: bool = False
    #: When its series were gone through last for those that have gone for good.
    swept_at: datetime | None = None
    #: The same number for rules of one shape that read one value of it, over as long.
    reading: int = 0
    #: Values that were found to be well, by series: the same value need not be judged again.
    calm: dict[str, float | None] = field(default_factory=dict)
    #: The states that the last look found, where every series of them was well and had data: with the same values
    #: again there is nothing to judge.
    settled: Mapping[str, Any] | None = None
    _keys: dict[Group, str] = field(default_factory=dict)

    # A look asks each of these for every rule: they are worked out once, when the rule has been given its shape.

    @cached_property
    def minutes(self) -> int:
        """Its window in minutes."""
        return int(self.spec.window / MINUTE)

    @cached_property
    def pause(self) -> timedelta:
        """Between two looks; a little before its time is in time, since looks do not come to the millisecond."""
        return self.spec.every * 0.9

    @cached_property
    def over(self) -> timedelta:
        """How far back it looks beside its window, for a change."""
        return self.spec.condition.over if self.spec.condition.type == "change" else timedelta()

    @property
    def by(self) -> tuple[str, ...]:
        return self.spec.by

    @property
    def counts(self) -> bool:
        """Whether no records are a value, namely none, and not the lack of one."""
        return not self.spec.watch and self.measure.agg in ("count", "count_distinct")

    @cached_property
    def costly(self) -> bool:
        """Whether it has anything read for itself alone."""
        return self.road != "minutes" or self.spec.condition.type in ("quantile", "anomaly")

    def key(self, group: Group) -> str:
        """The name of a series by its values of `by`."""
        found = self._keys.get(group)
        if found is None:
            if len(self._keys) >= MOST_NAMES:
                self._keys.clear()
            found = self._keys[group] = series_key(dict(zip(self.by, group, strict=True)))
        return found

    def own(self, values: Mapping[Group, float | None]) -> dict[str, float | None]:
        """What is this rule's own of what its shape has read, by series."""
        if not self.fixed:
            keys = self._keys
            return {keys.get(group) or self.key(group): value for group, value in values.items()}
        width = len(self.by)
        if not width:
            return {"{}": values[self._wanted]} if self._wanted in values else {}
        return {
            self.key(group[:width]): value
            for group, value in values.items()
            if all(group[place] == value_of for place, value_of in self.fixed.items())
        }

    @cached_property
    def _wanted(self) -> Group:
        """The one group of the shape that is a rule's own, where it has no groups itself."""
        return tuple(self.fixed[place] for place in sorted(self.fixed))


@dataclass
class Shape:
    """Rules that read the same minutes. `by`: the columns of its groups: those of the rules, then those with values
    that rules ask for."""

    by: tuple[str, ...]
    tree: Tree | None
    rules: list[Rule] = field(default_factory=list)
    reader: MinuteReader | None = None
    minutes: Minutes = field(default_factory=lambda: Minutes(Columns.of(())))
    #: Minutes that it holds: from the first on, without gap, as of the last look.
    first: int | None = None
    last: int = 0
    #: Why it could not be read, and until when that is not tried again.
    error: str = ""
    rests_until: datetime | None = None

    @cached_property
    def length(self) -> int:
        """How many minutes back its rules look."""
        return max(rule.minutes + int(rule.over.total_seconds() // 60) for rule in self.rules)


@dataclass
class Plan:
    """All rules of a pipeline, ready to be evaluated. `broken`: those that cannot be, and why; `versions`: whose tables
    are read."""

    rules: list[Rule]
    broken: list[tuple[StoredRule, str]]
    shapes: list[Shape]
    versions: Sequence[SilverVersion]
    fields: Mapping[str, FieldSpec]

    @property
    def pace(self) -> float:
        """Seconds between two looks while records come: what the most impatient rule asks for."""
        return min((rule.spec.every.total_seconds() for rule in self.rules), default=1.0)

    @property
    def mapped(self) -> bool:
        """Whether there is a table that could be read."""
        return any(version.created for version in self.versions)


def compile_rules(stored: Sequence[StoredRule], versions: Sequence[SilverVersion]) -> Plan:
    """The plan of a pipeline's rules. A rule that does not fit the mapping any more is in it with its error."""
    fields = {f.name: f for f in silver_read.newest_fields(versions)}
    plan = Plan([], [], [], versions, fields)
    for one in stored:
        try:
            plan.rules.append(_compiled(one, fields))
        except DashError as error:
            plan.broken.append((one, error.message))
    if plan.mapped:
        _share(plan)
    return plan


def _compiled(stored: StoredRule, fields: Mapping[str, FieldSpec]) -> Rule:
    spec = parse_alert(stored.document)
    timing = Timing.of(spec)
    if spec.measure is None:
        return Rule(stored, spec, timing, Measure("", None, "count"), None, "watch")
    measure = Measure("", spec.measure.field, spec.measure.agg)
    asked = {**stored.document["query"], "select": [{"field": measure.field, "agg": measure.agg}]}
    check_query(parse_query(asked, datetime(2000, 1, 2, tzinfo=UTC)), fields)
    tree = parse_filter(spec.where, {f.name: f.type for f in fields.values()}) if spec.where else None
    rule = Rule(stored, spec, timing, measure, tree, "window")
    if _by_minute(rule):
        rule.road = "minutes"
    return rule


def _by_minute(rule: Rule) -> bool:
    window = rule.spec.window
    return (
        rule.measure.agg in MERGED
        and not window % MINUTE
        and window <= LONGEST_WINDOW
        and window + rule.over <= LONGEST_HELD
    )


def condition_of(tree: Tree | None) -> tuple[Condition, frozenset[str]]:
    """A tree as the stores take it, and the fields that it looks at."""
    if tree is None:
        return silver_read.everything, frozenset()
    return filters.condition(tree), filters.fields(tree)


# Sharing -------------------------------------------------------------------------------------------------------------


def _share(plan: Plan) -> None:
    """Puts rules that go by the minute into shapes; those whose shape no rollup can answer are read by the window."""
    dims = _dimensions(plan)
    candidates = [rule for rule in plan.rules if rule.road == "minutes"]
    split = {id(rule): _split(rule, dims) for rule in candidates}
    alike = Counter((rule.by, rest, tuple(asked)) for rule in candidates for rest, asked in [split[id(rule)]] if asked)
    whole = {(rule.by, rule.tree) for rule in candidates}
    shapes: dict[Any, Shape] = {}
    for rule in candidates:
        rest, asked = split[id(rule)]
        key: Any = ("whole", rule.by, rule.tree)
        by, tree = rule.by, rule.tree
        if asked and alike[rule.by, rest, tuple(asked)] >= WORTH_SHARING:
            by, tree = (*rule.by, *asked), _joined(rest)
            # Where all groups are read for another rule, those that are asked for are among them.
            key = ("whole", by, tree) if (by, tree) in whole else ("values", by, tree)
            rule.fixed = {len(rule.by) + place: value for place, value in enumerate(asked.values())}
        rule.shape = shapes.setdefault(key, Shape(by, tree))
        rule.shape.rules.append(rule)
    for shape in shapes.values():
        readings: dict[tuple[Measure, int], int] = {}
        for rule in shape.rules:
            rule.reading = readings.setdefault((rule.measure, rule.minutes), len(readings))
        columns = Columns.of(rule.measure for rule in shape.rules)
        condition, used = condition_of(_narrowed(shape, plan.fields))
        shape.minutes = Minutes(columns)
        shape.reader = MinuteReader.made(
            plan.versions,
            plan.versions[0].pipeline,
            shape.by,
            columns.select,
            plan.fields,
            condition,
            used,
        )
        if shape.reader is not None:
            plan.shapes.append(shape)
            continue
        for rule in shape.rules:
            rule.road, rule.shape, rule.fixed = "window", None, {}


def _dimensions(plan: Plan) -> frozenset[str]:
    """Dimensions that the rollups of all versions keep, as far as these have the field."""
    kept: set[str] = {name for name, f in plan.fields.items() if f.type in ("text", "integer", "boolean")}
    for version in plan.versions:
        if version.created:
            present = {f.name for f in version.columns}
            kept = {name for name in kept if name in version.dims or name not in present}
    return frozenset(kept)


def _split(rule: Rule, dims: frozenset[str]) -> tuple[tuple[Tree, ...], dict[str, Any]]:
    """A condition as (the rest of it, the values that dimensions must have): all of its parts must hold."""
    rest: list[Tree] = []
    asked: dict[str, Any] = {}
    for part in _conjuncts(rule.tree):
        found = _equality(part)
        if found is None or found[0] not in dims or found[0] in asked or found[0] in rule.by:
            rest.append(part)
        else:
            asked[found[0]] = found[1]
    return tuple(rest), dict(sorted(asked.items()))


def _conjuncts(tree: Tree | None) -> list[Tree]:
    if tree is None:
        return []
    if isinstance(tree, Call) and tree.name == "and":
        return [part for arg in tree.args for part in _conjuncts(arg)]
    return [tree]


def _equality(tree: Tree) -> tuple[str, Any] | None:
    """(column, value) of `column = value` where both are of one type that groups can be told apart by."""
    if not isinstance(tree, Call) or tree.name != "eq":
        return None
    left, right = tree.args
    if isinstance(left, Written):
        left, right = right, left
    if not isinstance(left, Column) or not isinstance(right, Written) or right.value is None:
        return None
    return (left.name, right.value) if left.type == right.type and left.type in ("text", "integer", "boolean") else None


def _joined(parts: Sequence[Tree]) -> Tree | None:
    tree: Tree | None = None
    for part in parts:
        tree = part if tree is None else Call("and", (tree, part), "boolean")
    return tree


def _narrowed(shape: Shape, fields: Mapping[str, FieldSpec]) -> Tree | None:
    """The condition of a shape, with the values that its rules ask for where all of them do: no other groups are
    read."""
    tree = shape.tree
    if not all(rule.fixed for rule in shape.rules):
        return tree
    for place in sorted({place for rule in shape.rules for place in rule.fixed}):
        kind = fields[shape.by[place]].type
        values = sorted({rule.fixed[place] for rule in shape.rules})
        one_of: Tree = Call(
            "in", (Column(shape.by[place], kind), *(Written(value, kind) for value in values)), "boolean"
        )
        tree = one_of if tree is None else Call("and", (tree, one_of), "boolean")
    return tree
