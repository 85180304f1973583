"""On which line of a mapping a problem stands."""

from __future__ import annotations

import pytest

from dash_app.domain.errors import Invalid
from dash_app.domain.mapping import load_mapping_text, parse_mapping
from dash_app.pages.parts.lines import line_of, line_of_place

TEXT = """\
records: $.items[*]
time: {path: $.at, format: iso8601}
fields:
  # the first
  - {name: site, path: $.site, type: text}
  - name: temperature
    path: $.temperature
    type: number
  - {name: humidity, path: $.humidity, type: integer}
where: humidity > 0
"""


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("fields[0].type", 5),
        ("fields[1].path", 6),
        ("fields[2]", 9),
        ("fields[9]", 3),
        ("where", 10),
        ("time.format", 2),
        ("nowhere", 0),
        ("", 0),
    ],
)
def test_places_are_found(place: str, line: int) -> None:
    assert line_of_place(TEXT, place, "is wrong") == line


def test_a_message_that_names_its_line_is_believed() -> None:
    assert line_of("line 12, column 3: is wrong") == 12
    assert line_of("is wrong on line 12") == 0


@pytest.mark.parametrize(("wrong", "line"), [("type: text", 5), ("type: number", 6), ("type: integer", 9)])
def test_the_places_are_those_that_the_parser_gives(wrong: str, line: int) -> None:
    text = TEXT.replace(wrong, "type: numbr")
    with pytest.raises(Invalid) as raised:
        parse_mapping(load_mapping_text(text))
    assert [line_of_place(text, place, what) for place, what in raised.value.problems] == [line]
