"""What every source is: the place where payloads come from, as one kind in one file.

There are two directions. Where senders come to us (`Webhook`) the receiver does the work and the source says how a
sender proves itself and how much it may send. Where we go and ask (`PollSource`) the source fetches pages from a
cursor on, and each page carries the cursor that is stored with it in the same transaction, so that after a crash
nothing is missing and nothing is asked for twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

import httpx
import param

from dash_app.domain.kinds import Kind

MIB = 1 << 20


class Source(Kind):
    """Base of every source."""

    #: Options that work as they stand: for docs, forms and the contract suite.
    example: ClassVar[Mapping[str, Any]] = {}
    #: Whether senders come to us (a webhook URL and a secret are made), or we go and ask.
    pushed: ClassVar[bool] = False

    max_bytes = param.Integer(
        default=10 * MIB,
        bounds=(1, 100 * MIB),
        doc="The largest payload that is accepted, in bytes, after its Content-Encoding is undone.",
    )


@dataclass(frozen=True, slots=True)
class Page:
    """One fetched page: a payload to be, and how far the source has come with it.

    `body` has its Content-Encoding undone; an empty one is no payload, and the page brings its cursor alone. `headers`
    are those of the answer, in lower case. `cursor` is plain JSON and is stored in the transaction that stores the
    page. `last` is true on the last page of a run that no error ended.
    """

    body: bytes
    content_type: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    cursor: Mapping[str, Any] = field(default_factory=dict)
    last: bool = True


class PollSource(Source):
    """Base of the sources that are asked every so often."""

    interval_seconds = param.Integer(
        default=60, bounds=(1, 86_400), doc="Seconds from the start of one run to the start of the next."
    )

    def pages(self, cursor: Mapping[str, Any] | None, client: httpx.Client, now: datetime) -> Iterator[Page]:
        """The pages of one run, from `cursor` on (None: from the beginning). It blocks: run it in a worker thread.

        `client` comes from `guard.guarded_client`; `now` has a time zone. Raises Transient where the next run can help
        (with `retry_after` where the server named a time), Permanent where somebody has to change something; pages
        given before an error stand.
        """
        raise NotImplementedError
