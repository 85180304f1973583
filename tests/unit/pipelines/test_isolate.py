"""A payload that ends its process stands alone in the end, and everybody else's records are kept."""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import Connection
from typing import Any

import pytest

from dash_app.domain.events import Payload
from dash_app.domain.mapping import parse_mapping
from dash_app.pipelines import isolate
from dash_app.pipelines.isolate import Limits, map_isolated
from dash_app.pipelines.mapping import compile_mapping, sample_payload

DOCUMENT: dict[str, Any] = {"fields": [{"name": "n", "path": "$.n", "type": "number"}]}
#: The child that maps; the tests put others in its place, which are called by their name in a process of their own.
CHILD = isolate._child


def payloads(*bodies: str) -> list[Payload]:
    return [sample_payload(body, number=number) for number, body in enumerate(bodies, 1)]


def dies_of_poison(answer: Connection, document: dict[str, Any], given: list[Payload], limits: Limits) -> None:
    if any(b"poison" in payload.body for payload in given):
        os.kill(os.getpid(), signal.SIGSEGV)
    CHILD(answer, document, given, limits)


def dies_in_the_middle_of_its_answer(
    answer: Connection, _document: dict[str, Any], _given: list[Payload], _limits: Limits
) -> None:
    # The length of an answer, and then nothing of it.
    os.write(answer.fileno(), (1000).to_bytes(4, "big") + b"beginning")
    os._exit(3)


def never_ends(_answer: Connection, _document: dict[str, Any], _given: list[Payload], _limits: Limits) -> None:
    signal.sigwait({signal.SIGUSR1})


def raises(answer: Connection, document: dict[str, Any], _given: list[Payload], limits: Limits) -> None:
    CHILD(answer, document, [None], limits)  # type: ignore[list-item]


def test_harmless_payloads_give_what_the_plan_gives() -> None:
    given = payloads('{"n": 1}', '{"n": "x"}', '[{"n": 2}, {"n": 3}]')
    apart = map_isolated(DOCUMENT, given)
    here = compile_mapping(parse_mapping(DOCUMENT)).run(given)
    assert apart.frame.equals(here.frame)
    assert apart.frame.schema == here.frame.schema
    assert (apart.rejects, apart.filtered) == (here.rejects, here.filtered)


def test_nothing_needs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolate, "_attempt", None)
    assert map_isolated(DOCUMENT, []).frame.is_empty()


def test_what_kills_stands_alone_and_the_rest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolate, "_child", dies_of_poison)
    mapped = map_isolated(DOCUMENT, payloads('{"n": 1}', '{"n": 2}', '{"poison": 1}', '{"n": "x"}'))
    assert mapped.frame["n"].to_list() == [1.0, 2.0]
    assert mapped.frame["_payload"].to_list() == [1, 2]
    killed, ordinary = sorted(mapped.rejects, key=lambda reject: reject.payload)
    assert (killed.payload, killed.index, killed.field) == (3, -1, "payload")
    assert "SIGSEGV" in killed.reason
    assert (ordinary.payload, ordinary.field) == (4, "n")


@pytest.mark.parametrize(
    ("child", "limits", "reason"),
    [
        (dies_in_the_middle_of_its_answer, Limits(), "status 3"),
        (never_ends, Limits(wall=0.05), "longer than 0.05 s"),
        (raises, Limits(), "failed (AttributeError"),
    ],
)
def test_however_it_ends_there_is_a_reject_that_says_so(
    monkeypatch: pytest.MonkeyPatch, child: Any, limits: Limits, reason: str
) -> None:
    monkeypatch.setattr(isolate, "_child", child)
    mapped = map_isolated(DOCUMENT, payloads('{"n": 1}'), limits)
    (reject,) = mapped.rejects
    assert reason in reject.reason
    assert mapped.frame.schema == compile_mapping(parse_mapping(DOCUMENT)).run([]).frame.schema


def test_the_memory_of_the_process_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLARS_MAX_THREADS", "1")
    large = "[" + ",".join(['{"n": 1, "x": "' + "y" * 500 + '"}'] * 40_000) + "]"
    mapped = map_isolated(DOCUMENT, payloads(large), Limits(memory=256 << 20, wall=60))
    (reject,) = mapped.rejects
    assert (reject.payload, reject.index) == (1, -1)
    assert mapped.frame.is_empty()
    assert len(map_isolated(DOCUMENT, payloads(large)).frame) == 40_000
