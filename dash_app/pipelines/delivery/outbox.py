"""The outbox: messages that are to be sent, written in the transaction of what they tell of.

Nothing is sent here. A message that is committed is delivered at least once, with one id however often it is tried
(`pipelines.deliver`); one that is rolled back was never there. The records of a claim become messages in the
transaction that writes them to silver; alerts, reports and others put theirs with `put`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import polars as pl

from dash_app.domain import ids
from dash_app.domain.errors import Invalid, TooLarge
from dash_app.domain.specs import FieldSpec
from dash_app.pipelines.delivery.messages import MOST_TEXT, title_of
from dash_app.pipelines.delivery.record_filter import RecordFilter
from dash_app.pipelines.query import frame_items, record_columns
from dash_app.pipelines.resources import Resources
from dash_app.pipelines.sinks.base import File, MessageType
from dash_app.storage import deliveries, delivery_batches, sinks
from dash_app.storage.deliveries import Outgoing
from dash_app.storage.delivery_batches import Part
from dash_app.storage.silver_columns import SYSTEM
from dash_app.storage.sinks import Feed
from dash_app.storage.unit import Unit

#: A message of records is cut here although more would go in by number; one record alone may be larger.
MESSAGE_BYTES = 1 << 20
MOST_RECORDS = 1000
#: Bounds of what goes along with a message.
MOST_FILES = 10
FILES_BYTES = 20 << 20
PAYLOAD_BYTES = 4 << 20


def put(
    unit: Unit,
    app: Resources | None,
    team: UUID,
    sink: UUID,
    type: MessageType,
    payload: Mapping[str, Any],
    *,
    title: str = "",
    text: str = "",
    origin: str = "",
    link: str = "",
    files: Sequence[File] = (),
) -> str:
    """Puts one message into a sink's outbox and answers its id (`msg_` and 32 digits); the caller commits.

    Works under a team's unit and a worker's. What is put for a sink that is paused waits; for one that is disabled it
    is a dead letter at once, so that it can be sent again later. Raises TooLarge.
    """
    body = orjson.dumps(payload, default=str)
    if len(body) > PAYLOAD_BYTES:
        raise TooLarge(f"the payload of a message has at most {PAYLOAD_BYTES:,} bytes, this has {len(body):,}")
    if len(files) > MOST_FILES or sum(len(one.data) for one in files) > FILES_BYTES:
        raise TooLarge(f"a message takes at most {MOST_FILES} files of {FILES_BYTES:,} bytes together")
    made = ids.new_id()
    one = Outgoing(made, team, sink, None, type, origin, title_of(title), text[:MOST_TEXT], link, body, records=0)
    deliveries.put(unit, [one])
    if files:
        deliveries.put_files(unit, team, made, [(file.name, file.content_type, file.data) for file in files])
    deliveries.ring(unit, [sink], urgent=True)
    return message_id(made)


def message_id(delivery: UUID) -> str:
    """The id under which a message is sent, at every attempt."""
    return f"msg_{delivery.hex}"


def delivery_of(message: str) -> UUID | None:
    """The delivery that a message's id names; None where it is none."""
    return ids.as_uuid(message.removeprefix("msg_"))


# Records -------------------------------------------------------------------------------------------------------------


class RecordOutbox:
    """Makes messages of records as they are written; one a worker process, with the filters it has compiled."""

    def __init__(self, most: int = 500) -> None:
        self._most = most
        self._filters: OrderedDict[tuple[UUID, int, UUID, int], tuple[RecordFilter | None, str]] = OrderedDict()

    def records(
        self, unit: Unit, pipeline: UUID, version: int, fields: Sequence[FieldSpec], frames: Sequence[pl.DataFrame]
    ) -> None:
        """Puts the records that were written just now into the outbox of each sink that wants them.

        `frames` have `_time`, `_received`, `_payload`, `_index` and the fields of the mapping's `version`.
        """
        kept = [frame for frame in frames if not frame.is_empty()]
        feeds = sinks.feeds(unit, pipeline) if kept else []
        frames_once = [_Once(frame, fields) for frame in kept]
        rung = []
        for feed in feeds:
            keep, error = self._filter(feed, pipeline, version, fields)
            items = [item for frame in frames_once for item in frame.items(keep)]
            if items and self._write(unit, feed, pipeline, items, error):
                rung.append(feed.sink)
        if rung:
            deliveries.ring(unit, rung)

    def _filter(
        self, feed: Feed, pipeline: UUID, version: int, fields: Sequence[FieldSpec]
    ) -> tuple[RecordFilter | None, str]:
        """The sink's filter over these fields, or None and why there is none: the mapping may have changed since."""
        key = (feed.sink, feed.revision, pipeline, version)
        if key not in self._filters:
            try:
                self._filters[key] = RecordFilter.of(feed.where, fields), ""
            except Invalid as error:
                self._filters[key] = None, f"{error.message}; the mapping of {feed.origin} is at version {version}"
            while len(self._filters) > self._most:
                self._filters.popitem(last=False)
        self._filters.move_to_end(key)
        return self._filters[key]

    def _write(self, unit: Unit, feed: Feed, pipeline: UUID, items: Sequence[bytes], error: str) -> bool:
        """Whether there is a message to be sent now."""
        if not feed.batch_seconds or error:
            # What cannot be filtered is kept whole as dead letters: nobody knows what of it was wanted.
            size = feed.batch_size if not error else MOST_RECORDS
            deliveries.put(unit, _outgoing(feed.sink, feed.team, pipeline, feed.origin, items, size, error))
            return not error
        count, held = delivery_batches.gathered(unit, feed.sink, pipeline)
        due = deliveries.clock(unit) + timedelta(seconds=feed.batch_seconds)
        if count + len(items) < feed.batch_size and held + sum(map(len, items)) < MESSAGE_BYTES:
            delivery_batches.gather(unit, [Part(feed.team, feed.sink, pipeline, _array(items), len(items), due)])
            return False
        before = delivery_batches.take_batch(unit, feed.sink, pipeline)
        every = [orjson.dumps(one) for part in before for one in orjson.loads(part.records)] + list(items)
        full = list(_chunks(every, feed.batch_size))
        rest = full.pop() if len(full[-1]) < feed.batch_size and len(full) > 1 else []
        deliveries.put(
            unit, [_message(feed.sink, feed.team, pipeline, feed.origin, chunk, "", one) for chunk, one in _named(full)]
        )
        if rest:
            delivery_batches.gather(unit, [Part(feed.team, feed.sink, pipeline, _array(rest), len(rest), due)])
        return True


def queue_due(unit: Unit) -> None:
    """What the clock does: batches whose time has come become messages, and sinks that have something due are rung
    for: the time of another attempt has come, a lease has ended, a ring was lost. The caller commits."""
    now = deliveries.clock(unit)
    close_batches(unit, now)
    if due := deliveries.due_sinks(unit, now):
        deliveries.ring(unit, due)


def close_batches(unit: Unit, now: datetime | None = None) -> int:
    """Makes messages of the batches whose time has come; how many batches those were. The caller commits."""
    found = delivery_batches.due_batches(unit, now or deliveries.clock(unit))
    for sink, pipeline in found:
        parts = delivery_batches.take_batch(unit, sink, pipeline)
        row = unit.row("SELECT slug FROM pipelines WHERE id = %s", (pipeline,))
        if parts and row:
            items = [orjson.dumps(one) for part in parts for one in orjson.loads(part.records)]
            deliveries.put(unit, _outgoing(sink, parts[0].team, pipeline, row[0], items, MOST_RECORDS, ""))
    if found:
        deliveries.ring(unit, list({sink for sink, _ in found}))
    return len(found)


class _Once:
    """A frame's records as JSON, each encoded once however many sinks get it, and not before one does."""

    _ROW = "#row"

    def __init__(self, frame: pl.DataFrame, fields: Sequence[FieldSpec]) -> None:
        self._frame = frame.with_row_index(self._ROW)
        self._fields = fields
        self._done: dict[int, bytes] = {}

    def items(self, keep: RecordFilter | None) -> list[bytes]:
        wanted = (keep.apply(self._frame) if keep else self._frame)[self._ROW].to_list()
        if missing := [row for row in wanted if row not in self._done]:
            self._done.update(zip(missing, encoded(self._frame[missing], self._fields), strict=True))
        return [self._done[row] for row in wanted]


def encoded(frame: pl.DataFrame, fields: Sequence[FieldSpec]) -> list[bytes]:
    """Records as JSON objects, in the shape that the API gives them."""
    columns = record_columns({**SYSTEM, **{field.name: field for field in fields}})
    return [orjson.dumps(item) for item in frame_items(frame.select([c.name for c in columns]), columns)]


def _outgoing(
    sink: UUID, team: UUID, pipeline: UUID, origin: str, items: Sequence[bytes], size: int, error: str
) -> list[Outgoing]:
    return [
        _message(sink, team, pipeline, origin, chunk, error, one) for chunk, one in _named(list(_chunks(items, size)))
    ]


def _named(chunks: Sequence[Sequence[bytes]]) -> Iterator[tuple[Sequence[bytes], UUID]]:
    """Each chunk with an id; ids sort as the chunks do, so that they are sent in this order."""
    return zip(chunks, sorted(ids.new_id() for _ in chunks), strict=True)


def _message(
    sink: UUID, team: UUID, pipeline: UUID, origin: str, items: Sequence[bytes], error: str, one: UUID
) -> Outgoing:
    payload = b'{"pipeline":' + orjson.dumps(origin) + b',"records":' + _array(items) + b"}"
    return Outgoing(one, team, sink, pipeline, "records", origin, "", "", "", payload, len(items), error)


def _array(items: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"


def _chunks(items: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    """Cut by number and by bytes."""
    begin = held = 0
    for place, item in enumerate(items):
        if place > begin and (place - begin >= size or held + len(item) > MESSAGE_BYTES):
            yield items[begin:place]
            begin, held = place, 0
        held += len(item)
    if begin < len(items):
        yield items[begin:]
