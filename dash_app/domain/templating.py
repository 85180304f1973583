"""The variables that a dashboard declares: what is accepted as one, and values that a query can be tried with.

What a variable's value does to a query is said by `dash_app.domain.variables`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dash_app.domain.errors import Invalid
from dash_app.domain.query import parse_every
from dash_app.domain.variables import ALL

TYPES = ("query", "custom", "text", "interval")
MOST_VARIABLES = 30
MOST_OPTIONS = 500
MOST_TEXT = 1000
INTERVALS = ("1m", "5m", "15m", "1h", "1d", "auto")

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
_KEYS = ("name", "label", "type", "multi", "includeAll", "current", "hide")
_MORE = {"query": ("query",), "custom": ("options",), "interval": ("options",), "text": ()}
_QUERY = ("pipeline", "field", "where")
#: `$name` or `${name}`; the browser's own (`${__from}`) begin with underscores and are no variable's.
_USED = re.compile(r"\$(?:([A-Za-z][A-Za-z0-9_]*)|\{([A-Za-z][A-Za-z0-9_]*)\})")

Problems = list[tuple[str, str]]


def names_used(value: Any) -> set[str]:
    """The variables that the texts within a part of a document name."""
    if isinstance(value, str):
        return {plain or braced for plain, braced in _USED.findall(value)}
    if isinstance(value, Mapping):
        return set().union(*map(names_used, value.values()))
    if isinstance(value, Sequence):
        return set().union(*map(names_used, value))
    return set()


def declared(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The variables of a document that was checked."""
    return list((document.get("templating") or {}).get("list") or ())


def defaults(document: Mapping[str, Any]) -> dict[str, Any]:
    """The values that the variables of a checked document have before anybody chooses."""
    found = {one["name"]: one.get("current", ALL if one.get("includeAll") else None) for one in declared(document)}
    return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Tried:
    """Values for a document's variables: one that is likely, and the most that a viewer can choose."""

    likely: Mapping[str, Any]
    most: Mapping[str, Any]

    def all(self) -> list[Mapping[str, Any]]:
        return [self.likely] if self.likely == self.most else [self.likely, self.most]


def check_templating(value: Any, problems: Problems) -> Tried:
    """Adds what is wrong with a document's `templating`; answers values with which the queries that use its variables
    can be tried."""
    likely: dict[str, Any] = {}
    most: dict[str, Any] = {}
    if value is None:
        return Tried(likely, most)
    listed = value.get("list", []) if isinstance(value, Mapping) and set(value) <= {"list"} else None
    if not isinstance(listed, list) or len(listed) > MOST_VARIABLES:
        problems.append(("templating", f'such as {{"list": []}}, with at most {MOST_VARIABLES} variables'))
        return Tried(likely, most)
    for number, variable in enumerate(listed):
        place = f"templating.list[{number}]"
        if not isinstance(variable, Mapping):
            problems.append((place, "a variable is an object with name and type"))
            continue
        name = variable.get("name")
        before = len(problems)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            problems.append((f"{place}.name", "1 to 41 of a-z, 0-9 and _, beginning with a letter"))
        elif name in likely:
            problems.append((f"{place}.name", f"'{name}' is another variable's already"))
        _check(variable, place, likely, problems)
        if isinstance(name, str):
            right = len(problems) == before
            likely.setdefault(name, _likely(variable) if right else "value")
            most.setdefault(name, _most(variable) if right else "value")
    return Tried(likely, most)


def _check(variable: Mapping[str, Any], place: str, earlier: Mapping[str, Any], problems: Problems) -> None:
    kind = variable.get("type")
    if not isinstance(kind, str) or kind not in TYPES:
        problems.append((f"{place}.type", f"one of {', '.join(TYPES)}"))
        return
    known = (*_KEYS, *_MORE[kind])
    problems.extend(
        (f"{place}.{str(key)[:60]}", f"a variable of type {kind} has {', '.join(known)}")
        for key in variable
        if key not in known
    )
    label = variable.get("label")
    if label is not None and (not isinstance(label, str) or len(label) > 100):
        problems.append((f"{place}.label", "a text of at most 100 characters"))
    for flag in ("multi", "includeAll", "hide"):
        if not isinstance(variable.get(flag, False), bool):
            problems.append((f"{place}.{flag}", "true or false"))
    if kind in ("text", "interval") and (variable.get("multi") or variable.get("includeAll")):
        problems.append((f"{place}.multi", f"a variable of type {kind} has one value"))
    if kind == "query":
        _check_query(variable.get("query"), f"{place}.query", earlier, problems)
    elif kind == "custom":
        _check_options(variable.get("options"), f"{place}.options", problems)
    elif kind == "interval":
        _check_intervals(variable.get("options", list(INTERVALS)), f"{place}.options", problems)
    _check_current(variable, place, problems)


def _check_query(value: Any, place: str, earlier: Mapping[str, Any], problems: Problems) -> None:
    if not isinstance(value, Mapping):
        problems.append((place, 'a query is needed, such as {"pipeline": "weather", "field": "site"}'))
        return
    problems.extend((f"{place}.{str(key)[:60]}", f"it has {', '.join(_QUERY)}") for key in value if key not in _QUERY)
    for name in ("pipeline", "field"):
        if not isinstance(value.get(name), str) or not value[name].strip():
            problems.append((f"{place}.{name}", f"the name of a {name} is needed"))
    where = value.get("where")
    if where is not None and (not isinstance(where, str) or len(where) > 10_000):
        problems.append((f"{place}.where", "a condition is a text of at most 10,000 characters"))
    later = sorted(names_used(value) - set(earlier))
    if later:
        problems.append((place, f"it uses {', '.join(later)}; a variable can use those that stand before it"))


def _check_options(value: Any, place: str, problems: Problems) -> None:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_OPTIONS:
        problems.append((place, f'a list of 1 to {MOST_OPTIONS} options, such as ["a", {{"text": "B", "value": "b"}}]'))
        return
    for number, one in enumerate(value):
        pair = isinstance(one, Mapping) and set(one) == {"text", "value"}
        texts = [one["text"], one["value"]] if pair else [one]
        if not all(isinstance(text, str) and len(text) <= MOST_TEXT for text in texts):
            problems.append((f"{place}[{number}]", 'a text, or {"text": …, "value": …}'))


def _check_intervals(value: Any, place: str, problems: Problems) -> None:
    if not isinstance(value, list) or not 1 <= len(value) <= 20:
        problems.append((place, f"a list of 1 to 20 widths, such as {', '.join(INTERVALS)}"))
        return
    for number, one in enumerate(value):
        try:
            if one != "auto":
                parse_every(one)
        except Invalid as error:
            problems.append((f"{place}[{number}]", f"{error.problems[0][1]}; or auto"))


def _check_current(variable: Mapping[str, Any], place: str, problems: Problems) -> None:
    if variable.get("current") is None:
        return
    current = variable["current"]
    several = isinstance(current, list)
    values = current if several else [current]
    if several and not variable.get("multi"):
        problems.append((f"{place}.current", "one text; a list goes with multi"))
    elif len(values) > MOST_OPTIONS or not all(isinstance(one, str) and len(one) <= MOST_TEXT for one in values):
        problems.append((f"{place}.current", f"a text, or with multi a list of at most {MOST_OPTIONS} texts"))
    elif ALL in values and not variable.get("includeAll"):
        problems.append((f"{place}.current", f"{ALL} goes with includeAll"))


def _likely(variable: Mapping[str, Any]) -> Any:
    """The value that a variable has at first, or else the first that it offers."""
    current = variable.get("current")
    if current not in (None, "", []):
        return current
    first = (_offered(variable) or ["value"])[0]
    return [first] if variable.get("multi") else first


def _most(variable: Mapping[str, Any]) -> Any:
    if variable.get("includeAll"):
        return ALL
    return (_offered(variable) or ["value", "another"])[:2] if variable.get("multi") else _likely(variable)


def _offered(variable: Mapping[str, Any]) -> list[str]:
    options = variable.get("options") or (INTERVALS if variable["type"] == "interval" else ())
    return [one["value"] if isinstance(one, Mapping) else one for one in options]
