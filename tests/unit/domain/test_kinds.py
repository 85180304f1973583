"""Kinds: a class in a folder is there, and its parameters are options, validation, schema."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import param
import pytest

from dash_app.domain import kinds as kinds_module
from dash_app.domain.errors import Invalid
from dash_app.domain.kinds import Kind, Kinds

MODULE = """
import param
from dash_app.domain.kinds import Kind

class {name}(Kind):
    kind = "{kind}"
    size = param.Integer(default=1, bounds=(1, 9))
"""


class Base(Kind):
    """A family's base: no kind of its own."""

    size = param.Integer(default=3, bounds=(1, 9), doc="How   large\n it is.")


class Sample(Base):
    kind = "sample"
    summary = "One to try."
    secrets = frozenset({"password"})

    name_of_it = param.String(default="", label="Its name")
    password = param.String(default="")
    ratio = param.Number(default=0.5, bounds=(0, None))
    form: Any = param.Selector(default="round", objects=["round", "square"])
    on = param.Boolean(default=False)
    parts = param.List(default=[], item_type=str)
    more = param.Dict(default=None, allow_None=True)
    inner = param.Integer(default=7, precedence=-1)

    def problems(self) -> list[tuple[str, str]]:
        return [("", "a square one has no parts")] if self.form == "square" and self.parts else []


def test_options_are_the_parameters_that_a_person_can_set() -> None:
    assert set(Sample.options()) == {
        *("size", "name_of_it", "password", "ratio", "form", "on", "parts", "more"),
    }


def test_a_kind_is_made_of_options_and_gives_back_what_differs() -> None:
    made = Sample.from_options({"size": 5, "form": "square", "on": False})
    assert (made.size, made.form, made.ratio) == (5, "square", 0.5)
    assert made.to_options() == {"size": 5, "form": "square"}
    assert Sample.from_options(made.to_options()).to_options() == made.to_options()


def test_two_of_a_kind_share_nothing() -> None:
    one = Sample.from_options({"parts": ["a"]})
    one.parts.append("b")
    one.size = 9
    other = Sample.from_options({})
    assert (other.parts, other.size) == ([], 3)


def test_every_wrong_option_is_named_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        Sample.from_options({"size": 10, "colour": "red", "form": "oval", "inner": 1, "on": "yes"}, "source.options")
    named = dict(refused.value.problems)
    assert set(named) == {f"source.options.{name}" for name in ("size", "colour", "form", "inner", "on")}
    assert "no such option" in named["source.options.colour"]
    assert "inner" not in named["source.options.colour"], "what is internal is not offered"


def test_options_that_are_wrong_together_are_asked_for_when_each_is_right() -> None:
    with pytest.raises(Invalid) as refused:
        Sample.from_options({"form": "square", "parts": ["a"]})
    assert refused.value.problems == (("options", "a square one has no parts"),)


def test_the_json_schema_is_one_and_takes_what_the_kind_takes() -> None:
    schema = Sample.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert (schema["title"], schema["description"], schema["additionalProperties"]) == ("sample", "One to try.", False)
    found = schema["properties"]
    assert found["size"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 9,
        "description": "How large it is.",
        "default": 3,
        "title": "Size",
    }
    assert found["password"]["writeOnly"] is True
    assert found["form"]["enum"] == ["round", "square"]
    assert found["ratio"]["type"] == "number"
    assert "maximum" not in found["ratio"]
    assert found["name_of_it"]["title"] == "Its name"
    assert (found["on"]["type"], found["parts"]["type"], found["more"]["type"]) == ("boolean", "array", "object")
    assert "inner" not in found
    validator = jsonschema.Draft202012Validator(schema)
    for options in ({}, {"size": 9, "parts": ["x"]}):
        assert validator.is_valid(options)
        Sample.from_options(options)
    for options in ({"size": 10}, {"form": "oval"}, {"colour": "red"}):
        assert not validator.is_valid(options)
        with pytest.raises(Invalid):
            Sample.from_options(options)


# Loading -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    folder = tmp_path / "kinds_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    for name, kind in (("Second", "second"), ("First", "first"), ("Abstract", "")):
        (folder / f"{name.lower()}.py").write_text(MODULE.format(name=name, kind=kind))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("kinds_of_a_test")
    for name in [name for name in sys.modules if name.split(".")[0] == "kinds_of_a_test"]:
        del sys.modules[name]


def test_what_is_in_the_folder_is_there_by_name(package: ModuleType) -> None:
    kinds = Kinds.load("tests", package, Kind)
    assert kinds.names() == ["first", "second"]
    assert [kind.kind for kind in kinds] == ["first", "second"]
    assert "first" in kinds
    assert kinds["first"].from_options({"size": 4}).to_options() == {"size": 4}


@pytest.mark.parametrize("name", ["third", "", None, 3, ["first"], {}])
def test_an_unknown_kind_is_named_beside_those_there_are(package: ModuleType, name: Any) -> None:
    with pytest.raises(Invalid, match="first, second") as refused:
        Kinds.load("tests", package, Kind)[name]
    assert refused.value.problems[0][0] == "kind"


def test_two_of_one_name_are_refused(package: ModuleType) -> None:
    assert package.__file__ is not None
    (Path(package.__file__).parent / "twin.py").write_text(MODULE.format(name="Twin", kind="first"))
    importlib.invalidate_caches()
    with pytest.raises(Invalid, match="two tests are named first"):
        Kinds.load("tests", package, Kind)


def test_other_distributions_announce_theirs(package: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    class Announced:
        def load(self) -> type[Kind]:
            return Sample

    def announced(*, group: str) -> list[EntryPoint]:
        return [Announced()] if group == "dash_app.tests" else []  # type: ignore[list-item]

    monkeypatch.setattr(kinds_module, "entry_points", announced)
    assert Kinds.load("tests", package, Kind).names() == ["first", "sample", "second"]
    assert Kinds.load("others", package, Kind).names() == ["first", "second"]
    # Another family's kind in the folder is not this one's.
    assert Kinds.load("tests", package, Base).names() == ["sample"]
