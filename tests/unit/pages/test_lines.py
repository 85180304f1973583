"""On which line of a mapping a problem stands."""

from __future__ import annotations

import pytest

from dash_app.domain.errors import Invalid
from dash_app.domain.mapping import load_mapping_text, parse_mapping
from dash_app.domain.mapping_text import compose_mapping_text
from dash_app.pages.parts.lines import line_of, line_of_place, lines_of_places

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
        ("fields[1].path", 7),
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


@pytest.mark.parametrize(("wrong", "line"), [("type: text", 5), ("type: number", 8), ("type: integer", 9)])
def test_the_places_are_those_that_the_parser_gives(wrong: str, line: int) -> None:
    text = TEXT.replace(wrong, "type: numbr")
    with pytest.raises(Invalid) as raised:
        parse_mapping(load_mapping_text(text))
    assert [line_of_place(text, place, what) for place, what in raised.value.problems] == [line]


def test_a_text_is_read_once_for_all_its_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []

    def compose(text: str) -> object:
        reads.append(text)
        return compose_mapping_text(text)

    monkeypatch.setattr("dash_app.pages.parts.lines.compose_mapping_text", compose)
    places = [("fields[0].type", "?"), ("fields[2]", "?"), ("", "line 7: ?"), ("nowhere", "?")]
    assert lines_of_places(TEXT, places) == [5, 9, 7, 0]
    assert len(reads) == 1
    assert lines_of_places(TEXT, [("", "?"), ("fields", "line 2: ?")]) == [0, 2]
    assert len(reads) == 1, "nothing to look up"


def test_no_text_is_too_long_or_too_deep_to_answer() -> None:
    assert line_of_place("[" * 300_000, "fields", "?") == 0
    assert line_of_place("[" * 100_000, "fields", "?") == 0
