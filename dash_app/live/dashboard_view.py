"""A dashboard as those who have it open see it: which revision is saved, and who else is there.

Who is there on this node is known in memory, by subscription; what is in the database is brought in line with it
(`record`) whenever it has changed, and renewed while the view is read, so that other nodes see it too and a node that
has gone is forgotten.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import polars as pl

from dash_app.domain.access import Principal
from dash_app.domain.changes import Change, DashboardChanged, PresenceChanged
from dash_app.live.frames import Table
from dash_app.storage import dashboards, presence
from dash_app.storage.engine import Database

#: How often rows are renewed, well before others take them for those of a node that has gone.
RENEW_SECONDS = presence.FORGOTTEN_SECONDS / 3

_COLUMNS: list[dict[str, Any]] = [
    {"name": "user", "type": "text"},
    {"name": "name", "type": "text"},
    {"name": "editing", "type": "boolean"},
    {"name": "since", "type": "timestamp"},
]
_SCHEMA: dict[str, Any] = {
    "user": pl.String,
    "name": pl.String,
    "editing": pl.Boolean,
    "since": pl.Datetime("us", "UTC"),
}

#: Somebody, and whether they edit.
Here = tuple[UUID, str, bool]


@dataclass
class DashboardView:
    """Who has a dashboard open, all with every frame; beside the rows `present` (how many people in all), `revision`,
    `updated_by`, `updated_at` (epoch milliseconds) and `title`; all of these null once it is deleted."""

    database: Database
    team: UUID
    dashboard: UUID
    pause: float = 0.25
    moves: float | None = RENEW_SECONDS
    #: Tells the rows of this view from those of others, on other nodes or before it.
    node: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    _here: dict[Hashable, Here] = field(default_factory=dict)
    #: How many subscriptions each of them has.
    _times: Counter[Here] = field(default_factory=Counter)
    _recorded: set[Here] = field(default_factory=set)
    _renewed: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def concerns(self, change: Change) -> bool:
        return isinstance(change, DashboardChanged | PresenceChanged) and change.dashboard == str(self.dashboard)

    # Called on the event loop -------------------------------------------------------------------------------------

    def arrive(self, subscription: Hashable, who: Principal, request: Mapping[str, Any]) -> bool:
        """Notes a subscription, with whether it says `editing`; whether there is something to `record`."""
        editing = request.get("editing") is True and who.may("dashboards.write")
        gone = self.depart(subscription)
        one = (who.user, who.name or who.email, editing)
        self._here[subscription] = one
        self._times[one] += 1
        return gone or self._times[one] == 1

    def depart(self, subscription: Hashable) -> bool:
        one = self._here.pop(subscription, None)
        if one is None:
            return False
        self._times[one] -= 1
        if self._times[one]:
            return False
        del self._times[one]
        return True

    # Called in threads --------------------------------------------------------------------------------------------

    def record(self) -> None:
        """Brings the database in line with who is here now. In whatever order such calls end, the last one has seen
        the last of them."""
        with self._lock:
            # Copied at once: hashing runs code, during which the loop may let somebody in.
            people = list(self._times)
            here = set(people)
            came, went = here - self._recorded, self._recorded - here
            if not came and not went:
                return
            with self.database.team(self.team) as unit:
                for user, name, editing in came:
                    presence.enter(unit, self.team, self.dashboard, self.node, user, name, editing)
                for user, _, editing in went:
                    presence.leave(unit, self.dashboard, self.node, user, editing)
                unit.commit()
            self._recorded = here

    def _renew(self) -> None:
        with self._lock:
            if time.monotonic() - self._renewed < RENEW_SECONDS / 2 or not self._recorded:
                return
            with self.database.team(self.team) as unit:
                presence.renew(unit, self.team, self.dashboard, self.node, self._recorded)
                unit.commit()
            self._renewed = time.monotonic()

    def update(self, touched: object) -> Table | None:
        return None

    def snapshot(self) -> Table:
        self.record()
        self._renew()
        with self.database.team(self.team) as unit:
            saved = dashboards.standing(unit, self.dashboard)
            people, count = presence.present(unit, self.dashboard)
        rows = [(str(one.user), one.name, one.editing, one.since) for one in people]
        extra = {
            "present": count,
            "title": saved.title if saved else None,
            "revision": saved.revision if saved else None,
            "updated_by": saved.updated_by if saved else None,
            "updated_at": int(saved.updated_at.timestamp() * 1000) if saved else None,
        }
        return Table(pl.DataFrame(rows, schema=_SCHEMA, orient="row"), _COLUMNS, extra=extra)
