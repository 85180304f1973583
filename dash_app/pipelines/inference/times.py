"""Which leaf is the records' time, and how it is written.

All records must have it, and its name or the way it is written must say so. A time that belongs to somebody else (when
the user signed up, when a token ends) is none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

from dash_app.pipelines import times
from dash_app.pipelines.inference.samples import Leaf

#: Objects that only wrap: a time in one of these is the record's own.
WRAPPERS = frozenset([
    "properties", "data", "attributes", "payload", "event", "meta", "metadata", "header", "body", "record", "reading",
    "fields", "detail", "result", "response", "value", "measurement", "observation", "current",
])  # fmt: skip
_NAMES = [
    "timestamp", "time", "ts", "datetime", "date_time", "event_time", "occurred_at", "observed_at", "measured_at",
    "recorded_at", "created_at", "created", "date", "dt", "published_at", "published", "sent_at", "updated_at",
    "updated", "last_updated", "epoch", "when",
]  # fmt: skip
_HINT = re.compile(
    r"time|date|epoch|_at$|^at$|^ts$|_ts$|^dt$|when|created|updated|published|last_reported|^start(?:ed)?$|^begin$|^from$"
)
#: Names that say when something happened, wherever they stand.
_HAPPENED = re.compile(
    r"(?:^|_)(?:timestamp|ts|time|datetime|date_time|time_epoch|epoch)$|"
    r"(?:^|_)(?:occurred|observed|measured|recorded|sent|received|pushed|published|triggered|fired|detected|logged)_at$"
)
#: Names of other moments in somebody's life.
_OTHERS = re.compile(
    r"birth|born|expir|valid|due|until|joined|registered|not_before|not_after|deadline|last_login|signed_up|deleted|"
    r"create_time|created_time|update_time|end_time|start_time|offset"
)
_NOT_YET = re.compile(r"birth|born|expir|valid_|due|until|not_after|deadline|last_login|last_modified")
_BEGINNINGS = frozenset(["start", "begin", "first", "from", "previous", "old"])

_EPOCHS = (("epoch_s", 1), ("epoch_ms", 1000), ("epoch_us", 10**6), ("epoch_ns", 10**9))
#: Other ways to write a time, the more particular ones first.
_PATTERNS = (
    "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d", "%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%d %H:%M:%S %z UTC",
    "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%d/%b/%Y:%H:%M:%S %z", "%a %b %d %H:%M:%S %z %Y",
    "%a, %d %b %Y %H:%M:%S %z", "%a, %d %b %Y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y", "%b %d, %Y, %I:%M:%S %p",
    "%b %d, %Y", "%b %d %Y", "%d %b %Y %H:%M:%S", "%d %b %Y", "%d-%b-%Y %H:%M:%S", "%d-%b-%Y", "%d-%b-%y",
)  # fmt: skip
#: Two that read each other's texts: taken only where one of the values decides.
_DAY_OR_MONTH = (
    ("%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S"),
    ("%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M"),
    ("%d/%m/%Y", "%m/%d/%Y"),
)


def time_of(leaves: Sequence[Leaf], count: int, *, shallow: bool) -> tuple[Leaf, str] | None:
    """The leaf with the time of `count` records and its format, as a mapping's `time` names it; `shallow`: one that
    stands deeper than the top is somebody else's."""
    candidates: list[tuple[tuple[bool, bool, int, int, int], Leaf, str]] = []
    for place, leaf in enumerate(leaves):
        if len(leaf.values) < count or leaf.mixed or not all(isinstance(step, str) for step in leaf.path):
            continue
        if (shallow and len(leaf.path) > 1) or _NOT_YET.search(leaf.name):
            continue
        wrapped = all(str(step).lower() in WRAPPERS for step in leaf.path[:-1])
        if not wrapped and not _happened(leaf):
            continue
        form = format_of(leaf)
        if form is not None:
            rank = _NAMES.index(leaf.name) if leaf.name in _NAMES else len(_NAMES)
            candidates.append(((not wrapped, "%" in form, rank, len(leaf.path), place), leaf, form))
    if not candidates:
        return None
    _, leaf, form = min(candidates, key=lambda one: one[0])
    return leaf, form


def _happened(leaf: Leaf) -> bool:
    deep = len(leaf.path) > 3 or any(str(step).lower() in _BEGINNINGS for step in leaf.path[:-1])
    return not deep and bool(_HAPPENED.search(leaf.name)) and not _OTHERS.search(leaf.name)


def format_of(leaf: Leaf) -> str | None:
    """How the times at a leaf are written; None where they are none, or nothing says so."""
    if leaf.kind == "timestamp":
        return "iso8601"
    if leaf.kind in ("number", "integer"):
        return epoch_of(leaf)
    if leaf.kind == "text":
        return pattern_of([str(value) for value in leaf.values])
    return None


def epoch_of(leaf: Leaf) -> str | None:
    """The unit in which all values are between 2001 and 2099, if the name speaks of time."""
    if leaf.kind not in ("number", "integer") or not _HINT.search(leaf.name):
        return None
    values = [float(value) for value in leaf.values]
    for form, scale in _EPOCHS:
        whole = scale < 10**6 or all(value.is_integer() for value in values)
        if whole and all(10**9 * scale <= value < 4.1 * 10**9 * scale for value in values):
            return form
    return None


def pattern_of(values: Sequence[str]) -> str | None:
    """The strptime pattern that reads all of these; None: there is none, or day and month could be either."""
    if any(not 8 <= len(value) <= 40 or not any(map(str.isdigit, value)) for value in values):
        return None
    text = pl.Series("text", values, pl.String)
    for form in _PATTERNS:
        if _reads(text, form):
            return form
    for first, second in _DAY_OR_MONTH:
        able = [form for form in (first, second) if _reads(text, form)]
        if able:
            return able[0] if len(able) == 1 else None
    return None


def _reads(text: pl.Series, form: str) -> bool:
    """The first alone tells most patterns apart; a mapping reads them in this way too."""
    for some in (text.head(1), text):
        micros = some.to_frame("text").select(times.pattern(pl.col("text"), form)).to_series()
        if micros.has_nulls():
            return False
    return True


def all_iso8601(values: Sequence[str]) -> bool:
    if any(len(value) < 10 or not value[:4].isdigit() or "-" not in value for value in values):
        return False
    return not times.iso8601_series(pl.Series("text", values, pl.String)).has_nulls()
