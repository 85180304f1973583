"""Dashboards from templates: a use that many have, as rows of tiles with places for a pipeline's own fields.

A template is one YAML file in `templates/`. Its inputs are guessed from the names and types of a pipeline's fields, and
can be said. `{amount}` in a text becomes the field's name, `{amount:words}` and `{amount:title}` the name in words,
`{amount:unit}` its unit, `{amount:sql}` the name as conditions take it, `{pipeline}` the pipeline. A tile or a variable
with an input that has no field is left out, and so is one whose `without` has one; the row closes up.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from dash_app.domain.dashboard_layout import in_rows
from dash_app.domain.dashboards import check_dashboard
from dash_app.domain.errors import Conflict, Invalid, NotFound
from dash_app.domain.mapping import parse_mapping
from dash_app.domain.specs import FieldSpec, MappingSpec, Pipeline
from dash_app.domain.templating import names_used
from dash_app.pipelines.dashboards import free_uid, uid_for
from dash_app.pipelines.names import in_condition, in_words, snake_case
from dash_app.storage import catalog
from dash_app.storage.unit import Unit

_HOLE = re.compile(r"(?<!\$)\{([a-z_]+)(?::(words|title|unit|sql))?\}")


@dataclass(frozen=True, slots=True)
class Input:
    """A field that a template asks for. `types`: those it may have; `guess`: names, the likeliest first."""

    name: str
    title: str
    summary: str
    types: Sequence[str]
    guess: Sequence[str]
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """`layout`: the document with holes, its tiles in rows."""

    name: str
    title: str
    summary: str
    inputs: Sequence[Input]
    layout: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """What somebody needs who chooses one and fills it."""
        inputs = [
            {
                "name": each.name,
                "title": each.title,
                "summary": each.summary,
                "types": list(each.types),
                "needed": each.needed,
            }
            for each in self.inputs
        ]
        return {"name": self.name, "title": self.title, "summary": self.summary, "inputs": inputs}


@cache
def _loaded() -> Mapping[str, Template]:
    folder = files("dash_app.pipelines").joinpath("templates")
    found = [_read(file.read_text()) for file in folder.iterdir() if file.name.endswith(".yaml")]
    return {one.name: one for one in sorted(found, key=lambda one: one.title)}


def _read(text: str) -> Template:
    said = yaml.safe_load(text)
    inputs = [Input(**one) for one in said.pop("inputs")]
    return Template(said.pop("name"), said.pop("title"), said.pop("summary"), inputs, said)


def all_templates() -> list[Template]:
    return list(_loaded().values())


def template(name: str) -> Template:
    found = _loaded().get(name)
    if found is None:
        raise NotFound(f"no template '{name[:60]}'; there are {', '.join(_loaded())}")
    return found


def fitting(unit: Unit, ref: Any) -> dict[str, dict[str, str]]:
    """For each template by its name: the fields of a pipeline for its inputs, as far as their names tell. Where one is
    needed and not among them, the pipeline is about something else, or calls it something else."""
    fields = _mapping(unit, catalog.pipeline(unit, ref)).fields
    return {one.name: guess(one, fields, by_name=True) for one in all_templates()}


def instantiate(unit: Unit, name: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """A dashboard document of a template under a uid that is free, checked, not saved.

    `asked`: `pipeline` (slug or id), `fields` (input → field; null: none; inputs that are not named are guessed),
    `title`. Raises NotFound for the template or the pipeline, Conflict where there is no mapping, Invalid for fields
    that are missing or do not fit.
    """
    chosen = template(name)
    pipeline = catalog.pipeline(unit, str(asked.get("pipeline", "")))
    fields = _mapping(unit, pipeline).fields
    filled = fill(chosen, pipeline, fields, _chosen(chosen, fields, asked.get("fields") or {}))
    title = asked.get("title")
    if title is not None and (not isinstance(title, str) or not 1 <= len(title.strip()) <= 200):
        raise Invalid(problems=[("title", "a text of 1 to 200 characters is needed")])
    filled["title"] = str(title or filled["title"]).strip()
    filled["uid"] = free_uid(unit, uid_for(filled["title"]))
    return check_dashboard(filled)


def guess(chosen: Template, fields: Sequence[FieldSpec], *, by_name: bool = False) -> dict[str, str]:
    """The field of a mapping for each input of a template. A field is taken once, by the first input that it suits. An
    input that is needed takes the likeliest of its type where no name tells, unless `by_name` is asked for."""
    found: dict[str, str] = {}
    for one in chosen.inputs:
        free = [field for field in fields if field.type in one.types and field.name not in found.values()]
        match = next((field.name for word in one.guess for field in free if _means(field.name, word)), None)
        if match is None and one.needed and free and not by_name:
            metrics = [field for field in free if field.is_metric]
            match = (metrics or free)[0].name
        if match is not None:
            found[one.name] = match
    return found


def fill(
    chosen: Template, pipeline: Pipeline, fields: Sequence[FieldSpec], inputs: Mapping[str, str]
) -> dict[str, Any]:
    """The document of a template for a pipeline, its inputs being these fields; without a uid."""
    specs = {field.name: field for field in fields}
    holes = {name: specs[field] for name, field in inputs.items()}
    made = {key: value for key, value in chosen.layout.items() if key not in ("rows", "variables")}
    made = {"title": pipeline.name, "description": chosen.summary, **made}
    variables: list[Mapping[str, Any]] = []
    dropped: set[str] = set()
    for one in chosen.layout.get("variables", ()):
        variable = _without(one, dropped)
        if _wanted(variable, chosen, holes):
            variables.append(variable)
        else:
            dropped.add(one["name"])
    rows = [[_without(tile, dropped) for tile in row] for row in chosen.layout["rows"]]
    rows = [[_bare(tile) for tile in row if _wanted(tile, chosen, holes)] for row in rows]
    filled: dict[str, Any] = _filled(made, pipeline.slug, holes)
    if variables:
        filled["templating"] = {"list": _filled(variables, pipeline.slug, holes)}
    filled["tiles"] = in_rows(_filled(rows, pipeline.slug, holes))
    return filled


def _chosen(chosen: Template, fields: Sequence[FieldSpec], asked: Any) -> dict[str, str]:
    """The field of each input: what was said, else what can be guessed. Raises Invalid."""
    if not isinstance(asked, Mapping):
        raise Invalid(problems=[("fields", 'an object is needed, such as {"amount": "total"}')])
    known = {one.name: one for one in chosen.inputs}
    specs = {field.name: field for field in fields}
    problems = [
        (f"fields.{str(name)[:60]}", f"this template has no such input; it has {', '.join(known)}")
        for name in asked
        if name not in known
    ]
    rest = [field for field in fields if field.name not in asked.values()]
    found = {name: field for name, field in guess(chosen, rest).items() if name not in asked}
    for name, one in known.items():
        field = asked.get(name)
        fitting = ", ".join(spec.name for spec in fields if spec.type in one.types) or "none of this pipeline's fields"
        if field is not None:
            if field not in specs:
                problems.append((f"fields.{name}", f"there is no field '{str(field)[:60]}'; {fitting} would do"))
            elif specs[field].type not in one.types:
                wrong = f"'{field}' is {specs[field].type}; {' or '.join(one.types)} is needed: {fitting}"
                problems.append((f"fields.{name}", wrong))
            else:
                found[name] = field
        elif one.needed and name not in found:
            problems.append((f"fields.{name}", f"a field is needed, {one.summary}: {fitting} would do"))
    if problems:
        raise Invalid(problems=problems)
    return found


def _mapping(unit: Unit, pipeline: Pipeline) -> MappingSpec:
    if pipeline.mapping_version is None:
        raise Conflict(
            "this pipeline has no mapping yet: send the first payload, or save a mapping, and then try again"
        )
    return parse_mapping(catalog.mapping(unit, pipeline.id, pipeline.mapping_version).document)


def _means(name: str, word: str) -> bool:
    """Whether a field's name has these words in it, side by side."""
    return re.search(rf"(^|_){word}s?($|_)", snake_case(name)) is not None


def _wanted(part: Mapping[str, Any], chosen: Template, holes: Mapping[str, FieldSpec]) -> bool:
    inputs = {one.name for one in chosen.inputs}
    if any(name in holes for name in part.get("without", ())):
        return False
    return all(name in holes for name in _names(part) & inputs)


def _bare(part: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key != "without"}


def _names(part: Any) -> set[str]:
    if isinstance(part, str):
        return {name for name, _ in _HOLE.findall(part)}
    if isinstance(part, Mapping):
        return set().union(*map(_names, [*part.values(), *part]))
    return set().union(*map(_names, part)) if isinstance(part, list) else set()


def _filled(part: Any, pipeline: str, holes: Mapping[str, FieldSpec]) -> Any:
    def put(found: re.Match[str]) -> str:
        if found[1] == "pipeline":
            return pipeline
        field = holes.get(found[1])
        if field is None:
            return found[0]
        words = in_words(field.name)
        shapes = {
            "words": words,
            "title": words[:1].upper() + words[1:],
            "unit": field.unit,
            "sql": in_condition(field.name),
        }
        return shapes.get(found[2], field.name)

    if isinstance(part, str):
        return _HOLE.sub(put, part)
    if isinstance(part, Mapping):
        return {_filled(key, pipeline, holes): _filled(value, pipeline, holes) for key, value in part.items()}
    return [_filled(one, pipeline, holes) for one in part] if isinstance(part, list) else part


def _without(part: Mapping[str, Any], dropped: set[str]) -> dict[str, Any]:
    """A tile or a variable without the conditions on variables that are not there. Conditions of templates are
    comparisons joined with `and`."""
    made = copy.deepcopy(dict(part))
    for query in (made.get("query"), *(made.get("queries") or ())):
        if isinstance(query, dict) and isinstance(query.get("where"), str):
            kept = [one for one in query["where"].split(" and ") if not names_used(one) & dropped]
            query["where"] = " and ".join(kept)
            if not kept:
                del query["where"]
    return made
