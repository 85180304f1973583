"""The session behind the mapping's editor: what it answers, what it refuses, and which preview wins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import orjson
import pytest

from dash_app.domain.access import Principal, Role
from dash_app.domain.errors import Conflict, Unauthorized
from dash_app.domain.mapping import mapping_text
from dash_app.domain.mapping_text import MAX_TEXT_BYTES
from dash_app.domain.specs import MappingVersion, Pipeline
from dash_app.pages.mapping.session import MAX_WAITING, Session, Subject
from dash_app.pipelines.mapping import sample_payload
from dash_app.pipelines.samples import Samples

MAPPING: dict[str, Any] = {"fields": [{"name": "t", "path": "$.t", "type": "number"}]}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Desk:
    """A workspace that keeps versions in a list and payloads in memory."""

    def __init__(self, role: Role = Role.editor) -> None:
        self.principal = Principal(uuid4(), "kari@example.org", "Kari", uuid4(), "main", "Main", role)
        self.pipeline = Pipeline(uuid4(), uuid4(), "p", "P", "active", "webhook", {}, 1, {}, NOW, 1)
        self.versions = [self.version(1, MAPPING)]
        self.bodies = [{"t": n, "far": {"away": n}} for n in range(3)]
        self.before_running: Callable[[], None] = lambda: None
        self.refuses: Exception | None = None

    def version(self, number: int, document: Any, author: str = "ola@example.org") -> MappingVersion:
        return MappingVersion(self.pipeline.id, number, document, "why", author, NOW)

    async def samples(self, _pipeline: Any) -> Samples:
        return Samples([sample_payload(orjson.dumps(body), number=n + 1) for n, body in enumerate(self.bodies)])

    async def with_samples(self, function: Callable[[], Any]) -> Any:
        if self.refuses:
            raise self.refuses
        self.before_running()
        return await asyncio.to_thread(function)

    async def look(self, _pipeline: Any) -> tuple[int, int]:
        return len(self.bodies), self.versions[0].version

    async def mapping(self, _pipeline: Any) -> tuple[str, list[MappingVersion]]:
        return "", list(self.versions)

    async def detail(self, _ref: str) -> Any:
        return SimpleNamespace(pipeline=self.pipeline)

    async def save_mapping(self, _pipeline: Any, document: Any, note: str, activate: str, base: int) -> Any:
        if self.versions[0].version != base:
            raise Conflict("there is a newer version")
        made = self.version(base + 1, document, self.principal.email)
        self.versions.insert(0, made)
        return SimpleNamespace(version=made, replay=uuid4() if "replay" in activate else None)


class Talk:
    """A session with what it has said."""

    def __init__(self, desk: Desk) -> None:
        self.said: list[dict[str, Any]] = []
        self.session = Session(desk, Subject(desk.pipeline, mapping_text(MAPPING), desk.versions))  # type: ignore[arg-type]
        # As it is sent: what JSON cannot hold would fail here.
        self.session.send = lambda message: self.said.append(orjson.loads(orjson.dumps(message)))
        self._seq = 0

    async def say(self, *messages: dict[str, Any]) -> list[dict[str, Any]]:
        """What is answered to messages that come at once."""
        before = len(self.said)
        for message in messages:
            self._seq += 1
            self.session.heard({"seq": self._seq, **message})
        await self.rest()
        return self.said[before:]

    async def rest(self) -> None:
        consumer = self.session._consumer
        if consumer is not None:
            await consumer
        while self.session._tasks:
            await asyncio.gather(*self.session._tasks)

    def last(self, kind: str) -> dict[str, Any]:
        return next(message for message in reversed(self.said) if message["type"] == kind)


def edit(**operation: Any) -> dict[str, Any]:
    return {"type": "edit", "operation": operation}


async def test_it_begins_with_payloads_and_a_preview() -> None:
    talk = Talk(Desk())
    first = talk.session.first()
    assert first["state"]["text"] == mapping_text(MAPPING)
    assert first["base"] == 1
    said = await talk.say({"type": "start", "text": None})
    assert [message["type"] for message in said] == ["payloads", "preview"]
    assert said[1]["result"]["rows"] == [[946684800000, 2.0], [946684800000, 1.0], [946684800000, 0.0]]
    assert said[1]["result"]["from"][0] == ["3", 0]
    assert (said[1]["result"]["clean"], said[1]["result"]["records"]) == (3, 3)


async def test_an_edit_is_answered_with_the_document_and_what_it_makes() -> None:
    talk = Talk(Desk())
    await talk.say({"type": "start"})
    said = await talk.say(edit(op="set", index=0, key="type", value="boolean"))
    assert [message["type"] for message in said] == ["state", "preview"]
    assert said[0]["unsaved"] is True
    assert "type: boolean" in said[0]["text"]
    assert said[1]["result"]["groups"][0]["reason"].startswith("boolean expected, found number 0")
    assert said[1]["result"]["refused"] == {"1": 1, "2": 1, "3": 1}
    said = await talk.say({"type": "undo"})
    assert said[0]["unsaved"] is False
    assert said[1]["result"]["rejected"] == 0
    said = await talk.say(edit(op="text", text="fields: ["))
    assert said[0]["unreadable"][0] == 1
    assert said[1]["problems"][0]["line"] == 1
    said = await talk.say(edit(op="text", text="fields:\n  - {name: t, path: $.t, type: numbr}\n"))
    assert said[1]["problems"][0] == {
        "place": "fields[0].type",
        "what": "'numbr' is unknown; one of number, integer, boolean, text, timestamp, json",
        "line": 2,
    }


async def test_the_newest_preview_is_the_only_one_that_is_told() -> None:
    talk = Talk(Desk())
    await talk.say({"type": "start"})
    said = await talk.say(*(edit(op="text", text=f"{mapping_text(MAPPING)}where: t > {n}\n") for n in range(6)))
    previews = [message for message in said if message["type"] == "preview"]
    assert previews[-1]["seq"] == 7
    assert previews[-1]["result"]["filtered"] == 3
    assert [message["seq"] for message in said if message["type"] == "state"] == [2, 3, 4, 5, 6, 7]
    seqs = [message["seq"] for message in previews]
    assert seqs == sorted(seqs)


async def test_a_place_becomes_a_field() -> None:
    talk = Talk(Desk())
    await talk.say({"type": "start"})
    said = await talk.say({"type": "take", "as": "field", "id": "2", "path": ["far", "away"]})
    assert said[0]["document"]["fields"][1] == {"name": "away", "path": "$.far.away", "type": "number"}
    said = await talk.say({"type": "open", "id": "2"}, {"type": "children", "id": "2", "path": ["far"], "start": 0})
    assert said[0]["tree"][1:4] == ["object", "", 2]
    assert said[1]["nodes"] == [["away", "number", "1", 0, None]]


async def test_a_viewer_changes_nothing() -> None:
    talk = Talk(Desk(Role.viewer))
    kept = f"{mapping_text(MAPPING)}# mine\n"
    await talk.say({"type": "start", "text": kept})
    assert talk.last("preview")["result"]["records"] == 3
    for message in (edit(op="remove", index=0), {"type": "undo"}, {"type": "infer"}, {"type": "revert"},
                    {"type": "take", "as": "field", "id": "1", "path": ["t"]}):  # fmt: skip
        said = await talk.say(message)
        assert [(one["type"], one["title"]) for one in said] == [("problem", "Forbidden")], message
    assert talk.session.first()["state"]["text"] == mapping_text(MAPPING)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "fly"}, {"type": ["edit"]}, {}, {"type": "edit"}, {"type": "edit", "operation": {"op": "fly"}},
        {"type": "open", "id": "x"}, {"type": "open", "id": "99"}, {"type": "open", "id": None},
        {"type": "take", "as": "field", "id": "1", "path": []}, {"type": "take", "as": "x", "id": "1", "path": ["t"]},
        {"type": "take", "as": "field", "id": "1", "path": [{"a": 1}]}, {"type": "children", "id": "1", "path": "x"},
        {"type": "save", "activate": "later"}, {"type": "settle", "choice": "nobody"},
    ],
)  # fmt: skip
async def test_nonsense_is_told_and_changes_nothing(message: dict[str, Any]) -> None:
    desk = Desk()
    talk = Talk(desk)
    await talk.say({"type": "start"})
    said = await talk.say(message)
    assert [one["type"] for one in said] == ["problem"]
    assert said[0]["reference"] == "", "it was foreseen"
    assert len(desk.versions) == 1
    assert talk.session.first()["state"]["unsaved"] is False


async def test_what_is_no_message_is_not_heard() -> None:
    talk = Talk(Desk())
    for nonsense in (None, 3, "edit", ["edit"]):
        talk.session.heard(nonsense)
    await talk.rest()
    assert talk.said == []


async def test_a_save_and_its_replay() -> None:
    desk = Desk()
    talk = Talk(desk)
    await talk.say({"type": "start"}, edit(op="where", value="t > 1"))
    said = await talk.say({"type": "save", "note": " warm ", "activate": "now_and_replay"})
    saved = said[0]
    assert (saved["type"], saved["version"], bool(saved["replay"])) == ("saved", 2, True)
    assert talk.last("versions")["versions"][0]["version"] == 2
    assert talk.last("state")["unsaved"] is False
    assert desk.versions[0].document["where"] == "t > 1"


async def test_a_conflict_shows_both_sides_and_loses_nothing() -> None:
    desk = Desk()
    talk = Talk(desk)
    await talk.say({"type": "start"}, edit(op="set", index=0, key="unit", value="K"))
    desk.versions.insert(0, desk.version(2, MAPPING | {"where": "t > 0"}))
    said = await talk.say({"type": "save", "note": "", "activate": "now"})
    assert said[0]["type"] == "conflict"
    assert said[0]["author"] == "ola@example.org"
    assert [(row["place"], row["both"]) for row in said[0]["rows"]] == [("fields.t", False), ("where", False)]
    assert said[0]["rows"][1]["theirs"] == {"kind": "added", "after": "t > 0"}
    assert "unit: K" in talk.session.first()["state"]["text"]
    await talk.say({"type": "settle", "choice": "both"})
    assert talk.last("settled")["base"] == 2
    said = await talk.say({"type": "save", "note": "", "activate": "now"})
    assert said[0]["version"] == 3
    assert desk.versions[0].document == {"fields": [MAPPING["fields"][0] | {"unit": "K"}], "where": "t > 0"}


async def test_another_conflict_keeps_its_own_words() -> None:
    desk = Desk()
    talk = Talk(desk)

    async def refuse(*_: Any) -> Any:
        raise Conflict("a replay is under way")

    desk.save_mapping = refuse  # type: ignore[method-assign]
    await talk.say({"type": "start"}, edit(op="where", value="t > 1"))
    said = await talk.say({"type": "save", "note": "", "activate": "after_replay"})
    assert (said[-1]["type"], said[-1]["detail"]) == ("problem", "a replay is under way")


async def test_a_session_that_has_ended_says_so() -> None:
    desk = Desk()
    talk = Talk(desk)
    await talk.say({"type": "start"})
    desk.refuses = Unauthorized("Your session has ended; log in again.")
    said = await talk.say(edit(op="where", value="t > 1"))
    assert said[-1]["detail"] == "Your session has ended; log in again."
    # What was typed is there still.
    assert "where" in talk.session.first()["state"]["document"]


async def test_after_the_page_is_gone_nothing_is_told() -> None:
    desk = Desk()
    talk = Talk(desk)
    await talk.say({"type": "start"})
    talk.session.heard({"type": "edit", "seq": 9, "operation": {"op": "where", "value": "t > 1"}})
    talk.session.close()
    await asyncio.gather(talk.session._consumer, return_exceptions=True)
    assert [message for message in talk.said if message.get("seq") == 9] == []


async def test_what_was_kept_is_still_made_from_its_own_version() -> None:
    desk = Desk()
    desk.versions.insert(0, desk.version(2, MAPPING | {"where": "t > 0"}))
    desk.pipeline = replace(desk.pipeline, mapping_version=2)
    talk = Talk(desk)
    assert talk.session.first()["base"] == 2
    kept = f"{mapping_text(MAPPING)}where: t > 1\n"
    said = await talk.say({"type": "start", "text": kept, "base": 1})
    assert (said[0]["type"], said[0]["base"], said[0]["text"]) == ("state", 1, kept)
    said = await talk.say({"type": "save", "note": "", "activate": "now"})
    assert said[0]["type"] == "conflict"
    assert len(desk.versions) == 2
    # What is saved is version 2: back to it, there is nothing to settle.
    said = await talk.say({"type": "revert"})
    assert said[0]["base"] == 2


@pytest.mark.parametrize("base", [3, -1, True, "1", None, 2.0])
async def test_a_version_that_cannot_be_is_no_base(base: Any) -> None:
    desk = Desk()
    desk.versions.insert(0, desk.version(2, MAPPING))
    desk.pipeline = replace(desk.pipeline, mapping_version=2)
    said = await Talk(desk).say({"type": "start", "text": "fields: []\n", "base": base})
    assert said[0]["base"] == 2


async def test_a_newer_version_that_is_not_live_is_not_overwritten() -> None:
    desk = Desk()
    desk.versions.insert(0, desk.version(2, MAPPING | {"where": "t > 0"}))
    talk = Talk(desk)
    first = talk.session.first()
    assert (first["base"], first["newest"]) == (1, 2)
    await talk.say({"type": "start"}, edit(op="where", value="t > 1"))
    said = await talk.say({"type": "save", "note": "", "activate": "now"})
    assert said[0]["type"] == "conflict"


@pytest.mark.parametrize("choice", ["mine", "theirs", "both"])
async def test_after_a_conflict_there_is_a_way_back_to_what_is_saved(choice: str) -> None:
    desk = Desk()
    talk = Talk(desk)
    await talk.say({"type": "start"}, edit(op="set", index=0, key="unit", value="K"))
    desk.versions.insert(0, desk.version(2, MAPPING | {"where": "t > 0"}))
    await talk.say({"type": "save", "note": "", "activate": "now"}, {"type": "settle", "choice": choice})
    assert talk.last("state")["unsaved"] is (choice != "theirs")
    await talk.say({"type": "revert"})
    state = talk.last("state")
    assert (state["document"], state["unsaved"], state["base"]) == (desk.versions[0].document, False, 2)


async def test_a_text_that_is_too_long_is_refused_and_nothing_else_is_saved_for_it() -> None:
    desk = Desk()
    talk = Talk(desk)
    await talk.say({"type": "start"}, edit(op="where", value="t > 1"))
    said = await talk.say(edit(op="text", text="x" * (MAX_TEXT_BYTES + 1)))
    assert [(one["type"], one["of"], one["detail"]) for one in said] == [
        ("problem", "edit", "a mapping's text has at most 262,144 bytes")
    ]
    said = await talk.say(edit(op="text", text="x" * 2_000_000), {"type": "save", "note": "", "activate": "now"})
    assert [one["type"] for one in said] == ["problem", "problem"]
    assert "refused" in said[1]["detail"]
    assert len(desk.versions) == 1
    await talk.say({"type": "undo"}, edit(op="where", value="t > 1"), {"type": "save", "note": "", "activate": "now"})
    assert len(desk.versions) == 2


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"type": "paste", "text": "x" * 1_100_000}, "1,048,576 bytes"),
        (edit(op="add", field={"name": "a", "more": [0] * 60_000}), "too many values"),
        (edit(op="set", index=0, key="default", value=2**70), "64 bits"),
        (edit(op="where", value="\ud800"), "half a character"),
        ({"type": "search", "text": "\ud800"}, "half a character"),
    ],
)
async def test_what_no_person_sends_is_refused(message: dict[str, Any], why: str) -> None:
    said = await Talk(Desk()).say(message)
    assert [one["type"] for one in said] == ["problem"]
    assert why in said[0]["detail"]
    assert said[0]["reference"] == ""


async def test_a_kept_text_that_cannot_be_taken_leaves_an_editor_that_works() -> None:
    for text in ("x" * 400_000, "a: \ud800", "x" * (MAX_TEXT_BYTES + 1)):
        talk = Talk(Desk())
        said = await talk.say({"type": "start", "text": text, "base": 0})
        assert [one["type"] for one in said] == ["problem", "payloads", "preview"]
        assert said[2]["result"]["records"] == 3
        assert talk.session.first()["base"] == 1


async def test_too_many_messages_are_told_and_the_last_text_is_there() -> None:
    talk = Talk(Desk())
    said = await talk.say(*({"type": "undo"} for _ in range(MAX_WAITING + 3)))
    assert [one["detail"][:16] for one in said if one["type"] == "problem"] == ["Too much at once"] * 3
    talk = Talk(Desk())
    said = await talk.say(*(edit(op="text", text=f"# {n}\n") for n in range(200)))
    assert not [one for one in said if one["type"] == "problem"]
    assert talk.last("state")["text"] == "# 199\n"
    assert len([one for one in said if one["type"] == "state"]) < MAX_WAITING


async def test_of_many_mistakes_some_are_told_with_how_many_more() -> None:
    talk = Talk(Desk())
    await talk.say({"type": "start"})
    text = "fields:\n" + "".join(f"  - {{name: f{n}, path: $.a, type: wrong}}\n" for n in range(80))
    said = await talk.say(edit(op="text", text=text))
    problems = said[-1]["problems"]
    assert len(problems) == 51
    assert problems[49]["line"] > 1
    assert problems[50]["what"] == "and 30 more like these"
