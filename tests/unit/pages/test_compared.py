"""Numbers and words of a comparison: what differs must be seen to differ, and nothing is said of what is not there."""

from __future__ import annotations

from typing import Any

import pytest

from dash_app.pages import compared
from dash_app.pages.compared import MINUS, Compared
from dash_app.pipelines.affected import AffectedTile
from dash_app.pipelines.difference import Difference, Example, FieldDifference, FieldShape, Shift, Tally, Totals

NUMBER = FieldShape("number", "km", "metric")


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (Difference(payloads=3, equal=412, changed=37, gone=3, new=1), "412 rows equal, 37 changed, 3 gone, 1 new"),
        (Difference(payloads=1, equal=1, rounded=2), "1 row equal, 2 equal but for rounding"),
        (Difference(payloads=2, gone=1200), "0 rows equal, 1\u202f200 gone"),
        (Difference(payloads=100, equal=5), "No difference in 100 payloads"),
    ],
)
def test_the_verdict_counts_what_there_is(difference: Difference, words: str) -> None:
    assert compared.verdict(difference) == words


def test_the_bar_has_no_part_without_rows() -> None:
    parts = compared.bar(Difference(payloads=1, equal=3, gone=1))
    assert [(name, count, share) for name, _, count, share in parts] == [("equal", 3, 75.0), ("gone", 1, 25.0)]
    assert compared.bar(Difference()) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-1234567, f"{MINUS}1\u202f234\u202f567"),
        (66660.4, "66\u202f660.4"),
        (2818383.1, "2\u202f818\u202f383"),
        (0.5, "0.5"),
        (1e-9, f"1e{MINUS}09"),
        (1e300, "1e+300"),
        (3.0, "3"),
        (None, "–"),
    ],
)
def test_numbers_are_written_as_people_read_them(value: Any, text: str) -> None:
    assert compared.number(value) == text


@pytest.mark.parametrize(
    ("before", "after", "texts"),
    [
        (1.0, 2.0, ("1", "2")),
        (0.30000000000000004, 0.3, ("0.30000000000000004", "0.3")),
        (1234567.1, 1234567.2, ("1\u202f234\u202f567.1", "1\u202f234\u202f567.2")),
        (None, "", ("null", "''")),
        (True, False, ("true", "false")),
        ("2026-01-01T00:00:00+00:00", "2026-01-01T00:00:01+00:00", ("2026-01-01 00:00:00", "2026-01-01 00:00:01")),
        ("2026-01-01", "2026-01-02", ("2026-01-01", "2026-01-02")),
        (5, "5", ("5", "5")),
    ],
)
def test_two_values_are_told_apart(before: Any, after: Any, texts: tuple[str, str]) -> None:
    assert compared.pair(before, after) == texts


def test_a_shift_is_told_with_sign_unit_and_size() -> None:
    example = Example(1, 0, 1.0, 4.0)
    one = FieldDifference("n", NUMBER, NUMBER, 0, {"changed": Tally(1)}, Shift(1, 3.0, 3.0, 3.0, example))
    assert compared.shift_words(one, "km") == "by +3 km"
    more = FieldDifference("n", NUMBER, NUMBER, 0, {"changed": Tally(2)}, Shift(2, -1.0, 5.0, -3.0, example))
    assert compared.shift_words(more, "km") == f"by {MINUS}0.5 km on average, {MINUS}3 km at most"
    moved = FieldDifference("_time", None, None, 0, {"changed": Tally(1)}, Shift(1, -3600.0, 3600.0, -3600.0, example))
    assert compared.shift_words(moved) == f"by {MINUS}60 min"
    assert compared.shift_words(FieldDifference("n", NUMBER, NUMBER)) == ""


def test_totals_say_how_much_they_moved() -> None:
    cells = compared.total_cells(Totals(4, 10.0, 1, 4), Totals(2, -5.0, 1, 4))
    assert cells == [
        ("Values", "4", "2", f"{MINUS}50 %"),
        ("Sum", "10", f"{MINUS}5", f"{MINUS}150 %"),
        ("Mean", "2.5", f"{MINUS}2.5", f"{MINUS}200 %"),
        ("Least", "1", "1", ""),
        ("Most", "4", "4", ""),
    ]
    assert compared.total_cells(None, Totals())[2] == ("Mean", "–", "–", "")
    assert compared.total_cells(Totals(1, 0.0, 0, 0), Totals(1, 5.0, 5, 5))[1] == ("Sum", "0", "5", "+5")
    nearly = "1\u202f000\u202f000\u202f000"
    assert compared.total_cells(Totals(1, 1e9), Totals(1, 1e9 + 1e-6))[1] == ("Sum", nearly, nearly, "but for rounding")
    assert compared.total_cells(Totals(1, 1e9), Totals(1, 1e9 + 5))[1][3] == "±0 %"


@pytest.mark.parametrize(("percent", "text"), [(0.001, "< 0.1 %"), (0.25, "0.2 %"), (3.0, "3 %"), (91.4, "91 %")])
def test_shares_are_never_nothing(percent: float, text: str) -> None:
    assert compared.share(percent) == text


def test_one_reason_stands_alone_and_several_are_counted() -> None:
    assert compared.why({"filtered": 3}) == "left out by where"
    assert compared.why({"filtered": 3, "rejected": 1}) == "3 left out by where, 1 rejected"


def test_tiles_that_are_affected_alike_are_told_once() -> None:
    def tile(name: str, effect: Any, *why: str) -> AffectedTile:
        return AffectedTile("d", "D", name, name, effect, (), why)

    found = Compared(
        tiles=[tile("a", "breaks", "x"), tile("b", "changes", "3 rows gone"), tile("c", "changes", "3 rows gone")]
    )
    assert [(effect, why, len(tiles)) for effect, why, tiles in found.tile_groups] == [
        ("breaks", ("x",), 1),
        ("changes", ("3 rows gone",), 2),
    ]
    assert found.breaking == 1
