"""Sinks under torture: real workers that are killed, and receivers that fail in every way.

Records go in as payloads, through ingest, into the outbox, and to a receiver that answers 500 and 429, hangs, drips,
sends 20 MB, resets; another answers 410, a third never answers at all, and a fourth is healthy beside them. Workers get
SIGKILL while they deliver. Afterwards every record must have been accepted at least once under one id, always with the
same body and a good signature. Retries that lie hours ahead are brought forward, since the schedule itself is tested
under a clock of its own.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

import orjson
from standardwebhooks import Webhook

from bench._ground import Ground
from dash_app.domain.events import Arrival
from dash_app.pipelines.delivery import setup as sink_setup
from dash_app.pipelines.ingest import Ingest
from dash_app.storage import payloads
from tests.receiver import DRIP, HALF, HANG, HUGE, OK, RESET, Receiver, receiver

MAPPING = {"fields": [{"name": "n", "path": "$.n", "type": "integer"}, {"name": "to", "path": "$.to", "type": "text"}]}
#: What the receiver does, in parts of a hundred; an id fails twice at most.
BEHAVIOUR = {"500": 4.0, "429:1": 0.3, HANG: 0.3, DRIP: 0.3, HUGE: 0.5, RESET: 2.0, HALF: 0.5, "302": 0.5, "408": 0.5}
PAYLOAD_RECORDS = 100
#: Messages for the sinks beside the tortured one.
BESIDE = 50


@dataclass(frozen=True)
class Plan:
    seed: int
    deliveries: int = 10_000
    kills: int = 5
    seconds: float = 900
    #: All of the workers, as they are; otherwise one process that delivers, and ingest in the harness.
    whole: bool = True


@dataclass
class Result:
    seed: int
    findings: list[str] = field(default_factory=list)
    deliveries: int = 0
    requests: int = 0
    accepted: int = 0
    accepted_twice: int = 0
    attempts_failed: int = 0
    behaved: dict[str, int] = field(default_factory=dict)
    kills: int = 0
    connections: int = 0
    seconds: float = 0
    #: How long the healthy sink beside them took for its messages.
    beside_seconds: float = 0
    #: Attempts that the sink that always hangs has cost.
    hanging_attempts: int = 0


class SinkGround(Ground):
    def _environ(self) -> dict[str, str]:
        return {**super()._environ(), "DASH_ALLOWED_NETWORKS": "127.0.0.0/8", "DASH_WORKER_ROLES": "ingest,io,deliver"}


class Round:
    """One run over a fresh ground."""

    def __init__(
        self, ground: Ground, plan: Plan, bad: Receiver, gone: Receiver, hangs: Receiver, good: Receiver
    ) -> None:
        self._ground, self._plan = ground, plan
        self._receivers = {"bad": bad, "gone": gone, "hangs": hangs, "good": good}
        self._target = ground.pipeline("records", MAPPING)
        self._sinks = {name: self._sink(name, one) for name, one in self._receivers.items()}
        self.result = Result(plan.seed)
        self._began = 0.0

    def _sink(self, name: str, to: Receiver) -> UUID:
        with self._ground.app.database.team(self._ground.team) as unit:
            made = sink_setup.create_sink(
                unit,
                self._ground.app,
                self._ground.team,
                {
                    "name": name,
                    "slug": name,
                    "kind": "webhook",
                    "options": {"url": to.url, "timeout_seconds": 1},
                    "pipelines": ["records"],
                    "where": f"\"to\" = '{name}'",
                },
                "torture",
            )
            unit.commit()
        return made.sink.id

    def _start(self) -> None:
        if self._plan.whole:
            self._ground.start_workers(1)
        else:
            self._ground.start_module("worker", "tests.torture.deliverer")

    def run(self) -> Result:
        self._start()
        self._ground.wait_for(
            lambda: self._ground.value("SELECT count(*) > 0 FROM dash.heartbeats WHERE role = 'worker.deliver'"), 60
        )
        self._began = time.monotonic()
        self._post()
        marks = [self._plan.deliveries * (kill + 1) // (self._plan.kills + 2) for kill in range(self._plan.kills)]
        deadline = self._began + self._plan.seconds
        while not self._done():
            if time.monotonic() > deadline:
                self.result.findings.append(f"after {self._plan.seconds:.0f} s messages still wait: {self._states()}")
                break
            if marks and self._receivers["bad"].count() >= marks[0]:
                marks.pop(0)
                self._ground.kill("worker")
                self.result.kills += 1
                self._start()
            self._pass_time()
            time.sleep(0.2)
        self.result.seconds = round(time.monotonic() - self._began, 1)
        self._check()
        return self.result

    def _post(self) -> None:
        names = ["bad"] * self._plan.deliveries + [name for name in ("gone", "hangs", "good") for _ in range(BESIDE)]
        random.Random(self._plan.seed).shuffle(names)
        records = [{"n": n, "to": name} for n, name in enumerate(names)]
        with self._ground.app.database.ingest() as unit:
            for begin in range(0, len(records), PAYLOAD_RECORDS):
                body = orjson.dumps(records[begin : begin + PAYLOAD_RECORDS])
                payloads.accept(unit, [Arrival(self._target.pipeline, self._ground.team, body, "application/json")])
            unit.commit()
        self._names = names
        if not self._plan.whole:
            ingest = Ingest(self._ground.app)
            while ingest.step(self._target.pipeline) == "worked":
                pass

    def _states(self) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for slug, state, count in self._ground.rows(
            "SELECT s.slug, d.state, count(*) FROM dash.deliveries d JOIN dash.sinks s ON s.id = d.sink_id "
            "GROUP BY 1, 2"
        ):
            found.setdefault(slug, {})[state] = count
        return found

    def _done(self) -> bool:
        states = self._states()
        if not self.result.beside_seconds and states.get("good") == {"sent": BESIDE}:
            self.result.beside_seconds = round(time.monotonic() - self._began, 1)
        wanted = {"bad": self._plan.deliveries, "good": BESIDE}
        return all(states.get(name) == {"sent": count} for name, count in wanted.items()) and "gone" in states

    def _pass_time(self) -> None:
        """Whatever waits for another attempt at the tortured sink is due now; leases and breakers keep their time."""
        with self._ground.app.database.ingest() as unit:
            unit.execute(
                "UPDATE deliveries SET next_at = clock_timestamp() WHERE sink_id = %s AND state = 'waiting' "
                "AND lease IS NULL AND attempts > 0 AND next_at > clock_timestamp()",
                (self._sinks["bad"],),
            )
            unit.commit()

    # -- what must hold

    def _check(self) -> None:
        result, say = self.result, self.result.findings.append
        bad = self._receivers["bad"]
        secret = self._secret("bad")
        rows = self._ground.rows(
            "SELECT id, payload -> 'records' -> 0 ->> 'n', attempts FROM dash.deliveries WHERE sink_id = %s",
            (self._sinks["bad"],),
        )
        ids = {f"msg_{id.hex}": int(n) for id, n, _ in rows}
        wanted = {n for n, name in enumerate(self._names) if name == "bad"}
        if sorted(ids.values()) != sorted(wanted):
            say(f"{len(ids)} messages of {len(set(ids.values()))} records, {len(wanted)} records were to be sent")
        accepted = bad.accepted()
        missing = [id for id in ids if id not in accepted]
        if missing:
            say(f"{len(missing)} messages were never accepted, such as {missing[0]}")
        bodies: dict[str, set[bytes]] = {}
        for got in bad.got:
            bodies.setdefault(got.id, set()).add(got.body)
            try:
                told = Webhook(secret).verify(got.body, got.headers)
            except Exception as error:
                say(f"{got.id}: the signature is not good: {error}")
                continue
            if got.id not in ids:
                say(f"{got.id} came, and is no message")
            elif told["id"] != got.id or [r["n"] for r in told["data"]["records"]] != [ids[got.id]]:
                say(f"{got.id} holds something else than its record {ids[got.id]}")
        if different := [id for id, each in bodies.items() if len(each) > 1]:
            say(f"{len(different)} messages came with more than one body")
        if lost := [state for state, count in self._states()["bad"].items() if state != "sent" and count]:
            say(f"messages of the tortured sink are {lost}")
        gone = self._ground.rows("SELECT state, note FROM dash.sinks WHERE slug = 'gone'")[0]
        if gone[0] != "disabled" or self._receivers["gone"].count() > 4:
            say(f"the sink that is gone is {gone[0]} after {self._receivers['gone'].count()} requests")
        hanging = self._receivers["hangs"].count()
        if hanging > 5 + 4 + result.kills * 5 + result.seconds / 5:
            say(f"the sink that hangs has got {hanging} requests in {result.seconds} s")
        if len(self._receivers["good"].accepted()) != BESIDE:
            say(f"the healthy sink has got {len(self._receivers['good'].accepted())} of {BESIDE} messages")
        result.deliveries, result.requests, result.accepted = len(ids), len(bad.got), len(accepted)
        result.accepted_twice = sum(len(each) > 1 for each in accepted.values())
        result.behaved = dict(Counter(got.behaved for got in bad.got))
        result.connections, result.hanging_attempts = bad.connections, hanging
        result.attempts_failed = self._ground.value(
            "SELECT count(*) FROM dash.delivery_attempts WHERE outcome <> 'sent'"
        )

    def _secret(self, name: str) -> str:
        with self._ground.app.database.team(self._ground.team) as unit:
            return self._ground.app.vault.get_all(unit, self._sinks[name], "secret")[0]


def torture(plan: Plan) -> Result:
    """One run; its findings are empty where everything held."""

    def behave(id: str, count: int) -> str:
        if count > 2:
            return OK
        draw = random.Random(f"{plan.seed} {id} {count}").uniform(0, 100)
        for name, share in BEHAVIOUR.items():
            draw -= share
            if draw < 0:
                return name
        return OK

    with (
        SinkGround() as ground,
        receiver(behave) as bad,
        receiver(lambda id, count: "410") as gone,
        receiver(lambda id, count: HANG) as hangs,
        receiver() as good,
    ):
        return Round(ground, plan, bad, gone, hangs, good).run()


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="script/torture sinks", description=__doc__)
    parser.add_argument("--deliveries", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=5, help="how often the workers get SIGKILL")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=900, help="after which what still waits is a finding")
    given = parser.parse_args(argv)
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1 << 31)
    print(f"seed {seed}", file=sys.stderr)
    result = torture(Plan(seed, given.deliveries, given.kills, given.seconds))
    told: dict[str, Any] = asdict(result)
    print(json.dumps(told))
    return 1 if result.findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
