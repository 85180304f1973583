"""The session behind the dashboard's editor: what it answers, what it refuses, and what becomes of two who save."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
import pytest

from dash_app.domain.access import Principal, Role
from dash_app.domain.errors import Invalid, NotFound, PreconditionFailed
from dash_app.domain.specs import Dashboard, DashboardVersion, FieldSpec
from dash_app.pages.dashboarding.session import MOST_AT_ONCE, Session

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FIRST = {"uid": "d", "title": "D", "tiles": []}


class Desk:
    """A workspace with one dashboard, whose versions are kept in a list."""

    def __init__(self, role: Role = Role.editor) -> None:
        self.principal = Principal(uuid4(), "kari@example.org", "Kari", uuid4(), "main", "Main", role)
        self.kept: list[DashboardVersion] = []
        self.deleted = False
        self.gate = asyncio.Event()
        self.gate.set()
        self._add(FIRST, "Made", "ola@example.org")

    def _add(self, document: Any, note: str, author: str) -> Dashboard:
        self.kept.insert(0, DashboardVersion(len(self.kept) + 1, document, note, author, NOW))
        return self.now()

    def now(self) -> Dashboard:
        one = self.kept[0]
        team = self.principal.team
        return Dashboard(uuid4(), team, "d", str(one.document["title"]), one.document, one.revision, NOW, one.author)

    async def save_dashboard(self, uid: str, document: Any, base: int, note: str = "") -> Dashboard:
        await self.gate.wait()
        if not document.get("title"):
            raise Invalid(problems=[("title", "a text of 1 to 200 characters is needed")])
        if base != self.kept[0].revision:
            raise PreconditionFailed("read it again")
        return self._add(document, note, self.principal.email)

    async def restore_dashboard(self, uid: str, revision: int, base: int) -> Dashboard:
        if base != self.kept[0].revision:
            raise PreconditionFailed("read it again")
        return self._add((await self.dashboard_version(uid, revision)).document, "", self.principal.email)

    async def dashboard_versions(self, uid: str) -> tuple[Dashboard, list[DashboardVersion]]:
        return self.now(), list(self.kept)

    async def dashboard_version(self, uid: str, revision: int) -> DashboardVersion:
        found = next((one for one in self.kept if one.revision == revision), None)
        if found is None:
            raise NotFound(f"no version {revision}")
        return found

    async def check_whole_dashboard(self, document: Any) -> list[tuple[str, str]]:
        await self.gate.wait()
        return [] if document.get("title") else [("title", "needed")]

    async def pipeline_fields(self, ref: str) -> list[FieldSpec]:
        if ref != "weather":
            raise NotFound(f"no pipeline '{ref}'")
        return [FieldSpec("t", "number", unit="°C", role="metric")]

    async def new_dashboard(self, document: Any, note: str = "") -> Dashboard:
        assert document["uid"] is None
        return replace(self.now(), uid="d_copy", document=document)

    async def delete_dashboard(self, uid: str) -> None:
        self.deleted = True


class Talk:
    """A session with what it has said."""

    def __init__(self, desk: Desk) -> None:
        self.said: list[dict[str, Any]] = []
        self.session = Session(desk, desk.now())  # type: ignore[arg-type]
        # As it is sent: what JSON cannot hold would fail here.
        self.session.send = lambda message: self.said.append(orjson.loads(orjson.dumps(message)))
        self._seq = 0

    async def ask(self, kind: Any, **more: Any) -> dict[str, Any]:
        self._seq += 1
        seq = self._seq
        self.session.heard({"type": kind, "seq": seq, **more})
        await asyncio.gather(*self.session._tasks)
        return next(one for one in self.said if one["seq"] == seq)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_browser_begins_with_the_kinds_and_what_is_saved(desk: Desk) -> None:
    first = Talk(desk).session.first([{"slug": "weather", "name": "Weather"}], ["Ops"])
    assert first["dashboard"]["revision"] == 1
    assert first["dashboard"]["at"] == 1_767_225_600_000
    kinds = {one["kind"]: one for one in first["kinds"]}
    assert kinds["line"]["queries"] == "many"
    assert kinds["text"]["queries"] == "none"
    assert "unit" in kinds["stat"]["schema"]["properties"]
    orjson.dumps(first)


def test_answers_carry_the_number_of_their_question(desk: Desk) -> None:
    async def run() -> None:
        talk = Talk(desk)
        assert (await talk.ask("fields", pipeline="weather"))["value"] == [
            {"name": "t", "type": "number", "unit": "°C", "role": "metric"}
        ]
        assert (await talk.ask("check", document={}))["value"] == [["title", "needed"]]
        assert (await talk.ask("check", document=FIRST))["value"] == []
        versions = (await talk.ask("versions"))["value"]
        assert versions["current"] == 1
        assert versions["versions"][0]["note"] == "Made"
        assert (await talk.ask("copy", document=FIRST))["value"]["document"]["title"] == "D (copy)"
        html = (await talk.ask("markdown", text="**On call** <script>1</script>"))["value"]["html"]
        assert "<strong>On call</strong>" in html
        assert "<script" not in html
        await talk.ask("delete")
        assert desk.deleted

    asyncio.run(run())


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"type": "drop"}, "nothing that the editor asks"),
        ({"type": ["save"]}, "nothing that the editor asks"),
        ({"type": "markdown"}, "Markdown"),
        ({"type": "markdown", "text": "x" * 100_000}, "Markdown"),
        ({"type": "save", "document": [], "base": 1}, "an object"),
        ({"type": "save", "document": FIRST}, "number of a version"),
        ({"type": "save", "document": FIRST, "base": True}, "number of a version"),
        ({"type": "save", "document": {"title": "half \ud83d"}, "base": 1}, "half"),
        ({"type": "save", "document": {"title": ""}, "base": 1}, ""),
        ({"type": "version", "revision": 9}, "no version 9"),
        ({"type": "version", "revision": 2**40}, "number of a version"),
        ({"type": "fields", "pipeline": 7}, "a text is needed"),
        ({"type": "fields", "pipeline": "gone"}, "no pipeline 'gone'"),
    ],
)
def test_what_is_wrong_is_told_and_changes_nothing(desk: Desk, message: dict[str, Any], words: str) -> None:
    async def run() -> None:
        talk = Talk(desk)
        kind = message["type"]
        said = await talk.ask(kind, **{key: part for key, part in message.items() if key != "type"})
        assert said["type"] == "problem"
        assert words in said["detail"]
        assert len(desk.kept) == 1

    asyncio.run(run())


def test_a_save_on_top_of_anothers_answers_with_theirs(desk: Desk) -> None:
    async def run() -> None:
        mine, theirs = Talk(desk), Talk(desk)
        assert (await theirs.ask("save", document={**FIRST, "title": "Theirs"}, note=" why ", base=1))["value"][
            "saved"
        ]["revision"] == 2
        answer = (await mine.ask("save", document={**FIRST, "title": "Mine"}, base=1))["value"]["conflict"]
        assert (answer["revision"], answer["document"]["title"], answer["note"]) == (2, "Theirs", "why")
        assert desk.kept[0].document["title"] == "Theirs"
        assert (await mine.ask("save", document={**FIRST, "title": "Mine"}, base=2))["value"]["saved"]["revision"] == 3
        assert (await theirs.ask("restore", revision=1, base=2))["value"]["conflict"]["revision"] == 3
        restored = (await theirs.ask("restore", revision=1, base=3))["value"]["saved"]
        assert (restored["revision"], restored["document"]["title"]) == (4, "D")

    asyncio.run(run())


def test_saves_of_one_page_come_one_after_the_other(desk: Desk) -> None:
    async def run() -> None:
        talk = Talk(desk)
        desk.gate.clear()
        for seq, title in ((1, "A"), (2, "B")):
            talk.session.heard({"type": "save", "seq": seq, "document": {**FIRST, "title": title}, "base": seq})
        await asyncio.sleep(0)
        desk.gate.set()
        await asyncio.gather(*talk.session._tasks)
        assert [one["value"]["saved"]["revision"] for one in talk.said] == [2, 3]

    asyncio.run(run())


def test_a_viewer_saves_nothing() -> None:
    async def run() -> None:
        desk = Desk(Role.viewer)
        talk = Talk(desk)
        for kind in ("save", "restore", "copy", "delete"):
            said = await talk.ask(kind, document=FIRST, base=1, revision=1)
            assert said["title"] == "Forbidden"
        assert len(desk.kept) == 1
        assert not desk.deleted

    asyncio.run(run())


def test_a_flood_is_refused_and_a_page_that_is_gone_is_answered_no_more(desk: Desk) -> None:
    async def run() -> None:
        talk = Talk(desk)
        desk.gate.clear()
        for seq in range(MOST_AT_ONCE + 5):
            talk.session.heard({"type": "check", "seq": seq, "document": FIRST})
        await asyncio.sleep(0)
        assert [one["type"] for one in talk.said] == ["problem"] * 5
        talk.session.close()
        desk.gate.set()
        await asyncio.gather(*talk.session._tasks, return_exceptions=True)
        assert len(talk.said) == 5

    asyncio.run(run())
