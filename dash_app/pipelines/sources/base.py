"""What every source is: the place where payloads come from, as one kind in one file.

There are two directions. Where senders come to us (`Webhook`) the receiver does the work and the source says how a
sender proves itself and how much it may send. Where we go and ask (`PollSource`) the source fetches pages from a
cursor on, and each page carries the cursor that is stored with it in the same transaction, so that after a crash
nothing is missing and nothing is asked for twice.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

import httpx
import param

from dash_app.domain.kinds import Kind
from dash_app.pipelines import cron
from dash_app.pipelines.sources.outside import Outside

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
        label="Largest payload (bytes)",
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
    #: What is taken with this page, for good: names that `Outside.unseen` leaves out from then on.
    seen: Sequence[str] = ()
    #: More payloads of the same content type and with the same headers, stored together with `body` and its cursor.
    further: Sequence[bytes] = ()


class PollSource(Source):
    """Base of the sources that are asked every so often."""

    interval_seconds = param.Integer(
        default=60, bounds=(1, 86_400), doc="Seconds from the start of one run to the start of the next."
    )
    cron = param.String(
        default="", doc="Runs by the calendar instead: five fields (minute, hour, day, month, day of the week)."
    )
    timezone = param.String(default="UTC", doc="The IANA time zone that cron is read in.")
    jitter_seconds = param.Integer(
        default=0,
        bounds=(0, 3600),
        doc="Up to so many seconds are added to each wait at random, so that not all ask at the same moment.",
    )
    max_failures = param.Integer(
        default=20,
        bounds=(0, 1000),
        doc="Failed runs in a row after which the pipeline is paused until somebody resumes it. 0: never.",
    )

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        if self.cron and (wrong := cron.problem(self.cron)):
            found.append(("cron", wrong))
        if wrong := cron.zone_problem(self.timezone):
            found.append(("timezone", wrong))
        return found

    def first_wait(self, now: datetime) -> float:
        """Seconds until the first run: at once, but where the calendar says when."""
        return self.wait(now) if self.cron else 0.0

    def wait(self, now: datetime, elapsed: float = 0.0) -> float:
        """Seconds from `now` to the next run, if the last one began `elapsed` seconds ago and ended well."""
        if self.cron:
            # A run that two clocks have begun a little early is not due again at the time that it was begun for.
            due = cron.next_after(self.cron, self.timezone, now + timedelta(seconds=1))
            seconds = (due - now).total_seconds()
        else:
            seconds = max(self.interval_seconds - elapsed, 0.0)
        return seconds + random.uniform(0, self.jitter_seconds)

    def pages(self, cursor: Mapping[str, Any] | None, client: httpx.Client, now: datetime) -> Iterator[Page]:
        """The pages of one run, from `cursor` on (None: from the beginning). It blocks: run it in a worker thread.

        `client` comes from `guard.guarded_client`; `now` has a time zone. Raises Transient where the next run can help
        (with `retry_after` where the server named a time), Permanent where somebody has to change something; pages
        given before an error stand.
        """
        raise NotImplementedError

    def fetch(self, cursor: Mapping[str, Any] | None, outside: Outside, now: datetime) -> Iterator[Page]:
        """As `pages`, with all that a run may work with: overridden by what needs more than the HTTP client."""
        return self.pages(cursor, outside.client, now)
