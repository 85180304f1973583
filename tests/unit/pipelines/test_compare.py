"""Two mappings over the same payloads: what differs, counted by hand, and that differences add up."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dash_app.domain.events import Payload
from dash_app.domain.mapping import parse_mapping
from dash_app.domain.specs import Dashboard, Pipeline
from dash_app.pipelines import compare as module
from dash_app.pipelines.affected import affected_alerts, affected_tiles
from dash_app.pipelines.compare import compare
from dash_app.pipelines.difference import (
    GROUPS,
    Difference,
    Example,
    FieldDifference,
    Refusal,
    RejectGroup,
    Sides,
    Tally,
    Totals,
    general,
)
from dash_app.pipelines.mapping import Plan, compile_mapping
from dash_app.pipelines.mapping_difference import mapping_difference, renamed
from dash_app.storage.alerts import Alert

NOW = datetime(2026, 3, 1, tzinfo=UTC)
BASE: dict[str, Any] = {
    "fields": [
        {"name": "n", "path": "$.n", "type": "number"},
        {"name": "s", "path": "$.s", "type": "text"},
    ]
}


def plan(document: dict[str, Any]) -> Plan:
    return compile_mapping(parse_mapping(document))


def fields(*more: dict[str, Any], **parts: Any) -> Plan:
    return plan({"fields": list(more), **parts})


def payloads(*bodies: Any) -> list[Payload]:
    return [
        Payload(n, UUID(int=1), NOW + timedelta(seconds=n), "application/json", {}, json.dumps(body).encode())
        for n, body in enumerate(bodies, 1)
    ]


N = {"name": "n", "path": "$.n", "type": "number"}
S = {"name": "s", "path": "$.s", "type": "text"}


def of(difference: Difference, name: str) -> FieldDifference:
    return next(one for one in difference.fields if one.name == name)


# Rows ----------------------------------------------------------------------------------------------------------------


def test_a_condition_takes_rows_away_and_brings_them_back() -> None:
    some = payloads([{"n": 1}, {"n": 5}, {"n": 9}], {"n": 2})
    found = compare(plan(BASE), plan(BASE | {"where": "n > 4"}), some)
    assert (found.equal, found.changed, found.gone, found.new) == (2, 0, 2, 0)
    assert found.records == Sides(4, 2)
    assert found.filtered == Sides(0, 2)
    # Payload 2 has nothing left, which a reject tells; the record itself was left out all the same.
    assert found.gone_why == {"filtered": 2}
    assert [(row.payload, row.index, row.values["n"]) for row in found.gone_rows] == [(1, 0, 1.0), (2, 0, 2.0)]
    back = compare(plan(BASE | {"where": "n > 4"}), plan(BASE), some)
    assert (back.gone, back.new, back.new_why) == (0, 2, {"filtered": 2})


def test_values_that_change_appear_and_vanish_are_told_apart() -> None:
    before = fields(S, {**N, "path": "$.a"})
    after = fields(S, {**N, "path": "$.b"})
    found = compare(before, after, payloads([{"a": 1, "b": 1}, {"a": 1, "b": 3}, {"b": 2}, {"a": 4}, {"s": "x"}]))
    n = of(found, "n")
    assert n.equal == 2
    assert {kind: tally.count for kind, tally in n.kinds.items()} == {"changed": 1, "gained": 1, "lost": 1}
    assert n.kinds["changed"].examples == (Example(1, 1, 1.0, 3.0),)
    assert n.kinds["gained"].examples == (Example(1, 2, None, 2.0),)
    assert n.kinds["lost"].examples == (Example(1, 3, 4.0, None),)
    assert n.shift is not None
    assert (n.shift.count, n.shift.mean, n.shift.largest_by) == (1, 2.0, 2.0)
    assert (found.equal, found.changed) == (2, 3)
    assert found.totals["n"] == (Totals(3, 6.0, 1.0, 4.0), Totals(3, 6.0, 1.0, 3.0))


def test_the_largest_difference_is_named_whichever_way_it_goes() -> None:
    before = fields({"name": "m", "path": "$.m", "type": "number"}, {**N, "sql": "m", "path": None})
    after = fields(
        {"name": "m", "path": "$.m", "type": "number"},
        {**N, "sql": "case when m = 3 then 0 - 100 else m + 1 end", "path": None},
    )
    shift = of(compare(before, after, payloads([{"m": 1}, {"m": 3}, {"m": 5}])), "n").shift
    assert shift is not None
    assert (shift.largest_by, shift.largest) == (-103.0, Example(1, 1, 3.0, -100.0))
    assert (shift.count, shift.mean, shift.total_size) == (3, pytest.approx(-101 / 3), pytest.approx(105))


def test_the_last_digits_are_rounding_and_nothing_else_is() -> None:
    before = fields(N, {"name": "k", "sql": "n * 0.1", "type": "number"})
    after = fields(N, {"name": "k", "sql": "n - n * 0.9", "type": "number"})
    # 3 * 0.1 is 0.30000000000000004, and 3 - 3 * 0.9 is 0.2999999999999998.
    found = compare(before, after, payloads([{"n": 3}, {"n": 0}]))
    assert {kind: tally.count for kind, tally in of(found, "k").kinds.items()} == {"rounding": 1}
    assert (found.equal, found.rounded, found.changed) == (1, 1, 0)
    assert of(found, "k").differing == 0
    assert not found.is_empty
    apart = fields(N, {"name": "k", "sql": "n * 0.1000000002", "type": "number"})
    assert of(compare(before, apart, payloads({"n": 1})), "k").kinds["changed"].count == 1


def test_whole_numbers_beyond_2_to_the_53_are_compared_as_they_are() -> None:
    whole = {**N, "type": "integer"}
    first = fields({**whole, "path": "$.a"})
    second = fields({**whole, "path": "$.b"})
    found = of(compare(first, second, payloads({"a": 2**53 + 1, "b": 2**53}, {"a": 7, "b": 7})), "n")
    assert ({kind: one.count for kind, one in found.kinds.items()}, found.equal) == ({"changed": 1}, 1)
    # As a number the larger one is rounded, which is a difference between the two columns.
    kinds = of(compare(first, fields({**N, "path": "$.a"}), payloads({"a": 2**53 + 1}, {"a": 5}, {})), "n")
    assert ({kind: one.count for kind, one in kinds.kinds.items()}, kinds.equal) == ({"rounding": 1}, 2)


def test_another_type_with_the_same_text_is_retyped() -> None:
    before = fields({"name": "v", "path": "$.v", "type": "json"})
    after = fields({"name": "v", "path": "$.v", "type": "number"})
    found = compare(before, after, payloads({"v": 5}, {"v": 1.5}, {}))
    v = of(found, "v")
    assert ({kind: one.count for kind, one in v.kinds.items()}, v.equal) == ({"retyped": 2}, 1)
    assert v.before
    assert v.after
    assert (v.before.type, v.after.type) == ("json", "number")


def test_fields_of_one_side_alone_do_not_change_rows() -> None:
    found = compare(fields(N, S), fields(N, {**S, "name": "t"}), payloads({"n": 1, "s": "x"}, {"n": 2}))
    assert (found.equal, found.changed) == (2, 0)
    assert [one.name for one in found.fields] == ["n", "t", "s"]
    assert of(found, "t").kinds == {"added": Tally(1, (Example(1, 0, None, "x"),))}
    assert of(found, "s").kinds == {"removed": Tally(1, (Example(1, 0, "x", None),))}
    assert not found.is_empty


def test_a_time_that_moves_is_told_in_seconds() -> None:
    before = plan(BASE | {"time": {"path": "$.t", "format": "epoch_s"}})
    after = plan(BASE | {"time": {"path": "$.t", "format": "epoch_ms"}})
    found = compare(before, after, payloads({"t": 1000}, {"t": 0}))
    assert found.changed == 1
    assert found.time.kinds["changed"].examples[0].before == "1970-01-01T00:16:40+00:00"
    assert found.time.shift is not None
    assert found.time.shift.largest_by == -999.0


def test_nan_is_one_value_and_counts_in_no_total() -> None:
    """No mapping lets NaN through; a comparison must not make one of a sum if one ever did."""
    one = fields(N)
    run = one.run

    class Strange:
        spec = one.spec

        def run(self, some: list[Payload]) -> Any:
            mapped = run(some)
            return replace(mapped, frame=mapped.frame.with_columns(n=pl.lit(math.nan)))

    found = compare(Strange(), Strange(), payloads({"n": 1}))  # type: ignore[arg-type]
    assert found.is_empty
    assert found.totals["n"][0] == Totals(0, 0.0, None, None)
    other = compare(one, Strange(), payloads({"n": 1}))  # type: ignore[arg-type]
    n = of(other, "n")
    assert (n.kinds["changed"].examples[0].after, n.shift) == (None, None)


# Keys ----------------------------------------------------------------------------------------------------------------


def keyed(rule: str = "ignore", **more: Any) -> dict[str, Any]:
    return BASE | {"key": ["$.id"], "on_duplicate": rule, **more}


def test_duplicates_go_by_the_rule_of_each_side() -> None:
    some = payloads({"id": 1, "n": 1}, {"id": 1, "n": 2}, {"id": 2, "n": 9})
    found = compare(plan(keyed("ignore")), plan(keyed("replace")), some, without_duplicates=True)
    assert (found.aligned, found.duplicates) == ("key", Sides(1, 1))
    assert (found.equal, found.changed, found.gone, found.new) == (1, 1, 0, 0)
    assert of(found, "n").kinds["changed"].examples == (Example(2, 0, 1.0, 2.0),)
    none = compare(plan(keyed()), plan(BASE), some, without_duplicates=True)
    assert (none.aligned, none.new, none.new_why) == ("place", 1, {"duplicate": 1})
    as_they_come = compare(plan(keyed("ignore")), plan(keyed("replace")), some)
    assert as_they_come.is_empty
    assert as_they_come.duplicates == Sides(0, 0)


def test_the_first_received_keeps_a_key_under_ignore() -> None:
    """The rule of what is stored: by time of receipt, and only then by id."""
    late, early = payloads({"id": 1, "n": 1}, {"id": 1, "n": 2})
    late = replace(late, received_at=early.received_at + timedelta(seconds=5))
    found = compare(plan(keyed()), plan(keyed(where="n < 2")), [late, early], without_duplicates=True)
    assert of(found, "n").kinds["changed"].examples == (Example(1, 0, 2.0, 1.0),)


def test_differences_without_duplicates_are_not_added() -> None:
    some = compare(plan(keyed()), plan(keyed()), payloads({"id": 1}), without_duplicates=True)
    with pytest.raises(ValueError, match="key"):
        some + some


# Rejects -------------------------------------------------------------------------------------------------------------


def test_rejects_are_new_gone_or_have_another_reason() -> None:
    before = fields(N, {"name": "m", "path": "$.m", "type": "integer"})
    after = fields({**N, "type": "text"}, {"name": "m", "path": "$.m", "type": "number"})
    found = compare(before, after, payloads([{"n": "a"}, {"n": "b"}, {"n": 1}, {"m": 1.5}, {"n": "c", "m": "x"}]))
    assert found.rejected == Sides(4, 2)
    groups = {(one.turn, one.reason_before, one.reason_after): one for one in found.rejects}
    gone = groups["gone", "number expected, found text '…'", ""]
    assert (gone.field_before, gone.count, [one.index for one in gone.examples]) == ("n", 2, [0, 1])
    assert gone.examples[0].before == "number expected, found text 'a'"
    assert json.loads(gone.examples[0].excerpt) == {"n": "a"}
    new = groups["new", "", "text expected, found number …"]
    assert (new.field_after, new.count) == ("n", 1)
    changed = groups["changed", "number expected, found text '…'", "number expected, found text '…'"]
    assert (changed.field_before, changed.field_after) == ("n", "m")
    assert found.gone_why == {"rejected": 1}
    assert found.new_why == {"rejected": 3}


@pytest.mark.parametrize(
    ("reason", "group"),
    [
        ("number expected, found text 'n/a'", "number expected, found text '…'"),
        ("number expected, found text 'a very long one'…", "number expected, found text '…'"),
        ("text expected, found number -1.5e-7", "text expected, found number …"),
        ("integer of at most 64 bits expected, found 99999999999", "integer of at most 64 bits expected, found …"),
        ("all its 1,204 records were left out by where", "all its … records were left out by where"),
    ],
)
def test_a_reason_is_told_without_its_value(reason: str, group: str) -> None:
    assert general(reason) == group


def test_groups_beyond_the_bound_are_counted_however_batches_are_cut() -> None:
    def group(number: int) -> RejectGroup:
        return RejectGroup("new", "", "", f"f{number}", "r", 1, (Refusal(number, 0, "", "r", ""),))

    def with_groups(*numbers: int) -> Difference:
        return Difference(payloads=len(numbers), rejects=tuple(map(group, numbers)))

    numbers = [*range(GROUPS + 10), 3, GROUPS + 2]
    whole = with_groups(*numbers).bounded()
    assert len(whole.rejects) == GROUPS
    cut = with_groups(*numbers[:20])
    for first in range(20, len(numbers), 25):
        cut = cut + with_groups(*numbers[first : first + 25])
    assert cut.rejects_beyond == {"new": 11}
    assert cut.turned("new") == len(numbers)
    assert cut.rejects[3].count == 2


# Properties ----------------------------------------------------------------------------------------------------------

DOCUMENTS: list[dict[str, Any]] = [
    BASE,
    BASE | {"where": "n > 0"},
    BASE | {"time": {"path": "$.t", "format": "epoch_s"}},
    BASE | {"on_error": "null", "key": ["$.s"]},
    {"records": "$.rows[*]", "fields": [S, {**N, "type": "integer"}]},
    {"fields": [{**S, "type": "json"}, {"name": "m", "path": "$.n", "type": "number", "unit": "m", "default": 7}]},
    {"key": ["$.s"], "on_duplicate": "replace", "fields": [{**N, "role": "dimension"}, {**S, "path": "$.u"}]},
]
PLANS = [plan(document) for document in DOCUMENTS]
VALUES = st.one_of(
    st.none(), st.sampled_from(["a", "b", "", "5"]), st.sampled_from([0, 1, -1, 2**60, 0.1, 1e300, -1e300])
)
RECORD = st.dictionaries(st.sampled_from("nstu"), VALUES, max_size=4)
BODY = st.one_of(RECORD, st.lists(RECORD, max_size=4), st.fixed_dictionaries({"rows": st.lists(RECORD, max_size=3)}))
BODIES = st.lists(BODY, max_size=6)
ANY_PLAN = st.sampled_from(PLANS)


def mirrored(one: Difference) -> Difference:
    """The same difference seen from the other side."""
    other: dict[str, Any] = {"gained": "lost", "lost": "gained", "added": "removed", "removed": "added"}
    turns: dict[str, Any] = {"new": "gone", "gone": "new", "changed": "changed"}

    def example(x: Example) -> Example:
        return Example(x.payload, x.index, x.after, x.before)

    def field(x: FieldDifference) -> FieldDifference:
        kinds = {other.get(k, k): Tally(t.count, tuple(map(example, t.examples))) for k, t in x.kinds.items()}
        shift = x.shift
        if shift:
            shift = replace(shift, total=-shift.total, largest_by=-shift.largest_by, largest=example(shift.largest))
        return FieldDifference(x.name, x.after, x.before, x.equal, kinds, shift)

    def group(x: RejectGroup) -> RejectGroup:
        examples = tuple(Refusal(e.payload, e.index, e.after, e.before, e.excerpt) for e in x.examples)
        return RejectGroup(
            turns[x.turn], x.field_after, x.reason_after, x.field_before, x.reason_before, x.count, examples
        )

    def sides(x: Sides) -> Sides:
        return Sides(x.after, x.before)

    return replace(
        one,
        records=sides(one.records), filtered=sides(one.filtered), rejected=sides(one.rejected),
        duplicates=sides(one.duplicates), gone=one.new, new=one.gone, gone_why=one.new_why, new_why=one.gone_why,
        gone_rows=one.new_rows, new_rows=one.gone_rows, time=field(one.time),
        fields=tuple(map(field, one.fields)), totals={name: (b, a) for name, (a, b) in one.totals.items()},
        rejects=tuple(map(group, one.rejects)),
        rejects_beyond={turns[turn]: count for turn, count in one.rejects_beyond.items()},
    )  # fmt: skip


def comparable(one: Difference) -> Any:
    """Without the order of fields, which is that of the newer mapping."""
    fields = {field.name: field for field in one.fields}
    return replace(one, fields=(), rejects=()), fields, {group.key: group for group in one.rejects}


@given(BODIES, ANY_PLAN, st.booleans())
@settings(deadline=None, max_examples=60)
def test_a_mapping_does_not_differ_from_itself(bodies: list[Any], one: Plan, without: bool) -> None:
    found = compare(one, one, payloads(*bodies), without_duplicates=without)
    assert found.is_empty
    assert (found.equal, found.both) == (found.records.before, found.records.after)


@given(BODIES, ANY_PLAN, ANY_PLAN)
@settings(deadline=None, max_examples=120)
def test_the_way_back_is_the_mirror_of_the_way_there(bodies: list[Any], a: Plan, b: Plan) -> None:
    some = payloads(*bodies)
    assert comparable(mirrored(compare(a, b, some))) == comparable(compare(b, a, some))


@given(BODIES, ANY_PLAN, ANY_PLAN, st.booleans())
@settings(deadline=None, max_examples=120)
def test_every_row_is_counted_once_on_either_side(bodies: list[Any], a: Plan, b: Plan, without: bool) -> None:
    found = compare(a, b, payloads(*bodies), without_duplicates=without)
    assert found.both + found.gone == found.records.before
    assert found.both + found.new == found.records.after
    assert sum(found.gone_why.values()) == found.gone
    assert sum(found.new_why.values()) == found.new
    for field in found.fields:
        if field.before and field.after:
            assert field.equal + sum(tally.count for tally in field.kinds.values()) == found.both


@given(BODIES, ANY_PLAN, ANY_PLAN, st.integers(0, 6))
@settings(deadline=None, max_examples=120)
def test_parts_add_up_to_the_whole_and_are_kept_as_json(bodies: list[Any], a: Plan, b: Plan, cut: int) -> None:
    some = payloads(*bodies)
    whole = compare(a, b, some).bounded()
    parts = compare(a, b, some[:cut]) + compare(a, b, some[cut:])

    def without_sums(one: Difference) -> Any:
        """Sums of floats depend on where they were cut, in their last digits."""
        fields = tuple(replace(x, shift=x.shift and replace(x.shift, total=0.0, total_size=0.0)) for x in one.fields)
        totals = {n: tuple(t and replace(t, sum=0.0) for t in pair) for n, pair in one.totals.items()}
        why = dict(sorted(one.gone_why.items())), dict(sorted(one.new_why.items()))
        return replace(one, fields=fields, totals=totals, time=replace(one.time, shift=None)), why

    assert without_sums(parts) == without_sums(whole)
    assert Difference.from_document(json.loads(json.dumps(whole.to_document()))) == whole


def test_a_field_called_payload_keeps_its_number() -> None:
    one = fields({"name": "payload", "path": "$.p", "type": "integer"})
    none = plan({**one.spec.document, "where": "payload > 5"})
    found = compare(one, none, payloads({"p": 1}))
    document = json.loads(json.dumps(found.to_document()))
    assert document["gone_rows"][0]["payload"] == "1"
    assert document["gone_rows"][0]["values"]["payload"] == 1
    assert Difference.from_document(document) == found


def test_examples_show_no_more_of_a_text_than_is_useful() -> None:
    found = compare(fields(S), fields({**S, "path": "$.u"}), payloads({"s": "x" * 5000, "u": "y" * 5000}))
    example = of(found, "s").kinds["changed"].examples[0]
    assert len(example.before) == module.SHOWN
    assert example.before.endswith("…")


# What the documents say ----------------------------------------------------------------------------------------------


def told(a: dict[str, Any], b: dict[str, Any]) -> list[tuple[str, str, str, str, str]]:
    found = mapping_difference(parse_mapping(a), parse_mapping(b))
    return [(one.place, one.what, one.part, one.before, one.after) for one in found]


def test_documents_are_told_apart_field_by_field() -> None:
    before = {"fields": [N, S, {"name": "old", "path": "$.o", "type": "text"}], "where": "n > 1"}
    after = {
        "time": {"path": "$.t", "format": "epoch_ms"},
        "fields": [
            {"name": "text", "path": "$.s", "type": "text", "default": "-"},
            {**N, "unit": "kg", "role": "dimension"},
            {"name": "k", "sql": "n * 2", "type": "number"},
        ],
    }
    assert told(before, after) == [
        ("time", "changed", "", "when it was received", "$.t as epoch_ms"),
        ("where", "changed", "", "n > 1", "every record"),
        ("text", "renamed", "name", "s", "text"),
        ("text", "changed", "default", "", '"-"'),
        ("n", "changed", "role", "metric", "dimension"),
        ("n", "changed", "unit", "", "kg"),
        ("k", "added", "", "", "number from n * 2"),
        ("old", "removed", "", "text from $.o", ""),
        ("fields", "moved", "order", "n, text", "text, n"),
    ]
    assert told(before, before) == []
    assert renamed(parse_mapping(before), parse_mapping(after)) == {"s": "text"}


def test_writing_out_a_default_is_no_difference() -> None:
    written = {"fields": [{**N, "from": "record", "unit": "", "role": "metric"}, S], "on_error": "reject", "key": None}
    assert told(BASE, written) == []


# Tiles ---------------------------------------------------------------------------------------------------------------

PIPELINE = Pipeline(UUID(int=9), UUID(int=1), "scales", "Scales", "active", "webhook", {}, 1, {}, NOW, 1)


def tiles(before: dict[str, Any], after: dict[str, Any], *queries: dict[str, Any], bodies: Any = ()) -> list[Any]:
    document = {
        "time": {"from": "now-1h", "to": "now"},
        "tiles": [
            {
                "id": n,
                "kind": "line",
                "title": f"T{n}",
                "query": {"pipeline": "scales", **query},
                "options": {"unit": "g"},
            }
            for n, query in enumerate(queries, 1)
        ],
    }
    board = Dashboard(UUID(int=3), UUID(int=1), "board", "Board", document, 1, NOW, "")
    a, b = parse_mapping(before), parse_mapping(after)
    return affected_tiles([board], PIPELINE, a, b, compare(plan(before), plan(after), payloads(*bodies)))


AVG = {"select": [{"field": "n", "agg": "avg"}], "every": "1m"}
COUNT = {"select": [{"agg": "count"}], "by": ["s"], "every": "auto"}


def rule(name: str, query: dict[str, Any] | None, **more: Any) -> Alert:
    document = {"name": name, "slug": name, "condition": {"type": "threshold", "op": ">", "value": 1}, **more}
    if query is not None:
        document["query"] = {"pipeline": "scales", **query}
    return Alert(
        UUID(int=4),
        UUID(int=1),
        name,
        name,
        "warning",
        {},
        PIPELINE.id,
        "scales",
        document,
        True,
        "",
        1,
        NOW,
        "",
        NOW,
        "",
    )


def test_alerts_break_and_change_as_tiles_do() -> None:
    rules = [
        rule("mean", {"select": [{"field": "n", "agg": "avg"}]}),
        rule("count", {}),
        rule("least", {"select": [{"field": "n", "agg": "min"}], "by": ["s"]}),
        rule("stale", None, pipeline="scales", watch="stale"),
        rule("old", {"select": "nonsense"}),
    ]

    def found(after: dict[str, Any], *bodies: Any) -> list[tuple[str, str, tuple[str, ...]]]:
        difference = compare(plan(BASE), plan(after), payloads(*bodies))
        affected = affected_alerts(rules, parse_mapping(BASE), parse_mapping(after), difference)
        return [(one.name, one.effect, one.fields) for one in affected]

    assert found(BASE) == []
    gone = {"fields": [S, {**N, "name": "mass"}]}
    assert found(gone) == [("least", "breaks", ("n", "s")), ("mean", "breaks", ("n",))]
    assert found({"fields": [{**N, "type": "text"}, S]})[0] == ("least", "breaks", ("n", "s"))
    fewer = {**BASE, "where": "n > 1"}
    assert {name for name, *_ in found(fewer, {"n": 1, "s": "a"}, {"n": 2, "s": "a"})} == {"count", "least", "mean"}


def test_a_tile_breaks_where_its_field_is_gone_or_cannot_be_aggregated() -> None:
    found = tiles(BASE, {"fields": [S, {**N, "name": "mass"}]}, AVG, COUNT)
    assert [(one.title, one.effect, one.fields) for one in found] == [("T1", "breaks", ("n",))]
    assert found[0].why[0].startswith("there is no field 'n'")
    assert found[0].why[1] == "n is called mass now"
    text = tiles(BASE, {"fields": [{**N, "type": "text"}, S]}, AVG, COUNT)
    assert [(one.title, one.effect) for one in text] == [("T1", "breaks")]
    assert "avg cannot be taken of 'n' (text)" in text[0].why[0]
    where = tiles(BASE, {"fields": [N]}, {**AVG, "where": "s = 'x'"})
    assert [(one.effect, one.fields) for one in where] == [("breaks", ("n", "s"))]


def test_a_tile_changes_with_its_values_its_unit_or_its_rows() -> None:
    after = {"fields": [{**N, "unit": "kg", "default": 0}, S]}
    found = tiles(BASE, after, AVG, COUNT, bodies=[{"s": "x"}, {"n": 1}])
    assert [(one.title, one.effect) for one in found] == [("T1", "changes")]
    assert found[0].why == ("n is in kg and no longer in none; the tile goes on to say g", "1 value of n differs")
    rows = tiles(BASE, BASE | {"where": "n > 1"}, AVG, COUNT, bodies=[{"n": 1}, {"n": 2}])
    assert [one.why for one in rows] == [("1 row gone",), ("1 row gone",)]


def test_tiles_of_other_pipelines_and_untouched_ones_are_left_out() -> None:
    after = {"fields": [N, {**S, "default": "-"}]}
    found = tiles(
        BASE, after, AVG, {**COUNT, "pipeline": "others"}, {**COUNT, "pipeline": str(PIPELINE.id)}, bodies=[{}]
    )
    assert [(one.title, one.fields) for one in found] == [("T3", ("s",))]
    assert tiles(BASE, BASE, AVG, COUNT, bodies=[{"n": 1}]) == []


def test_a_tile_that_is_refused_already_is_told_once_it_works() -> None:
    found = tiles({"fields": [S]}, BASE, AVG)
    assert [(one.effect, one.why) for one in found] == [("changes", ("it is refused now, and will work",))]
    assert tiles({"fields": [S]}, {"fields": [{**S, "default": "-"}]}, AVG, bodies=[{}]) == []
