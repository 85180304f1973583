"""A dashboard's variables in a query: `$name` becomes what the viewer has chosen.

A text of the query that is `$name` as a whole (`pipeline`, `every`, one of `by`, `field` and `agg` of a column,
`order`) is replaced by the value. In `where` a value becomes a quoted literal, whatever it holds: the condition is read
token by token, values are put in between and never read again, so that none can end its literal or bring a `$name` of
its own. A literal takes the type of what stands beside it (`pipelines.expressions`), so that numbers need no spelling
of their own.

`field = $name`, `field != $name`, `field in ($name)` and `field not in ($name)` take any number of values. All of them
(`"$__all"`) makes such a comparison true; anywhere else only one value can stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, NoReturn

from dash_app.domain.errors import Invalid

#: A variable's value that means every one.
ALL = "$__all"

MOST_VARIABLES = 50
MOST_VALUES = 1_000
MOST_TEXT = 1_000

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}")
_WHOLE = re.compile(r"(-?)\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<text>'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")*")
      | (?P<variable>\$(?:\{[A-Za-z_][A-Za-z0-9_]*\}|[A-Za-z_][A-Za-z0-9_]*))
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<op><=|>=|<>|!=|::|\|\||.)""",
    re.VERBOSE | re.DOTALL,
)
_MENTION = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_FORMS = "field = ${0}, field != ${0}, field in (${0}) or field not in (${0})"

Scalar = str | int | float | bool
Value = Scalar | Sequence[Scalar]


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str

    @property
    def lower(self) -> str:
        return self.text.lower()


# What comes from outside ---------------------------------------------------------------------------------------------


def parse_variables(given: Any, place: str = "variables") -> dict[str, Value]:
    """Names and values as a request brings them; Invalid names what is wrong."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise Invalid(problems=[(place, 'an object of names and values is meant, such as {"site": "roof"}')])
    if len(given) > MOST_VARIABLES:
        raise Invalid(problems=[(place, f"at most {MOST_VARIABLES} variables")])
    problems = []
    values: dict[str, Value] = {}
    for name, value in given.items():
        shown = f"{place}.{str(name)[:60]}"
        several = isinstance(value, Sequence) and not isinstance(value, str)
        if not isinstance(name, str) or not NAME.fullmatch(name):
            problems.append((place, f"'{str(name)[:60]}' is no name of a variable: letters, digits and _"))
        elif several and len(value) > MOST_VALUES:
            problems.append((shown, f"at most {MOST_VALUES:,} values"))
        elif not all(map(is_scalar, value if several else [value])):
            problems.append((shown, f"a text of at most {MOST_TEXT:,} characters, a number, true or false is meant"))
        else:
            # All among others is all.
            values[name] = ALL if several and ALL in value else list(value) if several else value
    if problems:
        raise Invalid(problems=problems)
    return values


def is_scalar(value: Any) -> bool:
    """Whether it is one value that a database takes: a text, a number, true or false."""
    if isinstance(value, str):
        try:
            return len(value) <= MOST_TEXT and "\x00" not in value and bool(value.encode() or True)
        except UnicodeEncodeError:  # half of a surrogate pair
            return False
    return isinstance(value, bool | int) or (isinstance(value, float) and isfinite(value))


# Into a query --------------------------------------------------------------------------------------------------------


def apply(query: Mapping[str, Any], variables: Mapping[str, Value]) -> dict[str, Any]:
    """The query document with values in place of its variables.

    Raises Invalid, with the place, where a variable is unknown, or has several values where one is meant.
    """
    made = dict(query)
    for key in ("pipeline", "every", "order"):
        if isinstance(made.get(key), str):
            made[key] = _one(made[key], variables, key)
    by = made.get("by")
    if isinstance(by, Sequence) and not isinstance(by, str):
        made["by"] = [name for n, one in enumerate(by) for name in _several(one, variables, f"by[{n}]")]
    select = made.get("select")
    if isinstance(select, Sequence) and not isinstance(select, str):
        made["select"] = [_measure(one, variables, f"select[{n}]") for n, one in enumerate(select)]
    if isinstance(made.get("where"), str):
        made["where"] = condition(made["where"], variables)
    return made


def used(query: Mapping[str, Any]) -> frozenset[str]:
    """Names of the variables that a query mentions."""
    texts = [query.get(key) for key in ("pipeline", "every", "order")]
    by, select, where = query.get("by"), query.get("select"), query.get("where")
    texts += by if isinstance(by, Sequence) and not isinstance(by, str) else []
    for one in select if isinstance(select, Sequence) and not isinstance(select, str) else []:
        texts += [one.get("field"), one.get("agg")] if isinstance(one, Mapping) else []
    names = {found[2] or found[3] for text in texts if isinstance(text, str) and (found := _WHOLE.fullmatch(text))}
    if isinstance(where, str):
        names |= {_name(token) for token in _tokens(where) if token.kind == "variable"}
    return frozenset(names)


def quoted(value: Scalar) -> str:
    """A value as a literal of a condition."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return "'" + text.replace("'", "''") + "'"


# Whole texts ---------------------------------------------------------------------------------------------------------


def _several(text: Any, variables: Mapping[str, Value], place: str) -> list[Any]:
    found = _WHOLE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return [text]
    name = found[2] or found[3]
    value = _value(name, variables, place)
    values = _list(value)
    if values is None:
        raise Invalid(problems=[(place, f"${name} is All here; All goes into a condition: {_FORMS.format(name)}")])
    return [found[1] + str(one) for one in values]


def _one(text: Any, variables: Mapping[str, Value], place: str) -> Any:
    values = _several(text, variables, place)
    if len(values) != 1:
        raise Invalid(problems=[(place, f"{text} has {len(values)} values; one is meant here")])
    return values[0]


def _measure(one: Any, variables: Mapping[str, Value], place: str) -> Any:
    if not isinstance(one, Mapping):
        return one
    return dict(one) | {
        key: _one(one[key], variables, f"{place}.{key}") for key in ("field", "agg") if isinstance(one.get(key), str)
    }


def _value(name: str, variables: Mapping[str, Value], place: str) -> Value:
    if name not in variables:
        known = ", ".join(f"${one}" for one in variables) or "none"
        raise Invalid(problems=[(place, f"there is no variable ${name[:60]}; there are: {known}")])
    return variables[name]


# Conditions ----------------------------------------------------------------------------------------------------------


def condition(text: str, variables: Mapping[str, Value]) -> str:
    """A condition with literals in place of its variables."""
    tokens = list(_tokens(text))
    if not any(token.kind == "variable" for token in tokens):
        _check_quoted(tokens, variables)
        return text
    check_brackets(text)
    _check_quoted(tokens, variables)
    return "".join(_Condition(tokens, variables).written())


class _Condition:
    """Replaces comparisons with a variable as a whole, and other variables where they stand."""

    def __init__(self, tokens: Sequence[_Token], variables: Mapping[str, Value]) -> None:
        self.tokens = tokens
        self.variables = variables
        #: Positions of the tokens that mean something.
        self.meant = [n for n, token in enumerate(tokens) if token.kind != "space"]

    def written(self) -> Iterator[str]:
        at = done = 0  # a place in `meant`, and in `tokens`
        while at < len(self.meant):
            comparison = self._comparison(at)
            if comparison is not None:
                length, sql = comparison
                yield from (token.text for token in self.tokens[done : self.meant[at]])
                yield sql
                at += length
                done = self.meant[at - 1] + 1
                continue
            if self._token(at).kind == "variable":
                yield from (token.text for token in self.tokens[done : self.meant[at]])
                yield self._literal(at)
                done = self.meant[at] + 1
            at += 1
        yield from (token.text for token in self.tokens[done:])

    def _token(self, at: int) -> _Token:
        return self.tokens[self.meant[at]] if 0 <= at < len(self.meant) else _Token("end", "")

    def _comparison(self, at: int) -> tuple[int, str] | None:
        """How many tokens from here are a comparison of a field with a variable alone, and what becomes of it."""
        if self._token(at).kind not in ("word", "quoted"):
            return None
        fitting = (one for one in _SHAPES if all(self._fits(at + 1 + n, want) for n, want in enumerate(one[0])))
        shape, op = next(fitting, ((), ""))
        if not shape:
            return None
        length = 1 + len(shape)
        before, after = self._token(at - 1).lower, self._token(at + length).lower
        if before not in ("", "(", "and", "or", "not") or after not in ("", ")", "and", "or"):
            return None  # part of something larger, where only one value can stand
        name = _name(self._token(at + 1 + shape.index("$")))
        value = _value(name, self.variables, "where")
        values = _list(value)
        if self._negated(at) and (values is None or len(values) != 1):
            self._fail(f"not before a comparison with ${name} would turn All round; write {_FORMS.format(name)}")
        field = self._token(at).text
        if values is None:
            return length, "true"
        if not values:
            return length, "true" if op == "not in" else "false"
        return length, f"{field} {op} ({', '.join(map(quoted, values))})"

    def _negated(self, at: int) -> bool:
        """Whether a `not` stands before this place, or before a bracket around it."""
        inside = 0
        if self._token(at - 1).lower == "not":
            return True
        for here in range(at - 1, -1, -1):
            text = self._token(here).text
            if text == ")":
                inside += 1
            elif text == "(" and inside:
                inside -= 1
            elif text == "(" and self._token(here - 1).lower == "not":
                return True
        return False

    def _fits(self, at: int, want: str) -> bool:
        token = self._token(at)
        return token.kind == "variable" if want == "$" else token.kind in ("op", "word") and token.lower == want

    def _literal(self, at: int) -> str:
        name = _name(self._token(at))
        value = _value(name, self.variables, "where")
        values = _list(value)
        if values is None or len(values) != 1:
            what = "All" if values is None else f"{len(values)} values"
            self._fail(f"${name} is {what}, which can only stand alone beside a field: {_FORMS.format(name)}")
        # Two literals side by side would be read as one with a quote in it.
        touching = self.meant[at] > 0 and self.tokens[self.meant[at] - 1].kind in ("text", "variable")
        return (" " if touching else "") + quoted(values[0])

    def _fail(self, what: str) -> NoReturn:
        raise Invalid(problems=[("where", what)])


_SHAPES = (
    (("=", "$"), "in"),
    (("!=", "$"), "not in"),
    (("<>", "$"), "not in"),
    (("in", "(", "$", ")"), "in"),
    (("not", "in", "(", "$", ")"), "not in"),
)


def _list(value: Value) -> list[Scalar] | None:
    """The values of a variable; None for all of them."""
    if value == ALL:
        return None
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _tokens(text: str) -> Iterator[_Token]:
    for found in _TOKEN.finditer(text):
        yield _Token(str(found.lastgroup), found[0])


def _name(token: _Token) -> str:
    return token.text.strip("${}")


def check_brackets(text: str) -> None:
    """What is put into brackets must not close them by itself."""
    depth = 0
    for token in _tokens(text):
        depth += (token.kind == "op") * ((token.text == "(") - (token.text == ")"))
        if depth < 0:
            break
    if depth or any(token.kind == "op" and token.text in ("'", '"') for token in _tokens(text)):
        raise Invalid(problems=[("where", "a bracket or a quote is not closed, or closed before it was opened")])


def _check_quoted(tokens: Sequence[_Token], variables: Mapping[str, Value]) -> None:
    """A variable in quotes would be looked for as a text of that name, which nobody means."""
    for token in tokens:
        if token.kind == "text":
            for found in _MENTION.finditer(token.text):
                name = found[1] or found[2]
                if name in variables:
                    wrong = f"${name} stands without quotes, as in: field = ${name}, or contains(field, ${name})"
                    raise Invalid(problems=[("where", wrong)])
