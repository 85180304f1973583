"""Times that are all written in one width, read from their bytes: several times as fast as a parser of texts.

Programs write their times in one form, so that a batch of a thousand records has a thousand texts like
`2026-03-04T05:06:07.250Z`. Then each digit stands in a column of its own, and a time is a sum over columns. A batch
with any text of another form is not read here at all.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

#: Where what stands in `2026-03-04T05:06:07Z`, without its end.
_MARKS: Final = ((4, b"-"), (7, b"-"), (10, b"T"), (13, b":"), (16, b":"))
_DIGITS: Final = (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18)
_SECONDS: Final = 19
_LENGTHS: Final = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.uint8)
#: Days before a month of a year that begins with March.
_BEFORE: Final = np.array([0, 306, 337, 0, 31, 61, 92, 122, 153, 184, 214, 245, 275], np.int32)
#: Days from 0000-03-01 to 1970-01-01.
_EPOCH: Final = 719_468

_Digits = npt.NDArray[np.int32]


def micros(text: pl.Series) -> npt.NDArray[np.int64] | None:
    """Microseconds since 1970 of texts `YYYY-MM-DDThh:mm:ssZ`, all with as many digits of a fraction (0 to 6); None
    where one of them is of another form, is null, or is no time of the years 1 to 9999."""
    height = len(text)
    if not height or text.null_count():
        return None
    arrow = text.to_arrow()
    _, offsets, data = arrow.buffers()
    ends = np.frombuffer(offsets, np.int64, height + 1, arrow.offset * 8)
    width = int(ends[1] - ends[0])
    fraction = width - _SECONDS - 2
    if not (fraction == -1 or 1 <= fraction <= 6) or not (np.diff(ends) == width).all():
        return None
    at = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]].reshape(height, width)
    return _read(at, max(fraction, 0))


def _read(at: npt.NDArray[np.uint8], fraction: int) -> npt.NDArray[np.int64] | None:
    marks = [*_MARKS, (at.shape[1] - 1, b"Z"), *([(_SECONDS, b".")] if fraction else [])]
    if not all((at[:, place] == mark[0]).all() for place, mark in marks):
        return None
    places = [*_DIGITS, *range(_SECONDS + 1, _SECONDS + 1 + fraction)]
    # A column of digits after the other, each in one piece of memory; what is no digit is above nine.
    digits = np.ascontiguousarray(at[:, places].T) - np.uint8(ord("0"))
    if digits.max() > 9:
        return None
    year, month, day = _number(digits, 0, 4), _number(digits, 4, 6), _number(digits, 6, 8)
    hour, minute, second = _number(digits, 8, 10), _number(digits, 10, 12), _number(digits, 12, 14)
    if year.min() < 1 or month.min() < 1 or month.max() > 12 or day.min() < 1:
        return None
    if hour.max() > 23 or minute.max() > 59 or second.max() > 59:
        return None
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    if (day > _LENGTHS[month] + (leap & (month == 2))).any():
        return None
    # Years that begin with March have their leap day at their end.
    years = year - (month <= 2)
    days = years * 365 + years // 4 - years // 100 + years // 400 + _BEFORE[month] + day - 1 - _EPOCH
    total: npt.NDArray[np.int64] = (days.astype(np.int64) * 86_400 + (hour * 3600 + minute * 60 + second)) * 1_000_000
    if fraction:
        total += _number(digits, 14, 14 + fraction) * 10 ** (6 - fraction)
    return total


def _number(digits: npt.NDArray[Any], first: int, end: int) -> _Digits:
    number: _Digits = digits[first].astype(np.int32)
    for place in range(first + 1, end):
        number = number * 10 + digits[place]
    return number
