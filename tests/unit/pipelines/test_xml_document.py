"""XML payloads: what records they are, what is refused, and that nothing in them costs more than it should."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from dash_app.domain.events import Payload
from dash_app.pipelines.decode import body_kind
from dash_app.pipelines.inference.infer import infer_mapping
from dash_app.pipelines.preview import preview
from dash_app.pipelines.xml_document import NotXml, parse_xml

NOW = datetime(2024, 5, 1, tzinfo=UTC)


def payload(body: str | bytes, content_type: str = "application/xml") -> Payload:
    raw = body.encode() if isinstance(body, str) else body
    return Payload(1 << 20, UUID(int=1), NOW, content_type, {}, raw)


def mapped(body: str | bytes, mapping: dict[str, Any], content_type: str = "application/xml") -> Any:
    return preview(mapping, [payload(body, content_type)]).mapped


def item(number: int) -> str:
    return f'<item id="{number}"><temp unit="C">2{number}.5</temp><on>true</on><tag>a</tag><tag>b</tag></item>'


MAPPING = {
    "records": "$.feed.item[*]",
    "key": ["$['@id']"],
    "fields": [
        {"name": "id", "path": "$['@id']", "type": "integer"},
        {"name": "temp", "path": "$.temp['#text']", "type": "number"},
        {"name": "on", "path": "$.on", "type": "boolean"},
        {"name": "tags", "path": "$.tag", "type": "json"},
        {"name": "title", "from": "payload", "path": "$.feed.title", "type": "text"},
        {"name": "version", "from": "payload", "path": "$.feed['@version']", "type": "number"},
    ],
}


@pytest.mark.parametrize("records", ["$.feed.item[*]", "$.feed.item"])
@pytest.mark.parametrize("count", [1, 3])
def test_one_element_is_a_record_as_several_are(records: str, count: int) -> None:
    body = f'<feed version="2.0"><title>T</title>{"".join(map(item, range(count)))}</feed>'
    made = mapped(body, {**MAPPING, "records": records})
    assert made.rejects == []
    rows = made.frame.select("id", "temp", "on", "tags", "title", "version").rows()
    assert rows == [(n, 20.5 + n, True, '["a","b"]', "T", 2.0) for n in range(count)]


def test_no_element_is_a_reject_that_says_where_there_is_none() -> None:
    (reject,) = mapped("<feed/>", MAPPING).rejects
    assert reject.reason == "there are no records: nothing is at $.feed.item[*]"


def test_what_does_not_fit_is_refused_by_name() -> None:
    made = mapped(
        f"<feed>{item(1)}<item id='x'><temp>warm</temp></item></feed>",
        {"records": "$.feed.item", "fields": [{"name": "temp", "path": "$.temp", "type": "number"}]},
    )
    assert [one.reason for one in made.rejects] == [
        "number expected, found an object",
        "number expected, found text 'warm'",
    ]
    assert '"@id":"1"' in made.rejects[0].excerpt


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("application/xml", "xml"),
        ("text/xml; charset=utf-8", "xml"),
        ("application/rss+xml", "xml"),
        ("application/atom+xml;type=feed", "xml"),
        ("application/xhtml", "json"),
        ("application/json", "json"),
    ],
)
def test_by_content_type(content_type: str, kind: str) -> None:
    assert body_kind(content_type) == kind


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<a><b>é</b></a>".encode(), "text/xml"),
        (b"\xef\xbb\xbf" + "<a><b>é</b></a>".encode(), "text/xml"),
        ("<?xml version='1.0' encoding='iso-8859-1'?><a><b>é</b></a>".encode("latin1"), "text/xml"),
        ("<a><b>é</b></a>".encode("latin1"), "text/xml; charset=iso-8859-1"),
        ("<?xml version='1.0' encoding='utf-16'?><a><b>é</b></a>".encode("utf-16"), "text/xml"),
        ("<a><b><![CDATA[é]]></b><!-- no --><?php no ?></a>".encode(), "application/xml; charset=UTF-8"),
        (b'<!DOCTYPE a SYSTEM "http://169.254.169.254/x.dtd"><a><b>&#233;</b></a>', "text/xml"),
    ],
)
def test_encodings_and_what_is_beside_elements(body: bytes, content_type: str) -> None:
    made = mapped(body, {"fields": [{"name": "b", "path": "$.a.b", "type": "text"}]}, content_type)
    assert made.frame["b"].to_list() == ["é"]


LAUGHS = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><a>&b;</a>'
DEFAULTS = '<!DOCTYPE a [<!ATTLIST b c CDATA "' + "x" * 10_000 + '">]><a>' + "<b/>" * 10_000 + "</a>"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "not valid XML: no element found"),
        ("plain", "not valid XML: syntax error"),
        ("<a><b></a>", "not valid XML: mismatched tag"),
        ("<a/><b/>", "not valid XML: junk after document element"),
        ("<a>\x00</a>", "not valid XML: not well-formed"),
        ("<a>&nope;</a>", "not valid XML: undefined entity"),
        ('<a b="1" b="2"/>', "not valid XML: duplicate attribute"),
        ('<?xml version="1.0" encoding="utf-7"?><a/>', "not valid XML"),
        (LAUGHS, "a document type of its own (entities, defaults) is not accepted"),
        (DEFAULTS, "a document type of its own (entities, defaults) is not accepted"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "a document type of its own"),
        ("<a>" * 101 + "</a>" * 101, "nested more than 100 deep"),
        ("<a>" * 1_000_000, "nested more than 100 deep"),
    ],
)
def test_what_is_refused(body: str, reason: str) -> None:
    tracemalloc.start()
    try:
        made = mapped(body, MAPPING)
        assert tracemalloc.get_traced_memory()[1] < 60 << 20
    finally:
        tracemalloc.stop()
    (reject,) = made.rejects
    assert (reject.index, reject.field) == (-1, "body")
    assert reason in reject.reason


def test_a_hundred_levels_pass() -> None:
    parse_xml(b"<a>" * 100 + b"</a>" * 100, max_depth=100, max_elements=100)
    with pytest.raises(NotXml, match="more than 99 elements"):
        parse_xml(b"<a>" * 100 + b"</a>" * 100, max_depth=100, max_elements=99)


def test_a_mapping_is_proposed_for_it() -> None:
    found = infer_mapping([payload(f"<feed><title>T</title>{''.join(map(item, range(1, 5)))}</feed>")])
    assert found is not None
    document, _ = found
    assert document["records"] == "$.feed.item[*]"
    fields = {field["name"]: (field["path"], field["type"]) for field in document["fields"]}
    assert fields["id"] == ("$['@id']", "integer")
    assert fields["temp"] == ("$.temp['#text']", "number")
    assert fields["temp_unit"] == ("$.temp['@unit']", "text")
    assert fields["on"] == ("$.on", "boolean")
