"""Numbers, sizes and times as people read them; the same words as the browser's side uses (`assets/format.js`,
`assets/ago.js`)."""

from __future__ import annotations

from datetime import UTC, datetime

from markupsafe import Markup, escape

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")

NONE = "–"
HEALTH = {
    "ok": "Healthy",
    "waiting": "Waiting for data",
    "paused": "Paused",
    "failing": "Failing",
    "rejects": "Has rejects",
}
RUN_BADGES = {"done": "ok", "running": "note", "failed": "failing", "lost": "failing"}
STREAM_BADGES = {"connected": "ok", "connecting": "note", "waiting": "waiting", "failed": "failing"}
PAYLOAD_BADGES = {"ingested": "ok", "waiting": "waiting", "held": "paused"}


def count(value: int | float | None) -> str:
    """A count with thin groups of three: 1 284 312; a dash where there is none."""
    if value is None:
        return NONE
    return f"{round(value):,}".replace(",", "\u202f")


def plural(value: int, one: str, many: str = "") -> str:
    """A count with its noun: 1 reject, 12 rejects."""
    return f"{count(value)} {one if value == 1 else many or one + 's'}"


def sentence(text: str) -> str:
    """A text as the beginning of a sentence: what stands behind the first letter stays as it is."""
    return text[:1].upper() + text[1:]


def size(value: int | None) -> str:
    """Bytes in decimal units: 532 B, 1.3 kB, 12 MB."""
    if value is None:
        return NONE
    amount = float(value)
    for unit in _UNITS:
        if amount < 1000 or unit == _UNITS[-1]:
            return f"{amount:.0f} {unit}" if amount >= 10 or unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError("the last unit takes everything")


def seconds(value: float | None) -> str:
    """A length of time in its largest fitting unit: 0 s, 2.4 s, 12 min, 3 h, 5 d."""
    if value is None:
        return NONE
    if value < 10:
        return f"{value:.1f} s" if round(value, 1) % 1 else f"{value:.0f} s"
    for limit, divisor, unit in ((90, 1, "s"), (5400, 60, "min"), (129_600, 3600, "h")):
        if value < limit:
            return f"{value / divisor:.0f} {unit}"
    return f"{value / 86_400:.0f} d"


def every(value: int) -> str:
    """An interval: every 30 s, every 5 min, every hour."""
    for divisor, one, unit in ((86_400, "day", "d"), (3600, "hour", "h"), (60, "minute", "min")):
        if value % divisor == 0:
            return f"every {one}" if value == divisor else f"every {value // divisor} {unit}"
    return f"every {value} s"


def ago(moment: datetime | None, never: str = NONE) -> Markup:
    """A <time> element that the browser turns into '3 min ago' and keeps current; its title is the full time in UTC."""
    if moment is None:
        return escape(never)
    at = moment.astimezone(UTC)
    return Markup('<time data-ago="{}" datetime="{}" title="{} UTC">{}</time>').format(
        int(at.timestamp() * 1000), at.isoformat(), at.strftime("%Y-%m-%d %H:%M:%S"), at.strftime("%Y-%m-%d %H:%M")
    )


def moment(value: datetime) -> str:
    """A time in UTC to the minute: 4 Mar 2026 05:06."""
    at = value.astimezone(UTC)
    return f"{at.day} {at:%b %Y %H:%M}"


def left(until: datetime | None) -> str:
    """How long until then: 23 h."""
    return seconds(max(0.0, (until - datetime.now(UTC)).total_seconds())) if until else NONE


def share(value: float | None) -> str:
    """A part of all in whole per cent, never 100 % before all of it is done; a dash where it is not known."""
    return NONE if value is None else f"{int(value * 100)} %"


def cell(value: object) -> str:
    """A record's value in a table."""
    if value is None:
        return NONE
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else str(value)[:200]
