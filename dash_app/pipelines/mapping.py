"""A mapping compiled to one plan, the same for live payloads, preview, tests and replay.

Preview and the tests in a mapping document are nothing of their own: they make payloads of texts (`sample_payload`)
and run the plan that live ingest runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from dash_app.domain.events import Payload
from dash_app.domain.specs import MappingSpec
from dash_app.pipelines.decode import shown
from dash_app.pipelines.plan import Mapped, Plan

__all__ = ["Mapped", "Plan", "compile_mapping", "run_tests", "sample_payload"]

_NOBODY = UUID(int=0)
_SAMPLE_TIME = datetime(2000, 1, 1, tzinfo=UTC)


def compile_mapping(spec: MappingSpec, *, version: int = 0, strict: bool | None = None) -> Plan:
    """The plan of a mapping; `version` is written into its rejects.

    Both roads give the same, so `strict` is a matter of speed, and of holding one against the other: None takes the
    strict road where it pays, True wherever it can, False never.

    Raises Invalid where an expression or a time pattern cannot be used. Compiling takes milliseconds: keep the plan.
    """
    return Plan(spec, version=version, strict=strict)


def sample_payload(
    content: str | bytes,
    *,
    number: int = 1,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
    received_at: datetime = _SAMPLE_TIME,
) -> Payload:
    """A payload that was never received, for previews and tests; `number` is its id."""
    body = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    lower = {name.lower(): value for name, value in (headers or {}).items()}
    return Payload(number, _NOBODY, received_at, content_type, lower, body)


def run_tests(spec: MappingSpec) -> list[str]:
    """Run the tests in a mapping document; a sentence for each thing that comes out otherwise than it says.

    A test's `payload` is a JSON value, or a text that is the body itself. Of `records` the fields that are named are
    compared (numbers to 9 digits, times as moments, `_time` too), of `rejects` `index`, `field` and a part of the
    `reason`.
    """
    if not spec.tests:
        return []
    plan = Plan(spec)
    failures = []
    for number, test in enumerate(spec.tests):
        content = test["payload"]
        payload = sample_payload(
            content if isinstance(content, str) else orjson.dumps(content),
            content_type=str(test.get("content_type") or "application/json"),
            headers=test.get("headers"),
        )
        for failure in _differences(plan.run([payload]), test):
            failures.append(f"tests[{number}] {test['name']}: {failure}")
    return failures


def _differences(mapped: Mapped, test: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    if "records" in test:
        rows = mapped.frame.to_dicts()
        if len(rows) != len(test["records"]):
            reasons = "".join(f"; {reject.field}: {reject.reason}" for reject in mapped.rejects[:3])
            found.append(f"{len(test['records'])} records expected, found {len(rows)}{reasons}")
        for place, (row, wanted) in enumerate(zip(rows, test["records"], strict=False)):
            for name, value in wanted.items():
                if name not in row:
                    found.append(f"record {place} has no field {name}")
                elif not _equal(row[name], value):
                    found.append(f"record {place}, {name}: {shown(value)} expected, found {_shown(row[name])}")
    if "rejects" in test:
        if len(mapped.rejects) != len(test["rejects"]):
            found.append(f"{len(test['rejects'])} rejects expected, found {len(mapped.rejects)}")
        for place, (reject, wanted) in enumerate(zip(mapped.rejects, test["rejects"], strict=False)):
            for name in ("index", "field"):
                if name in wanted and getattr(reject, name) != wanted[name]:
                    found.append(f"reject {place}, {name}: {wanted[name]} expected, found {getattr(reject, name)}")
            if str(wanted.get("reason", "")) not in reject.reason:
                found.append(f"reject {place}: '{wanted['reason']}' expected in its reason, found '{reject.reason}'")
    return found


def _equal(found: Any, wanted: Any) -> bool:
    if isinstance(found, datetime) and isinstance(wanted, str):
        try:
            moment = datetime.fromisoformat(wanted)
        except ValueError:
            return False
        return found == (moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    if isinstance(found, str) and not isinstance(wanted, str | None):
        # A json field is canonical text in the frame and a value in the test.
        return found == orjson.dumps(wanted, option=orjson.OPT_SORT_KEYS).decode()
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(found, int | float) and isinstance(wanted, int | float):
        return found == wanted or math.isclose(found, wanted, rel_tol=1e-9)
    return bool(found == wanted)


def _shown(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else shown(value)
