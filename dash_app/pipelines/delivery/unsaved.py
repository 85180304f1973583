"""A sink's document tried before it is saved: one test message is really sent, and nothing is written.

What was tried cannot be looked at afterwards, as a saved sink's tests can: the attempt is the answer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from dash_app.domain import ids
from dash_app.domain.access import Principal
from dash_app.domain.errors import DashError, Permanent, Transient
from dash_app.pipelines.delivery import bounds, masking, outbox
from dash_app.pipelines.delivery.document import check, stored_secrets
from dash_app.pipelines.delivery.messages import message_of
from dash_app.pipelines.places import Places
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.sinks.base import Answer, Gone
from dash_app.storage import people, sinks
from dash_app.storage.deliveries import Attempt

#: Tests of a team, and of all teams, that a process has under way at once.
TESTS_TEAM = 2
TESTS_ALL = 4
#: Characters that are shown of what was sent and of what came back.
SHOWN = 4_000

_TEXT = "This is a test message from Dash."
_places = Places(TESTS_TEAM, TESTS_ALL, "tests are under way; wait for their end")


def try_unsaved(
    app: Resources, team: UUID, document: Mapping[str, Any], author: Principal, *, of: str | None = None
) -> Attempt:
    """One attempt at a test message with the sink as a document has it. `of`: the sink that is being changed, whose
    secrets stand in for those left out, as long as no other host is named. Blocks for as long as an attempt may take.

    Raises Invalid with each place that is wrong, NotFound, TooManyRequests.
    """
    with app.database.team(team) as unit:
        found = sinks.get(unit, of) if of is not None else None
        kept = stored_secrets(unit, app, found) if found is not None else {}
        checked = check(
            unit,
            app,
            document,
            kept=kept,
            before=found.options if found is not None else None,
            sink=found.id if found is not None else None,
        )
    made = checked.made
    # What is made when a sink is saved is made for the test too, so that what is sent looks the same.
    for name, text in made.generate_secrets().items():
        setattr(made, name, made.secret_from_text(name, text))
    secrets = masking.words(getattr(made, name) for name in made.secrets)
    slug = str(document.get("slug") or "test")
    message = message_of(
        id=outbox.message_id(ids.new_id()),
        type="test",
        at=datetime.now(UTC),
        team=author.team_slug,
        sink=slug,
        origin=slug,
        title=f"Test of {checked.name}",
        text=_TEXT,
        payload={"sink": slug, "text": _TEXT},
        template=None,
    )
    bounds.TESTS.check()
    with _places.take(team):
        with app.database.team(team) as unit:
            people.record(unit, author, team, "sink.test", slug, {"kind": made.kind, "saved": False})
            unit.commit()
        began = time.monotonic()
        answer, outcome, error = Answer(), "sent", ""
        try:
            answer = bounds.TESTS.run(lambda: made.send(message, app.reach), float(made.timeout_seconds))
        except (Permanent, Transient) as problem:
            answer, outcome, error = _answer_of(problem), _outcome(problem), problem.message
        took = time.monotonic() - began
    return Attempt(
        number=1,
        at=datetime.now(UTC) - timedelta(seconds=took),
        milliseconds=round(took * 1000),
        outcome=outcome,
        status=answer.status,
        request=masking.masked(answer.request, secrets)[:SHOWN],
        response=masking.masked(answer.response, secrets)[:SHOWN],
        error=masking.masked(error, secrets)[:2000],
    )


def _outcome(error: DashError) -> Literal["failed", "refused", "gone"]:
    if isinstance(error, Gone):
        return "gone"
    return "refused" if isinstance(error, Permanent) else "failed"


def _answer_of(error: DashError) -> Answer:
    answer = error.extra.get("answer")
    return answer if isinstance(answer, Answer) else Answer()
