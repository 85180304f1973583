"""The torture: real processes, a real PostgreSQL, faults from a seed, and everything checked after each round.

A round is a burst of deliveries with faults in its midst and often one right at its end, then quiet: whatever waits
must be done within a minute of the last fault, with no further post to wake anybody.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench._ground import Ground
from dash_app.domain.errors import DashError
from tests.torture import checks
from tests.torture.faults import Faults, NotHealed, SlowCommits
from tests.torture.planted import BUGS
from tests.torture.replaying import Replaying
from tests.torture.sender import Gate, Log, Senders
from tests.torture.world import World, targets

#: What these faults are about: no sinks, streams or rules are set up, and what need not be started is not.
ROLES = {"DASH_WORKER_ROLES": "ingest,replay,io"}


@dataclass(frozen=True)
class Plan:
    """What to do. `faults`: kinds to draw from a round, or, with `kills`, that many of workers and of the node."""

    seed: int
    rounds: int = 30
    posts: int = 60
    kills: int = 0
    workers: int = 2
    bug: str | None = None
    drain_seconds: float = 60.0
    burst_seconds: float = 240.0
    #: Faults that every round has, instead of drawn ones.
    faults: tuple[str, ...] | None = None
    #: No round begins after so many seconds.
    seconds: float = float("inf")
    #: Whether pipelines are replayed meanwhile.
    replays: bool = True
    #: Keeps what the processes print; None: it goes with the rest.
    logs: Path | None = None


@dataclass
class Result:
    """What came of it: no findings, nothing wrong."""

    seed: int
    rounds: int = 0
    findings: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    slowest_drain: float = 0.0
    seconds: float = 0.0
    machine: dict[str, Any] = field(default_factory=dict)


def torture(plan: Plan, say: Any = lambda line: None) -> Result:
    """Runs until a round finds something, or all of them have not."""
    began = time.monotonic()
    result = Result(plan.seed)
    launcher = ["-m", "tests.torture.planted", plan.bug or "none"]
    with Ground(launcher=launcher, logs=plan.logs, environ=ROLES) as ground:
        result.machine = ground.machine()
        all_targets = targets(ground)
        world = World(plan.seed, all_targets)
        log = Log(ground.folder / "deliveries.log")
        faults = Faults(ground, plan.seed, plan.workers)
        rng = random.Random(plan.seed)
        replaying = Replaying(ground, all_targets, plan.seed) if plan.replays else None
        try:
            ground.start_node()
            ground.start_workers(plan.workers)
            ground.wait_ready()
            for number in range(plan.rounds):
                if time.monotonic() - began > plan.seconds:
                    break
                drawn = _faults_of(plan, rng, faults)
                slow = SlowCommits(ground, world, log, all_targets[0], number)
                found = _round(plan, number, ground, world, log, faults, drawn, slow, replaying)
                drain, late = _drain(ground, faults, plan.drain_seconds)
                result.slowest_drain = max(result.slowest_drain, drain)
                result.rounds = number + 1
                if late:
                    found.append(late)
                if replaying is not None:
                    found += replaying.settle(faults, plan.drain_seconds)
                    late = _drain(ground, faults, plan.drain_seconds)[1]
                    found += [late] if late else []
                found += faults.ended
                if not found and (plan.rounds <= 40 or number % 10 == 9 or number + 1 == plan.rounds):
                    verdict = checks.everything(ground, all_targets, world, log)
                    found, result.counts = verdict.findings, verdict.counts
                what = ", ".join(drawn) or "no fault"
                say(f"round {number + 1}: {what}; drained in {drain:.1f} s; {len(found)} findings")
                if found:
                    result.findings = [f"round {number + 1}: {line}" for line in found]
                    break
        finally:
            log.close()
            result.faults = dict(faults.done) | dict(replaying.done if replaying else {})
            result.seconds = round(time.monotonic() - began, 1)
    return result


def _faults_of(plan: Plan, rng: random.Random, faults: Faults) -> list[str]:
    if plan.kills:
        return ["workers", "node"] * plan.kills
    if plan.faults is not None:
        return list(plan.faults)
    return faults.draw(rng.choice([1, 1, 2, 2, 3]))


def _round(
    plan: Plan,
    number: int,
    ground: Ground,
    world: World,
    log: Log,
    faults: Faults,
    drawn: list[str],
    slow: SlowCommits,
    replaying: Replaying | None,
) -> list[str]:
    """One burst with its faults; what could not be settled or healed."""
    rng = random.Random(plan.seed * 7919 + number)
    deliveries = [world.make() for _ in range(plan.posts)]
    # The last fault often comes after the last post, when nothing will wake what it put to sleep.
    places = [plan.posts * (n + 1) // (len(drawn) + 1) for n in range(len(drawn))]
    late = bool(drawn) and not plan.kills and rng.random() < 0.5
    if late:
        places.pop()
    gate = Gate(places[0] if places else 10**9)
    senders = Senders(ground.port, log, plan.seed + number, pause=0.06 if plan.kills else 0.02)
    sending = threading.Thread(target=senders.run, args=(deliveries, gate, plan.burst_seconds))
    slow.start()
    sending.start()
    found: list[str] = replaying.begin() if replaying is not None else []
    try:
        for place, kind in enumerate(drawn[: len(places)]):
            while gate.taken < places[place] - 1 and sending.is_alive():
                time.sleep(0.005)
            # The senders go on while it happens, and a little beyond: until the next fault's place.
            gate.open_to(places[place + 1] if place + 1 < len(places) else 10**9)
            time.sleep(rng.uniform(0, 0.1))
            faults.do(kind)
            faults.heal(kind)
    except NotHealed as error:
        found.append(str(error))
        gate.open_to(10**9)
    sending.join()
    slow.stopping.set()
    slow.join()
    if senders.unsettled:
        found.append(f"{len(senders.unsettled)} deliveries got no answer, among them {senders.unsettled[:3]}")
    if late and not found:
        time.sleep(rng.uniform(0, 0.05))
        faults.do(drawn[-1])
        try:
            faults.heal(drawn[-1])
        except NotHealed as error:
            found.append(str(error))
    return found


def _drain(ground: Ground, faults: Faults, seconds: float) -> tuple[float, str]:
    """How long until nothing waits to be mapped, and a line where that took too long."""
    began = time.monotonic()
    left: Any = None
    while (waited := time.monotonic() - began) < seconds:
        try:
            left = ground.value("SELECT count(*) FROM dash.batches")
        except DashError:
            left = None
        if left == 0:
            return waited, ""
        faults.supervise()
        time.sleep(0.05)
    return waited, f"{left} batches still wait {seconds:.0f} s after the last fault"


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/torture", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, help="default: a new one, which is printed")
    parser.add_argument("--posts", type=int, help="deliveries a round (default: 60; 1000 with --kills)")
    parser.add_argument(
        "--kills", type=int, default=0, metavar="N",
        help="one round in which the workers and the node get SIGKILL N times each, instead of drawn faults",
    )  # fmt: skip
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--no-replays", action="store_true", help="without replays in the midst of it")
    parser.add_argument("--bug", choices=sorted(BUGS), help="plant this bug; the harness should find it")
    parser.add_argument("--faults", help="kinds of fault that each round has, instead of drawn ones: node,workers")
    parser.add_argument("--logs", type=Path, help="a folder that keeps what the processes print")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(1_000_000)
    print(f"torture: seed {seed}", file=sys.stderr, flush=True)
    plan = Plan(
        seed=seed,
        rounds=1 if options.kills else options.rounds,
        posts=options.posts or (1000 if options.kills else 60),
        kills=options.kills,
        workers=options.workers,
        bug=options.bug,
        replays=not options.no_replays,
        faults=tuple(options.faults.split(",")) if options.faults else None,
        logs=options.logs.absolute() if options.logs else None,
        burst_seconds=900.0 if options.kills else 240.0,
    )
    result = torture(plan, lambda line: print(f"torture: {line}", file=sys.stderr, flush=True))
    print(json.dumps(asdict(result)))
    for line in result.findings:
        print(f"torture: {line}", file=sys.stderr)
    totals = Counter(result.counts)
    print(
        f"torture: {result.rounds} rounds, {totals['payloads']} payloads, {totals['records']} records, "
        f"faults {result.faults}: "
        + (f"{len(result.findings)} findings (seed {seed})" if result.findings else "nothing wrong"),
        file=sys.stderr,
    )
    return 1 if result.findings else 0


if __name__ == "__main__":
    sys.exit(main())
