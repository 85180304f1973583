"""Kinds: what can be dropped into a folder and is there.

A kind is one class in one file. Its parameters are what a person can set: from the declaration come the validation,
the form, the JSON schema of the API and the reference page. `Kinds.load` finds the classes of a family by importing
the modules of a package, and those other distributions announce as entry points of the group `dash_app.<family>`.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, ClassVar, Generic, Self, TypeVar

import param

from dash_app.domain.errors import Invalid


class Kind(param.Parameterized):
    """Base of every kind. A parameter with `precedence=-1` is internal; one named in `secrets` is write-only."""

    #: The name in documents; abstract bases leave it empty.
    kind: ClassVar[str] = ""
    #: One line for people who choose among kinds.
    summary: ClassVar[str] = ""
    secrets: ClassVar[frozenset[str]] = frozenset()
    #: Those of them that reach nobody: what only signs or is only compared with.
    unsent: ClassVar[frozenset[str]] = frozenset()
    #: JSON Schema of options that says more than their parameters do: by option. Forms are made of it: `oneOf` (see
    #: `variants`) is a choice with inputs of its own, `properties` a group, `items` a list of groups, `format` is
    #: `sql`, `pem`, `json` or `text` for what takes several lines, `x-titles` names choices for people, and `x-part-
    #: of` names the option whose secrets stand here.
    shapes: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @classmethod
    def options(cls) -> dict[str, param.Parameter[Any]]:
        """The parameters a person can set, by name."""
        return {
            name: parameter
            for name, parameter in cls.param.objects("existing").items()
            if name != "name" and (parameter.precedence is None or parameter.precedence >= 0)
        }

    @classmethod
    def from_options(cls, options: Mapping[str, Any], where: str = "options") -> Self:
        """The kind with these options; Invalid names every option that is unknown or wrong."""
        for name in cls.secrets & set(options):
            # Said here, because param's own message would repeat the value, and with it the secret.
            if isinstance(cls.param[name], param.Dict) and not isinstance(options[name], dict):
                raise Invalid(problems=[(f"{where}.{name}", "is not an object of names and values")])
        known = cls.options()
        problems = [
            (f"{where}.{name}", f"{cls.kind} has no such option; it has {', '.join(sorted(known)) or 'none'}")
            for name in options
            if name not in known
        ]
        made = cls()
        for name, value in options.items():
            if name in known:
                try:
                    setattr(made, name, value)
                except (ValueError, TypeError) as error:
                    problems.append((f"{where}.{name}", str(error)))
        if not problems:
            problems = [(f"{where}.{name}" if name else where, what) for name, what in made.problems()]
        if problems:
            raise Invalid(problems=problems)
        return made

    def problems(self) -> list[tuple[str, str]]:
        """What is wrong with the options together: (option, message) pairs."""
        return []

    @classmethod
    def secret_to_text(cls, name: str, value: Any) -> str:
        """A secret option's value as the text that the vault keeps."""
        return value if isinstance(cls.param[name], param.String) else json.dumps(value)

    @classmethod
    def secret_from_text(cls, name: str, text: str) -> Any:
        """The value of a secret option that `secret_to_text` made text of."""
        return text if isinstance(cls.param[name], param.String) else json.loads(text)

    def to_options(self) -> dict[str, Any]:
        """What differs from the defaults, ready to be stored."""
        return {name: getattr(self, name) for name, p in self.options().items() if getattr(self, name) != p.default}

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """The options as a JSON Schema object (draft 2020-12)."""
        return {
            "type": "object",
            "title": cls.kind,
            "description": cls.summary,
            "additionalProperties": False,
            "properties": {
                name: {**_schema(p), **cls.shapes.get(name, {}), **_secret(name in cls.secrets)}
                for name, p in cls.options().items()
            },
        }


def variants(kinds: Iterable[type[Kind]], key: str = "type") -> dict[str, Any]:
    """The JSON Schema of an option that holds one of several kinds: `{"type": kind, options of that kind}`."""
    found = []
    for kind in kinds:
        schema = kind.json_schema()
        properties = {key: {"const": kind.kind}, **schema["properties"]}
        found.append({**schema, "properties": properties, "required": [key]})
    return {"oneOf": found}


def group(kind: type[Kind]) -> dict[str, Any]:
    """The JSON Schema of an option that holds the options of one kind."""
    wanted = ("description", "properties", "additionalProperties")
    return {name: part for name, part in kind.json_schema().items() if name in wanted}


def _secret(is_secret: bool) -> dict[str, Any]:
    return {"writeOnly": True} if is_secret else {}


def _schema(parameter: param.Parameter[Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    if isinstance(parameter, param.Boolean):
        schema["type"] = "boolean"
    elif isinstance(parameter, param.Integer):
        schema["type"] = "integer"
    elif isinstance(parameter, param.Number):
        schema["type"] = "number"
    elif isinstance(parameter, param.Selector):
        schema["enum"] = list(parameter.objects)
    elif isinstance(parameter, param.List):
        schema["type"] = "array"
    elif isinstance(parameter, param.Dict):
        schema["type"] = "object"
    elif isinstance(parameter, param.String):
        schema["type"] = "string"
    if isinstance(parameter, param.Number) and parameter.bounds:
        low, high = parameter.bounds
        schema |= ({"minimum": low} if low is not None else {}) | ({"maximum": high} if high is not None else {})
    if parameter.doc:
        schema["description"] = " ".join(parameter.doc.split())
    if parameter.default is not None:
        schema["default"] = parameter.default
    if parameter.label and parameter.label != parameter.name:
        schema["title"] = parameter.label
    return schema


K = TypeVar("K", bound=Kind)


class Kinds(Generic[K]):
    """The kinds of one family by name."""

    def __init__(self, family: str, kinds: Mapping[str, type[K]]) -> None:
        self.family = family
        self._kinds = dict(kinds)

    @classmethod
    def load(cls, family: str, package: ModuleType, base: type[K]) -> Kinds[K]:
        """Every concrete subclass of `base` defined in a module of `package`, or announced by an entry point."""
        found: dict[str, type[K]] = {}
        modules = [
            importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__)
        ]
        candidates = [value for module in modules for value in vars(module).values()]
        candidates += [entry.load() for entry in entry_points(group=f"dash_app.{family}")]
        for value in candidates:
            is_kind = isinstance(value, type) and issubclass(value, base) and value.kind
            if is_kind and found.setdefault(value.kind, value) is not value:
                raise Invalid(f"two {family} are named {value.kind}: {found[value.kind]} and {value}")
        return cls(family, dict(sorted(found.items())))

    def __getitem__(self, kind: str) -> type[K]:
        try:
            return self._kinds[kind]
        except (KeyError, TypeError):
            raise Invalid(problems=[("kind", f"'{kind}' is unknown; there are {', '.join(self._kinds)}")]) from None

    def __iter__(self) -> Iterator[type[K]]:
        return iter(self._kinds.values())

    def __contains__(self, kind: object) -> bool:
        return kind in self._kinds

    def names(self) -> list[str]:
        return list(self._kinds)
