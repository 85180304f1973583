"""Steps forward and back over one document that is edited as form and as text."""

from __future__ import annotations

import pytest

from dash_app.domain.errors import Invalid
from dash_app.domain.mapping_history import MAX_BYTES, MAX_STEPS, begin, edit, redo, undo
from dash_app.domain.mapping_text import MAX_TEXT_BYTES

TEXT = "fields:\n  # one\n  - {name: a, path: $.a, type: number}\n"
ADD = {"op": "add", "field": {"name": "b", "path": "$.b", "type": "text"}}


def test_there_and_back_again() -> None:
    first = begin(TEXT)
    second = edit(first, ADD, 0)
    third = edit(second, {"op": "set", "index": 1, "key": "unit", "value": "kg"}, 1)
    assert [one["name"] for one in third.present.document["fields"]] == ["a", "b"]
    assert undo(third).present == second.present
    assert undo(undo(undo(third))).present == first.present
    assert redo(redo(undo(undo(third)))).present == third.present
    assert edit(undo(third), ADD, 2).future == ()
    assert undo(first) == first
    assert redo(third) == third


def test_typing_is_one_step_until_it_rests() -> None:
    made = begin(TEXT)
    for number, text in enumerate(("f", "fi", "fie")):
        made = edit(made, {"op": "text", "text": text}, number * 0.2)
    assert len(made.past) == 1
    made = edit(made, {"op": "text", "text": "fiel"}, 5)
    assert len(made.past) == 2
    made = edit(begin(TEXT), {"op": "set", "index": 0, "key": "unit", "value": "k"}, 0)
    made = edit(made, {"op": "set", "index": 0, "key": "unit", "value": "kg"}, 0.3)
    assert len(made.past) == 1
    made = edit(made, {"op": "set", "index": 0, "key": "default", "value": 1}, 0.4)
    assert len(made.past) == 2
    made = edit(edit(made, ADD, 0.5), ADD, 0.6)
    assert len(made.past) == 4, "two fields that are added are two steps, however quickly"


def test_a_text_that_cannot_be_read_keeps_the_last_document() -> None:
    made = edit(begin(TEXT), {"op": "text", "text": TEXT + "where: [\n"}, 0)
    assert made.present.problem.startswith("line 5")
    assert made.present.document["fields"][0]["name"] == "a"
    with pytest.raises(Invalid, match="mistake"):
        edit(made, ADD, 1)
    mended = edit(made, {"op": "mend"}, 2)
    assert (mended.present.text, mended.present.problem) == (TEXT, "")
    assert undo(mended).present == made.present


def test_the_first_field_of_nothing() -> None:
    made = edit(begin(""), ADD, 0)
    assert made.present.text == "fields:\n  - {name: b, path: $.b, type: text}\n"
    assert undo(made).present.blank
    assert begin("# only\n\n").present.blank
    assert begin("# only\n").present.document == {}


def test_what_changes_nothing_is_no_step() -> None:
    made = edit(begin(TEXT), {"op": "where", "value": ""}, 0)
    assert made.past == ()
    with pytest.raises(Invalid):
        edit(made, {"op": "text", "text": 3}, 0)


def test_a_long_day_is_bounded() -> None:
    made = begin(TEXT)
    for number in range(MAX_STEPS + 50):
        made = edit(made, {"op": "text", "text": f"{TEXT}# {number}\n"}, number * 10)
    assert len(made.past) == MAX_STEPS


def test_long_texts_are_bounded_together() -> None:
    made = begin(TEXT)
    for number in range(50):
        made = edit(made, {"op": "text", "text": f"# {number}\n#{'x' * (MAX_TEXT_BYTES - 100)}\n"}, number * 10)
    assert 25 <= len(made.past) < 40
    assert sum(len(one.text) for one in made.past) <= MAX_BYTES
    assert made.past[-1].text.startswith("# 48\n"), "the newest are kept"


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "text", "text": "é" * (MAX_TEXT_BYTES // 2 + 1)},
        {"op": "replace", "text": "x" * (MAX_TEXT_BYTES + 1)},
        {"op": "where", "value": "x" * MAX_TEXT_BYTES},
        {"op": "set", "index": 0, "key": "default", "value": 2**64},
        {"op": "set", "index": 0, "key": "unit", "value": "\ud800"},
        {"op": "text", "text": "a: \udfff"},
        {"op": "add", "field": {"name": "a", "default": float("inf")}},
    ],
)
def test_what_could_not_be_kept_is_refused(operation: dict[str, object]) -> None:
    with pytest.raises(Invalid, match=r"bytes|64 bits|half a character|too large"):
        edit(begin(TEXT), operation, 0)
