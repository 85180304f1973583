"""Times as they are written → microseconds UTC, null where they cannot be read. Never an exception, whatever the text.

What ISO 8601 means here: a date `2024-01-31` (or 20240131), then nothing, or T, t or a space and a time of day with
hours, minutes and, if wanted, seconds and a fraction; then Z or an offset, or neither for UTC. Fractions are cut at
microseconds, a leap second is the second after it. Anything else is not a time: weeks, ordinal days, 24:00, names of
zones.

The years are 1 to 9999, what every reader downstream can hold.
"""

from __future__ import annotations

import polars as pl

from dash_app.pipelines import fixed_times

MOMENT = pl.Datetime("us", "UTC")
_FIRST = -62_135_596_800_000_000
_END = 253_402_300_800_000_000

#: The usual form, which Polars reads by itself. The guard is stricter than its parser, which takes spaces and 'UTC'.
_USUAL = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})$"
_ANY = (
    r"^([0-9]{4})-?([0-9]{2})-?([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):?([0-9]{2})(?::?([0-9]{2})(?:[.,]([0-9]+))?)?(?: ?([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?))?)?$"
)


def in_range(micros: pl.Expr) -> pl.Expr:
    """Microseconds since 1970 as a time; null outside the years 1 to 9999. Reads its argument twice: give it a
    column."""
    return pl.when(micros.is_between(_FIRST, _END, closed="left")).then(micros).cast(MOMENT)


def iso8601(text: pl.Expr) -> pl.Expr:
    """Texts as microseconds, for `in_range`."""
    return pl.coalesce(_usual(text), _unusual(text))


def iso8601_series(text: pl.Series) -> pl.Series:
    """Texts as times; the second, slower way is gone only by those that need it."""
    fixed = fixed_times.micros(text)
    if fixed is not None:
        return pl.Series(text.name, fixed).cast(MOMENT)
    frame = text.to_frame("text").with_columns(micros=_usual(pl.col("text")))
    rest = frame["micros"].is_null() & text.is_not_null()
    if rest.any():
        slow = frame.filter(rest).select(_unusual(pl.col("text"))).to_series()
        frame = frame.with_columns(micros=frame["micros"].scatter(rest.arg_true(), slow))
    return frame.select(in_range(pl.col("micros"))).to_series()


def epoch(number: pl.Expr, unit: str) -> pl.Expr:
    """Numbers since 1970 as microseconds, for `in_range`. Seconds and milliseconds may have fractions (rounded)."""
    if unit == "epoch_ns":
        return number.cast(pl.Int64).floordiv(1000)
    if unit == "epoch_us":
        return number.cast(pl.Int64)
    scaled = (number.cast(pl.Float64) * (1e6 if unit == "epoch_s" else 1e3)).round(0, mode="half_to_even")
    return scaled.cast(pl.Int64, strict=False)


def pattern(text: pl.Expr, form: str) -> pl.Expr:
    """Texts read with a strptime pattern as microseconds, for `in_range`; without a directive for the offset they are
    UTC."""
    time = text.str.to_datetime(form, time_unit="us", strict=False, exact=True)
    time = time if _has_offset(form) else time.dt.replace_time_zone("UTC")
    return time.cast(MOMENT).to_physical()


def _has_offset(form: str) -> bool:
    plain = form.replace("%%", "")
    return "%z" in plain or "%:z" in plain or "%+" in plain


def _usual(text: pl.Expr) -> pl.Expr:
    return pl.when(text.str.contains(_USUAL)).then(_rfc3339(text))


def _unusual(text: pl.Expr) -> pl.Expr:
    part = text.str.extract_groups(_ANY).struct.field
    offset = (
        part("8").str.replace(r"^([+-][0-9]{2}):?([0-9]{2})$", "${1}:${2}").str.replace(r"^([+-][0-9]{2})$", "${1}:00")
    )
    canonical = pl.format(
        "{}-{}-{}T{}:{}:{}.{}{}",
        part("1"), part("2"), part("3"),
        part("4").fill_null("00"), part("5").fill_null("00"), part("6").fill_null("00"),
        part("7").fill_null("0").str.head(6), offset.fill_null("Z"),
    )  # fmt: skip
    return _rfc3339(canonical)


def _rfc3339(text: pl.Expr) -> pl.Expr:
    return text.str.to_datetime("%+", time_unit="us", strict=False).cast(MOMENT).to_physical()
