"""Maps payloads in a process of their own, for when mapping them has ended workers before.

The process has a memory and a processor limit. If it dies, the payloads are halved and tried again, until the ones that
kill stand alone; those are rejected with what happened, and everybody else's records are kept.
"""

from __future__ import annotations

import multiprocessing
import resource
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import polars as pl

from dash_app.domain.events import Payload, Reject
from dash_app.domain.mapping import parse_mapping
from dash_app.pipelines.mapping import Mapped, compile_mapping


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one child: bytes of data, seconds of processor, seconds on the clock."""

    memory: int = 2 << 30
    cpu: int = 60
    wall: float = 120.0


def map_isolated(document: Mapping[str, Any], payloads: Sequence[Payload], limits: Limits | None = None) -> Mapped:
    """What `Plan.run` answers for these payloads, with one reject more for each payload that ended its process."""
    limits = limits or Limits()
    if not payloads:
        return compile_mapping(parse_mapping(document)).run([])
    mapped = _attempt(document, payloads, limits)
    if isinstance(mapped, Mapped):
        return mapped
    if len(payloads) == 1:
        empty = compile_mapping(parse_mapping(document)).run([])
        reason = f"mapping this payload {mapped}; it is kept raw and can be run again under another mapping"
        return Mapped(frame=empty.frame, rejects=[Reject(payloads[0].id, -1, "payload", reason)], filtered=0)
    half = len(payloads) // 2
    return _joined(map_isolated(document, payloads[:half], limits), map_isolated(document, payloads[half:], limits))


def _joined(left: Mapped, right: Mapped) -> Mapped:
    return Mapped(
        frame=pl.concat([left.frame, right.frame]),
        rejects=[*left.rejects, *right.rejects],
        filtered=left.filtered + right.filtered,
    )


def _attempt(document: Mapping[str, Any], payloads: Sequence[Payload], limits: Limits) -> Mapped | str:
    """The mapped payloads, or how the child ended."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(theirs, dict(document), list(payloads), limits), daemon=True)
    child.start()
    theirs.close()
    answer: Mapped | str | None = None
    # Also when the child has ended: then there is the end of the pipe to read.
    in_time = ours.poll(limits.wall)
    try:
        if in_time:
            answer = ours.recv()
    except (EOFError, OSError):
        # Ended before its answer, or in the middle of it; how it ended is known once it is gone.
        child.join(10)
    finally:
        child.kill()
        child.join()
        ours.close()
    if answer is not None:
        return answer
    if not in_time:
        return f"took longer than {limits.wall:g} s"
    code = child.exitcode or 0
    return f"ended the process ({signal.Signals(-code).name})" if code < 0 else f"ended the process (status {code})"


def _child(answer: Connection, document: dict[str, Any], payloads: list[Payload], limits: Limits) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (limits.memory, limits.memory))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu, limits.cpu))
    try:
        answer.send(compile_mapping(parse_mapping(document)).run(payloads))
    except MemoryError:
        answer.send("needed more memory than allowed")
    except Exception as error:
        answer.send(f"failed ({type(error).__name__}: {str(error)[:300]})")
    answer.close()
