"""What a viewer has clicked, as part of a query's condition: each tile is filtered that has the field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

from dash_app.domain.errors import Invalid
from dash_app.domain.variables import Scalar, check_brackets, is_scalar, quoted

MOST_FILTERS = 50


@dataclass(frozen=True, slots=True)
class Filter:
    """What a viewer has clicked: records whose field has this value (`=`), or another (`!=`). None: no value."""

    field: str
    op: str
    value: Scalar | None


def parse_filters(given: Any, place: str = "filters") -> tuple[Filter, ...]:
    """Filters as a request brings them; Invalid names what is wrong."""
    if given is None:
        return ()
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) > MOST_FILTERS:
        example = '[{"field": "site", "op": "=", "value": "roof"}]'
        raise Invalid(problems=[(place, f"a list of at most {MOST_FILTERS} is meant, such as {example}")])
    filters, problems = [], []
    for number, one in enumerate(given):
        shown = f"{place}[{number}]"
        if not isinstance(one, Mapping) or set(one) - {"field", "op", "value"}:
            problems.append((shown, "a filter has field, op and value"))
        elif not isinstance(one.get("field"), str) or not 0 < len(one["field"]) <= 100:
            problems.append((f"{shown}.field", "the name of a field is meant"))
        elif one.get("op", "=") not in ("=", "!="):
            problems.append((f"{shown}.op", "= or !="))
        elif one.get("value") is not None and not is_scalar(one["value"]):
            problems.append((f"{shown}.value", "a text, a number, true, false or null is meant"))
        else:
            filters.append(Filter(one["field"], one.get("op", "="), one.get("value")))
    if problems:
        raise Invalid(problems=problems)
    return tuple(filters)


def filtered(query: Mapping[str, Any], filters: Sequence[Filter], types: Mapping[str, str]) -> dict[str, Any]:
    """The query under filters; `types`: the pipeline's fields. A filter on a field that it lacks is left aside.

    Several values of one field widen a `=` (any of them) and narrow a `!=` (none of them).
    """
    wanted: dict[tuple[str, str], list[Scalar | None]] = {}
    for one in filters:
        if types.get(one.field, "json") != "json":
            wanted.setdefault((one.field, one.op), []).append(one.value)
    parts = [_filter(field, op, values, types[field]) for (field, op), values in wanted.items()]
    if not parts:
        return dict(query)
    where = query.get("where")
    if isinstance(where, str) and where.strip():
        check_brackets(where)
        parts.insert(0, f"({where})")
    return {**query, "where": " and ".join(parts)}


def _filter(field: str, op: str, values: Sequence[Scalar | None], kind: str) -> str:
    name = '"' + field.replace('"', '""') + '"'
    parts = _equal(name, [value for value in values if value is not None], kind)
    empty = None in values
    if op == "=":
        # What the field cannot hold, no record has: a click in one tile breaks none of the others.
        found = [*parts, *([f"{name} is null"] if empty else [])]
        return f"({' or '.join(found)})" if found else "false"
    # What has no value is another value than those that are left out.
    if not parts:
        return f"({name} is not null)" if empty else "true"
    other = f"not ({' or '.join(parts)})"
    return f"({name} is not null and {other})" if empty else f"({name} is null or {other})"


def _equal(name: str, values: Sequence[Scalar], kind: str) -> list[str]:
    """Conditions of which one holds where the field has one of the values."""
    if kind == "timestamp":
        return [one for value in values if (one := _at(name, value))]
    texts = sorted({quoted(value) for value in values if _holds(kind, value)})
    return [f"{name} in ({', '.join(texts)})"] if texts else []


def _holds(kind: str, value: Scalar) -> bool:
    """Whether a field of this type can have the value."""
    if kind == "boolean":
        return str(value).lower() in ("true", "false")
    if kind in ("number", "integer"):
        try:
            return not isinstance(value, bool) and isfinite(float(value))
        except ValueError:
            return False
    return True


def _at(name: str, value: Scalar) -> str:
    """A moment as frames give it, in milliseconds, is all of that millisecond; a text is the moment it names."""
    try:
        if isinstance(value, str):
            return f"{name} = {quoted(datetime.fromisoformat(value).isoformat())}"
        if isinstance(value, bool):
            return ""
        start = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(value))
        end = start + timedelta(milliseconds=1)
    except (OverflowError, ValueError):
        return ""
    return f"({name} >= {quoted(start.isoformat())} and {name} < {quoted(end.isoformat())})"
