"""What field the values at a place make: its type, name, unit and role; and which places tell the most.

Doubt decides for the wider type. Inference proposes a whole mapping of these, and drift adds what is new.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from dash_app.domain.paths import format_path
from dash_app.domain.specs import PathStep
from dash_app.pipelines.expression_plan import FALSE_TEXTS, INTEGER_TEXT, NUMBER_TEXT, TRUE_TEXTS
from dash_app.pipelines.inference.samples import Leaf, Path, leaves_of
from dash_app.pipelines.inference.times import WRAPPERS, all_iso8601, epoch_of
from dash_app.pipelines.names import field_name, unit_of

#: So many of a hundred values must be numbers for the rest to be words for "no value".
_MOSTLY = 0.8
_ENOUGH = 5
#: Average length of a text or of an array as JSON beyond which it is content, and the longest that is kept at all.
_LONG = 200
_LONGEST = 2000
_LIST = 300
_IDENTITY = re.compile(r"(?:^|_)(?:id|uuid|guid|code|port|pid|zip|zipcode|postcode|serial|year|version|number|no|nr)$")
_CATEGORY = re.compile(
    r"(?:^|_)(?:status|level|class|type|kind|category|group|mode|state|priority|severity|month|weekday)$"
)
_LINK = re.compile(r"(?:^|_)(?:url|uri|href|link|links|node_id|gravatar_id)$")
#: Names that say what a thing is, or how it is: worth as much as if they stood one step higher.
_TELLING = re.compile(
    r"^(?:name|full_name|display_name|screen_name|login|username|title|status|state|type|action|conclusion|result|"
    r"outcome|severity|level|category|country|city|region|value|amount|price|total|score|common|main|description)$"
)

_NUMBER = re.compile(NUMBER_TEXT)


def typed_leaves(found: Sequence[Leaf], *, textual: bool) -> list[Leaf]:
    """The leaves that can be fields, each with the type that it would have."""
    leaves = []
    for leaf in (one for each in found for one in _single(each)):
        if leaf.mixed:
            leaf.kind = "json"
        elif any(isinstance(value, list) for value in leaf.values):
            leaf.kind = "json" if _is_short_list(leaf) else ""
        else:
            leaf.kind = _text_kind(leaf) if textual else _json_kind(leaf)
        if leaf.kind:
            leaves.append(leaf)
    return leaves


def _single(leaf: Leaf) -> list[Leaf]:
    """The leaves inside of an array that has one object in it whenever it is there; else the leaf itself."""
    if len(leaf.values) < 2 or not all(
        isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) for value in leaf.values
    ):
        return [leaf]
    inner = leaves_of([value[0] for value in leaf.values])
    return [
        Leaf((*leaf.path, 0, *one.path), one.values)
        for one in inner
        if not one.mixed and not any(isinstance(value, list) for value in one.values)
    ]


def _is_short_list(leaf: Leaf) -> bool:
    sizes = [len(orjson.dumps(value)) for value in leaf.values]
    return any(leaf.values) and sum(sizes) / len(sizes) <= _LIST and max(sizes) <= _LONGEST


def _json_kind(leaf: Leaf) -> str:
    kinds = set(map(type, leaf.values))
    if kinds == {bool}:
        return "boolean"
    if kinds <= {int, float}:
        return "integer" if kinds == {int} and _names(leaf) else "number"
    if kinds == {str}:
        return "timestamp" if all_iso8601(leaf.values) else "text"
    return "number" if kinds <= {int, float, str} and _is_mostly_numbers(leaf) else "json"


def _text_kind(leaf: Leaf) -> str:
    values = [value.strip() for value in leaf.values]
    if all(_NUMBER.fullmatch(value) for value in values):
        # 007 and +47… are no numbers, although they look like some.
        odd = any(re.match(r"[+-]?0[0-9]|\+", value) for value in values)
        whole = all(re.fullmatch(INTEGER_TEXT, value) for value in values)
        if odd or any(len(value) > 300 for value in values):
            return "text"
        return "integer" if whole and _names(leaf) and all(len(value) < 19 for value in values) else "number"
    words = {value.lower() for value in values}
    if words <= {*TRUE_TEXTS, *FALSE_TEXTS} and max(map(len, words)) > 1:
        return "boolean"
    if _is_mostly_numbers(leaf):
        return "number"
    return "timestamp" if all_iso8601(values) else "text"


def _is_mostly_numbers(leaf: Leaf) -> bool:
    """Whether the values are amounts, but for a word here and there that says there is none: NA, not yet rated."""
    if len(leaf.values) < _ENOUGH or _IDENTITY.search(leaf.name):
        return False
    words = [value for value in leaf.values if _is_word(value)]
    few = len(set(words)) <= max(1, len(words) // 3) or len(words) * 20 <= len(leaf.values)
    return bool(words) and len(leaf.values) - len(words) >= _MOSTLY * len(leaf.values) and few


def _is_word(value: Any) -> bool:
    if isinstance(value, str):
        bare = value.strip()
        return not _NUMBER.fullmatch(bare) or bool(re.match(r"[+-]?0[0-9]", bare))
    return False


def _names(leaf: Leaf) -> bool:
    """Whether whole numbers are names rather than amounts."""
    values = [value for value in leaf.values if isinstance(value, int)]
    if any(not -(2**63) <= value < 2**63 for value in values):
        return False
    if _CATEGORY.search(leaf.name) and len(leaf.values) >= 20 and len(set(leaf.values)) <= 20:
        return True
    return bool(_IDENTITY.search(leaf.name)) or any(abs(value) > 2**53 for value in values)


def proposed_fields(leaf: Leaf, taken: set[str], *, textual: bool) -> list[dict[str, Any]]:
    """The field for a typed leaf, named unlike those in `taken` (which its names are added to), and a second one with
    the number where the first is a number written as text."""
    name = field_name(_telling(leaf.path), taken)
    made: dict[str, Any] = {"name": name, "path": format_path(leaf.path), "type": leaf.kind}
    unit = unit_of(name) if leaf.kind in ("number", "integer") else ""
    if unit:
        made["unit"] = unit
    whole = leaf.kind == "integer" or all(isinstance(one, int) for one in leaf.values)
    if leaf.kind in ("number", "integer") and whole and _names(leaf):
        made["role"] = "dimension"
    if leaf.kind != "text" or textual or not _is_decimal_text(leaf):
        return [made]
    made["name"] = field_name([f"{name}_text"], taken)
    number: dict[str, Any] = {"name": name, "sql": f"try_cast({made['name']} as number)", "type": "number"}
    if unit_of(name):
        number["unit"] = unit_of(name)
    return [made, number]


def _is_decimal_text(leaf: Leaf) -> bool:
    """Whether the texts of a JSON document are amounts, written as texts so that no digit is lost: "0.2694"."""
    if _IDENTITY.search(leaf.name) or not all(_NUMBER.fullmatch(str(value)) for value in leaf.values):
        return False
    return any("." in str(value) for value in leaf.values) and not any(
        str(value).startswith("+") for value in leaf.values
    )


def _telling(path: Path) -> Sequence[PathStep]:
    """The steps of a path that its name is made of: wrappers at its beginning say nothing."""
    if path and path[-2:-1] == ("coordinates",) and path[-1] in (0, 1, 2):
        return [("longitude", "latitude", "altitude")[int(path[-1])]]
    steps = [step for step in path if step != 0 or len(path) == 1]
    while len(steps) > 1 and str(steps[0]).lower() in WRAPPERS:
        steps = steps[1:]
    return steps


def telling_leaves(leaves: Sequence[Leaf], count: int, most: int) -> list[Leaf]:
    """The leaves of `count` records that tell the most, in the order in which they come: without links and the like,
    unless there is nothing else."""
    chosen = [leaf for leaf in leaves if not _is_noise(leaf)] or list(leaves)
    ranked = sorted(range(len(chosen)), key=lambda place: (_worth(chosen[place], count), place))
    return [chosen[place] for place in sorted(ranked[:most])]


def word_in(leaf: Leaf) -> str | None:
    """A word among a leaf's numbers, which stands for no value; None where there is none."""
    return next((value.strip() for value in leaf.values if _is_word(value)), None)


def _is_noise(leaf: Leaf) -> bool:
    """Links, very long texts, times as numbers, and constants that only say what kind of object this is."""
    if leaf.kind != "text":
        return epoch_of(leaf) is not None
    if leaf.path == ("specversion",):
        return True
    texts: Mapping[str, None] = dict.fromkeys(map(str, leaf.values))
    if _LINK.search(leaf.name) or _length(leaf) > _LONGEST:
        return True
    return all(text.startswith(("http://", "https://")) for text in texts) or set(texts) <= {"Feature", "Point"}


def _length(leaf: Leaf) -> float:
    texts = {str(value) for value in leaf.values}
    return sum(map(len, texts)) / len(texts)


def _worth(leaf: Leaf, count: int) -> tuple[bool, int, int]:
    """Smaller is more telling: seen in more than a few records, near the top, amounts before words, words that come
    again before those that never do."""
    distinct = len({str(value) for value in leaf.values})
    varied = leaf.kind == "text" and len(leaf.values) >= 20 and distinct > len(leaf.values) / 2
    order = {"number": 0, "boolean": 1, "text": 1, "timestamp": 2, "integer": 2, "json": 4}[leaf.kind]
    rare = count >= 20 and len(leaf.values) < count / 10
    long = leaf.kind == "text" and _length(leaf) > _LONG
    depth = sum(step != 0 for step in leaf.path) - bool(_TELLING.fullmatch(leaf.name) and len(leaf.path) > 1)
    return rare or long, depth, order + 2 * varied
