"""Frames of a stream become payloads: few, so that a thousand messages a second are not a thousand rows.

Messages that are JSON are lines of one NDJSON payload, as they were sent but for line breaks between values, which
become spaces. An array is a payload of its own, for it may hold many records; so is what is not JSON, as it is. Frames
that differ in what stands beside them (topic, event) go into payloads of their own, which say it in their headers;
unless each is put into an envelope, and then they go together. Within a payload, and among those with the same topic
or event, order is kept.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import orjson

from dash_app.domain.events import Arrival
from dash_app.pipelines.sources.streaming import Frame, StreamSource

LINES = "application/x-ndjson"
_BREAKS = bytes.maketrans(b"\r\n", b"  ")


@dataclass(slots=True)
class _Run:
    """Lines that will be one payload."""

    first: Frame
    lines: list[bytes] = field(default_factory=list)
    size: int = 0
    ids: list[str] = field(default_factory=list)


class _Packer:
    def __init__(self, pipeline: UUID, team: UUID, source: StreamSource) -> None:
        self._pipeline = pipeline
        self._team = team
        self._source = source
        #: Payloads to be, in the order in which they began.
        self._runs: list[_Run | Arrival] = []
        self._open: dict[tuple[tuple[str, str | bool], ...], _Run] = {}

    def add(self, frame: Frame) -> None:
        if self._source.content_type:
            self._alone(frame, self._source.content_type)
        elif self._source.envelope:
            self._line((), frame, _enveloped(frame))
        else:
            value = _parsed(frame.data)
            key = tuple(frame.about.items())
            if value is None or isinstance(value[0], list):
                self._open.pop(key, None)
                self._alone(frame, _type_of(frame.data) if value is None else "application/json")
            else:
                self._line(key, frame, frame.data.translate(_BREAKS))

    def _line(self, key: tuple[tuple[str, str | bool], ...], frame: Frame, line: bytes) -> None:
        run = self._open.get(key)
        if run is None or run.size + len(line) + 1 > self._source.max_bytes:
            run = self._open[key] = _Run(frame)
            self._runs.append(run)
        run.lines.append(line)
        run.size += len(line) + 1
        if frame.id:
            run.ids.append(frame.id)

    def _alone(self, frame: Frame, content_type: str) -> None:
        headers = _headers(frame.about, 1, [frame.id] if frame.id else [])
        self._runs.append(self._arrival(frame.data, content_type, headers, self._source.origin(frame)))

    def _arrival(self, body: bytes, content_type: str, headers: Mapping[str, str], source: str) -> Arrival:
        return Arrival(self._pipeline, self._team, body, content_type, headers, source)

    def arrivals(self) -> list[Arrival]:
        made = []
        for run in self._runs:
            if isinstance(run, _Run):
                together = self._source.envelope and len(run.lines) > 1
                headers = _headers({} if together else run.first.about, len(run.lines), run.ids)
                source = self._source.address() if together else self._source.origin(run.first)
                run = self._arrival(b"\n".join(run.lines) + b"\n", LINES, headers, source)
            made.append(run)
        return made


def pack(pipeline: UUID, team: UUID, source: StreamSource, frames: Sequence[Frame]) -> list[Arrival]:
    """The payloads of some frames, in the order in which they came; refused and empty frames are none."""
    packer = _Packer(pipeline, team, source)
    for frame in frames:
        if frame.data and not frame.refused:
            packer.add(frame)
    return packer.arrivals()


def _headers(about: Mapping[str, str | bool], frames: int, ids: Sequence[str]) -> dict[str, str]:
    made = {name: str(value).lower() if isinstance(value, bool) else value for name, value in about.items()}
    made["messages"] = str(frames)
    if ids:
        made |= {"first-id": ids[0], "last-id": ids[-1]}
    return made


def _parsed(data: bytes) -> tuple[object] | None:
    """The JSON value; None where there is none."""
    try:
        return (orjson.loads(data),)
    except ValueError:
        return None


def _type_of(data: bytes) -> str:
    """What a frame that is no JSON is."""
    if data.lstrip()[:1] in (b"{", b"["):
        return "application/json"  # it was meant to be, and the mapping will say what is wrong with it
    try:
        data.decode()
    except UnicodeDecodeError:
        return "application/octet-stream"
    return "text/plain; charset=utf-8"


def _enveloped(frame: Frame) -> bytes:
    """`{"topic": …, "id": …, "data": …}` on one line: data as it was sent where it is JSON, else as text, and what is
    no text under `data_base64`."""
    beside: dict[str, str | bool] = dict(frame.about)
    if frame.id:
        beside["id"] = frame.id
    if _parsed(frame.data) is not None:
        name, value = b'"data":', frame.data.translate(_BREAKS)
    else:
        try:
            name, value = b'"data":', orjson.dumps(frame.data.decode())
        except (UnicodeDecodeError, TypeError):
            name, value = b'"data_base64":', orjson.dumps(b64encode(frame.data).decode())
    opening = orjson.dumps(beside)[:-1] + (b"," if beside else b"")
    return b"".join((opening, name, value, b"}"))
