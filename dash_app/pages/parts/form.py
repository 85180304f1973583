"""A form made from a kind's JSON schema, the same declaration that validates the API and writes the reference.

What a kind calls write-only is masked and never filled in; what goes with one choice alone (the options of a signature
scheme) is shown with that choice; what most people leave as it is waits under "More options".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dash_app.domain.errors import Invalid
from dash_app.domain.kinds import Kind
from dash_app.domain.mapping import load_mapping_text

#: Names that people look for first, in the order in which they ask.
_FIRST = ("url", "scheme", "interval_seconds")
#: Those that stand before what an example shows.
_LEADING = ("url", "scheme", "method", "auth")
#: Who one is, beside a password.
_NAMES = frozenset({"username", "user"})

Schema = Mapping[str, Any]


def label_of(name: str, schema: Schema) -> str:
    """'interval_seconds' → 'Interval (seconds)', 'url' → 'URL'."""
    words = name.replace("_", " ").strip()
    title = str(schema.get("title", ""))
    if title.lower() not in ("", words):
        # Not the one that is made of the name, but one that somebody chose.
        return title
    for unit in ("seconds", "bytes", "days"):
        if words.endswith(" " + unit):
            words = f"{words.removesuffix(' ' + unit)} ({unit})"
    return {"url": "URL"}.get(words, words[:1].upper() + words[1:])


def shown_options(schema: Schema, values: Mapping[str, Any]) -> list[str]:
    """The options that go with these values: all, less those that a condition under `allOf` keeps for another
    choice."""
    names = list(schema["properties"])
    for condition in schema.get("allOf", ()):
        (option, wanted), *_ = condition["if"]["properties"].items()
        if values.get(option, schema["properties"][option].get("default")) == wanted["const"]:
            allowed = condition["then"].get("propertyNames", {}).get("enum", names)
            names = [name for name in names if name in allowed]
    return sorted(names, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))


def main_options(schema: Schema, example: Mapping[str, Any]) -> set[str]:
    """The options that are asked for at once; the rest waits under "More options"."""
    conditional = {name for each in schema.get("allOf", ()) for name in each["then"].get("properties", {})}
    secret = {name for name, each in schema["properties"].items() if each.get("writeOnly")}
    plain = {name for name in example if schema["properties"].get(name, {}).get("type") == "string"}
    return set(_FIRST) | conditional | secret | plain


def read_value(schema: Schema, text: Any) -> Any:
    """What an input holds, as the option's value. Raises Invalid."""
    kind = schema.get("type")
    if not isinstance(text, str):
        return text
    text = text.strip()
    if kind == "object":
        return load_mapping_text(text) if text else {}
    if kind == "array":
        return [part.strip() for part in text.replace("\n", ",").split(",") if part.strip()]
    if kind in ("integer", "number"):
        try:
            return int(text) if kind == "integer" else float(text)
        except ValueError:
            raise Invalid(f"'{text[:40]}' is not a {'whole ' if kind == 'integer' else ''}number") from None
    if kind is None:
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def write_value(schema: Schema, value: Any) -> str:
    """An option's value as its input shows it; `read_value` reads the same value from it."""
    if value is None:
        return ""
    if isinstance(value, dict):
        return "\n".join(
            f"{name}: {part if isinstance(part, str) else json.dumps(part)}" for name, part in value.items()
        )
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, str) and schema.get("type") is not None:
        return value
    return str(value) if isinstance(value, int | float) else json.dumps(value)


def form_of(kind: type[Kind], values: Mapping[str, Any], kept: frozenset[str] = frozenset()) -> dict[str, Any]:
    """What `static/source/kind-form.js` makes a form of: the kind's JSON schema, an example for placeholders, the
    values so far without secrets, the secrets that are kept, and in which part of the form an option stands.

    `parts`: {option: main | schedule | more}. A kind that is dropped into its folder has a form by this alone.
    """
    schema, example = kind.json_schema(), dict(getattr(kind, "example", {}))
    return {
        "schema": schema,
        "example": example,
        "values": {name: value for name, value in values.items() if name not in kind.secrets},
        "kept": sorted(kept),
        "parts": {name: part_of(kind, name, schema, example) for name in _ordered(kind, schema, example)},
    }


def part_of(kind: type[Kind], name: str, schema: Schema, example: Mapping[str, Any]) -> str:
    """In which part of its form an option is asked for: `main` at once, `schedule` where it says when, or `more`."""
    option = schema["properties"][name]
    if _declared(kind, name) == "PollSource":
        return "schedule"
    if name in _FIRST or name in _LEADING or name in _NAMES or name in example or "oneOf" in option:
        return "main"
    conditional = {each for one in schema.get("allOf", ()) for each in one["then"].get("properties", {})}
    if name in conditional:
        return "more" if option.get("type") == "integer" else "main"
    asked = option.get("writeOnly") and option.get("type") == "string" and option.get("format") != "pem"
    return "main" if asked and not getattr(kind, "pushed", False) else "more"


def _declared(kind: type[Kind], name: str) -> str:
    """The name of the class that declares an option."""
    return kind.param[name].owner.__name__ if name in kind.param else ""


def _ordered(kind: type[Kind], schema: Schema, example: Mapping[str, Any]) -> list[str]:
    """First what people look for first, then what the example shows in its order, then as declared; what every source
    has comes last."""
    shown = [name for name in example if name in schema["properties"]]
    rank = {name: place for place, name in enumerate(dict.fromkeys([*_LEADING, *shown]))}
    last = {name for name in schema["properties"] if _declared(kind, name) == "Source"}
    return sorted(schema["properties"], key=lambda name: (name in last, rank.get(name, len(rank))))
