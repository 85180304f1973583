"""What a node counts, in the words of Prometheus; what the installation as a whole has is read from the database."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from dash_app.storage.delivery_history import Totals
from dash_app.storage.ledger import Backlog

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class InFlight:
    """Requests that have begun and have no answer yet."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    def enter(self) -> None:
        self._count += 1
        self._none.clear()

    def leave(self) -> None:
        self._count -= 1
        if not self._count:
            self._none.set()

    async def drained(self, seconds: float) -> bool:
        """Whether all had their answer within so many seconds."""
        try:
            await asyncio.wait_for(self._none.wait(), seconds)
        except TimeoutError:
            return False
        return True


class Metrics:
    """One a node, with a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.in_flight = InFlight()
        r = self.registry
        self._accepted = Counter("dash_payloads_accepted", "Payloads committed by this node", registry=r)
        self._duplicates = Counter("dash_payloads_duplicate", "Resent deliveries that were recognised", registry=r)
        self._bytes = Counter("dash_payload_bytes_accepted", "Bytes of accepted bodies", registry=r)
        self._refused = Counter("dash_payloads_refused", "Webhook requests refused, by status", ["status"], registry=r)
        self._accept_seconds = Histogram(
            "dash_accept_seconds",
            "From the first byte of a webhook request to its commit",
            registry=r,
            buckets=_SECONDS,
        )
        self._request_seconds = Histogram(
            "dash_request_seconds",
            "Other requests, by method and status",
            ["method", "status"],
            registry=r,
            buckets=_SECONDS,
        )
        self._viewers = Gauge("dash_live_viewers", "Open live connections on this node", registry=r)
        self._topics = Gauge("dash_live_topics", "Things watched on this node", registry=r)
        self._ingested = Gauge("dash_payloads_ingested", "Payloads mapped, whole installation", registry=r)
        self._records = Gauge("dash_records_ingested", "Records written, whole installation", registry=r)
        self._rejects = Gauge("dash_records_rejected", "Rejects kept, whole installation", registry=r)
        self._waiting = Gauge("dash_queue_payloads", "Payloads that wait to be mapped", registry=r)
        self._held = Gauge("dash_queue_payloads_held", "Payloads held by paused pipelines", registry=r)
        self._waiting_bytes = Gauge("dash_queue_bytes", "Bytes that wait to be mapped", registry=r)
        self._age = Gauge("dash_queue_age_seconds", "Age of the oldest payload that waits", registry=r)
        self._tasks = Gauge("dash_queue_tasks", "Tasks on the queues", registry=r)
        self._unarchived = Gauge("dash_unarchived_bytes", "Bytes that wait for bronze", registry=r)
        self._unarchived_age = Gauge(
            "dash_unarchived_age_seconds", "Age of the oldest payload that waits for bronze", registry=r
        )
        self._deliveries = Gauge(
            "dash_deliveries", "Messages of sinks: sent ever, waiting and dead now", ["kind", "state"], registry=r
        )
        self._attempts_failed = Gauge(
            "dash_delivery_attempts_failed", "Attempts of sinks that failed, ever", ["kind"], registry=r
        )
        self._sinks = Gauge("dash_sinks", "Sinks, by kind and state", ["kind", "state"], registry=r)
        self._oldest_due = Gauge(
            "dash_deliveries_due_seconds", "For how long the oldest message of an active sink is due", registry=r
        )
        self._workers = Gauge("dash_workers_alive", "Consumers that have shown themselves lately", registry=r)
        self._streams = Gauge("dash_streams", "Streams of active pipelines, by state", ["state"], registry=r)

    def accepted(self, size: int, duplicate: bool, seconds: float) -> None:
        (self._duplicates if duplicate else self._accepted).inc()
        self._bytes.inc(size)
        self._accept_seconds.observe(seconds)

    def refused(self, status: int) -> None:
        self._refused.labels(str(status)).inc()

    def request(self, method: str, status: int, seconds: float) -> None:
        self._request_seconds.labels(method, str(status)).observe(seconds)

    def live(self, viewers: int, topics: int) -> None:
        self._viewers.set(viewers)
        self._topics.set(topics)

    def installation(self, backlog: Backlog, totals: tuple[int, int, int], workers: int) -> None:
        self._ingested.set(totals[0])
        self._records.set(totals[1])
        self._rejects.set(totals[2])
        self._waiting.set(backlog.payloads)
        self._held.set(backlog.held)
        self._waiting_bytes.set(backlog.bytes)
        self._age.set(max(0.0, backlog.oldest_age))
        self._tasks.set(backlog.tasks)
        self._unarchived.set(backlog.unarchived_bytes)
        self._unarchived_age.set(max(0.0, backlog.unarchived_age))
        self._workers.set(workers)

    def streams(self, by_state: Mapping[str, int]) -> None:
        for state in ("connecting", "connected", "waiting", "failed"):
            self._streams.labels(state).set(by_state.get(state, 0))

    def sinks(self, totals: Totals) -> None:
        for gauge, values in ((self._deliveries, totals.deliveries), (self._sinks, totals.sinks)):
            # What is not there any more must not stand at its last value.
            gauge.clear()
            for labels, count in values.items():
                gauge.labels(*labels).set(count)
        self._attempts_failed.clear()
        for kind, count in totals.attempts_failed.items():
            self._attempts_failed.labels(kind).set(count)
        self._oldest_due.set(totals.oldest_due)

    def text(self) -> bytes:
        return generate_latest(self.registry)
