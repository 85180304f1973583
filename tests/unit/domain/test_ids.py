"""Ids sort by time, slugs are what the contract says, and payload ids name their moment."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dash_app.domain.errors import Invalid
from dash_app.domain.ids import (
    PAYLOAD_SEQUENCE_BITS,
    SLUG,
    as_uuid,
    check_slug,
    new_id,
    payload_id_floor,
    payload_id_time,
    slug_from,
)


def test_ids_are_uuids_of_version_7_and_hold_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_763_900_000_123 * 1_000_000)
    made = [new_id() for _ in range(100)]
    assert {(one.version, one.variant) for one in made} == {(7, "specified in RFC 4122")}
    assert {one.int >> 80 for one in made} == {1_763_900_000_123}
    assert len(set(made)) == 100


def test_a_later_id_is_the_larger_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for moment in range(1_763_900_000_000, 1_763_900_000_050):
        monkeypatch.setattr(time, "time_ns", lambda at=moment: at * 1_000_000)
        made.append(new_id())
    assert made == sorted(made)


@pytest.mark.parametrize("text", ["", "none", "0", "x" * 32, "../../etc", "0192-", "é" * 36])
def test_what_is_no_id_is_none_and_no_error(text: str) -> None:
    assert as_uuid(text) is None


def test_an_id_is_read_back_from_its_text() -> None:
    made = new_id()
    assert as_uuid(str(made)) == made


@pytest.mark.parametrize("slug", ["ab", "a1", "a_", "a" * 41, "front_door_2"])
def test_slugs(slug: str) -> None:
    assert check_slug(slug) == slug


@pytest.mark.parametrize("slug", ["", "1a", "_a", "A_", "a-b", "a b", "a" * 42, "ab\n", "äb", 'a"b', "a.b"])
def test_what_is_no_slug_is_named(slug: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_slug(slug)
    ((where, what),) = refused.value.problems
    assert where == "slug"
    assert repr(slug)[1:-1] in repr(what)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Front door (EU)", "front_door_eu"),
        ("2 doors", "p_2_doors"),
        ("Ærøskøbing", "r_sk_bing"),
        ("a" * 60, "a" * 41),
    ],
)
def test_a_slug_is_proposed_for_a_name(name: str, slug: str) -> None:
    assert slug_from(name) == slug


@given(st.text(max_size=120))
def test_whatever_the_name_a_proposed_slug_is_one(name: str) -> None:
    assert SLUG.fullmatch(slug_from(name))


@given(st.integers(0, 4_102_444_800_000), st.integers(0, (1 << PAYLOAD_SEQUENCE_BITS) - 1))
def test_a_payload_id_names_its_millisecond_and_no_earlier_one_is_above_the_floor(at: int, sequence: int) -> None:
    moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=at)
    payload = at << PAYLOAD_SEQUENCE_BITS | sequence
    assert abs(payload_id_time(payload) - moment) < timedelta(milliseconds=1)
    # To the millisecond: a float of seconds may be one short, and then the floor only lies lower.
    assert payload_id_floor(moment) <= payload
    assert payload_id_floor(moment + timedelta(milliseconds=2)) > payload
