"""Operations and commands that nobody wrote down are as good as missing."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import typer

from dash_app.cli import cli
from dash_app.web.api import OPERATIONS
from dash_app.web.api.openapi import document
from dash_app.web.api.schema import COMPONENTS

DOCS = Path(__file__).parents[3] / "docs"


def test_every_operation_stands_in_the_docs_with_its_role() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    assert [one.name for one in OPERATIONS if f"| `{one.method} {one.path}` |" not in text] == []
    for one in OPERATIONS:
        line = next(line for line in text.splitlines() if line.startswith(f"| `{one.method} {one.path}` |"))
        assert ("repeatable" in line) == one.keyed, line


def test_every_command_and_option_stands_in_the_docs() -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    whole = typer.main.get_command(cli)
    found = []
    for name, command in whole.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found += [(f"{name} {sub}", one) for sub, one in inner.items()] if inner else [(name, command)]
    assert len(found) == 7
    for name, command in found:
        assert f"`dash-app {name}`" in text
        for option in command.params:
            flag = next((one for one in option.opts if one.startswith("--")), None)
            assert flag is None or flag in text, (name, flag)


def test_schemas_of_bodies_and_answers_are_schemas_and_refer_to_what_is_there() -> None:
    whole = document(OPERATIONS)
    for one in OPERATIONS:
        for schema in filter(None, (one.body, one.answer, *one.query.values())):
            jsonschema.Draft202012Validator.check_schema(dict(schema))
    named = {part["$ref"].rsplit("/", 1)[1] for part in _parts(whole) if "/schemas/" in part.get("$ref", "")}
    assert named <= COMPONENTS.keys()
    answers = {part["$ref"].rsplit("/", 1)[1] for part in _parts(whole) if "/responses/" in part.get("$ref", "")}
    assert answers <= whole["components"]["responses"].keys()


def _parts(value: object) -> list[dict[str, str]]:
    if isinstance(value, dict):
        return [value, *(part for one in value.values() for part in _parts(one))]
    return [part for one in value for part in _parts(one)] if isinstance(value, list | tuple) else []
