"""A preview is what live payloads would become, in portions or not, with its rejects gathered by reason."""

from __future__ import annotations

import orjson
import pytest

from dash_app.domain.errors import Invalid
from dash_app.domain.events import Reject
from dash_app.domain.mapping import parse_mapping
from dash_app.pipelines.mapping import compile_mapping, sample_payload
from dash_app.pipelines.plan import Reading
from dash_app.pipelines.preview import CalledOff, group_rejects, preview

MAPPING = {
    "fields": [
        {"name": "mag", "path": "$.mag", "type": "number"},
        {"name": "gone", "path": "$.nowhere", "type": "text"},
    ]
}


def payloads(count: int, size: int = 10) -> list:
    bodies = [{"mag": "n/a" if n % 10 == 3 else n, "pad": "x" * size} for n in range(count)]
    return [sample_payload(orjson.dumps(body), number=n + 1) for n, body in enumerate(bodies)]


def test_portions_give_what_one_run_gives() -> None:
    given = payloads(40, 60_000)
    made = preview(MAPPING, list(reversed(given)))
    whole = compile_mapping(parse_mapping(MAPPING)).run(given)
    assert made.mapped.frame.equals(whole.frame)
    assert made.mapped.rejects == whole.rejects
    assert (made.payloads, made.clean, made.mapped.frame.height) == (40, 36, 36)


#: One after the other as somebody types: other conditions, names, types, paths, records, keys, times; strict and loose.
TYPED = [
    MAPPING,
    MAPPING | {"where": "mag > 3"},
    {"fields": [{"name": "size", "path": "$.mag", "type": "number"}, {"name": "pad", "path": "$.pad", "type": "text"}]},
    {"fields": [{"name": "mag", "path": "$.mag", "type": "text"}], "where": "length(mag) > 0"},
    {"records": "$", "fields": [{"name": "mag", "path": "$.mag", "type": "number"}]},
    {"records": "$.list[*]", "fields": [{"name": "mag", "path": "$.mag", "type": "number"}]},
    {"records": "$.list[*]", "fields": [{"name": "whole", "path": "$.mag", "from": "payload", "type": "number"}]},
    {"records": "$.list[*]", "key": ["$.mag"], "fields": [{"name": "mag", "path": "$.mag", "type": "integer"}]},
    {"records": "$.list[*]", "fields": [{"name": "one", "path": "$", "type": "number"}]},
    MAPPING | {"time": {"path": "$.at", "format": "epoch_s"}},
    MAPPING,
]


def test_what_was_read_for_one_preview_gives_the_next_what_reading_anew_gives() -> None:
    bodies = [
        b'{"mag": 3.5, "at": 1700000000, "pad": "x"}', b'{"mag": "n/a"}', b'{"mag": 1',
        b'[{"mag": 7}, 5, {"mag": null}]', b'{"mag": 2, "list": [{"mag": 4}, {"mag": 4.5}, {"mag": true}, 6, {}]}',
        b'{"list": []}', b"",
    ]  # fmt: skip
    given = [sample_payload(body, number=number + 1) for number, body in enumerate(bodies)]
    given += [
        sample_payload("mag,at\n5,1700000000\nmany,x\n", number=20, content_type="text/csv"),
        sample_payload("mag=8&pad=y", number=21, content_type="application/x-www-form-urlencoded"),
        sample_payload('{"mag": 9}\n{"mag": []}\nno\n' * 3000, number=22, content_type="application/x-ndjson"),
    ]
    readings: dict[int, Reading] = {}
    again = 0
    for document in TYPED:
        before = dict(readings)
        made = preview(document, given, readings=readings)
        again += any(readings[number] is reading for number, reading in before.items())
        whole = compile_mapping(parse_mapping(document)).run(given)
        assert made.mapped.frame.equals(whole.frame)
        assert made.mapped.rejects == whole.rejects
        assert made.mapped.filtered == whole.filtered
    assert again >= 3, "some of them read alike"
    other = [sample_payload(b'{"mag": 1}', number=1)]
    assert preview(MAPPING, other, readings=readings).mapped.frame.height == 1, "readings of other payloads do not hold"


def test_rejects_are_told_by_field_and_reason_with_their_share() -> None:
    made = preview(MAPPING, payloads(100))
    assert [group.sentence(made.payloads) for group in made.groups] == [
        "`mag`: number expected, found text 'n/a' in 10 of 100 payloads"
    ]
    assert made.groups[0].first.payload == 4
    assert made.refused[4] == 1


def test_several_values_are_one_reason() -> None:
    rejects = [Reject(n, 0, "a", f"number expected, found text '{n}'") for n in range(6)]
    rejects += [Reject(7, -1, "body", "not valid JSON: unexpected end"), Reject(7, 1, "body", "the body is empty")]
    rejects += [Reject(1, 1, "a", "number expected, found text '1'")]
    groups = group_rejects(rejects)
    assert [(one.field, one.payloads, one.rejects) for one in groups] == [("a", 6, 7), ("body", 1, 1), ("body", 1, 1)]
    assert groups[0].reason == "number expected, found text '0', text '1', text '2' and 3 other values"
    assert group_rejects(rejects[:1])[0].sentence(1) == "`a`: number expected, found text '0' in 1 of 1 payload"


def test_a_field_that_finds_nothing_shows() -> None:
    made = preview(MAPPING, payloads(20))
    assert made.nulls == {"mag": 0, "gone": 18}
    assert preview(MAPPING, []).nulls == {"mag": 0, "gone": 0}


def test_tests_of_the_document_run_too() -> None:
    wrong = {**MAPPING, "tests": [{"name": "one", "payload": {"mag": 1}, "records": [{"mag": 2}]}]}
    assert preview(wrong, []).failures == ["tests[0] one: record 0, mag: number 2 expected, found number 1.0"]


def test_nobody_waits_for_what_was_called_off() -> None:
    asked = []

    def unwanted() -> bool:
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(CalledOff):
        preview(MAPPING, payloads(100, 60_000), unwanted=unwanted)
    assert len(asked) == 3, "it ends at the portion at which it was called off"


def test_what_is_wrong_with_the_document_is_named() -> None:
    with pytest.raises(Invalid) as raised:
        preview({"fields": [{"name": "a", "path": "$.a", "type": "numbr"}]}, [])
    assert raised.value.problems[0][0] == "fields[0].type"
