"""Alerts: what 5,000 rules cost while records come, and how long a record takes from its commit to the notification.

A hundred pipelines with fifty rules each: most watch one site of the pipeline (`where site = …`), the others all of
them by site, over windows of five minutes to an hour, for means, counts, silence and change. Each pipeline gets a post
every two seconds with records of some of its sites. In some of them a value lies beyond the limit, or is back: a rule
must tell. The time is from before the payload is committed to when the change of the rule is announced; by then the
notification's row is there. In the end each crossing must have one notification, no more and no less.

CPU is that of the process that evaluates and of its connection to PostgreSQL, in shares of one core.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import psutil

from bench._ground import Ground, Target
from dash_app.domain.access import Principal, Role
from dash_app.domain.changes import CHANNEL, AlertChanged, RowsAdded, decode
from dash_app.domain.events import Arrival
from dash_app.domain.ids import new_id
from dash_app.pipelines.alerts import setup as alert_setup
from dash_app.storage import payloads, sinks

MAPPING: dict[str, Any] = {
    "time": {"path": "$.t"},
    "fields": [
        {"name": "temp", "path": "$.temp", "type": "number", "unit": "°C"},
        {"name": "site", "path": "$.site", "type": "text"},
    ],
}
#: Of fifty rules of a pipeline so many watch one site each, and these watch all.
SITES = 40
LIMIT = 100
REACH = {"cpu": 0.25, "p99_s": 2.0}


def _rules(slug: str) -> list[dict[str, Any]]:
    last = [{"field": "temp", "agg": "last"}]
    mean = [{"field": "temp", "agg": "avg"}]
    made = [
        {
            "query": {"pipeline": slug, "select": last, "where": f"site = 's{site}'"},
            "condition": {"type": "threshold", "op": ">", "value": LIMIT},
            "window": "30m",
            "no_data_state": "ok",
            "sinks": ["hook"],
        }
        for site in range(SITES)
    ]
    made += [
        {
            "query": {"pipeline": slug, "select": mean, "by": ["site"]},
            "condition": {"type": "threshold", "op": ">", "value": 1000 + number},
            "window": window,
            "for": "1m",
        }
        for number, window in enumerate(("5m", "15m", "30m", "1h"))
    ]
    made += [
        {"query": {"pipeline": slug}, "condition": {"type": "threshold", "op": "<", "value": 1}, "window": window}
        for window in ("10m", "20m")
    ]
    made += [
        {"query": {"pipeline": slug, "by": ["site"]}, "condition": {"type": "missing"}, "window": window}
        for window in ("30m", "1h")
    ]
    made += [
        {
            "query": {"pipeline": slug, "select": mean},
            "condition": {"type": "change", "over": over, "op": ">", "value": 1000},
            "window": "5m",
            "no_data_state": "keep",
        }
        for over in ("10m", "30m")
    ]
    return [{"name": f"{slug} {n}", "slug": f"{slug}_r{n}", **one} for n, one in enumerate(made)]


class Heard(threading.Thread):
    """Notes when each change of a rule, and each commit of records, was announced, by the monotonic clock."""

    def __init__(self, ground: Ground) -> None:
        super().__init__(daemon=True)
        #: By rule, and by pipeline.
        self.at: defaultdict[str, list[float]] = defaultdict(list)
        self.stop = threading.Event()
        self._connection = ground.app.database.connect("ingest")
        self._connection.execute(f"LISTEN {CHANNEL}")

    def run(self) -> None:
        with self._connection:
            while not self.stop.is_set():
                for notification in self._connection.notifies(timeout=0.2):
                    change = decode(notification.payload)
                    if isinstance(change, AlertChanged):
                        self.at[change.alert].append(time.monotonic())
                    elif isinstance(change, RowsAdded):
                        self.at[change.pipeline].append(time.monotonic())


class Feed:
    """The pipelines' records; `crossed`: when each rule's value was made to cross its limit."""

    def __init__(self, ground: Ground, targets: list[Target], rules: dict[tuple[UUID, int], str], seed: int) -> None:
        self._ground, self._targets, self._rules = ground, targets, rules
        self._random = random.Random(seed)
        self._hot: set[tuple[UUID, int]] = set()
        self.crossed: defaultdict[str, list[float]] = defaultdict(list)
        self.records = self.posts = 0

    def fill(self) -> None:
        """A record of every site of every pipeline."""
        for target in self._targets:
            self._put(target, [(site, 20.0) for site in range(SITES)])

    def post(self, target: Target, *, crossing: bool) -> None:
        some = self._random.sample(range(SITES), 5)
        values = [(site, 200.0 if (target.pipeline, site) in self._hot else 20.0) for site in some]
        began = time.monotonic()
        if crossing:
            # A rule that is still to tell of its last crossing is left alone: two at once would be one.
            site = some[0]
            key = (target.pipeline, site)
            last = self.crossed[self._rules[key]]
            if not last or began - last[-1] > 10:
                self._hot ^= {key}
                values[0] = (site, 200.0 if key in self._hot else 20.0)
                last.append(began)
        self._put(target, values)

    def _put(self, target: Target, values: list[tuple[int, float]]) -> None:
        now = datetime.now(UTC).isoformat()
        body = json.dumps([{"t": now, "temp": temp, "site": f"s{site}"} for site, temp in values]).encode()
        with self._ground.app.database.ingest() as unit:
            payloads.accept(unit, [Arrival(target.pipeline, target.team, body, "application/json")])
            unit.commit()
        self.records += len(values)
        self.posts += 1

    def run(self, seconds: float, every: float, share: float) -> None:
        """Posts for so long, each pipeline once in `every` seconds; of the posts `share` bring a crossing."""
        gap = every / len(self._targets)
        began = time.monotonic()
        number = 0
        while (due := began + number * gap) < began + seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            self.post(self._targets[number % len(self._targets)], crossing=self._random.random() < share)
            number += 1


def _set_up(ground: Ground, options: argparse.Namespace) -> tuple[list[Target], dict[tuple[UUID, int], str]]:
    author = Principal(new_id(), "bench@localhost", "Bench", ground.team, "bench", "Bench", Role.admin)
    targets = [ground.pipeline(f"p{number}", MAPPING) for number in range(options.pipelines)]
    with ground.app.database.team(ground.team) as unit:
        sink = sinks.create(unit, ground.team, slug="hook", name="Hook", kind="webhook", options={})
        # What is put for it waits: sending is measured elsewhere.
        unit.execute("UPDATE sinks SET state = 'paused' WHERE id = %s", (sink.id,))
        unit.commit()
    rules: dict[tuple[UUID, int], str] = {}
    for target in targets:
        with ground.app.database.team(ground.team) as unit:
            for number, document in enumerate(_rules(target.slug)[: options.rules // options.pipelines]):
                made = alert_setup.create_alert(unit, ground.team, document, author)
                if number < SITES:
                    rules[target.pipeline, number] = str(made.id)
            unit.commit()
    return targets, rules


def _cpu(ground: Ground) -> dict[str, float]:
    """CPU seconds so far of who evaluates, and of its connections."""
    node = ground.value("SELECT node FROM dash.heartbeats WHERE role = 'worker.alerts' ORDER BY seen_at DESC LIMIT 1")
    evaluator = psutil.Process(int(str(node).rpartition(":")[2])).cpu_times()
    backends = ground.rows("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'worker alerts%%'")
    database = [psutil.Process(pid).cpu_times() for (pid,) in backends]
    return {
        "evaluator": evaluator.user + evaluator.system,
        "postgres": sum(times.user + times.system for times in database),
    }


def _quantiles(times: list[float]) -> dict[str, float]:
    found = {f"p{q}": round(float(np.percentile(times, q)), 3) for q in (50, 95, 99)}
    return {**found, "max": round(max(times), 3)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rules", type=int, default=5000)
    parser.add_argument("--pipelines", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two posts of a pipeline")
    parser.add_argument("--crossings", type=float, default=0.2, help="share of posts that bring a crossing")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with Ground() as ground:
        targets, rules = _set_up(ground, options)
        feed = Feed(ground, targets, rules, options.seed)
        ground.start_workers(1)
        feed.fill()
        ground.wait_for(
            lambda: ground.value(
                "SELECT (SELECT count(*) FROM dash.alert_turns WHERE evaluated_at IS NOT NULL) = %s "
                "AND NOT EXISTS (SELECT FROM dash.batches)",
                (len(targets),),
            ),
            180,
        )
        heard = Heard(ground)
        feed.run(10, options.every, 0)
        heard.start()
        before, began = _cpu(ground), time.monotonic()
        feed.records = feed.posts = 0
        feed.run(options.seconds, options.every, options.crossings)
        after, lasted = _cpu(ground), time.monotonic() - began
        crossings = sum(len(one) for one in feed.crossed.values())
        told = "SELECT count(*) FROM dash.deliveries WHERE type = 'alert'"
        ground.wait_for(lambda: (ground.value(told) or 0) >= crossings, 30)
        time.sleep(3)
        heard.stop.set()
        heard.join()
        owner = {rule: str(pipeline) for (pipeline, _), rule in rules.items()}
        mapped, after_that, times = [], [], []
        for alert, moments in feed.crossed.items():
            for crossed, at in zip(moments, heard.at[alert], strict=False):
                in_silver = min((one for one in heard.at[owner[alert]] if one > crossed), default=at)
                mapped.append(in_silver - crossed)
                after_that.append(at - in_silver)
                times.append(at - crossed)
        share = {part: round((after[part] - before[part]) / lasted, 4) for part in before}
        quantiles = _quantiles(times)
        total = round(sum(share.values()), 4)
        exact = ground.value(told) == crossings == len(times)
        result = {
            "bench": "alerts",
            "rules": options.rules,
            "pipelines": options.pipelines,
            "posts_per_s": round(feed.posts / lasted, 1),
            "records_per_s": round(feed.records / lasted, 1),
            "crossings": crossings,
            "notifications": ground.value(told),
            "cpu_of_one_core": {**share, "together": total},
            "record_to_silver_s": _quantiles(mapped),
            "silver_to_notification_s": _quantiles(after_that),
            "record_to_notification_s": quantiles,
            "reach": REACH,
            "met": bool(exact and total <= REACH["cpu"] and quantiles["p99"] <= REACH["p99_s"]),
        }
        print(json.dumps(result))
        return 0


if __name__ == "__main__":
    sys.exit(main())
