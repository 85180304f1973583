"""Writing a changed mapping into the text that somebody wrote: lines that a change does not touch stay as they are.

The text is cut at lines into the parts of the document and, below `fields`, its items. Parts that are as they were keep
their lines; others are written anew, with the comments before them kept. What comes out is read again and held
against the document: where the two are not the same, the document is written out plainly instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from dash_app.domain.errors import Invalid
from dash_app.domain.mapping_edits import PARTS
from dash_app.domain.mapping_text import compose_mapping_text, dump_block, load_mapping_text, mapping_text

_COMMENT = re.compile(r"\s+#.*$")
_ANY_COMMENT = re.compile(r"(?:^|\s)#[^\n]*", re.MULTILINE)


@dataclass(slots=True)
class _Chunk:
    """Lines of a part: the comments and blank lines before it, then its own."""

    before: list[str]
    own: list[str]


def rewrite(text: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, bool]:
    """The text of `new`, made from `text`, which is that of `old`; and whether everything that was only in the text
    (comments, blank lines, ways of writing) could be kept where it still has a place."""
    if text.strip() and old == new:
        return text, True
    if text.lstrip().startswith("{"):
        return json.dumps(new, indent=2, ensure_ascii=False) + "\n", True
    try:
        made = _rewritten(text, old, new)
        if made is not None and load_mapping_text(made) == new:
            fewer = len(new) < len(old) or _length(new) < _length(old)
            return made, fewer or not (_comments(text) - _comments(made))
    except (Invalid, yaml.YAMLError):
        pass
    return mapping_text(new), "#" not in text


def _rewritten(text: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    root = compose_mapping_text(text)
    if not isinstance(root, yaml.MappingNode) or root.flow_style or not new:
        return None
    lines = text.splitlines()
    if not all(isinstance(key, yaml.ScalarNode) for key, _ in root.value):
        return None
    starts = [(key.value, key.start_mark.line, value) for key, value in root.value]
    head, chunks, foot = _cut(lines, [line for _, line, _ in starts])
    parts = dict(zip((name for name, _, _ in starts), chunks, strict=True))
    nodes = {name: (line, value) for name, line, value in starts}
    kept: list[tuple[str, _Chunk]] = []
    for name in parts:
        if name not in new:
            continue
        chunk = parts[name]
        if new[name] != old.get(name):
            own = None
            if name == "fields":
                line, node = nodes[name]
                own = _items(lines, line, line + len(chunk.own), node, old[name], new[name])
            chunk = _Chunk(chunk.before, own or _trailing(chunk.own, _written(name, new[name])))
        kept.append((name, chunk))
    for name in new:
        if name not in parts:
            after = PARTS.index(name) if name in PARTS else len(PARTS)
            place = next(
                (at for at, (one, _) in enumerate(kept) if one in PARTS and PARTS.index(one) > after), len(kept)
            )
            kept.insert(place, (name, _Chunk([], _written(name, new[name]))))
    body = [line for _, chunk in kept for line in (*chunk.before, *chunk.own)]
    return "\n".join([*head, *body, *foot]) + "\n"


def _cut(lines: Sequence[str], starts: Sequence[int]) -> tuple[list[str], list[_Chunk], list[str]]:
    """Lines cut before each start; comments and blank lines directly above a start go with it."""
    if not starts:
        return list(lines), [], []
    firsts = []
    for start in starts:
        first = start
        while first > 0 and (not lines[first - 1].strip() or lines[first - 1].lstrip().startswith("#")):
            first -= 1
        firsts.append(first)
    ends = [*firsts[1:], len(lines)]
    last = ends[-1]
    while last > starts[-1] + 1 and (not lines[last - 1].strip() or lines[last - 1].lstrip().startswith("#")):
        last -= 1
    ends[-1] = last
    chunks = [
        _Chunk(list(lines[first:start]), list(lines[start:end]))
        for first, start, end in zip(firsts, starts, ends, strict=True)
    ]
    return list(lines[: firsts[0]]), chunks, list(lines[last:])


def _written(name: str, value: Any) -> list[str]:
    # A part that is one value would be written within braces otherwise.
    made = mapping_text({name: value}) if isinstance(value, Mapping | list) else dump_block({name: value})
    return made.rstrip("\n").split("\n")


def _trailing(old: Sequence[str], new: list[str]) -> list[str]:
    """A comment behind a part of one line stays behind it."""
    if len(old) == 1 and len(new) == 1 and (found := _COMMENT.search(old[0])) and _is_comment(old[0], found.start()):
        return [new[0] + found[0]]
    return new


def _is_comment(line: str, start: int) -> bool:
    """Whether a line means the same without what begins there: `#` may stand in a text too."""
    try:
        whole, cut = (load_mapping_text(f"x:\n  {one.strip()}") for one in (line, line[:start]))
    except Invalid:
        return False
    return whole == cut


def _comments(text: str) -> set[str]:
    return {found.strip() for found in _ANY_COMMENT.findall(text)}


def _length(document: Mapping[str, Any]) -> int:
    fields = document.get("fields")
    return len(fields) if isinstance(fields, list) else 0


def _items(lines: Sequence[str], start: int, end: int, node: yaml.Node, old: Any, new: Any) -> list[str] | None:
    """The lines of `fields`, with those of items that are as they were; None where the list must be written anew."""
    if not isinstance(node, yaml.SequenceNode) or node.flow_style or not isinstance(new, list) or not new:
        return None
    dashes = []
    for item in node.value:
        line = item.start_mark.line
        while line > start and not lines[line].lstrip().startswith("-"):
            line -= 1
        dashes.append(line)
    if not dashes or len(dashes) != len(old) or len(set(dashes)) != len(dashes):
        return None
    indent = len(lines[dashes[0]]) - len(lines[dashes[0]].lstrip())
    head, chunks, foot = _cut(lines[start:end], [line - start for line in dashes])
    free = list(range(len(old)))
    chosen: list[_Chunk | None] = []
    for item in new:
        at = next((one for one in free if old[one] == item), None)
        chosen.append(None if at is None else chunks[at])
        if at is not None:
            free.remove(at)
    for place, item in enumerate(new):
        if chosen[place] is not None:
            continue
        # What was changed: an item of the old list that is no more, of the same name or else at the same place.
        same = [one for one in free if _called(old[one]) == _called(item)] or ([place] if place in free else [])
        if same and len(new) <= len(old):
            free.remove(same[0])
            was = chunks[same[0]]
            block = not was.own[0].lstrip()[1:].lstrip().startswith("{")
            chosen[place] = _Chunk(was.before, _trailing(was.own, _item(item, indent, block=block)))
        else:
            chosen[place] = _Chunk([], _item(item, indent, block=False))
    body = [line for chunk in chosen if chunk is not None for line in (*chunk.before, *chunk.own)]
    return [*head, *body, *foot]


def _called(item: Any) -> Any:
    return item.get("name") if isinstance(item, Mapping) else None


def _item(item: Any, indent: int, *, block: bool) -> list[str]:
    text = dump_block([item]) if block else mapping_text({"fields": [item]}).partition("\n")[2]
    found = text.rstrip("\n").split("\n")
    own = len(found[0]) - len(found[0].lstrip())
    return [" " * indent + line[own:] if line.strip() else line for line in found]
