"""What every sink is: a place that messages are delivered to, as one kind in one file.

A sink makes one attempt at one message. What becomes of the message afterwards (when it is tried again, when the sink
is given up) is decided in `pipelines/deliver` from how the attempt ended: an `Answer`, `Transient` (with `retry_after`
where the other side named a time), `Permanent` (this message will never be taken), or `Gone` (nothing will).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal

import param

from dash_app.domain.errors import Permanent, Transient
from dash_app.domain.kinds import Kind
from dash_app.pipelines.reach import Reach

MessageType = Literal["records", "alert", "report", "test"]


class Busy(Transient):
    """This side has no place free to send it from: nothing was tried, and nothing is told about the other side."""


class Gone(Permanent):
    """The other side takes no more messages."""

    title = "Gone"


@dataclass(frozen=True, slots=True)
class File:
    """Something that goes along: a picture of a chart, a table."""

    name: str
    content_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """One message, the same at every attempt.

    `id` is `msg_` and 32 hexadecimal digits. `origin`: the slug of the pipeline, alert or report that it comes from.
    `title` and `text`: what the sink's template made, or a plain wording of its own. `payload`: for `records`,
    `{"pipeline", "records": [{…}]}`; for `alert`, `{"alert", "state", "severity", "series", "value", "since", "labels",
    "link", …}`; for `report`, `{"report", "dashboard", "link", …}`. `link`: an address of Dash's own, or ''.
    """

    id: str
    type: MessageType
    at: datetime
    team: str
    origin: str
    title: str
    text: str
    payload: Mapping[str, Any]
    link: str = ""
    files: Sequence[File] = field(default=())


@dataclass(frozen=True, slots=True)
class Answer:
    """How an attempt that succeeded went, for people to look at: no secret in it.

    `status`: an HTTP status, or 0 where there is no such thing. `request` and `response`: what was sent and what came
    back, shortened.
    """

    status: int = 0
    request: str = ""
    response: str = ""


class Sink(Kind):
    """Base of every sink."""

    #: Options that work as they stand: for docs, forms and the contract suite.
    example: ClassVar[Mapping[str, Any]] = {}
    #: Whether it takes the messages of alerts and reports, or records alone.
    tells_people: ClassVar[bool] = True
    #: Whether several records go in one message unless the sink's document says otherwise.
    batches: ClassVar[bool] = False
    #: Whether messages of alerts bring a chart of what is watched along, as a PNG.
    draws: ClassVar[bool] = False
    #: Secrets of before that are still valid while the other side changes over, by option.
    previous: Mapping[str, str]

    timeout_seconds = param.Number(
        default=15.0, bounds=(1, 60), doc="How long one attempt may take, in seconds, from connecting to the answer."
    )

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)  # type: ignore[no-untyped-call]
        self.previous = {}

    def generate_secrets(self) -> dict[str, str]:
        """Secrets that are made for a new sink where none were brought along, by option: shown once."""
        return {}

    def send(self, message: Message, reach: Reach) -> Answer:
        """One attempt; it blocks for `timeout_seconds` at most. Run it in a worker thread.

        Sent twice, the same message must do no harm where the other side allows for it: `message.id` goes along.
        Raises Transient, Permanent or Gone; messages hold no secret and nothing that was found out of the network. What
        went and came until then can go with the error for people to look at: `Transient("…", answer=Answer(…))`.
        """
        raise NotImplementedError
