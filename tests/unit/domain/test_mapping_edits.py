"""Every change of a mapping is an operation on its document: what each does, and what it leaves alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from dash_app.domain.errors import Invalid
from dash_app.domain.mapping import load_mapping_text, mapping_text
from dash_app.domain.mapping_changes import changes, merged
from dash_app.domain.mapping_edits import apply, renamed
from dash_app.domain.mapping_rewrite import rewrite

QUAKES: dict[str, Any] = {
    "records": "$.features[*]",
    "time": {"path": "$.properties.time", "format": "epoch_ms"},
    "key": ["$.id"],
    "fields": [
        {"name": "mag", "path": "$.properties.mag", "type": "number", "unit": "Mw"},
        {"name": "place", "path": "$.properties.place", "type": "text"},
        {"name": "energy", "sql": "pow(10, 1.5 * mag + 4.8)", "type": "number"},
    ],
    "where": "mag >= 0 and place <> 'mag'",
    "tests": [{"name": "one", "payload": {}, "records": [{"mag": 1}], "rejects": [{"field": "mag"}]}],
}


def field(**parts: Any) -> dict[str, Any]:
    return {"name": "n", "path": "$.n", "type": "number"} | parts


def after(*operations: dict[str, Any], document: dict[str, Any] | None = None) -> dict[str, Any]:
    made = QUAKES if document is None else document
    for operation in operations:
        before = copy.deepcopy(made)
        result = apply(made, operation)
        assert made == before, "the document that was handed in is not changed"
        made = result
    return made


def test_a_field_is_added_changed_moved_and_removed() -> None:
    made = after({"op": "add", "field": field()})
    assert made["fields"][3] == field()
    made = after(
        {"op": "set", "index": 3, "key": "unit", "value": "kg"}, {"op": "move", "index": 3, "to": 0}, document=made
    )
    assert [one["name"] for one in made["fields"]] == ["n", "mag", "place", "energy"]
    assert made["fields"][0] == field(unit="kg")
    made = after({"op": "set", "index": 0, "key": "unit", "value": ""}, document=made)
    assert made["fields"][0] == field()
    assert after({"op": "remove", "index": 0}, document=made) == QUAKES


def test_the_first_field_of_an_empty_document() -> None:
    assert after({"op": "add", "field": field()}, document={}) == {"fields": [field()]}


def test_a_new_name_is_followed_where_it_means_the_field() -> None:
    made = after({"op": "set", "index": 0, "key": "name", "value": "magnitude"})
    assert made["fields"][2]["sql"] == "pow(10, 1.5 * magnitude + 4.8)"
    assert made["where"] == "magnitude >= 0 and place <> 'mag'"
    assert made["tests"][0]["records"] == [{"magnitude": 1}]
    assert made["tests"][0]["rejects"] == [{"field": "magnitude"}]


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("Mag + 1", "m + 1"),
        ('"mag" * 2', '"m" * 2'),
        ("magnitude + mag2", "magnitude + mag2"),
        ("mag(mag)", "mag(m)"),
        ("'it''s mag' || mag", "'it''s mag' || m"),
    ],
)
def test_names_in_expressions(expression: str, wanted: str) -> None:
    assert renamed(expression, "mag", "m") == wanted


def test_a_field_has_one_origin() -> None:
    computed = after({"op": "set", "index": 0, "key": "sql", "value": "1"})["fields"][0]
    assert "path" not in computed
    read = after({"op": "set", "index": 2, "key": "path", "value": "$.energy"})["fields"][2]
    assert read == {"name": "energy", "path": "$.energy", "type": "number"}
    header = after(
        {"op": "set", "index": 1, "key": "from", "value": "headers"},
        {"op": "set", "index": 1, "key": "from", "value": "record"},
    )
    assert header == QUAKES


def test_a_type_that_cannot_be_a_metric_is_none() -> None:
    made = after(
        {"op": "set", "index": 0, "key": "role", "value": "metric"},
        {"op": "set", "index": 0, "key": "type", "value": "text"},
    )
    assert "role" not in made["fields"][0]


def test_what_is_the_default_is_not_written_down() -> None:
    made = after({"op": "on_error", "value": "null"}, {"op": "on_duplicate", "value": "replace"})
    assert (made["on_error"], made["on_duplicate"]) == ("null", "replace")
    made = after({"op": "on_error", "value": "reject"}, {"op": "on_duplicate", "value": "ignore"}, document=made)
    assert made == QUAKES
    made = after(
        {"op": "time", "path": "$.at", "format": "iso8601"}, {"op": "where", "value": ""}, {"op": "key", "paths": []}
    )
    assert made["time"] == {"path": "$.at"}
    assert "where" not in made
    assert "key" not in made
    assert "time" not in after({"op": "time", "path": None})


def test_records_elsewhere_leave_paths_at_their_places() -> None:
    document = {"fields": [
        field(name="a", path="$.features[0].properties.mag"), field(name="b", path="$.meta.source"),
        field(name="c", path="$.features[2].id", **{"from": "payload"}),
    ], "time": {"path": "$.features[0].time"}}  # fmt: skip
    made = after({"op": "records", "path": "$.features[*]", "rebase": True}, document=document)
    assert [one["path"] for one in made["fields"]] == ["$.properties.mag", "$.meta.source", "$.features[2].id"]
    assert [one.get("from") for one in made["fields"]] == [None, "payload", "payload"]
    assert made["time"] == {"path": "$.time"}
    typed = after({"op": "records", "path": "$.features[*]"}, document=document)
    assert typed["fields"] == document["fields"]
    deeper = after({"op": "records", "path": "$.features[*].properties", "rebase": True})
    assert [one.get("path") for one in deeper["fields"]] == ["$.mag", "$.place", None]
    assert deeper["key"] == ["$.id"], "what lies above the records cannot be their key, and is left to be seen to"


@pytest.mark.parametrize(
    ("operation", "what"),
    [
        ({"op": "fly"}, "'fly' is no operation"),
        ({}, "'None' is no operation"),
        ({"op": ["add"]}, "no operation"),
        ({"op": "add", "field": 3}, "a field is an object"),
        ({"op": "set", "index": 9, "key": "name", "value": "x"}, "no field 9"),
        ({"op": "set", "index": True, "key": "name"}, "a place is a whole number"),
        ({"op": "set", "index": 0, "key": "colour", "value": "red"}, "'colour' is no part"),
        ({"op": "remove", "index": -1}, "no field -1"),
        ({"op": "move", "index": 0, "to": "up"}, "whole number"),
        ({"op": "key", "paths": "$.id"}, "a list of paths"),
        ({"op": "replace", "document": []}, "an object with fields"),
    ],
)
def test_what_cannot_be_meant_is_refused(operation: dict[str, Any], what: str) -> None:
    with pytest.raises(Invalid, match=what):
        after(operation)


def test_a_broken_document_is_changed_no_further_than_asked() -> None:
    broken = {"fields": "later", "colour": 3}
    with pytest.raises(Invalid, match="not a list"):
        after({"op": "add", "field": field()}, document=broken)
    assert after({"op": "where", "value": "a > 1"}, document=broken) == {**broken, "where": "a > 1"}
    odd = {"fields": [3, field()]}
    assert after({"op": "set", "index": 1, "key": "name", "value": "m"}, document=odd)["fields"] == [3, field(name="m")]
    with pytest.raises(Invalid, match="field 0 is not an object"):
        after({"op": "set", "index": 0, "key": "name", "value": "m"}, document=odd)


# Text ----------------------------------------------------------------------------------------------------------------

WRITTEN = """\
# What the seismologists asked for.
records: $.features[*]
time: {path: $.properties.time, format: epoch_ms}  # milliseconds

fields:
  # how strong
  - {name: mag, path: $.properties.mag, type: number, unit: Mw}  # moment magnitude
  - name: place
    path: $.properties.place
    type: text

  # who told us
  - {name: event, from: headers, path: $['x-github-event'], type: text}
where: mag >= 0
# the end
"""


def rewritten(*operations: dict[str, Any]) -> str:
    old = load_mapping_text(WRITTEN)
    new = after(*operations, document=old)
    text, kept = rewrite(WRITTEN, old, new)
    assert kept
    assert load_mapping_text(text) == new
    return text


def test_comments_outlive_a_change_in_the_form() -> None:
    text = rewritten({"op": "set", "index": 0, "key": "unit", "value": "Ml"})
    assert text == WRITTEN.replace("unit: Mw", "unit: Ml")
    text = rewritten({"op": "set", "index": 1, "key": "default", "value": "nowhere"})
    assert text == WRITTEN.replace("    type: text\n", "    type: text\n    default: nowhere\n", 1)


def test_lines_are_added_moved_and_taken_away() -> None:
    text = rewritten({"op": "add", "field": field(name="depth", path="$.depth")})
    assert text == WRITTEN.replace("where:", "  - {name: depth, path: $.depth, type: number}\nwhere:")
    text = rewritten({"op": "move", "index": 2, "to": 0})
    assert (
        text.index("# who told us") < text.index("name: event") < text.index("# how strong") < text.index("name: mag")
    )
    text = rewritten({"op": "remove", "index": 2})
    assert text == WRITTEN.replace(
        "\n  # who told us\n  - {name: event, from: headers, path: $['x-github-event'], type: text}\n", ""
    )
    text = rewritten({"op": "key", "paths": ["$.id"]}, {"op": "where", "value": ""})
    assert (
        text == WRITTEN.replace("\nfields:", "key: [$.id]\n\nfields:").replace("where: mag >= 0\n", "")
        or "key:" in text
    )


def test_a_top_part_keeps_the_comment_behind_it() -> None:
    text = rewritten({"op": "time", "path": "$.at", "format": "epoch_s"})
    assert "time: {path: $.at, format: epoch_s}  # milliseconds\n" in text
    assert text.startswith("# What the seismologists asked for.\n")
    assert text.endswith("where: mag >= 0\n# the end\n")


@pytest.mark.parametrize(
    ("operation", "line"),
    [
        ({"op": "where", "value": "mag > 2"}, "where: mag > 2  # not the noise"),
        ({"op": "records", "path": "$.items[*]"}, "records: $.items[*]  # each quake"),
        ({"op": "on_error", "value": "null"}, "on_error: 'null'  # strict"),
        ({"op": "on_duplicate", "value": "replace"}, "on_duplicate: replace  # the first stays"),
    ],
)
def test_a_part_that_is_one_value_is_changed_where_it_stands(operation: dict[str, Any], line: str) -> None:
    text = """\
# above it all
records: $.features[*]  # each quake

# what it is known by
key: [$.id]
on_duplicate: error  # the first stays
fields:
  # how strong
  - {name: mag, path: $.mag, type: number}
where: mag > 1  # not the noise
on_error: stop  # strict
"""
    before = load_mapping_text(text)
    made, kept = rewrite(text, before, apply(before, operation))
    part = line.partition(":")[0]
    old = next(one for one in text.split("\n") if one.startswith(f"{part}:"))
    assert (made, kept) == (text.replace(old, line), True)


def test_a_default_beyond_what_a_browser_counts_is_exact() -> None:
    document = {"fields": [field(type="integer")]}
    made = after({"op": "set", "index": 0, "key": "default", "value": "9007199254740993"}, document=document)
    assert made["fields"][0]["default"] == 9007199254740993
    with pytest.raises(Invalid, match="64 bits"):
        apply(document, {"op": "set", "index": 0, "key": "default", "value": "99999999999999999999"})
    document = {"fields": [field(type="text")]}
    made = after({"op": "set", "index": 0, "key": "default", "value": "9007199254740993"}, document=document)
    assert made["fields"][0]["default"] == "9007199254740993"


def test_json_stays_json() -> None:
    text, kept = rewrite('{"fields": []}', {"fields": []}, {"fields": [field()]})
    assert kept
    assert text.startswith('{\n  "fields": [\n')


def test_a_sharp_sign_in_a_text_is_no_comment() -> None:
    old = {"fields": [{"name": "a", "path": "$['x #b']", "type": "text"}]}
    new = after({"op": "set", "index": 0, "key": "type", "value": "json"}, document=old)
    text, _ = rewrite("fields:\n  - {name: a, path: \"$['x #b']\", type: text}\n", old, new)
    assert load_mapping_text(text) == new
    assert text.count("#") == 1


def test_what_cannot_be_kept_is_said() -> None:
    old = {"fields": [field()]}
    text = "fields: [{name: n, path: $.n, type: number}] # all\n"
    new = after({"op": "add", "field": field(name="m")}, document=old)
    made, kept = rewrite(text, old, new)
    assert load_mapping_text(made) == new
    assert kept or "# all" not in made
    inner = "fields:\n  - name: n\n    # odd\n    path: $.n\n    type: number\n"
    made, kept = rewrite(inner, old, after({"op": "set", "index": 0, "key": "unit", "value": "kg"}, document=old))
    assert (kept, "# odd" in made) == (False, False)
    made, kept = rewrite("? {a: 1}\n: # odd\n  b\n", {"x": 1}, new)
    assert (made, kept) == (mapping_text(new), False)
    assert rewrite("", {}, new) == (mapping_text(new), True)


# Two people ----------------------------------------------------------------------------------------------------------


def test_changes_are_named_by_their_place() -> None:
    new = after(
        {"op": "set", "index": 0, "key": "unit", "value": "Ml"}, {"op": "remove", "index": 1},
        {"op": "add", "field": field()}, {"op": "where", "value": ""}, {"op": "on_error", "value": "null"},
    )  # fmt: skip
    found = changes(QUAKES, new)
    assert [(one.place, one.kind) for one in found] == [
        ("fields.mag", "changed"), ("fields.n", "added"), ("fields.place", "removed"), ("where", "removed"),
        ("on_error", "added"),
    ]  # fmt: skip
    assert (found[0].before["unit"], found[0].after["unit"]) == ("Mw", "Ml")
    assert changes(QUAKES, copy.deepcopy(QUAKES)) == []
    moved = changes(QUAKES, after({"op": "move", "index": 0, "to": 1}))
    assert [(one.place, one.kind, one.after) for one in moved] == [("fields", "moved", ["place", "mag", "energy"])]


def test_changes_of_two_people_go_together() -> None:
    theirs = after({"op": "add", "field": field(name="depth"), "at": 1}, {"op": "where", "value": "mag > 1"})
    mine = after(
        {"op": "set", "index": 0, "key": "unit", "value": "Ml"},
        {"op": "remove", "index": 1},
        {"op": "add", "field": field()},
    )
    made, both = merged(QUAKES, theirs, mine)
    assert both == []
    assert [one["name"] for one in made["fields"]] == ["mag", "depth", "energy", "n"]
    assert made["fields"][0]["unit"] == "Ml"
    assert made["where"] == "mag > 1"


def test_where_both_changed_the_same_mine_stands_and_it_is_said() -> None:
    theirs = after({"op": "set", "index": 0, "key": "unit", "value": "theirs"}, {"op": "remove", "index": 1})
    mine = after(
        {"op": "set", "index": 0, "key": "unit", "value": "mine"},
        {"op": "set", "index": 1, "key": "default", "value": "x"},
    )
    made, both = merged(QUAKES, theirs, mine)
    assert both == ["fields.mag", "fields.place"]
    assert made["fields"][0]["unit"] == "mine"
    assert made["fields"][1]["default"] == "x"
    assert merged({}, QUAKES, {}) == (QUAKES, [])


def test_whoever_moved_fields_has_their_order() -> None:
    moved = {"op": "move", "index": 1, "to": 0}
    theirs, mine = after(moved), after({"op": "add", "field": field()})
    made, both = merged(QUAKES, theirs, mine)
    assert ([one["name"] for one in made["fields"]], both) == (["place", "mag", "energy", "n"], [])
    made, both = merged(QUAKES, mine, theirs)
    assert ([one["name"] for one in made["fields"]], both) == (["place", "mag", "energy", "n"], [])
    made, both = merged(QUAKES, theirs, after(moved))
    assert ([one["name"] for one in made["fields"]], both) == (["place", "mag", "energy"], [])
    made, both = merged(QUAKES, theirs, after({"op": "move", "index": 0, "to": 2}))
    assert ([one["name"] for one in made["fields"]], both) == (["place", "energy", "mag"], ["fields"])
