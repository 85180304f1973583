"""Expressions of mappings (`sql`, `where`) and of queries (`where`): text → a small typed tree that anything can be
made of.

The language is the part of SQL that looks at one record. It has its own parser because the list of what may stand in
it is closed: what is not in the grammar here cannot be written, and every refusal names its position. Two readers turn
trees into work: `expression_plan` into Polars expressions, `dash_app.storage.filters` into
PostgreSQL.

What the nodes of a tree are is written in `dash_app.domain.expressions`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from dash_app.domain.errors import Invalid
from dash_app.domain.expressions import Call, Cast, Column, Literal, Tree, children, columns_of
from dash_app.pipelines.functions import ALIASES, FUNCTIONS, HINTS, PART_FUNCTIONS, PARTS, WIDTHS, Function

__all__ = [
    "Call",
    "Cast",
    "Column",
    "Literal",
    "Tree",
    "children",
    "columns_of",
    "parse_condition",
    "parse_expression",
    "parse_filter",
    "text_growth",
]

MAX_LENGTH = 4000
MAX_NODES = 200
MAX_NESTING = 50
MAX_LITERAL = 1000
#: A query's condition may list what a viewer has ticked: so many values, which do not count as nodes.
MAX_FILTER_LENGTH = 100_000
MAX_LISTED = 1000


_TYPES = {
    "number": "number", "double": "number", "float": "number", "real": "number",
    "integer": "integer", "int": "integer", "bigint": "integer",
    "text": "text", "varchar": "text", "string": "text",
    "boolean": "boolean", "bool": "boolean",
    "timestamp": "timestamp", "timestamptz": "timestamp",
}  # fmt: skip
_CASTS = {
    ("text", "number"), ("text", "integer"), ("text", "boolean"), ("text", "timestamp"),
    ("number", "integer"), ("number", "text"), ("integer", "number"), ("integer", "text"),
    ("boolean", "number"), ("boolean", "integer"), ("boolean", "text"),
    ("number", "boolean"), ("integer", "boolean"), ("timestamp", "text"),
}  # fmt: skip
_COMPARE = {"=": "eq", "<>": "ne", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_SUMS = {"+": "add", "-": "sub"}
_PRODUCTS = {"*": "mul", "/": "div", "%": "mod"}
_KEYWORDS = frozenset(
    [
        "and",
        "or",
        "not",
        "is",
        "null",
        "in",
        "between",
        "like",
        "ilike",
        "case",
        "when",
        "then",
        "else",
        "end",
        "cast",
        "try_cast",
        "true",
        "false",
        "extract",
        "from",
        "as",
    ]
)
_NUMERAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?![A-Za-z_0-9.])
      | (?P<text>'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")+")
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<comment>--|/\*)
      | (?P<op>\|\||::|<=|>=|<>|!=|[-+*/%=<>(),])""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def parse_expression(text: str, columns: Mapping[str, str]) -> Tree:
    """The tree of `text` over `columns` (name → type).

    Raises Invalid with the position (counted from 1) where it is malformed, badly typed, too large, or uses what is
    not there.
    """
    return _Parser(text, columns, filtering=False).parse()


def parse_condition(text: str, columns: Mapping[str, str]) -> Tree:
    """A `where` of a mapping: as `parse_expression`, and its value is a boolean."""
    return _boolean(_Parser(text, columns, filtering=False).parse())


def parse_filter(text: str, columns: Mapping[str, str]) -> Tree:
    """A `where` of a query: as `parse_condition`, with the functions that PostgreSQL answers in the same way."""
    return _boolean(_Parser(text, columns, filtering=True).parse())


def size_of(tree: Tree) -> int:
    """How many nodes a tree has."""
    return 1 + sum(map(size_of, children(tree)))


def text_growth(tree: Tree, known: Mapping[str, float]) -> float:
    """How many times longer than the texts of a record the text of this tree can be, at most.

    `known` gives it for columns that are computed themselves; others count 1, and 64 characters written down do too.
    """
    if isinstance(tree, Column):
        return known.get(tree.name, 1.0)
    if isinstance(tree, Literal):
        return len(tree.value) / 64 if isinstance(tree.value, str) else 0.0
    below = [text_growth(child, known) for child in children(tree)]
    if isinstance(tree, Call):
        if tree.name in ("concat", "concat_op"):
            return sum(below)
        if tree.name == "replace":
            old, new = (len(str(arg.value)) for arg in tree.args[1:] if isinstance(arg, Literal))
            return below[0] * max(1.0, new / old)
        if tree.name in ("upper", "lower"):
            return below[0] * 3  # 'ΐ' has three capitals
    return max(below, default=0.0)


def _boolean(tree: Tree) -> Tree:
    if tree.type not in ("boolean", "null"):
        raise Invalid(f"position 1: a condition is true or false, this is {tree.type}")
    return tree


class _Parser:
    """Recursive descent over the tokens; each method reads one level of precedence and checks its types on the way."""

    def __init__(self, text: str, columns: Mapping[str, str], *, filtering: bool) -> None:
        if not isinstance(text, str):
            raise Invalid("an expression is text")
        longest = MAX_FILTER_LENGTH if filtering else MAX_LENGTH
        if len(text) > longest:
            raise Invalid(f"an expression has at most {longest:,} characters, this one {len(text):,}")
        self._columns = {name.lower(): Column(name, kind) for name, kind in columns.items()}
        self._filtering = filtering
        self._tokens = _tokens(text)
        self._next = 0
        self._nodes = 0
        self._most = MAX_NODES
        self._nesting = 0

    def parse(self) -> Tree:
        tree = self._or()
        if self._peek.kind != "end":
            self._fail(f"unexpected {_shown(self._peek)}")
        return tree

    # -- reading tokens

    @property
    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next += token.kind != "end"
        return token

    def _accept(self, *texts: str) -> _Token | None:
        token = self._peek
        if token.kind in ("op", "keyword") and token.text in texts:
            return self._take()
        return None

    def _expect(self, text: str) -> _Token:
        return self._accept(text) or self._fail(f"{text} expected, found {_shown(self._peek)}")

    def _fail(self, what: str, at: int | None = None) -> NoReturn:
        raise Invalid(f"position {(self._peek.at if at is None else at) + 1}: {what}")

    # -- making nodes

    def _node(self, tree: Tree, at: int) -> Tree:
        self._count(1, at)
        return tree

    def _count(self, more: int, at: int) -> None:
        self._nodes += more
        if self._nodes > self._most:
            self._fail(f"an expression has at most {MAX_NODES} operations, names and values", at)

    def _call(self, name: str, args: tuple[Tree, ...], type_: str, at: int) -> Tree:
        return self._node(Call(name, args, type_), at)

    def _again(self, tree: Tree, times: int, at: int) -> None:
        """Count a part that is written once and worked out several times, or nesting would multiply without end."""
        self._count(times * size_of(tree), at)

    def _is(self, tree: Tree, type_: str, what: str, at: int) -> Tree:
        fits = tree.type in (type_, "null") or (type_ == "number" and tree.type == "integer")
        if not fits:
            self._fail(f"{what} takes {type_}, found {_named(tree)}", at)
        return tree

    def _alike(self, trees: list[Tree], what: str, at: int) -> tuple[tuple[Tree, ...], str]:
        """The values as one type, which is also given: numbers mix, a text becomes a time beside times, and in a
        query's condition a text written down becomes a number beside numbers, true or false beside booleans."""
        types = {tree.type for tree in trees} - {"null"}
        if self._filtering and "text" in types and len(types) > 1 and types <= {"text", "number", "integer", "boolean"}:
            trees = [self._as_written(tree, types, at) for tree in trees]
            types = {tree.type for tree in trees} - {"null"}
        if "timestamp" in types and types <= {"timestamp", "text"}:
            trees = [self._moment(tree, at) if tree.type == "text" else tree for tree in trees]
            types = {"timestamp"}
        if types == {"number", "integer"}:
            types = {"number"}
        if len(types) > 1 or "json" in types:
            found = " and ".join(_named(tree) for tree in trees if tree.type != "null")
            self._fail(f"{what} takes values of one type, found {found[:200]}", at)
        return tuple(trees), next(iter(types), "null")

    def _as_written(self, tree: Tree, types: set[str], at: int) -> Tree:
        """A text written down, read as what stands beside it: a dashboard's variables are texts whatever they mean."""
        if not isinstance(tree, Literal) or not isinstance(tree.value, str):
            return tree
        text = tree.value.strip()
        if types == {"text", "boolean"}:
            if text.lower() not in ("true", "false"):
                self._fail(f"'{text[:60]}' is neither true nor false", at)
            return Literal(text.lower() == "true", "boolean")
        if "boolean" in types or not _NUMERAL.fullmatch(text):
            self._fail(f"'{text[:60]}' is not a number", at)
        numeral = self._numeral(_Token("number", text.lstrip("+-"), at))
        if text.startswith("-") and isinstance(numeral.value, int | float):
            return Literal(-numeral.value, numeral.type)
        return numeral

    def _moment(self, tree: Tree, at: int) -> Tree:
        if not isinstance(tree, Literal):
            self._fail(f"cast {_named(tree)} to timestamp first", at)
        try:
            moment = datetime.fromisoformat(str(tree.value))
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            self._fail(f"'{str(tree.value)[:60]}' is not an ISO 8601 time", at)
        return Literal(moment, "timestamp")

    # -- the levels, from the loosest to the tightest

    def _or(self) -> Tree:
        left = self._and()
        while token := self._accept("or"):
            args = (self._is(left, "boolean", "or", token.at), self._is(self._and(), "boolean", "or", token.at))
            left = self._call("or", args, "boolean", token.at)
        return left

    def _and(self) -> Tree:
        left = self._not()
        while token := self._accept("and"):
            args = (self._is(left, "boolean", "and", token.at), self._is(self._not(), "boolean", "and", token.at))
            left = self._call("and", args, "boolean", token.at)
        return left

    def _not(self) -> Tree:
        token = self._accept("not")
        if token is None:
            return self._comparison()
        with_deeper = self._deeper(token.at, self._not)
        return self._call("not", (self._is(with_deeper, "boolean", "not", token.at),), "boolean", token.at)

    def _deeper(self, at: int, read: Any) -> Tree:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            self._fail(f"nested more than {MAX_NESTING} deep", at)
        tree: Tree = read()
        self._nesting -= 1
        return tree

    def _comparison(self) -> Tree:
        left = self._concat()
        while True:
            token = self._peek
            if self._accept(*_COMPARE):
                args, _ = self._alike([left, self._concat()], token.text, token.at)
                left = self._call(_COMPARE[token.text], args, "boolean", token.at)
            elif self._accept("is"):
                negated = self._accept("not")
                self._expect("null")
                left = self._call("is_null", (left,), "boolean", token.at)
                left = self._call("not", (left,), "boolean", token.at) if negated else left
            else:
                negated = self._accept("not")
                test = self._accept("in", "between", "like", "ilike")
                if test is None:
                    if negated:
                        self._fail(f"in, between or like expected, found {_shown(self._peek)}")
                    return left
                left = self._test(left, test)
                left = self._call("not", (left,), "boolean", test.at) if negated else left

    def _test(self, left: Tree, token: _Token) -> Tree:
        if token.text == "between":
            self._again(left, 1, token.at)
            low = self._concat()
            self._expect("and")
            (value, low, high), _ = self._alike([left, low, self._concat()], "between", token.at)
            above = self._call("ge", (value, low), "boolean", token.at)
            return self._call("and", (above, self._call("le", (value, high), "boolean", token.at)), "boolean", token.at)
        if token.text == "in":
            options = self._listed() if self._filtering else self._arguments()
            if not options:
                self._fail("in needs at least one value", token.at)
            self._again(left, sum(not isinstance(option, Literal) for option in options), token.at)
            args, _ = self._alike([left, *options], "in", token.at)
            return self._call("in", args, "boolean", token.at)
        at = self._peek.at
        pattern = self._concat()
        if not isinstance(pattern, Literal) or not isinstance(pattern.value, str):
            self._fail(f"{token.text} takes a pattern written down, like 'north%'", at)
        return self._call(token.text, (self._is(left, "text", token.text, token.at), pattern), "boolean", token.at)

    def _concat(self) -> Tree:
        left = self._sum()
        while token := self._accept("||"):
            args = (self._is(left, "text", "||", token.at), self._is(self._sum(), "text", "||", token.at))
            left = self._call("concat_op", args, "text", token.at)
        return left

    def _sum(self) -> Tree:
        left = self._product()
        while token := self._accept(*_SUMS):
            left = self._arithmetic(_SUMS[token.text], left, self._product(), token)
        return left

    def _product(self) -> Tree:
        left = self._unary()
        while token := self._accept(*_PRODUCTS):
            left = self._arithmetic(_PRODUCTS[token.text], left, self._unary(), token)
        return left

    def _arithmetic(self, name: str, left: Tree, right: Tree, token: _Token) -> Tree:
        args = (self._is(left, "number", token.text, token.at), self._is(right, "number", token.text, token.at))
        return self._call(name, args, "number", token.at)

    def _unary(self) -> Tree:
        token = self._accept("-", "+")
        if token is None:
            return self._postfix()
        value = self._is(self._deeper(token.at, self._unary), "number", token.text, token.at)
        if token.text == "+":
            return value
        if isinstance(value, Literal) and isinstance(value.value, int | float):
            return Literal(-value.value, value.type)
        return self._call("neg", (value,), "number", token.at)

    def _postfix(self) -> Tree:
        tree = self._primary()
        while token := self._accept("::"):
            tree = self._cast(tree, self._type(), False, token.at)
        return tree

    def _primary(self) -> Tree:
        token = self._take()
        if token.kind == "number":
            return self._node(self._numeral(token), token.at)
        if token.kind == "text":
            value = token.text[1:-1].replace("''", "'")
            if len(value) > MAX_LITERAL or "\0" in value:
                self._fail(f"a text has at most {MAX_LITERAL} characters and no \\0", token.at)
            return self._node(Literal(value, "text"), token.at)
        if token.kind == "quoted":
            return self._column(token.text[1:-1].replace('""', '"'), token.at)
        if token.kind == "word":
            if self._accept("("):
                return self._deeper(token.at, lambda: self._function(token))
            return self._column(token.text, token.at)
        if token.text == "(":
            tree = self._deeper(token.at, self._or)
            self._expect(")")
            return tree
        if token.text in ("true", "false", "null") and token.kind == "keyword":
            truth = {"true": True, "false": False}.get(token.text)
            return self._node(Literal(truth, "null" if truth is None else "boolean"), token.at)
        if token.text == "case":
            return self._deeper(token.at, lambda: self._case(token))
        if token.text in ("cast", "try_cast"):
            return self._deeper(token.at, lambda: self._cast_call(token))
        if token.text == "extract":
            return self._deeper(token.at, lambda: self._extract(token))
        return self._fail(f"a value, a field or a function expected, found {_shown(token)}", token.at)

    def _numeral(self, token: _Token) -> Literal:
        if token.text.isdigit() and len(token.text) <= 19 and int(token.text) < 2**63:
            return Literal(int(token.text), "integer")
        value = float(token.text)
        if math.isinf(value):
            self._fail(f"{token.text[:30]} is too large for a number", token.at)
        return Literal(value, "number")

    def _column(self, name: str, at: int) -> Tree:
        column = self._columns.get(name.lower())
        if column is None:
            if name.lower() in HINTS:
                self._fail(HINTS[name.lower()], at)
            known = ", ".join(column.name for column in list(self._columns.values())[:30]) or "none"
            self._fail(f"there is no field '{name[:70]}' that can be used here; there are: {known}", at)
        return self._node(column, at)

    def _case(self, token: _Token) -> Tree:
        subject = None if self._peek.text == "when" else self._or()
        conditions: list[Tree] = []
        values: list[Tree] = []
        while when := self._accept("when"):
            test = self._or()
            if subject is not None:
                self._again(subject, 1, when.at)
                pair, _ = self._alike([subject, test], "case", when.at)
                test = self._call("eq", pair, "boolean", when.at)
            conditions.append(self._is(test, "boolean", "when", when.at))
            self._expect("then")
            values.append(self._or())
        if not conditions:
            self._fail("case needs at least one when")
        values.append(self._or() if self._accept("else") else self._node(Literal(None, "null"), token.at))
        self._expect("end")
        alike, type_ = self._alike(values, "case", token.at)
        pairs = [part for pair in zip(conditions, alike, strict=False) for part in pair]
        return self._call("case", (*pairs, alike[-1]), type_, token.at)

    def _cast_call(self, token: _Token) -> Tree:
        self._expect("(")
        value = self._or()
        self._expect("as")
        tree = self._cast(value, self._type(), token.text == "try_cast", token.at)
        self._expect(")")
        return tree

    def _type(self) -> str:
        token = self._take()
        name = _TYPES.get(token.text.lower())
        if token.kind != "word" or name is None:
            self._fail("a type expected: number, integer, boolean, text or timestamp", token.at)
        if token.text.lower() == "double" and self._peek.text.lower() == "precision":
            self._take()
        return name

    def _cast(self, value: Tree, type_: str, safe: bool, at: int) -> Tree:
        if value.type == type_:
            return value
        if value.type != "null" and (value.type, type_) not in _CASTS:
            self._fail(f"{_named(value)} cannot be cast to {type_}", at)
        return self._node(Cast(value, type_, safe), at)

    def _extract(self, token: _Token) -> Tree:
        self._expect("(")
        part = self._take()
        self._expect("from")
        value = self._or()
        self._expect(")")
        text = part.text[1:-1] if part.kind == "text" else part.text
        return self._checked("date_part", [Literal(text, "text"), value], token.at)

    def _arguments(self) -> list[Tree]:
        """Values between brackets, for `in`."""
        self._expect("(")
        return self._until_bracket()

    def _listed(self) -> list[Tree]:
        """As `_arguments`; values written down do not count, as long as there are not too many."""
        at = self._peek.at
        self._most += MAX_LISTED
        options = self._arguments()
        self._most -= MAX_LISTED
        written = sum(isinstance(option, Literal) for option in options)
        self._count(-min(written, MAX_LISTED), at)
        return options

    def _until_bracket(self) -> list[Tree]:
        args: list[Tree] = []
        if self._accept(")"):
            return args
        while True:
            args.append(self._or())
            if self._accept(")"):
                return args
            if not self._accept(","):
                self._fail(f", or ) expected, found {_shown(self._peek)}")

    def _function(self, token: _Token) -> Tree:
        name = token.text.lower()
        name = ALIASES.get(name, name)
        args = self._until_bracket()
        if name in PART_FUNCTIONS and name not in FUNCTIONS and len(args) == 1:
            name, args = "date_part", [Literal(name, "text"), *args]
        return self._checked(name, args, token.at)

    def _checked(self, name: str, args: list[Tree], at: int) -> Tree:
        function = FUNCTIONS.get(name)
        if function is None or (self._filtering and not function.in_filter):
            here = "in a filter" if function else "here"
            self._fail(HINTS.get(name, f"there is no function '{name[:60]}' {here}; docs/mapping.md lists them"), at)
        if not function.fewest <= len(args) or (len(args) > len(function.takes) and not function.variadic):
            self._fail(f"{name} takes ({', '.join(function.takes)})", at)
        type_ = function.gives
        if function.takes and function.takes[0].startswith("any"):
            alike, type_ = self._alike(args, name, at)
            args = list(alike)
        else:
            for number, arg in enumerate(args):
                self._argument(name, function, number, arg, at)
        self._extra_rules(name, args, at)
        return self._call(name, tuple(args), type_, at)

    def _argument(self, name: str, function: Function, number: int, arg: Tree, at: int) -> None:
        take = function.takes[min(number, len(function.takes) - 1)].strip("[]…")
        if take == "'text'" and not (isinstance(arg, Literal) and arg.type == "text"):
            self._fail(f"{name}: argument {number + 1} is a text written down, not computed", at)
        elif take == "'n'" and not (
            isinstance(arg, Literal) and isinstance(arg.value, int) and 0 <= arg.value <= 10**6
        ):
            self._fail(f"{name}: argument {number + 1} is a whole number written down, not computed", at)
        elif not take.startswith("'"):
            self._is(arg, take, name, at)

    def _extra_rules(self, name: str, args: list[Tree], at: int) -> None:
        values: list[Any] = [arg.value if isinstance(arg, Literal) else None for arg in args]
        if name in ("replace", "strpos", "split_part") and values[1] == "":
            self._fail(f"{name}: the text to look for is empty", at)
        if name in ("substr", "split_part") and values[-1 if name == "split_part" else 1] == 0:
            self._fail(f"{name} counts from 1", at)
        if name == "round" and len(args) == 2 and values[1] > 15:
            self._fail("round: at most 15 digits", at)
        if name == "regexp_like" and len(str(values[1])) > 200:
            self._fail("regexp_like: a pattern has at most 200 characters", at)
        for function, choices in (("date_part", PARTS), ("date_trunc", WIDTHS)):
            if name == function and values[0] not in choices:
                self._fail(f"{name}: '{str(values[0])[:40]}' is none of {', '.join(choices)}", at)


def _tokens(text: str) -> list[_Token]:
    tokens = []
    at = 0
    while at < len(text):
        hit = _TOKEN.match(text, at)
        if hit is None:
            what = "this quote is never closed" if text[at] in "'\"" else f"'{text[at]}' has no meaning here"
            raise Invalid(f"position {at + 1}: {what}")
        kind, word = str(hit.lastgroup), hit.group()
        if kind == "comment":
            raise Invalid(f"position {at + 1}: comments are not supported (a - -b is written with a space)")
        if kind == "word" and word.lower() in _KEYWORDS:
            kind, word = "keyword", word.lower()
        if kind != "space":
            tokens.append(_Token(kind, word, at))
        at = hit.end()
    return [*tokens, _Token("end", "", len(text))]


def _shown(token: _Token) -> str:
    return "the end" if token.kind == "end" else token.text if token.kind == "text" else f"'{token.text[:40]}'"


def _named(tree: Tree) -> str:
    if isinstance(tree, Column):
        return f"{tree.name} ({tree.type})"
    return f"{tree.value!r} ({tree.type})"[:60] if isinstance(tree, Literal) else tree.type
