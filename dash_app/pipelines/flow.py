"""Records that become payloads of other pipelines, in the transaction that writes them to silver.

There is no cursor that could skip what commits out of order, and nothing to catch up with: what is committed here has
been passed on. Each payload of the one pipeline gives one payload of the other (more where it holds a great many
records), which names its origin in its headers, so that lineage goes through. What is mapped again and what a replay
makes anew is not passed on: its records have been.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

import orjson
import polars as pl

from dash_app.domain.errors import Invalid, NotFound
from dash_app.domain.events import Arrival
from dash_app.domain.specs import FieldSpec
from dash_app.pipelines.cutting.lines import CONTENT_TYPE, line_pieces
from dash_app.pipelines.query import frame_items, record_columns
from dash_app.storage import catalog, flows, payloads
from dash_app.storage.silver_columns import SYSTEM
from dash_app.storage.unit import Unit

#: Headers of a payload that was passed on.
ORIGIN_PIPELINE = "dash-origin-pipeline"
ORIGIN_PAYLOAD = "dash-origin-payload"
#: A record is passed on whatever its size.
_ANY = 1 << 40


def pass_on(unit: Unit, pipeline: UUID, frames: Sequence[pl.DataFrame], fields: Sequence[FieldSpec]) -> int:
    """Accepts these new records of a pipeline as payloads of those that take them; answers how many payloads."""
    if not any(len(frame) for frame in frames):
        return 0
    takers = flows.downstream(unit, pipeline)
    if not takers:
        return 0
    slug = catalog.pipeline(unit, pipeline, archived=True).slug
    arrivals = []
    for origin, body in _bodies(frames, fields):
        headers = {ORIGIN_PIPELINE: slug, ORIGIN_PAYLOAD: str(origin)}
        arrivals += [
            Arrival(taker.id, taker.team, body, CONTENT_TYPE, headers, f"records of {slug}") for taker in takers
        ]
    payloads.accept(unit, arrivals)
    return len(arrivals)


def _bodies(frames: Sequence[pl.DataFrame], fields: Sequence[FieldSpec]) -> Iterator[tuple[int, bytes]]:
    """Payload ids, and NDJSON of their records: `_time` and the fields of the mapping."""
    known: Mapping[str, FieldSpec] = {"_time": SYSTEM["_time"], **{one.name: one for one in fields}}
    for frame in frames:
        items = frame_items(frame.select(list(known)), record_columns(known))
        lines: dict[int, list[bytes]] = {}
        for payload, item in zip(frame["_payload"].to_list(), items, strict=True):
            lines.setdefault(payload, []).append(orjson.dumps(item))
        for payload, made in lines.items():
            for piece in line_pieces(b"\n".join(made) + b"\n", _ANY):
                yield payload, piece.body


def check_upstream(unit: Unit, team: UUID, pipeline: UUID | None, ref: str) -> str:
    """The id of the pipeline whose records are to be taken. Raises Invalid where there is none, or where records would
    come round to where they began; `pipeline`: the one that takes them, None while it is being made."""
    place = "source.options.pipeline"
    flows.hold(unit, team)
    try:
        found = catalog.pipeline(unit, ref)
    except NotFound:
        raise Invalid(problems=[(place, f"there is no pipeline '{ref[:60]}'")]) from None
    way = [found.slug]
    at: UUID | None = found.id
    while at is not None:
        if at == pipeline:
            raise Invalid(problems=[(place, f"would make a loop: {' → '.join([*reversed(way), way[-1]])}")])
        if len(way) > 100:
            raise Invalid(problems=[(place, "more than 100 pipelines stand one behind the other")])
        at = flows.upstream(unit, at)
        if at is not None:
            try:
                way.append(catalog.pipeline(unit, at, archived=True).slug)
            except NotFound:
                break
    return str(found.id)
