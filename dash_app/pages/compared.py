"""A comparison of two mappings in the words, numbers and proportions in which its page shows it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from dash_app.pages import words

if TYPE_CHECKING:
    from dash_app.pipelines.affected import AffectedAlert, AffectedTile
    from dash_app.pipelines.difference import Difference, FieldDifference, Totals
    from dash_app.pipelines.mapping_difference import MappingChange
    from dash_app.storage.comparisons import Comparison

_Affected = TypeVar("_Affected", "AffectedTile", "AffectedAlert")
MINUS = "\u2212"
#: Said of totals that differ in their last digits alone.
ROUNDING = "but for rounding"
#: Parts of the bar, in the order in which they stand: name and words.
PARTS = (
    ("equal", "equal"),
    ("rounded", "equal but for rounding"),
    ("changed", "changed"),
    ("gone", "gone"),
    ("new", "new"),
)
WHY = {
    "rejected": "rejected",
    "filtered": "left out by where",
    "duplicate": "a duplicate of another row",
    "elsewhere": "no record stands there",
}
TURNS = {"new": "Newly rejected", "gone": "No longer rejected", "changed": "Another reason"}
#: Kinds of what becomes of a value, and how a count of them is headed.
KIND_WORDS = {
    "changed": "changed",
    "gained": "null before",
    "lost": "null after",
    "retyped": "same text, other type",
    "rounding": "rounding",
    "added": "values added",
    "removed": "values removed",
}


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison has to show. `difference` None: nothing yet. `comparison` None: a sample, which is not kept."""

    difference: Difference | None = None
    changes: Sequence[MappingChange] = ()
    tiles: Sequence[AffectedTile] = ()
    comparison: Comparison | None = None
    #: Whether either mapping has a key.
    keyed: bool = False
    alerts: Sequence[AffectedAlert] = ()

    @property
    def verdict(self) -> str:
        return verdict(self.difference) if self.difference else ""

    @property
    def breaking(self) -> int:
        return sum(one.effect == "breaks" for one in self.tiles) + sum(one.effect == "breaks" for one in self.alerts)

    @property
    def affected(self) -> str:
        """Who is affected: 3 tiles and 1 alert."""
        counts = ((len(self.tiles), "tile"), (len(self.alerts), "alert"))
        return " and ".join(words.plural(count, name) for count, name in counts if count)

    @property
    def tile_groups(self) -> list[tuple[str, tuple[str, ...], list[AffectedTile]]]:
        """(effect, reasons, tiles): tiles that are affected alike, those that break first."""
        return _grouped(self.tiles)

    @property
    def alert_groups(self) -> list[tuple[str, tuple[str, ...], list[AffectedAlert]]]:
        """The same of alerts."""
        return _grouped(self.alerts)

    @property
    def touched(self) -> list[FieldDifference]:
        """Fields with something to tell, `_time` first where rows moved."""
        if self.difference is None:
            return []
        moved = [self.difference.time] if self.difference.time.kinds else []
        return moved + [one for one in self.difference.fields if one.touched]

    @property
    def untouched(self) -> list[str]:
        return [one.name for one in self.difference.fields if not one.touched] if self.difference else []


def _grouped(affected: Sequence[_Affected]) -> list[tuple[str, tuple[str, ...], list[_Affected]]]:
    groups: dict[tuple[str, tuple[str, ...]], list[_Affected]] = {}
    for one in affected:
        groups.setdefault((one.effect, one.why), []).append(one)
    return [(effect, why, alike) for (effect, why), alike in groups.items()]


def verdict(difference: Difference) -> str:
    """412 rows equal, 37 changed, 3 gone, 1 new."""
    if difference.is_empty:
        return f"No difference in {words.plural(difference.payloads, 'payload')}"
    counts = [(name, getattr(difference, field)) for field, name in PARTS]
    shown = [(name, count) for name, count in counts if count or name == "equal"]
    (first, equal), *rest = shown
    said = [f"{words.plural(equal, 'row')} {first}", *(f"{words.count(count)} {name}" for name, count in rest)]
    return ", ".join(said)


def bar(difference: Difference) -> list[tuple[str, str, int, float]]:
    """(name, words, count, share in percent) of each part of the bar that has rows."""
    total = sum(getattr(difference, field) for field, _ in PARTS)
    return [(field, name, count, 100 * count / total) for field, name in PARTS if (count := getattr(difference, field))]


def share(percent: float) -> str:
    """A share as people read it: 12 %, 0.3 %, less than 0.1 % where it is not nothing."""
    if percent < 0.1:
        return "< 0.1 %"
    return f"{percent:.1f} %" if percent < 10 and round(percent, 1) % 1 else f"{percent:.0f} %"


def why(counts: dict[str, int]) -> str:
    """2 rejected, 1 left out by where."""
    if len(counts) == 1:
        (only,) = counts
        return WHY[only]
    return ", ".join(f"{words.count(count)} {WHY[name]}" for name, count in counts.items())


def value(one: Any) -> str:
    """One value of an example."""
    if one is None:
        return "null"
    if isinstance(one, bool):
        return "true" if one else "false"
    if isinstance(one, float):
        return number(one)
    text = str(one)
    moments = _moments(text, text)
    return moments[0] if moments else text or "''"


def number(one: float | int | None, digits: int = 6) -> str:
    """A number with so many digits, in groups of three, and a minus that is one."""
    if one is None:
        return words.NONE
    size = abs(one)
    if isinstance(one, int) or (one.is_integer() and size < 1e15):
        text = f"{int(one):,}"
    elif 1e-4 <= size < 1e15:
        decimals = max(0, digits - 1 - math.floor(math.log10(size)))
        text = f"{one:,.{decimals}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        text = f"{one:.{digits}g}"
    return text.replace(",", "\u202f").replace("-", MINUS)


def pair(before: Any, after: Any) -> tuple[str, str]:
    """Two values with as many digits as it takes to tell them apart."""
    numbers = all(isinstance(one, float | int) and not isinstance(one, bool) for one in (before, after))
    if numbers and before != after:
        for digits in (6, 9, 12):
            texts = number(before, digits), number(after, digits)
            if texts[0] != texts[1]:
                return texts
        return repr(before).replace("-", MINUS), repr(after).replace("-", MINUS)
    if isinstance(before, str) and isinstance(after, str):
        moments = _moments(before, after)
        if moments:
            return moments
    return value(before), value(after)


def _moments(before: str, after: str) -> tuple[str, str] | None:
    """Two ISO times shortly; None where they are other texts."""
    try:
        first, second = datetime.fromisoformat(before), datetime.fromisoformat(after)
    except ValueError:
        return None
    if first.tzinfo is None or second.tzinfo is None:
        return None
    form = "%Y-%m-%d %H:%M:%S" + (".%f" if first.microsecond or second.microsecond else "")
    return first.astimezone(UTC).strftime(form), second.astimezone(UTC).strftime(form)


def signed(one: float, *, seconds: bool = False) -> str:
    """A difference with its sign: +3, −0.25, −17 min."""
    size = words.seconds(abs(one)) if seconds else number(abs(one), 4)
    return f"{'+' if one > 0 else MINUS if one < 0 else '±'}{size}"


def shift_words(field: FieldDifference, unit: str = "") -> str:
    """How far a field's numbers moved: at most +3 km, on average −0.2 km."""
    shift = field.shift
    if shift is None:
        return ""
    timed = field.name == "_time" or bool(field.after and field.after.type == "timestamp")
    tail = f" {unit}" if unit and not timed else ""
    if shift.count == 1 or math.isclose(shift.largest_by, shift.mean):
        return f"by {signed(shift.largest_by, seconds=timed)}{tail}"
    return (
        f"by {signed(shift.mean, seconds=timed)}{tail} on average, "
        f"{signed(shift.largest_by, seconds=timed)}{tail} at most"
    )


def total_cells(before: Totals | None, after: Totals | None) -> list[tuple[str, str, str, str]]:
    """(heading, before, after, change) of a metric's totals; the change is '' where there is none to tell."""
    cells = []
    for heading, name in (("Values", "count"), ("Sum", "sum"), ("Mean", "avg"), ("Least", "min"), ("Most", "max")):
        old = getattr(before, name) if before else None
        new = getattr(after, name) if after else None
        change = _change(old, new)
        apart = old is not None and new is not None and change != ROUNDING
        texts = pair(old, new) if apart else (number(old), number(new))
        cells.append((heading, *texts, change))
    return cells


def _change(before: float | None, after: float | None) -> str:
    if before is None or after is None or before == after:
        return ""
    if before == 0:
        return signed(after)
    if math.isclose(before, after):
        return ROUNDING
    percent = 100 * (after - before) / abs(before)
    if abs(percent) < 0.001:
        return "±0 %"
    sign = "+" if percent > 0 else MINUS
    return f"{sign}{abs(percent):.3g} %" if abs(percent) < 1000 else signed(after - before)
