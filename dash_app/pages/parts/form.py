# mypy: disable-error-code="no-untyped-call"
"""A form made from a kind's JSON schema, the same declaration that validates the API and writes the reference.

What a kind calls write-only is masked and never filled in; what goes with one choice alone (the options of a signature
scheme) is shown with that choice; what most people leave as it is waits under "More options".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import panel as pn
import panel_material_ui as pmui
from markupsafe import escape

from dash_app.domain.errors import Invalid
from dash_app.domain.mapping import load_mapping_text

#: Names that people look for first, in the order in which they ask.
_FIRST = ("url", "scheme", "interval_seconds")
_MASK = ":host { --mask: disc; } textarea, input { -webkit-text-security: disc; }"
_INPUT = {"size": "small", "sizing_mode": "stretch_width", "margin": (4, 0)}

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


class KindForm:
    """The inputs of one kind. `view` is what stands on the page; `changed` is called after each change."""

    def __init__(
        self, schema: Schema, example: Mapping[str, Any], pane: Callable[..., pn.pane.HTML], changed: Callable[[], None]
    ) -> None:
        self.schema = schema
        self._pane = pane
        self._changed = changed
        self._inputs: dict[str, Any] = {}
        self._notes: dict[str, pn.pane.HTML] = {}
        self._rows: dict[str, pn.Column] = {}
        self._main = main_options(schema, example)
        self._first = pn.Column(margin=0, sizing_mode="stretch_width")
        self._rest = pn.Column(margin=0, sizing_mode="stretch_width", visible=False)
        self._more = pmui.Button(label="More options", variant="text", size="small", margin=(4, 0))
        self._more.on_click(self._toggle)
        self.view = pn.Column(self._first, self._more, self._rest, margin=0, sizing_mode="stretch_width")
        self._arrange()

    def _add(self, name: str, schema: Schema) -> None:
        label, default = label_of(name, schema), schema.get("default")
        made: Any
        if "enum" in schema:
            made = pmui.Select(label=label, options=list(schema["enum"]), value=default, **_INPUT)
        elif schema.get("type") == "boolean":
            made = pmui.Switch(label=label, value=bool(default), margin=(4, 0))
        elif schema.get("type") == "object":
            text = write_value(schema, default)
            shape = "name: value, one a line"
            made = pmui.TextAreaInput(label=label, value=text, placeholder=shape, rows=2, auto_grow=True, **_INPUT)
        else:
            made = pmui.TextInput(label=label, value=write_value(schema, default), **_INPUT)
        if schema.get("writeOnly"):
            made.stylesheets = [*made.stylesheets, _MASK]
        made.param.watch(lambda _event, name=name: self._changed_one(name), "value")
        self._inputs[name] = made
        self._notes[name] = self._pane(_note(schema))
        self._rows[name] = pn.Column(made, self._notes[name], margin=(0, 0, 8, 0), sizing_mode="stretch_width")

    def _toggle(self, _event: Any) -> None:
        self._rest.visible = not self._rest.visible
        self._more.label = "Fewer options" if self._rest.visible else "More options"
        self._arrange()

    def _choices(self) -> dict[str, Any]:
        return {
            n: self._inputs[n].value
            for n, each in self.schema["properties"].items()
            if "enum" in each and n in self._inputs
        }

    def _row(self, name: str) -> pn.Column:
        """An option's input with its note, made when it is first shown: each one costs the server milliseconds."""
        if name not in self._rows:
            self._add(name, self.schema["properties"][name])
        return self._rows[name]

    def _arrange(self) -> None:
        names = shown_options(self.schema, self._choices())
        self._first.objects = [self._row(name) for name in names if name in self._main]
        rest = [name for name in names if name not in self._main]
        self._rest.objects = [self._row(name) for name in rest] if self._rest.visible else []
        self._more.visible = bool(rest)

    def _changed_one(self, name: str) -> None:
        if "enum" in self.schema["properties"][name]:
            self._arrange()
        self._changed()

    def values(self) -> dict[str, Any]:
        """The options that differ from the defaults. Raises Invalid with each input that cannot be read."""
        given: dict[str, Any] = {}
        problems: list[tuple[str, str]] = []
        for name in shown_options(self.schema, self._choices()):
            if name not in self._inputs:
                continue
            schema = self.schema["properties"][name]
            try:
                value = read_value(schema, self._inputs[name].value)
            except Invalid as error:
                problems.append((name, error.message))
                continue
            empty = value in ("", {}, []) and schema.get("default") in (None, "", {}, [])
            if name in _FIRST or not (empty or value == schema.get("default")):
                given[name] = value
        if problems:
            raise Invalid(problems=problems)
        return given

    def show(self, problems: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Writes each problem below its input; answers those that belong to none."""
        wrong: dict[str, str] = {}
        others: list[tuple[str, str]] = []
        for place, what in problems:
            name = place.split(".")[0].split("[")[0]
            if name in self.schema["properties"]:
                wrong.setdefault(name, what)
            else:
                others.append((place, what))
        if not self._rest.visible and any(name not in self._main for name in wrong):
            self._toggle(None)
        for name, made in self._inputs.items():
            note = _note(self.schema["properties"][name], wrong.get(name, ""))
            if self._notes[name].object != note:
                self._notes[name].object = note
            if hasattr(made, "error_state") and made.error_state != (name in wrong):
                made.error_state = name in wrong
        return others


def _note(schema: Schema, wrong: str = "") -> str:
    if wrong:
        return f'<div class="field"><span class="wrong" role="alert">{escape(wrong)}</span></div>'
    return f'<div class="field"><span class="help">{escape(schema.get("description", ""))}</span></div>'
