"""A JSON value as a tree that is shown a level at a time: what is looked at costs, and not what there is."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import orjson

from dash_app.domain.specs import PathStep

#: Children that are answered at once.
MANY = 100
#: Nodes that are opened by themselves, level by level.
OPENED = 160
#: Elements of a list that is opened by itself.
_FEW = 5
_TEXT = 200


@dataclass(frozen=True, slots=True)
class Node:
    """A place in a payload. `kind`: object | array | text | number | boolean | null. `text`: the value, cut; `size`:
    how many members, elements or characters. `children`: those that are shown at once, None: it is not open yet."""

    step: PathStep
    kind: str
    text: str
    size: int
    children: tuple[Node, ...] | None = None


def tree_of(value: Any) -> Node:
    """The root of a value, opened as far as there is room for."""
    return _opened(_node(None, value), value)


def children_of(value: Any, start: int = 0) -> list[Node]:
    """The next children of a value, those that are small opened already."""
    budget = OPENED
    found = []
    for step, child in _members(value, start):
        node = _node(step, child)
        if budget > 0 and 0 < node.size <= 8 and node.kind in ("object", "array"):
            node = _opened(node, child, 24)
            budget -= 24
        found.append(node)
    return found


def _node(step: PathStep, value: Any) -> Node:
    if isinstance(value, dict):
        return Node(step, "object", "", len(value))
    if isinstance(value, list):
        return Node(step, "array", "", len(value))
    if value is None:
        return Node(step, "null", "null", 0)
    if isinstance(value, bool):
        return Node(step, "boolean", str(value).lower(), 0)
    if isinstance(value, str):
        return Node(step, "text", value[:_TEXT], len(value))
    return Node(step, "number", str(value) if isinstance(value, int) else orjson.dumps(value).decode(), 0)


def _members(value: Any, start: int = 0) -> list[tuple[PathStep, Any]]:
    pairs: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return list(itertools.islice(pairs, max(0, start), max(0, start) + MANY))


def _opened(root: Node, value: Any, budget: int = OPENED) -> Node:
    """A node opened level by level, the first of each list before the others, while the budget lasts."""
    if root.kind not in ("object", "array") or not root.size or budget <= 0:
        return root
    shown = _members(value)[: max(_FEW, budget) if root.kind == "object" else _FEW]
    nodes = [_node(step, child) for step, child in shown]
    left = budget - len(nodes)
    inner = [place for place, node in enumerate(nodes) if node.kind in ("object", "array") and node.size]
    # Of a list's elements the first is opened: the others are like it.
    for place in inner[:1] if root.kind == "array" else inner:
        if min(nodes[place].size, _FEW if nodes[place].kind == "array" else MANY) <= left:
            nodes[place] = _opened(nodes[place], shown[place][1], left)
            left -= _count(nodes[place])
    return replace(root, children=tuple(nodes))


def _count(node: Node) -> int:
    return 1 + sum(map(_count, node.children or ()))
