"""The query document: what somebody asks of a pipeline's records, read once and checked whole.

`parse_query` knows the document's own rules: names, aggregates, times, buckets, limits. Whether a field exists and can
be averaged is known only beside the pipeline's mapping (`dash_app.pipelines.query`). `docs/query.md` describes it for
people.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from dash_app.domain.buckets import Grid
from dash_app.domain.errors import Invalid, Permanent
from dash_app.domain.specs import Measure, QuerySpec

#: Aggregates that merge: partial results of rollups give the same answer as the records.
MERGEABLE = ("count", "sum", "avg", "min", "max", "first", "last", "stddev")
#: Aggregates that need every record.
WHOLE = ("median", "p90", "p95", "p99", "count_distinct")
AGGREGATES = MERGEABLE + WHOLE

#: Columns that every record has beside its fields.
SYSTEM_COLUMNS = ("_time", "_received", "_payload", "_index")

MOST_ROWS = 100_000
ROWS = 10_000
RECORDS = 1_000
#: How far back a range can be moved, to be compared with.
SHIFTS = ("previous", "1h", "1d", "1w", "1M", "1y")
#: Characters of a condition; the values of a dashboard's variables stand in it.
MOST_WHERE = 100_000

_KEYS = ("pipeline", "select", "by", "every", "from", "to", "where", "limit", "timezone", "order", "cursor", "mapping")
_EVERY = re.compile(r"([1-9][0-9]{0,4})([smhdwMy])")
_RELATIVE = re.compile(r"now((?:[+-][0-9]{1,6}[smhdwMy]|/[smhdwMy])*)")
_STEP = re.compile(r"([+-])([0-9]{1,6})([smhdwMy])|/([smhdwMy])")
_EPOCH_MS = re.compile(r"-?[0-9]{10,14}")
_TIMES = "now, now-24h, now-1d/d, an ISO 8601 time such as 2026-03-01T12:00:00Z, or milliseconds since 1970"
_EARLIEST = datetime(2, 1, 1, tzinfo=UTC)
_LATEST = datetime(9990, 1, 1, tzinfo=UTC)


class TooSlow(Permanent):
    """The query takes longer than the server grants it."""

    title = "Too slow"


def parse_query(document: Mapping[str, Any], now: datetime) -> QuerySpec:
    """The query in a document; `now` (aware) is what its relative times refer to.

    Raises Invalid with each place that is wrong, and what would be right there.
    """
    if not isinstance(document, Mapping):
        raise Invalid(
            problems=[("", 'a query is an object, such as {"pipeline": "weather", "select": [{"agg": "count"}]}')]
        )
    problems: list[tuple[str, str]] = [
        (_shown(key), f"a query has no such key; it has {', '.join(_KEYS)}") for key in document if key not in _KEYS
    ]
    pipeline = document.get("pipeline")
    if not pipeline or not _is_text(pipeline):
        problems.append(("pipeline", "the slug or id of a pipeline is needed"))
    every = _every(document.get("every"), problems)
    by = _by(document.get("by"), problems)
    select = _select(document.get("select"), bool(every or by), problems)
    _check_names(select, by, every is not None, problems)
    aggregated = any(measure.agg for measure in select)
    zone_name = document.get("timezone")
    zone = _zone("UTC" if zone_name is None else zone_name, problems)
    start = _moment(document.get("from", "now-24h"), "from", now, zone, problems)
    end = _moment(document.get("to", "now"), "to", now, zone, problems)
    if start and end and start > end:
        problems.append(("from", f"from ({start.isoformat()}) is after to ({end.isoformat()})"))
    order, descending = _order(document.get("order"), select, by, every is not None, aggregated, problems)
    where = document.get("where")
    if where is not None and (not _is_text(where) or len(where) > MOST_WHERE):
        problems.append(
            ("where", f"a condition is a text of at most {MOST_WHERE:,} characters, such as \"site != 'lab'\"")
        )
    cursor = document.get("cursor")
    if cursor is not None and (aggregated or not isinstance(cursor, str)):
        problems.append(("cursor", "a cursor is what `next` said of a query for records; aggregates have none"))
    mapping = document.get("mapping")
    if mapping is not None and (isinstance(mapping, bool) or not isinstance(mapping, int) or not 0 < mapping < 1 << 31):
        problems.append(("mapping", "the number of a version of the pipeline's mapping, or null for the active one"))
    limit = _limit(document.get("limit"), ROWS if aggregated else RECORDS, problems)
    if problems or start is None or end is None:
        raise Invalid(problems=problems)
    return QuerySpec(
        pipeline=str(pipeline),
        select=select,
        by=by,
        every=every,
        start=start,
        end=end,
        where=where if where and where.strip() else None,
        limit=limit,
        timezone=zone.key,
        descending=descending,
        cursor=cursor,
        order=order,
        mapping=mapping,
    )


def grid(spec: QuerySpec) -> Grid | None:
    """The buckets of a query; None where it has no `every`."""
    return Grid(*spec.every, ZoneInfo(spec.timezone)) if spec.every else None


def earlier(spec: QuerySpec, shift: str) -> tuple[QuerySpec, timedelta]:
    """The query over a range before its own, and how far before it: by its own length (`previous`), or by a step of
    `SHIFTS` on the calendar of its time zone. Invalid for any other text."""
    if shift not in SHIFTS:
        raise Invalid(problems=[("range.shift", f"'{_shown(shift)}' is none of {', '.join(SHIFTS)}")])
    length = spec.end - spec.start
    try:
        start = (
            spec.start - length if shift == "previous" else _shift(spec.start, -1, shift[1:], ZoneInfo(spec.timezone))
        )
        if start < _EARLIEST:
            raise OverflowError
    except (OverflowError, ValueError):
        raise Invalid(problems=[("range.shift", "there is no such range before the year 2")]) from None
    return replace(spec, start=start, end=start + length), spec.start - start


def parse_every(text: str) -> tuple[int, str]:
    """'5m' → (5, 'm'); Invalid for anything but a number and one of s m h d w M y."""
    problems: list[tuple[str, str]] = []
    every = _every(text, problems)
    if every is None:
        raise Invalid(problems=problems or [("every", "a width such as 5m is needed")])
    return every


def parse_time(value: Any, now: datetime, timezone: str = "UTC", place: str = "from") -> datetime:
    """One moment of a query document as UTC; Invalid names `place`."""
    problems: list[tuple[str, str]] = []
    moment = _moment(value, place, now, _zone(timezone, problems), problems)
    if problems or moment is None:
        raise Invalid(problems=problems)
    return moment


def _is_text(value: Any) -> bool:
    """Whether it is text that a database takes: JSON can bring NUL and halves of surrogate pairs."""
    try:
        return isinstance(value, str) and "\x00" not in value and bool(value.encode() or True)
    except UnicodeEncodeError:
        return False


def _shown(value: Any) -> str:
    """A wrong value as part of a message, which must itself be fit to print."""
    return str(value)[:60].encode(errors="replace").decode()


# Times ---------------------------------------------------------------------------------------------------------------


def _zone(name: Any, problems: list[tuple[str, str]]) -> ZoneInfo:
    try:
        if not isinstance(name, str) or not name:
            raise ValueError
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError; 'Europe' is a folder
        problems.append(
            ("timezone", f"'{_shown(name)}' is not a time zone; IANA's names are meant, such as Europe/Oslo or UTC")
        )
        return ZoneInfo("UTC")


def _moment(value: Any, place: str, now: datetime, zone: ZoneInfo, problems: list[tuple[str, str]]) -> datetime | None:
    try:
        moment = _read_moment(value, now, zone).astimezone(UTC)
        if not _EARLIEST <= moment <= _LATEST:
            raise OverflowError
    except OverflowError:
        problems.append((place, f"'{_shown(value)}' is outside the years 2 to 9990"))
        return None
    except (ValueError, TypeError):
        problems.append((place, f"'{_shown(value)}' is not a time; what can be read: {_TIMES}"))
        return None
    return moment


def _read_moment(value: Any, now: datetime, zone: ZoneInfo) -> datetime:
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=zone)
    if isinstance(value, int | float) or (isinstance(value, str) and _EPOCH_MS.fullmatch(value)):
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=float(value))
    if not isinstance(value, str):
        raise TypeError
    text = value.strip()
    relative = _RELATIVE.fullmatch(text)
    if relative is None:
        read = datetime.fromisoformat(text)
        return read if read.tzinfo else read.replace(tzinfo=zone)
    moment = now.astimezone(UTC)
    for sign, count, unit, snap in _STEP.findall(relative[1]):
        if snap:
            moment = Grid(1, snap, zone).floor(moment)
        else:
            try:
                moment = _shift(moment, int(sign + count), unit, zone)
            except ValueError as error:  # a year before 1 or after 9999
                raise OverflowError from error
    return moment


def _shift(moment: datetime, count: int, unit: str, zone: ZoneInfo) -> datetime:
    if unit in "smh":
        return moment + count * timedelta(**{{"s": "seconds", "m": "minutes", "h": "hours"}[unit]: 1})
    # A day later is the same time on the wall clock, however long that day was.
    wall = moment.astimezone(zone).replace(tzinfo=None)
    if unit in "dw":
        moved = wall + count * timedelta(days=7 if unit == "w" else 1)
    else:
        month = wall.year * 12 + wall.month - 1 + count * (12 if unit == "y" else 1)
        first = wall.replace(year=month // 12, month=month % 12 + 1, day=1)
        following = (first + timedelta(days=31)).replace(day=1)
        moved = first.replace(day=min(wall.day, (following - timedelta(days=1)).day))
    return moved.replace(tzinfo=zone).astimezone(UTC)


def _every(value: Any, problems: list[tuple[str, str]]) -> tuple[int, str] | None:
    if value is None:
        return None
    read = _EVERY.fullmatch(value) if isinstance(value, str) else None
    if read is None:
        problems.append(
            (
                "every",
                f"'{_shown(value)}' is not a bucket width; a number and one of s m h d w M y is, such as 5m or 1d",
            )
        )
        return None
    return int(read[1]), read[2]


# Columns -------------------------------------------------------------------------------------------------------------


def _text_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(_is_text(one) and one for one in value)


def _by(value: Any, problems: list[tuple[str, str]]) -> tuple[str, ...]:
    if value is None:
        return ()
    if not _text_list(value):
        problems.append(("by", 'a list of fields is meant, such as ["site"]'))
        return ()
    if len(value) > 10:
        problems.append(("by", "at most 10 fields"))
    return tuple(value)


def _select(value: Any, grouped: bool, problems: list[tuple[str, str]]) -> tuple[Measure, ...]:
    if value is None:
        return (Measure("count", None, "count"),) if grouped else ()
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        problems.append(
            (
                "select",
                'a list of columns is meant, such as [{"field": "temp", "agg": "avg"}]; leave it out for the records',
            )
        )
        return ()
    if len(value) > 100:
        problems.append(("select", "at most 100 columns"))
        return ()
    before = len(problems)
    measures = [
        measure for number, one in enumerate(value) if (measure := _measure(one, f"select[{number}]", problems))
    ]
    aggregated = [measure.agg is not None for measure in measures]
    if len(problems) == before and any(aggregated) != all(aggregated):
        problems.append(("select", "either every column has an agg or none; to group by a field, name it in by"))
    elif len(problems) == before and grouped and not any(aggregated):
        problems.append(
            ("select", 'with every or by each column needs an agg, such as {"field": "temp", "agg": "avg"}')
        )
    return tuple(measures)


def _measure(value: Any, place: str, problems: list[tuple[str, str]]) -> Measure | None:
    if not isinstance(value, Mapping):
        problems.append((place, 'a column is an object, such as {"field": "temp", "agg": "avg", "as": "t"}'))
        return None
    before = len(problems)
    problems.extend(
        (f"{place}.{key}", "a column has field, agg and as") for key in value if key not in ("field", "agg", "as")
    )
    name, agg, given = value.get("field"), value.get("agg"), value.get("as")
    if name is not None and (not _is_text(name) or not name):
        problems.append((f"{place}.field", "the name of a field is meant"))
    if agg is not None and agg not in AGGREGATES:
        problems.append((f"{place}.agg", f"'{_shown(agg)}' is no aggregate; there are {', '.join(AGGREGATES)}"))
    if name is None and agg != "count" and len(problems) == before:
        problems.append((f"{place}.field", "only count can do without a field"))
    if given is not None and (
        not isinstance(given, str) or not given.strip() or len(given) > 100 or not given.isprintable()
    ):
        problems.append((f"{place}.as", "a name of 1 to 100 printable characters is meant"))
    if len(problems) > before:
        return None
    return Measure(given or (f"{name}_{agg}" if name and agg else name or agg or ""), name, agg)


def _check_names(select: Sequence[Measure], by: Sequence[str], bucketed: bool, problems: list[tuple[str, str]]) -> None:
    seen = {"time"} if bucketed else set()
    if not any(m.agg or (m.field, m.name) == ("_time", "_time") for m in select):
        seen.add("_time")  # which records always have
    for place, name in [
        *((f"by[{n}]", name) for n, name in enumerate(by)),
        *((f"select[{n}]", m.name) for n, m in enumerate(select)),
    ]:
        if name in seen:
            problems.append((place, f"two columns would be named '{name}'; give one another name with as"))
        seen.add(name)


def _order(
    value: Any,
    select: Sequence[Measure],
    by: Sequence[str],
    bucketed: bool,
    aggregated: bool,
    problems: list[tuple[str, str]],
) -> tuple[str, bool]:
    if value is None:
        return "", False
    columns = [*(["time"] if bucketed else []), *by, *(measure.name for measure in select)]
    if not aggregated:
        columns = ["_time", *columns]
    if not aggregated and not select and _is_text(value) and value.removeprefix("-"):
        # Whole records: what fields there are is known beside the mapping.
        return value.removeprefix("-"), value.startswith("-")
    if not isinstance(value, str) or value.removeprefix("-") not in columns:
        problems.append(
            ("order", f"one of the columns is meant, with - before it for the greatest first: {', '.join(columns)}")
        )
    else:
        return value.removeprefix("-"), value.startswith("-")
    return "", False


def _limit(value: Any, default: int, problems: list[tuple[str, str]]) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_ROWS:
        problems.append(("limit", f"a whole number from 1 to {MOST_ROWS:,} is meant"))
        return default
    return value
