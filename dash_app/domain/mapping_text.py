"""Mapping documents as text: YAML (or JSON) in, YAML out.

The YAML here is the part in which text means what it looks like: JSON's scalars and nothing else (`no`, `on` and
2024-01-31 are texts), no aliases, no tags, no key twice. Size, depth and number of nodes are checked on the stream of
events, before anything is built, so that a small text cannot grow into a large document.

One thing is easier than in YAML: a path with brackets may stand unquoted within braces, as in `{path: $['x-event']}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

from dash_app.domain.errors import Invalid

MAX_TEXT_BYTES = 256 * 1024
MAX_DEPTH = 60
MAX_NODES = 50_000

_NULL = re.compile(r"^(?:null|Null|NULL|~|)$")
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_INT = re.compile(r"^-?(?:0|[1-9][0-9]*)$")
_FLOAT = re.compile(r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$")
#: A path with brackets that YAML would take apart: `path: $['x']` or `[$['x'], …]` within braces or brackets.
_BARE_PATH = re.compile(
    r"(?P<before>\bpath:[ ]+|[\[,][ ]*)"
    r"""(?P<path>\$(?:\.[\w*]+|\[(?:'[^'\\\n]*'|"[^"\\\n]*"|-?\d+|\*)\])+)"""
    r"(?=[ ]*[,}\]])"
)
_RESOLVERS = {
    first: [
        (f"tag:yaml.org,2002:{tag}", pattern)
        for tag, pattern, firsts in (
            ("null", _NULL, "~nN"),
            ("bool", _BOOL, "tTfF"),
            ("int", _INT, "-0123456789"),
            ("float", _FLOAT, "-0123456789"),
        )
        if first in firsts
    ]
    for first in "~nNtTfF-0123456789"
} | {"": [("tag:yaml.org,2002:null", _NULL)]}


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = _RESOLVERS


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers = _RESOLVERS

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _object(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if key_node.tag != "tag:yaml.org,2002:str":
            raise _invalid(key_node.start_mark, "a key must be text; put it in quotes")
        key = loader.construct_object(key_node)
        if key in result:
            raise _invalid(key_node.start_mark, f"'{key}' stands here twice")
        result[key] = loader.construct_object(value_node, deep=True)
    return result


def _float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(loader.construct_scalar(node))


def _int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    if len(text) > 400:
        raise _invalid(node.start_mark, "this number is too long")
    return int(text)


_Loader.add_constructor("tag:yaml.org,2002:map", _object)
_Loader.add_constructor("tag:yaml.org,2002:int", _int)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)


def load_mapping_text(text: str) -> dict[str, Any]:
    """The document that a YAML or JSON text holds, not yet checked (`parse_mapping` does that).

    Raises Invalid with the number of the line.
    """
    if len(text.encode("utf-8", "replace")) > MAX_TEXT_BYTES:
        raise Invalid(f"a mapping's text has at most {MAX_TEXT_BYTES:,} bytes")
    try:
        try:
            document = _load(text)
        except yaml.MarkedYAMLError:
            quoted = _BARE_PATH.sub(lambda hit: hit["before"] + "'" + hit["path"].replace("'", "''") + "'", text)
            if quoted == text:
                raise
            document = _load(quoted)
    except yaml.MarkedYAMLError as error:
        raise _invalid(error.problem_mark or error.context_mark, error.problem or "not valid YAML") from None
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise Invalid(f"not valid YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(document, dict):
        raise Invalid("line 1: a mapping is an object with `fields`, this text is something else")
    return document


def mapping_text(document: Mapping[str, Any]) -> str:
    """A mapping document as YAML for showing and editing; `load_mapping_text` reads the same document from it."""
    plain = json.loads(json.dumps(document))
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)


def _load(text: str) -> Any:
    _check_events(text)
    return yaml.load(text, _Loader)  # a SafeLoader with fewer scalars


def _check_events(text: str) -> None:
    depth = nodes = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.AliasEvent):
            raise _invalid(event.start_mark, "aliases (*name) are not supported; write it out")
        if isinstance(event, yaml.NodeEvent):
            nodes += 1
            tag = getattr(event, "tag", None)
            if tag and tag != "!":
                raise _invalid(event.start_mark, f"tags ({tag}) are not supported")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            raise _invalid(event.start_mark, "nested too deep" if depth > MAX_DEPTH else "too many values")


def _invalid(mark: Any, what: str) -> Invalid:
    if mark is None:
        return Invalid(f"not valid YAML: {what}")
    return Invalid(f"line {mark.line + 1}, column {mark.column + 1}: {what}")
