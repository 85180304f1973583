"""A sink tried out: a test message that is really sent, and a preview of what would be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson

from dash_app.domain import ids
from dash_app.domain.access import Principal
from dash_app.domain.errors import Invalid, TooManyRequests
from dash_app.pipelines.delivery import bounds, outbox
from dash_app.pipelines.delivery.audit import record
from dash_app.pipelines.delivery.bounds import GRACE_SECONDS
from dash_app.pipelines.delivery.deliver import MARGIN_SECONDS, Deliver
from dash_app.pipelines.delivery.document import Checked, check, stored_secrets
from dash_app.pipelines.delivery.messages import message_of
from dash_app.pipelines.delivery.outcome import Hand, load
from dash_app.pipelines.delivery.record_filter import RecordFilter
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.sinks.base import Message
from dash_app.storage import catalog, deliveries, delivery_history, silver_read, sinks
from dash_app.storage.deliveries import Attempt, Outgoing
from dash_app.storage.delivery_history import Delivery
from dash_app.storage.silver_columns import SYSTEM
from dash_app.storage.unit import Unit

#: How many tests of a team may be under way, and how many of the whole installation.
TESTS_TEAM = 2
TESTS_ALL = 6
#: How many records a preview looks at, and how many messages it shows.
PREVIEW_RECORDS = 1000
PREVIEW_MESSAGES = 5


@dataclass(frozen=True, slots=True)
class Tested:
    """What became of a test message."""

    delivery: Delivery
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message as it would be sent; `error`: why it would be a dead letter instead."""

    message: Message | None
    records: Sequence[Any]
    error: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a sink would make of a pipeline's newest records: how many were looked at, how many `where` keeps."""

    looked_at: int
    kept: int
    messages: Sequence[Rendered]


def test(app: Resources, team: UUID, ref: str | UUID, author: Principal | str) -> Tested:
    """Sends a test message at once, once, and answers how that went; it stands among the deliveries afterwards.

    Works on a sink in any state, and changes none. Raises NotFound, TooManyRequests.
    """
    bounds.TESTS.check()
    with app.database.team(team) as unit:
        found = sinks.get(unit, ref)
    delivery, lease = ids.new_id(), uuid4()
    payload = {"sink": found.slug, "text": "This is a test message from Dash."}
    with app.database.ingest() as unit:
        deliveries.lock_places(unit, UUID(int=0))
        now = deliveries.clock(unit)
        ours, everybodys = deliveries.tests_under_way(unit, team, now)
        if ours >= TESTS_TEAM or everybodys >= TESTS_ALL:
            raise TooManyRequests("tests are under way; wait for their end", retry_after=5)
        made, problem, secrets = load(app, unit, found)
        seconds = float(made.timeout_seconds) if made else 0.0
        deliveries.put(
            unit,
            [
                Outgoing(
                    *(delivery, team, found.id, None, "test", found.slug),
                    *(f"Test of {found.name}", "This is a test message from Dash.", "", orjson.dumps(payload)),
                )
            ],
        )
        until = now + timedelta(seconds=seconds + GRACE_SECONDS + MARGIN_SECONDS)
        taken = deliveries.take_one(unit, delivery, lease=lease, until=until)
        record(unit, author, found, "sink.test", {})
        unit.commit()
    deliver = Deliver(app, bounds=bounds.TESTS)
    try:
        deliver.attempt(Hand(found, made, problem, secrets, lease, (taken,)), taken, once=True)
    finally:
        deliver.close()
    with app.database.team(team) as unit:
        return Tested(delivery_history.get(unit, found.id, delivery)[0], delivery_history.attempts(unit, delivery)[0])


def preview(
    unit: Unit,
    app: Resources,
    document: Mapping[str, Any],
    pipeline: str | UUID | None = None,
    *,
    of: str | UUID | None = None,
    limit: int = PREVIEW_MESSAGES,
) -> Preview:
    """What a sink with this document would make of a pipeline's newest records; nothing is sent.

    `pipeline`: the document's first one, unless named. `of`: the sink that is being changed, whose secrets stand in for
    those left out. Raises Invalid, NotFound.
    """
    changed = sinks.get(unit, of) if of is not None else None
    kept = stored_secrets(unit, app, changed) if changed is not None else {}
    checked = check(unit, app, document, kept=kept, sink=changed.id if changed is not None else None)
    if pipeline is None and not checked.pipelines:
        raise Invalid(problems=[("pipelines", "there is none whose records could be shown; name one")])
    found = catalog.pipeline(unit, pipeline) if pipeline is not None else checked.pipelines[0]
    versions = catalog.versions(unit, found.id)
    fields = silver_read.newest_fields(versions)
    keep = RecordFilter.of(checked.where, fields)
    frame = silver_read.latest(unit, versions, PREVIEW_RECORDS, None).frame
    # Oldest first, as they would have come.
    frame = frame.rename(dict(zip(frame.columns, [*SYSTEM, *(f.name for f in fields)], strict=True))).reverse()
    records = outbox.encoded(keep.apply(frame), fields)
    size = checked.batch_size
    chunks = [records[max(0, end - size) : end] for end in range(len(records), 0, -size)][:limit]
    slug = str(document.get("slug") or "preview")
    return Preview(
        frame.height,
        len(records),
        [_rendered(found.slug, [orjson.loads(one) for one in chunk], slug, checked) for chunk in chunks],
    )


def _rendered(pipeline: str, records: Sequence[Any], sink: str, checked: Checked) -> Rendered:
    payload = {"pipeline": pipeline, "records": records}
    try:
        message = message_of(
            id=f"msg_{UUID(int=0).hex}",
            type="records",
            at=datetime.now(UTC),
            team="",
            sink=sink,
            origin=pipeline,
            title="",
            text="",
            payload=payload,
            template=checked.template,
        )
    except Invalid as error:
        return Rendered(None, records, error.message)
    return Rendered(message, records)
