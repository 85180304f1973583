"""The product in small steps, with a bug planted on purpose: `python -m tests.torture.planted BUG serve.py …`.

Each bug replaces a part of the product in this process, and in the consumers it spawns, before the program begins, to
see that the harness finds it; `none` replaces nothing. Nothing in the product knows of it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

#: How long an acknowledged commit of the first bug still takes.
LATE = 0.05


def ack_before_commit() -> None:
    """The answer is given when the rows are written, and the commit comes a moment later."""
    import psycopg

    from dash_app.storage import payloads

    accept = payloads._accept

    def commit(connection: psycopg.Connection[Any]) -> None:
        try:
            connection.execute("COMMIT")
        except psycopg.Error as error:
            print(f"the late commit failed: {error}", file=sys.stderr)

    def early(connection: psycopg.Connection[Any], arrivals: Sequence[Any]) -> list[Any]:
        if connection.autocommit and connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            connection.execute("BEGIN")
            threading.Timer(LATE, commit, [connection]).start()
        return accept(connection, arrivals)

    payloads._accept = early


def no_ledger() -> None:
    """Nothing is remembered of deliveries: what is sent again is accepted again."""
    from dash_app.storage import payloads

    accept = payloads._accept

    def forgetful(connection: Any, arrivals: Sequence[Any]) -> list[Any]:
        return accept(connection, [replace(arrival, delivery=None) for arrival in arrivals])

    payloads._accept = forgetful


def id_after_last() -> None:
    """Work is found by `id > last`, the last being kept in the transaction that did it."""
    from dash_app.storage import payloads

    cursor = '"team_bench_data".last_seen'

    def last(unit: Any, pipeline: UUID) -> int:
        unit.execute(f"CREATE TABLE IF NOT EXISTS {cursor} (pipeline uuid PRIMARY KEY, last bigint)")
        return unit.value(f"SELECT last FROM {cursor} WHERE pipeline = %s", (pipeline,)) or 0

    def claim(unit: Any, pipeline: UUID, *, max_bytes: int, max_payloads: int) -> payloads.Claim | None:
        rows = unit.rows(
            "SELECT id, team_id, payload_ids, bytes, created_at FROM batches WHERE pipeline_id = %s AND id > %s "
            "ORDER BY id LIMIT 50",
            (pipeline, last(unit, pipeline)),
        )
        if not rows:
            return None
        ids = tuple(payload for row in rows for payload in row[2])
        return payloads.Claim(pipeline, rows[0][1], tuple(r[0] for r in rows), ids, sum(r[3] for r in rows), rows[0][4])

    def waiting(unit: Any, pipeline: UUID) -> bool:
        after = last(unit, pipeline)
        sql = "SELECT EXISTS (SELECT FROM batches WHERE pipeline_id = %s AND id > %s)"
        return unit.value(sql, (pipeline, after)) is True

    finish = payloads.finish

    def finish_and_note(unit: Any, claim: payloads.Claim) -> None:
        finish(unit, claim)
        unit.execute(
            f"INSERT INTO {cursor} VALUES (%s, %s) ON CONFLICT (pipeline) DO UPDATE SET last = excluded.last",
            (claim.pipeline, claim.batches[-1]),
        )

    payloads.claim, payloads.waiting, payloads.finish = claim, waiting, finish_and_note


def queue_alone() -> None:
    """The queue is believed: a task that a dead worker had taken is not looked for."""
    from dash_app.storage import ledger

    def blind(unit: Any, *, age: float = 1.0) -> list[UUID]:
        return []

    ledger.sweep = blind


def swap_early() -> None:
    """A replay is swapped in as soon as no part is free, whether or not others are still at theirs."""
    from dash_app.storage import replays

    def none_left(unit: Any, replay: UUID) -> int:
        return 0

    replays.undone = none_left


def live_mapped_again() -> None:
    """A replay maps what the live road has mapped since the cut as well."""
    from dash_app.storage import replays

    def everything_is_ours(unit: Any, replay: Any, low: int, high: int) -> set[int]:
        return set()

    replays.not_ours = everything_is_ours


def live_forgets_the_shadow() -> None:
    """The live road writes what is read, and nothing else."""
    from dash_app.pipelines.ingest import Ingest

    write = Ingest._write

    def active_alone(self: Ingest, unit: Any, now: Any, *given: Any, careful: bool) -> None:
        write(self, unit, replace(now, targets=now.targets[:1]), *given, careful=careful)

    Ingest._write = active_alone  # type: ignore[method-assign]


def released_before_the_manifest() -> None:
    """The notes of what waits for bronze go, and the manifest's row is written later: by nobody, after a crash."""
    from dash_app.storage import bronze

    def later(unit: Any, file: Any) -> None:
        return None

    due = bronze.due
    bronze.add_file = later
    # A round is over before a minute's payloads would be archived.
    bronze.due = lambda unit: due(unit, max_bytes=1)


BUGS: dict[str, Callable[[], None]] = {
    bug.__name__: bug
    for bug in (
        ack_before_commit,
        no_ledger,
        id_after_last,
        queue_alone,
        swap_early,
        live_mapped_again,
        live_forgets_the_shadow,
        released_before_the_manifest,
    )
}


def small_steps() -> None:
    """A round has some hundred payloads: in steps of the usual size a replay would be over with its first."""
    from dash_app.pipelines import replay
    from dash_app.storage import replay_plan

    replay.STEP_PAYLOADS = 5
    replay_plan.PART_BYTES = 1
    replay_plan.PART_PAYLOADS = 20


# A consumer is spawned: it imports this file under the second name, with the same arguments.
if __name__ in ("__main__", "__mp_main__"):
    small_steps()
    if sys.argv[1] != "none":
        BUGS[sys.argv[1]]()

if __name__ == "__main__":
    import serve
    import worker

    programs: dict[str, Any] = {"serve.py": serve, "worker.py": worker}
    sys.exit(programs[sys.argv[2]].main(sys.argv[3:]))
