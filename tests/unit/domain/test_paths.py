"""Paths are RFC 9535's names, indexes and wildcards, and refusals say where."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.domain.errors import Invalid
from dash_app.domain.paths import format_path, parse_path

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
STEPS = st.lists(st.one_of(NAMES, st.integers(-(2**53) + 1, 2**53 - 1), st.none()), max_size=6)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("$", ()),
        ("$.a.b", ("a", "b")),
        ("$['x y'][\"q\"]", ("x y", "q")),
        ("$[0][-1]", (0, -1)),
        ("$[*].*", (None, None)),
        ("$.features[*].id", ("features", None, "id")),
        ("$['x-github-event']", ("x-github-event",)),
        ("$['it\\'s']['\\u00e9']['\\ud83d\\ude00']", ("it's", "é", "😀")),
        ("$[ 'a' ]", ("a",)),
        ("$.größe", ("größe",)),
    ],
)
def test_reads(text: str, steps: tuple[object, ...]) -> None:
    assert parse_path(text) == steps


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 1),
        ("a", 1),
        ("$..a", 3),
        ("$.", 3),
        ("$.a-b", 4),
        ("$.1a", 3),
        ("$[", 3),
        ("$[01]", 3),
        ("$[-0]", 3),
        ("$[1:2]", 3),
        ("$[?@.a]", 3),
        ("$['a'", 6),
        ("$['a", 3),
        ("$['\\x']", 4),
        ("$['\\ud83d']", 3),
        ("$ .a", 2),
        ("$[9007199254740992]", 3),
    ],
)
def test_refuses_with_the_position(text: str, position: int) -> None:
    with pytest.raises(Invalid, match=f"^position {position} of path"):
        parse_path(text)


def test_refuses_what_is_too_long() -> None:
    with pytest.raises(Invalid, match="at most 1000 characters"):
        parse_path("$" + ".a" * 500)
    with pytest.raises(Invalid, match="at most 50 steps"):
        parse_path("$" + ".a" * 51)


@given(STEPS)
def test_written_and_read_again_it_is_the_same(steps: list[str | int | None]) -> None:
    assert parse_path(format_path(steps)) == tuple(steps)


@given(st.text(max_size=30))
def test_any_text_is_a_path_or_invalid(text: str) -> None:
    with contextlib.suppress(Invalid):
        assert parse_path(format_path(parse_path("$" + text))) == parse_path("$" + text)
