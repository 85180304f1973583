"""What differs between two mappings, part by part, and whether two people's changes to one go together."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dash_app.domain.mapping_edits import PARTS


@dataclass(frozen=True, slots=True)
class Change:
    """A part of a mapping that differs. `place`: `records`, `fields.magnitude`, …; what is not there is None."""

    place: str
    kind: Literal["added", "removed", "changed", "moved"]
    before: Any = None
    after: Any = None


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Everything that differs, in the order in which a document's parts stand."""
    before, after = _parts(old), _parts(new)
    names = sorted({**before, **after}, key=lambda name: _rank(name, before, after))
    found = [change for name in names if (change := _change(name, before, after)) is not None]
    kept = [name for name in before if name in after and name.startswith("fields.")]
    if kept != [name for name in after if name in before and name.startswith("fields.")]:
        found.append(
            Change(
                "fields", "moved", [one[7:] for one in before if one in kept], [one[7:] for one in after if one in kept]
            )
        )
    return found


def merged(
    base: Mapping[str, Any], theirs: Mapping[str, Any], mine: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Both people's changes to `base` in one document, and the places that both changed otherwise: mine stand there.

    Fields stand in my order, or in theirs where I moved none; those that the other added come behind the field that
    stands before them there. Where both moved fields otherwise, `fields` is one of the places.
    """
    parts = {name: _parts(one) for name, one in (("base", base), ("theirs", theirs), ("mine", mine))}
    both: list[str] = []
    chosen: dict[str, Any] = {}
    for name in {**parts["mine"], **parts["theirs"], **parts["base"]}:
        was, their, my = (parts[one].get(name) for one in ("base", "theirs", "mine"))
        if their != was and my != was and their != my:
            both.append(name)
        kept = their if my == was else my
        if kept is not None:
            chosen[name] = kept
    made = {name: chosen[name] for name in chosen if not name.startswith("fields.")}
    fields = {whose: [name for name in one if name.startswith("fields.")] for whose, one in parts.items()}
    first, second = fields["mine"], fields["theirs"]
    if _moved(fields["base"], second):
        if not _moved(fields["base"], first):
            first, second = second, first
        elif _moved(first, second):
            both.append("fields")
    order = [name for name in first if name in chosen]
    above = ""
    for name in second:
        if name in chosen and name not in order:
            order.insert(order.index(above) + 1 if above in order else 0, name)
        above = name
    if order or "fields" in mine:
        made["fields"] = [chosen[name] for name in order]
    known = [name for name in PARTS if name in made]
    return copy.deepcopy({name: made[name] for name in [*known, *(one for one in made if one not in PARTS)]}), both


def _moved(before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether names that are in both stand in another order."""
    return [name for name in before if name in after] != [name for name in after if name in before]


def _parts(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document flat: `fields` by their names, everything else whole. A name that stands twice is numbered."""
    found: dict[str, Any] = {}
    for name, value in document.items():
        if name != "fields" or not isinstance(value, Sequence) or isinstance(value, str):
            found[str(name)] = value
            continue
        for number, field in enumerate(value):
            called = field.get("name") if isinstance(field, Mapping) else None
            place = f"fields.{called or number}"
            while place in found:
                place += "'"
            found[place] = field
    return found


def _change(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Change | None:
    old, new = before.get(name), after.get(name)
    if old == new:
        return None
    return Change(name, "added" if old is None else "removed" if new is None else "changed", old, new)


def _rank(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[int, int, int]:
    part = name.split(".", 1)[0]
    rank = PARTS.index(part) if part in PARTS else len(PARTS)
    places = (list(after), list(before))
    return rank, 0 if name in after else 1, places[0].index(name) if name in after else places[1].index(name)
