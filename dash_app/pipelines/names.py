"""Names for proposed fields, and the units that names give away: `bodyTempC` → `body_temp_c`, in °C."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from dash_app.domain.mapping import RESERVED_NAMES
from dash_app.domain.specs import PathStep

_LONGEST = 60

#: By the last words of a name, the longest first.
_UNITS = {
    "c": "°C", "celsius": "°C", "degc": "°C", "f": "°F", "fahrenheit": "°F", "k": "K", "kelvin": "K",
    "ns": "ns", "us": "µs", "ms": "ms", "millis": "ms", "milliseconds": "ms", "s": "s", "sec": "s", "secs": "s",
    "seconds": "s", "minutes": "min", "mins": "min", "hours": "h", "days": "d",
    "pct": "%", "percent": "%", "percentage": "%", "humidity": "%", "ppm": "ppm", "ppb": "ppb",
    "bytes": "B", "kb": "kB", "mb": "MB", "gb": "GB", "kib": "KiB", "mib": "MiB", "gib": "GiB", "bps": "bit/s",
    "kbps": "kbit/s", "mbps": "Mbit/s", "rps": "1/s", "qps": "1/s", "rpm": "1/min",
    "mm": "mm", "cm": "cm", "m": "m", "meters": "m", "metres": "m", "km": "km", "miles": "mi", "ft": "ft",
    "kmh": "km/h", "kph": "km/h", "mph": "mi/h", "mps": "m/s", "m_s": "m/s", "km_h": "km/h",
    "w": "W", "watts": "W", "kw": "kW", "mw": "MW", "wh": "Wh", "kwh": "kWh", "mwh": "MWh", "v": "V", "volts": "V",
    "mv": "mV", "a": "A", "amps": "A", "ma": "mA", "hz": "Hz", "khz": "kHz", "mhz": "MHz", "ghz": "GHz",
    "pa": "Pa", "hpa": "hPa", "kpa": "kPa", "bar": "bar", "mbar": "mbar", "psi": "psi",
    "g": "g", "kg": "kg", "lbs": "lb", "ml": "ml", "l": "l", "liters": "l", "litres": "l",
    "db": "dB", "dbm": "dBm", "lux": "lx", "deg": "°", "degrees": "°", "latitude": "°", "longitude": "°",
    "lat": "°", "lon": "°",
    "usd": "USD", "eur": "EUR", "gbp": "GBP", "nok": "NOK", "ug_m3": "µg/m³", "w_m2": "W/m²",
}  # fmt: skip
#: One letter is a unit only behind another word: `temp_c`, but not `c`.
_ALONE = frozenset({"humidity", "latitude", "longitude", "lat", "lon", "bytes", "percent", "percentage"})

#: Words of a condition, which as the names of fields stand in quotes there.
_KEYWORDS = frozenset(
    {"and", "as", "between", "case", "cast", "distinct", "else", "end", "false", "from", "ilike", "in", "is", "like"}
    | {"not", "null", "or", "similar", "then", "true", "when"}
)


def field_name(steps: Sequence[PathStep], taken: set[str]) -> str:
    """A valid name of a field for a path, unlike those `taken` (in lower case; it is added to them)."""
    name = snake_case("_".join(str(step) for step in steps if step not in (None, "#text"))) or "value"
    if not name[0].isalpha():
        name = f"field_{name}".rstrip("_")
    if name in RESERVED_NAMES:
        name = f"{name}_value"
    name = name[:_LONGEST].rstrip("_")
    unique, number = name, 2
    while unique in taken:
        tail = f"_{number}"
        unique, number = name[: _LONGEST - len(tail)] + tail, number + 1
    taken.add(unique)
    return unique


def snake_case(text: str) -> str:
    """A text in small letters, its words joined by underscores: `bodyTempC` → `body_temp_c`. May be empty."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text)
    plain = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")


def unit_of(name: str) -> str:
    """The unit that the end of a name tells, or the empty text."""
    words = name.split("_")
    for count in (2, 1):
        end = "_".join(words[-count:])
        if end in _UNITS and (len(words) > count or end in _ALONE):
            return _UNITS[end]
    return ""


def in_words(name: str) -> str:
    """A field's name as people would say it: `bodyTemp_c` → `body temp c`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").strip().lower()


def in_condition(name: str) -> str:
    """A field's name as a condition takes it: in quotes where it is a word of conditions itself."""
    return f'"{name}"' if name.lower() in _KEYWORDS else name
