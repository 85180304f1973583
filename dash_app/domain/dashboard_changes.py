"""What differs between two documents of a dashboard, part by part and tile by tile, in words for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dash_app.domain.templating import declared

What = Literal["added", "removed", "changed", "moved"]

#: Parts of the document that are told as a whole, and what they are called.
_WHOLE = {
    "title": "title",
    "description": "description",
    "folder": "folder",
    "tags": "tags",
    "time": "time range",
    "refresh": "refresh",
    "timezone": "time zone",
    "links": "links",
}
_WORDS = {"gridPos": "place", "time": "time range"}
#: Parts of a tile that are looked into, one level deep.
_OPENED = ("query", "options")


@dataclass(frozen=True, slots=True)
class Detail:
    """One part within: `query.where`, `options.unit`, `title`. What is not there is None."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs. `place`: `title`, `tiles.3`, `variables.site`, `annotations.Deploys`; `subject`: as it is
    called; `details`: which of its parts were changed."""

    place: str
    subject: str
    what: What
    details: Sequence[Detail] = ()

    @property
    def sentence(self) -> str:
        """Such as: tile “Wind” changed: query.where, options.unit."""
        parts = [_WORDS.get(one.name, one.name) for one in self.details if one.name not in ("", self.place)]
        inside = f": {', '.join(parts)}" if self.what == "changed" and parts else ""
        return f"{self.subject} {self.what}{inside}"

    def as_json(self) -> dict[str, Any]:
        return {
            "place": self.place,
            "subject": self.subject,
            "what": self.what,
            "details": [{"name": one.name, "before": one.before, "after": one.after} for one in self.details],
        }


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Everything that differs: the dashboard's own parts, its variables and annotations, then its tiles by place."""
    found = [
        Change(key, name, "changed", [Detail(key, old.get(key), new.get(key))])
        for key, name in _WHOLE.items()
        if (old.get(key) or None) != (new.get(key) or None)
    ]
    found += _named("variables", "variable", declared(old), declared(new), "name")
    found += _named("annotations", "annotations", _sources(old), _sources(new), "name")
    found += _tiles(old.get("tiles") or [], new.get("tiles") or [])
    return found


def summary(found: Sequence[Change], most: int = 4) -> str:
    """Changes in one line: title changed; tile “Wind” moved; 3 more."""
    told = [change.sentence for change in found[:most]]
    if len(found) > most:
        told.append(f"{len(found) - most} more")
    return "; ".join(told) or "nothing"


def _sources(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list((document.get("annotations") or {}).get("list") or ())


def _named(
    place: str, word: str, old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]], key: str
) -> list[Change]:
    """What was added to, taken from and changed in a list of things with names; their order as one change."""
    before, after = ({str(one.get(key)): one for one in side} for side in (old, new))
    found = []
    for name in {**before, **after}:
        subject = f"{word} {name}"
        if name not in after:
            found.append(Change(f"{place}.{name}", subject, "removed", [Detail("", before[name], None)]))
        elif name not in before:
            found.append(Change(f"{place}.{name}", subject, "added", [Detail("", None, after[name])]))
        elif before[name] != after[name]:
            found.append(Change(f"{place}.{name}", subject, "changed", _details(before[name], after[name])))
    kept = [name for name in before if name in after]
    if kept != [name for name in after if name in before]:
        found.append(Change(place, f"order of the {place}", "changed", [Detail("order", list(before), list(after))]))
    return found


def _tiles(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[Change]:
    before, after = ({str(tile.get("id")): tile for tile in side} for side in (old, new))
    found = []
    for identity in sorted({**before, **after}, key=lambda one: _rank(after.get(one) or before[one])):
        place, was, now = f"tiles.{identity}", before.get(identity), after.get(identity)
        subject = f"tile “{_called(now or was or {}, identity)}”"
        if now is None:
            found.append(Change(place, subject, "removed", [Detail("", was, None)]))
        elif was is None:
            found.append(Change(place, subject, "added", [Detail("", None, now)]))
        else:
            details = _details(was, now)
            moved = [one for one in details if one.name == "gridPos"]
            others = [one for one in details if one.name != "gridPos"]
            if others:
                found.append(Change(place, subject, "changed", others))
            if moved:
                found.append(Change(place, subject, "moved", moved))
    return found


def _called(tile: Mapping[str, Any], identity: str) -> str:
    return str(tile.get("title") or f"{tile.get('kind', 'tile')} {identity}")


def _rank(tile: Mapping[str, Any]) -> tuple[int, int]:
    at = tile.get("gridPos") or {}
    return int(at.get("y") or 0), int(at.get("x") or 0)


def _details(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Detail]:
    found = []
    for key in dict.fromkeys([*before, *after]):
        was, now = before.get(key), after.get(key)
        if was == now:
            continue
        if key in _OPENED and isinstance(was or {}, Mapping) and isinstance(now or {}, Mapping):
            old, new = was or {}, now or {}
            parts = [part for part in dict.fromkeys([*old, *new]) if old.get(part) != new.get(part)]
            found += [Detail(f"{key}.{part}", old.get(part), new.get(part)) for part in parts]
        else:
            found.append(Detail(key, was, now))
    return found
