"""Mapping documents as text: YAML (or JSON) in, YAML out.

The YAML here is the part in which text means what it looks like: JSON's scalars and nothing else (`no`, `on` and
2024-01-31 are texts), no aliases, no tags, no key twice. Size, depth and number of nodes are checked on the stream of
events, before anything is built, so that a small text cannot grow into a large document.

One thing is easier than in YAML: a path with brackets may stand unquoted within braces, as in `{path: $['x-event']}`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from dash_app.domain.errors import Invalid

MAX_TEXT_BYTES = 256 * 1024
MAX_DEPTH = 60
MAX_NODES = 50_000
#: What is said of a text that is longer.
TOO_LONG = f"a mapping's text has at most {MAX_TEXT_BYTES:,} bytes"

#: Whole numbers that JSON's writers take: those of 64 bits, with a sign or without.
_LEAST, _MOST = -(2**63), 2**64 - 1
_LONG = "a whole number has at most 64 bits"
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_HALF = "half a character (a surrogate that stands alone) cannot be kept"

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


def _text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    text = str(loader.construct_scalar(node))
    if _SURROGATE.search(text):
        try:
            # JSON writes a character beyond 16 bits as two escapes, which YAML takes for two characters.
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise _invalid(node.start_mark, _HALF) from None
    return text


def _float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    number = float(loader.construct_scalar(node))
    if not math.isfinite(number):
        raise _invalid(node.start_mark, "this number is too large")
    return number


def _int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    if len(text) > 400:
        raise _invalid(node.start_mark, "this number is too long")
    number = int(text)
    if not _LEAST <= number <= _MOST:
        raise _invalid(node.start_mark, _LONG)
    return number


_Loader.add_constructor("tag:yaml.org,2002:map", _object)
_Loader.add_constructor("tag:yaml.org,2002:str", _text)
_Loader.add_constructor("tag:yaml.org,2002:int", _int)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)


def load_mapping_text(text: str) -> dict[str, Any]:
    """The document that a YAML or JSON text holds, not yet checked (`parse_mapping` does that).

    Raises Invalid with the number of the line.
    """
    if text_bytes(text) > MAX_TEXT_BYTES:
        raise Invalid(TOO_LONG)
    try:
        try:
            document = _load(text)
        except yaml.MarkedYAMLError:
            quoted = _quoted_paths(text)
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


def text_bytes(text: str) -> int:
    """How long a text is in UTF-8, half characters included."""
    return len(text.encode("utf-8", "surrogatepass"))


def check_plain(value: Any) -> None:
    """Raises Invalid where a value as JSON has it cannot be written or sent: a whole number beyond 64 bits, one that is
    not finite, half a character, or nested deeper than a mapping may be."""
    rest = [(value, 0)]
    while rest:
        one, depth = rest.pop()
        if depth > MAX_DEPTH:
            raise Invalid("nested too deep")
        if isinstance(one, str):
            if _SURROGATE.search(one):
                raise Invalid(_HALF)
        elif isinstance(one, int):
            if not _LEAST <= one <= _MOST:
                raise Invalid(_LONG)
        elif isinstance(one, float):
            if not math.isfinite(one):
                raise Invalid("this number is too large")
        elif isinstance(one, Mapping):
            rest.extend((part, depth + 1) for pair in one.items() for part in pair)
        elif isinstance(one, Sequence):
            rest.extend((part, depth + 1) for part in one)


def mapping_text(document: Mapping[str, Any]) -> str:
    """A mapping document as YAML for showing and editing; `load_mapping_text` reads the same document from it."""
    plain = json.loads(json.dumps(document))
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)


def dump_block(value: Any) -> str:
    """A value as YAML, each of its parts on a line of its own."""
    plain = json.loads(json.dumps(value))
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=False)


def compose_mapping_text(text: str) -> yaml.Node | None:
    """The nodes of a text that `load_mapping_text` reads, each with its place. Lines are those of the text; columns
    behind a path that stands unquoted in braces are not. Raises yaml.YAMLError."""
    try:
        return yaml.compose(text, _Loader)
    except yaml.MarkedYAMLError:
        return yaml.compose(_quoted_paths(text), _Loader)


def _quoted_paths(text: str) -> str:
    return _BARE_PATH.sub(lambda hit: hit["before"] + "'" + hit["path"].replace("'", "''") + "'", text)


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
