"""What becomes of alerts whose rule or pipeline goes, or whose rule watches something else from now on: receivers hear
that they are over.

Nobody looks at such a rule any more, so that nothing would ever be told to be over that was told to fire.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from dash_app.domain.alert_machine import Event, State
from dash_app.domain.alerts import parse_alert
from dash_app.domain.errors import Invalid
from dash_app.pipelines.alerts import words as alert_words
from dash_app.pipelines.delivery import outbox
from dash_app.storage import alert_turns, alerts
from dash_app.storage.alerts import Alert
from dash_app.storage.unit import Unit


def tell_ends(unit: Unit, found: Alert, *, by: str, why: str, series: str | None = None) -> int:
    """Tells the sinks of a locked rule that whatever they were told of is over (all of it, or one series), and answers
    how many series these were; the caller takes the states away and commits."""
    open_ones = [one for one in alerts.told(unit, found.id) if series is None or one[0] == series]
    sinks = alerts.sinks_of(unit, found.id)
    if not open_ones or not sinks:
        return 0
    try:
        spec = parse_alert(found.document)
    except Invalid:
        return 0  # a document of another version: there are no words for it
    now = datetime.now(UTC)
    about = {"id": found.id, "pipeline": found.pipeline_slug}
    for key, value, since in open_ones:
        event = Event("resolved", "firing", "ok", now, None, True)
        payload = alert_words.payload_of(spec, about, key, event, State("ok", since, value))
        title, text = alert_words.title_of(payload), f"{alert_words.plain(payload)}\n{why}"
        for sink in sinks:
            outbox.put(
                unit,
                None,
                found.team,
                sink,
                "alert",
                payload,
                title=title,
                text=text,
                origin=found.slug,
                link=spec.link,
            )
    alerts.note_ends(unit, found, [key for key, _, _ in open_ones], by=by, note=why)
    return len(open_ones)


def end_with_pipeline(unit: Unit, pipeline: UUID, *, by: str) -> None:
    """Of a pipeline that is being archived nobody evaluates the rules any more: what they have told is over, and where
    their series stood is forgotten. The rules stay, with their history; the caller commits."""
    for rule in alerts.of_pipeline(unit, pipeline):
        found = alerts.lock(unit, rule)
        tell_ends(unit, found, by=by, why="Its pipeline was archived.")
        alerts.forget_all(unit, found)
        alert_turns.note_error(unit, rule, "its pipeline was archived; let it watch another one, or delete it")
