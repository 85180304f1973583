"""Variables and filters: what becomes of a query, what is refused, and that no value gets out of its literal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.domain.errors import Invalid
from dash_app.domain.expressions import Call, Column, Literal, Tree, children
from dash_app.domain.query_filters import filtered, parse_filters
from dash_app.domain.variables import ALL, apply, condition, parse_variables, used
from dash_app.pipelines.expressions import parse_filter

TYPES = {"site": "text", "n": "integer", "x": "number", "ok": "boolean", "at": "timestamp", "doc": "json"}
VALUES: dict[str, Any] = {"one": "it's", "two": ["a", "b"], "none": [], "all": ALL, "five": 5, "width": "5m"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("site = $one", "site in ('it''s')"),
        ("site=${two} and n > 1", "site in ('a', 'b') and n > 1"),
        ("site != $two", "site not in ('a', 'b')"),
        ("site <> $one", "site not in ('it''s')"),
        ("n > 1 or \"site\" IN ( $two )", "n > 1 or \"site\" in ('a', 'b')"),
        ("site not in ($two)", "site not in ('a', 'b')"),
        ("not site = $one", "not site in ('it''s')"),
        ("(site = $all) and n = $five", "(true) and n in ('5')"),
        ("site not in ($all)", "true"),
        ("site in ($none)", "false"),
        ("site != $none", "true"),
        ("n >= $five", "n >= '5'"),
        ("contains(lower(site), lower($one))", "contains(lower(site), lower('it''s'))"),
        ("site in ('x', $one)", "site in ('x', 'it''s')"),
        ("site = '$unknown costs 5$'", "site = '$unknown costs 5$'"),
    ],
)  # fmt: skip
def test_conditions(before: str, after: str) -> None:
    assert condition(before, VALUES) == after


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("site = $gone", "there is no variable $gone; there are: $one, "),
        ("n > $two", "2 values, which can only stand alone beside a field: field = $two"),
        ("n > $all", "$all is All"),
        ("n + site = $all", "$all is All"),
        ("site = $all || 'x'", "$all is All"),
        ("not site = $all", "would turn All round"),
        ("not site in ($two)", "would turn All round"),
        ("site = '$one'", "$one stands without quotes"),
        ("site = 'a ${one}' or n > 1", "$one stands without quotes"),
        ("site = $one) or (true", "a bracket or a quote is not closed"),
        ("site = $one or site = 'a", "a bracket or a quote is not closed"),
    ],
)
def test_what_is_refused(text: str, says: str) -> None:
    with pytest.raises(Invalid) as caught:
        condition(text, VALUES)
    assert says in caught.value.message


def test_whole_texts_of_a_query() -> None:
    query = {
        "pipeline": "$where",
        "every": "$width",
        "by": ["site", "${two}"],
        "select": [{"field": "$field", "agg": "$agg", "as": "$kept"}, {"agg": "count"}],
        "order": "-$field",
        "where": "n = $five",
        "limit": 5,
    }
    values = {**VALUES, "where": "weather", "field": "x", "agg": "max"}
    assert apply(query, values) == {
        "pipeline": "weather",
        "every": "5m",
        "by": ["site", "a", "b"],
        "select": [{"field": "x", "agg": "max", "as": "$kept"}, {"agg": "count"}],
        "order": "-x",
        "where": "n in ('5')",
        "limit": 5,
    }
    assert used(query) == {"where", "width", "two", "field", "agg", "five"}
    assert apply({"by": ["pre$two"]}, VALUES) == {"by": ["pre$two"]}
    for wrong, place in [({"every": "$two"}, "every"), ({"by": ["$all"]}, "by[0]"), ({"pipeline": "$x"}, "pipeline")]:
        with pytest.raises(Invalid) as caught:
            apply(wrong, VALUES)
        assert caught.value.problems[0][0] == place


def literals(tree: Tree) -> list[Any]:
    return [tree.value] if isinstance(tree, Literal) else [one for child in children(tree) for one in literals(child)]


NASTY = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from(["'", "''", '"', "$one", "${one}", "\\", "--", "/*", ")", "(", " or ", "true", "$__all ", ";"]),
        max_size=8,
    ).map("".join),
).filter(lambda text: "\x00" not in text and text != ALL)  # fmt: skip


@given(st.lists(NASTY, min_size=1, max_size=5), NASTY)
def test_no_value_gets_out_of_its_literal(several: list[str], single: str) -> None:
    """Whatever the values are, the tree is that of the condition, and they are found in it as they were given."""
    values = parse_variables({"several": several, "single": single, "one": "never seen"})
    text = condition("site = $several and contains(site, $single) and n > 1", values)
    tree = parse_filter(text, TYPES)
    assert isinstance(tree, Call)
    assert tree.name == "and"
    assert literals(tree) == [*several, single, 1]
    assert parse_filter(condition("site != $single", values), TYPES) == Call(
        "not", (Call("in", (Column("site", "text"), Literal(single, "text")), "boolean"),), "boolean"
    )


@given(NASTY, NASTY)
def test_no_filter_gets_out_of_its_literal(field: str, value: str) -> None:
    query = filtered({"where": "n > 1"}, parse_filters([{"field": field or "f", "op": "!=", "value": value}]), {
        **TYPES, field or "f": "text",
    })  # fmt: skip
    assert query["where"].startswith("(n > 1) and (")
    if field and '"' not in field and field.lower() not in TYPES:  # names are told apart without their case
        tree = parse_filter(query["where"], {**TYPES, field: "text"})
        assert literals(tree) == [1, value]


@pytest.mark.parametrize(
    "text", ["not site = $v", "not (site = $v)", "not (n > 1 and (site in ($v)))", "n > 1 and not ((site != $v))"]
)
def test_all_under_a_not_is_refused(text: str) -> None:
    assert condition(text, {"v": "a"}).count("('a')") == 1
    for value in (ALL, ["a", "b"]):
        with pytest.raises(Invalid, match="not before"):
            condition(text, {"v": value})


def test_a_not_elsewhere_does_not_matter() -> None:
    assert condition("not (n > 1) and site = $v", {"v": ALL}) == "not (n > 1) and true"
    assert condition("n not in (1, 2) and (site = $v)", {"v": ALL}) == "n not in (1, 2) and (true)"


def test_filters() -> None:
    def where(*given: dict[str, Any], **query: Any) -> Any:
        return filtered(query, parse_filters(given), TYPES).get("where")

    site = {"field": "site", "value": "a"}
    assert where(site) == "(\"site\" in ('a'))"
    assert where(site, {**site, "value": "b"}, {"field": "n", "op": "!=", "value": 5}) == (
        "(\"site\" in ('a', 'b')) and (\"n\" is null or not (\"n\" in ('5')))"
    )
    assert where({**site, "value": None}) == '("site" is null)'
    assert where({**site, "value": None}, site) == '("site" in (\'a\') or "site" is null)'
    assert where({**site, "value": None, "op": "!="}) == '("site" is not null)'
    assert where({**site, "value": None, "op": "!="}, {**site, "op": "!="}) == (
        '("site" is not null and not ("site" in (\'a\')))'
    )
    assert where({"field": "ok", "value": True}) == "(\"ok\" in ('true'))"
    # Frames have milliseconds where records have more: all of that one is meant.
    assert where({"field": "at", "value": 1_767_225_600_000}) == (
        "((\"at\" >= '2026-01-01T00:00:00+00:00' and \"at\" < '2026-01-01T00:00:00.001000+00:00'))"
    )
    # What a field of this type cannot hold, no record has.
    assert where({"field": "n", "value": "abc"}) == "false"
    assert where({"field": "n", "value": "abc", "op": "!="}) == "true"
    assert where({"field": "ok", "value": "maybe"}, {"field": "ok", "value": "true"}) == "(\"ok\" in ('true'))"
    assert where({"field": "at", "value": "yesterday"}) == "false"
    # What a pipeline lacks, and what cannot be compared, is another pipeline's.
    assert where({"field": "gone", "value": "a"}, {"field": "doc", "value": "{}"}, where="n > 1") == "n > 1"
    for several in ([site], [{"field": "ok", "value": True}], [{"field": "at", "value": 1_767_225_600_000}]):
        parse_filter(where(*several), TYPES)
    with pytest.raises(Invalid, match="bracket"):
        where(site, where="n > 1) or (true")


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ([], "variables"),
        ({"a b": 1}, "variables"),
        ({"a": {"b": 1}}, "variables.a"),
        ({"a": None}, "variables.a"),
        ({"a": "x" * 1001}, "variables.a"),
        ({"a": "nul\x00"}, "variables.a"),
        ({"a": "\ud800"}, "variables.a"),
        ({"a": ["x"] * 1001}, "variables.a"),
        ({"a": float("nan")}, "variables.a"),
        ({f"v{n}": 1 for n in range(51)}, "variables"),
    ],
)
def test_values_that_are_none(given: Any, place: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_variables(given)
    assert caught.value.problems[0][0] == place


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({}, "filters"),
        (["site"], "filters[0]"),
        ([{"field": "site", "op": "~", "value": "a"}], "filters[0].op"),
        ([{"field": 5, "value": "a"}], "filters[0].field"),
        ([{"field": "site", "value": ["a"]}], "filters[0].value"),
        ([{"field": "site", "value": "a", "more": 1}], "filters[0]"),
    ],
)
def test_filters_that_are_none(given: Any, place: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_filters(given)
    assert caught.value.problems[0][0] == place


def test_all_among_others_is_all() -> None:
    assert parse_variables({"a": ["x", ALL], "b": ("y",), "c": "z"}) == {"a": ALL, "b": ["y"], "c": "z"}
