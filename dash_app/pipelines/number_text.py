"""Numbers, durations and times as text for people who read them in a message or on a picture.

The same words and units as the pages have (`assets/format.js`), in English, since a message has many readers.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from math import floor, isfinite, log10
from typing import Any
from zoneinfo import ZoneInfo

from dash_app.domain.errors import Invalid

#: What stands where there is no value, and between a number and its unit.
NONE = "–"
SPACE = "\u00a0"

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB")
_SHORT = ("", "K", "M", "B", "T")
_SECONDS = {"ns": 1e-9, "µs": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_CURRENCIES = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "INR": "₹", "KRW": "₩"}
_PATTERN = re.compile(r"(?:[^%]|%[YymdHIMSfpbBaAjzZ%])*")
_NAMED = {
    "datetime": "%-d %b %Y, %H:%M %Z",
    "date": "%-d %b %Y",
    "time": "%H:%M %Z",
    "seconds": "%-d %b %Y, %H:%M:%S %Z",
}


def number_text(value: Any, unit: str = "", decimals: int | None = None) -> str:
    """'21.4 °C', '12%', '3 min 20 s', '1.2 MiB', '–' for what is no number. `unit` is one of the tiles' units."""
    number = _number(value)
    if number is None:
        return NONE if value is None or isinstance(value, float) else str(value)
    if decimals is not None and not 0 <= decimals <= 12:
        raise Invalid("a number has 0 to 12 decimals")
    if not unit:
        return _plain(number, decimals)
    if unit == "short":
        return _scaled(number, _SHORT, 1000, decimals, "")
    if unit in ("percent", "%"):
        return f"{_plain(number, decimals, 3)}%"
    if unit == "percentunit":
        return f"{_plain(number * 100, decimals, 3)}%"
    rate = "/s" if unit.endswith("/s") else ""
    base = unit.removesuffix("/s")
    if base == "bytes":
        return _scaled(number, _BINARY, 1024, decimals, SPACE) + rate
    if base in ("decbytes", "B"):
        return _scaled(number, _DECIMAL, 1000, decimals, SPACE) + rate
    if not rate and unit in _SECONDS:
        return duration_text(float(number) * _SECONDS[unit], decimals)
    if unit in _CURRENCIES:
        text = _plain(abs(number), 2 if decimals is None else decimals)
        return f"{'-' if number < 0 else ''}{_CURRENCIES[unit]}{text}"
    return f"{_plain(number, decimals)}{SPACE}{unit}"


def duration_text(seconds: Any, decimals: int | None = None) -> str:
    """'3 min 20 s' of seconds."""
    number = _number(seconds)
    if number is None:
        return NONE
    size = abs(number)
    if size == 0:
        return f"0{SPACE}s"
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (60.0, 1.0, "s")):
        if size < limit:
            return f"{_plain(number * factor, decimals, 3)}{SPACE}{unit}"
    whole, parts = round(size), (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    first = next(n for n, (_, length) in enumerate(parts) if whole >= length)
    head, rest = divmod(whole, parts[first][1])
    text = f"{'-' if number < 0 else ''}{head:,}{SPACE}{parts[first][0]}"
    if first + 1 < len(parts) and (tail := rest // parts[first + 1][1]):
        text += f"{SPACE}{tail}{SPACE}{parts[first + 1][0]}"
    return text


def time_text(value: Any, zone: str = "UTC", pattern: str = "datetime") -> str:
    """'5 Jan 2026, 13:00 CET' of a time: a datetime, ISO 8601, or epoch milliseconds.

    `pattern`: datetime | date | time | seconds | iso, or one with strftime's directives, without widths and flags.
    """
    moment = moment_of(value)
    if moment is None:
        return NONE
    try:
        local = moment.astimezone(ZoneInfo(zone))
    except (ValueError, OSError, KeyError) as error:
        raise Invalid(f"'{str(zone)[:60]}' is no IANA time zone, such as Europe/Oslo or UTC") from error
    if pattern == "iso":
        return local.isoformat(timespec="seconds")
    if pattern in _NAMED:
        return local.strftime(_NAMED[pattern])
    if not isinstance(pattern, str) or len(pattern) > 100 or not _PATTERN.fullmatch(pattern):
        raise Invalid(
            f"'{str(pattern)[:60]}' is no pattern for times; {', '.join(_NAMED)} or iso, "
            "or directives such as %Y-%m-%d %H:%M"
        )
    return local.strftime(pattern)


def moment_of(value: Any) -> datetime | None:
    """A time in UTC unless it has a zone; None of None. Raises Invalid where it is no time."""
    if value is None or value == "":
        return None
    try:
        if isinstance(value, datetime):
            made = value
        elif isinstance(value, bool):
            raise ValueError("a truth value")
        elif isinstance(value, int | float):
            made = datetime.fromtimestamp(value / 1000, UTC)
        else:
            made = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError) as error:
        raise Invalid(f"'{str(value)[:60]}' is no time; ISO 8601 or milliseconds are needed") from error
    return made if made.tzinfo else made.replace(tzinfo=UTC)


def _number(value: Any) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return None
    return value


def _plain(value: int | float, decimals: int | None = None, figures: int = 4) -> str:
    size = abs(value)
    if size and (size < 1e-6 or size >= 1e15):
        return f"{value:.{2 if decimals is None else decimals}e}"
    if decimals is not None:
        return f"{value:,.{decimals}f}"
    if value == int(value):
        return f"{int(value):,}"
    most = min(6, max(0, figures - 1 - floor(log10(size))))
    text = f"{value:,.{most}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _scaled(value: int | float, steps: tuple[str, ...], base: int, decimals: int | None, space: str) -> str:
    power, rest = 0, float(value)
    while abs(rest) >= base and power < len(steps) - 1:
        rest, power = rest / base, power + 1
    return f"{_plain(rest, decimals, 3)}{space if steps[power] else ''}{steps[power]}"
