"""How records become messages: filtered, cut, and in order; and what is masked of what is shown."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from email.headerregistry import Address
from typing import Any
from urllib.parse import quote

import orjson
import polars as pl
import pytest

from dash_app.domain.errors import Invalid
from dash_app.domain.specs import FieldSpec
from dash_app.pipelines.delivery import masking, outbox
from dash_app.pipelines.delivery.messages import check_template, message_of, wording
from dash_app.pipelines.delivery.record_filter import RecordFilter
from dash_app.pipelines.sinks.mail import mail_of

FIELDS = (
    FieldSpec("n", "number", role="metric"),
    FieldSpec("site", "text"),
    FieldSpec("seen", "timestamp"),
    FieldSpec("tags", "json"),
)
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
FRAME = pl.DataFrame(
    {
        "_time": [NOON] * 3,
        "_received": [NOON] * 3,
        "_payload": [7, 7, 8],
        "_index": [0, 1, 0],
        "n": [1.0, None, 3.0],
        "site": ["roof", "", None],
        "seen": [NOON, None, NOON],
        "tags": ['{"a":1}', None, "[]"],
        "_key": ["x", "y", "z"],
    },
    schema_overrides={"_index": pl.Int32},
)


def test_records_look_as_the_api_shows_them() -> None:
    first = orjson.loads(outbox.encoded(FRAME, FIELDS)[0])
    assert first == {
        "_time": "2026-05-01T12:00:00+00:00",
        "_received": "2026-05-01T12:00:00+00:00",
        "_payload": "7",
        "_index": 0,
        "n": 1.0,
        "site": "roof",
        "seen": "2026-05-01T12:00:00+00:00",
        "tags": {"a": 1},
    }


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("", [0, 1, 2]),
        ("n > 1", [2]),
        ("not n > 1", [0]),
        ("site is null or site = 'roof'", [0, 2]),
        ("cast(site as number) > 0", []),
        ("_time >= cast('2026-05-01T12:00:00Z' as timestamp)", [0, 1, 2]),
    ],
)
def test_a_condition_that_is_null_or_fails_does_not_hold(where: str, kept: list[int]) -> None:
    found = RecordFilter.of(where, FIELDS).apply(FRAME.with_row_index("row"))
    assert found["row"].to_list() == kept
    assert set(found.columns) == {*FRAME.columns, "row"}


@pytest.mark.parametrize("where", ["nosuch = 1", "n +", "n", "sum(n) > 1", "_payload = 1"])
def test_a_wrong_condition_is_refused_at_its_place(where: str) -> None:
    with pytest.raises(Invalid) as error:
        RecordFilter.of(where, FIELDS)
    assert [place for place, _ in error.value.problems] == ["where"]


def test_a_record_is_encoded_once_however_many_sinks_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, rows = outbox.encoded(FRAME, FIELDS), []
    monkeypatch.setattr(
        outbox, "encoded", lambda frame, fields, real=outbox.encoded: rows.append(frame.height) or real(frame, fields)
    )
    once = outbox._Once(FRAME, FIELDS)
    assert once.items(RecordFilter.of("n > 1", FIELDS)) == [whole[2]]
    assert once.items(None) == whole
    assert once.items(RecordFilter.of("site = 'roof'", FIELDS)) == [whole[0]]
    assert rows == [1, 2]


@pytest.mark.parametrize("held", ["\r\nBcc: a@example.org", "\u2028x", "\x00\x07 x", "\x85\t\n x"])
def test_a_title_is_one_line_whatever_a_name_holds(held: str) -> None:
    facts: dict[str, Any] = {"id": "msg_1", "at": NOON, "team": "t", "sink": "s", "origin": "hot", "text": ""}
    alert = message_of(**facts, type="alert", title=f"Hot {held}", payload={"alert": "hot"})
    records = message_of(
        **facts, type="records", title="", payload={"pipeline": "p", "records": [{"site": held}]},
        template={"title": "At {{ record.site }}"},
    )  # fmt: skip
    for message in (alert, records):
        mail = mail_of(message, Address("Dash", "dash", "example.org"), [Address("", "a", "example.org")])
        assert mail["Subject"] == message.title == " ".join(message.title.split())
        assert message.title.isprintable()


def test_messages_are_cut_by_number_and_by_bytes_and_none_is_lost() -> None:
    items = [b"x" * size for size in (10, 10, 10, outbox.MESSAGE_BYTES, 10, outbox.MESSAGE_BYTES // 2, 10, 10)]
    chunks = list(outbox._chunks(items, 2))
    assert [item for chunk in chunks for item in chunk] == items
    assert all(len(chunk) <= 2 for chunk in chunks)
    assert all(len(chunk) == 1 or sum(map(len, chunk)) <= outbox.MESSAGE_BYTES for chunk in chunks)
    assert list(outbox._chunks([], 2)) == []
    named = list(outbox._named(chunks))
    assert [id for _, id in named] == sorted(id for _, id in named)


def test_an_id_goes_out_and_comes_back() -> None:
    (_, one), *_ = outbox._named([[b"{}"]])
    assert outbox.delivery_of(outbox.message_id(one)) == one
    assert outbox.delivery_of("msg_nothing") is None


def test_secrets_are_masked_in_every_shape_they_take() -> None:
    secret, inner = "s3cr3t/with+signs", "inner-token"
    hidden = masking.words([secret, {"Authorization": f"Bearer {inner}"}, ["", "abc"]])
    for shape in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode(), inner):
        assert masking.masked(f"<{shape}>", hidden) == f"<{masking.MASK}>"
    assert masking.masked("abc", hidden) == "abc"
    # Nor does what is left of one at the place where the text was cut.
    assert masking.masked(f"key={secret[:9]}… (4,711 bytes)", hidden) == f"key={masking.MASK}… (4,711 bytes)"
    # A secret within another one leaves nothing of the longer one over.
    assert masking.masked("abcd-efgh", masking.words(["abcd", "abcd-efgh"])) == masking.MASK


def test_a_wording_without_a_template_is_short_and_says_what_there_is() -> None:
    records = [orjson.loads(one) for one in outbox.encoded(FRAME, FIELDS)] * 5
    title, text = wording({"pipeline": "weather", "records": records})
    assert title == "weather: 15 records"
    assert text.splitlines()[0].endswith("n: 1.0, site: roof, seen: 2026-05-01T12:00:00+00:00, tags: {'a': 1}")
    assert text.splitlines()[-1] == "… and 5 more"


@pytest.mark.parametrize("template", ["x", {"text": "x"}, {"title": 1}, {"body": "{% if %}"}, {"body": "{{ recrd }}"}])
def test_a_wrong_template_is_refused_at_its_place(template: object) -> None:
    found = check_template(template)
    assert found
    assert all(place.startswith("template") for place, _ in found)
