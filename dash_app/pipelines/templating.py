"""Templates that people write for messages: the part of Jinja that a message needs, within bounds.

A template comes from whoever may write a sink or an alert, and runs in a worker that serves every team. So the language
is what is listed here and nothing else: kinds of nodes (no macros, imports, includes), filters, methods and attributes
by type. No value that a template can get hold of leads further into the program, and no format string is read. Steps
and characters are charged to one budget, which has an end in time too, before memory is taken for what is made: nothing
runs for long or grows large. The same values give the same text at every attempt; there is no clock and no chance.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.exceptions import SecurityError, UndefinedError
from jinja2.filters import FILTERS
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace, pass_context

from dash_app.domain.errors import DashError, Invalid
from dash_app.pipelines import template_filters
from dash_app.pipelines.template_budget import Budget, OverBudget, spend

#: Characters of a template, of what it makes, and steps (turns of loops, values that filters look at).
MOST_SOURCE = 20_000
MOST_OUTPUT = 2_000_000
MOST_STEPS = 100_000
#: How long a template may run, in seconds.
MOST_SECONDS = 1.0
#: How deep its expressions and blocks may nest, and how many nodes it has.
MOST_DEPTH = 40
MOST_NODES = 4_000
MOST_RANGE = 10_000

#: What each kind of message offers to its template, by name: for checks, for docs, for completion.
NAMES: Mapping[str, Mapping[str, str]] = {
    "records": {
        "records": "the records of the message, each an object of fields",
        "record": "the first of them",
        "count": "how many they are",
        "pipeline": "the slug of their pipeline",
        "id": "the message's id, the same at every attempt",
        "type": "records",
        "at": "when the message was made",
        "team": "the team's slug",
        "sink": "the sink's slug",
    },
    "alert": {
        "alert": "the slug of the rule",
        "name": "the rule's name",
        "state": "firing, resolved or no_data",
        "severity": "info, warning or critical",
        "value": "the value that was seen, or none",
        "unit": "its unit",
        "threshold": "the limit of the condition, or none",
        "condition": "the condition in words",
        "series": "the series' dimensions, an object",
        "series_name": "the same in words",
        "labels": "the rule's labels, an object",
        "pipeline": "the slug of the pipeline",
        "since": "since when the state holds",
        "at": "when it changed",
        "repeated": "whether it has been told before",
        "link": "where to look",
    },
    "report": {
        "report": "the report's slug",
        "name": "its name",
        "dashboard": "the dashboard's title",
        "range": "from and to, an object",
        "timezone": "the zone of its times",
        "at": "when it was made",
        "link": "the dashboard's address",
    },
}

_NODES: tuple[type[nodes.Node], ...] = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.NSRef, nodes.Const),
    *(nodes.Tuple, nodes.List, nodes.Dict, nodes.Pair, nodes.Keyword, nodes.CondExpr, nodes.Filter, nodes.Test),
    *(nodes.Call, nodes.Getitem, nodes.Getattr, nodes.Slice, nodes.Compare, nodes.Operand, nodes.Concat),
    *(nodes.BinExpr, nodes.UnaryExpr, nodes.For, nodes.If, nodes.Assign, nodes.AssignBlock, nodes.With),
    *(nodes.FilterBlock, nodes.Scope),
)
_WORDS: Mapping[type[nodes.Node], str] = {
    nodes.Macro: "macros",
    nodes.CallBlock: "call blocks",
    nodes.Include: "includes",
    nodes.Import: "imports",
    nodes.FromImport: "imports",
    nodes.Extends: "extends",
    nodes.Block: "blocks of inheritance",
}

#: Attributes that can be read and methods that can be called, by the type of the value.
_ATTRIBUTES: tuple[tuple[type[Any], frozenset[str]], ...] = (
    (
        str,
        frozenset(
            (
                *("upper", "lower", "title", "capitalize", "strip", "lstrip", "rstrip", "startswith", "endswith"),
                *("split", "splitlines", "isdigit", "isalpha", "removeprefix", "removesuffix", "find", "count"),
            )
        ),
    ),
    (Mapping, frozenset({"items", "keys", "values", "get"})),
    (datetime, frozenset({"hour", "minute", "second", "microsecond", "timestamp", "date"})),
    (date, frozenset({"year", "month", "day", "isoformat", "weekday", "isoweekday"})),
    (timedelta, frozenset({"days", "seconds", "total_seconds"})),
    (
        LoopContext,
        frozenset(
            (
                *("index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem"),
                "cycle",
            )
        ),
    ),
    (tuple, frozenset({"grouper", "list"})),
)

#: Filters that are Jinja's own, as they are: none of them makes more than it is given, or runs a format string.
_PLAIN = (
    *("abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "int", "items"),
    *("last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "select"),
    *("selectattr", "sort", "string", "striptags", "title", "trim", "truncate", "unique", "upper", "urlencode"),
    *("wordcount", "groupby"),
)


class _Missing(StrictUndefined):
    """A name that is not there; its message says what is."""

    @property
    def _undefined_message(self) -> str:
        owner, name = self._undefined_obj, self._undefined_name
        if isinstance(owner, Mapping):
            return f"there is no '{str(name)[:60]}' here{_instead(str(name), [str(key) for key in owner])}"
        if isinstance(name, str) and self._undefined_hint is None and not self._has_owner():
            return f"'{name[:60]}' is not known here"
        return str(super()._undefined_message)

    def _has_owner(self) -> bool:
        return type(self._undefined_obj).__name__ != "MissingType"


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "*", "**", "%", "/", "//", "-"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        # A field comes before a method of the same name: `record.items` is what the record says.
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if attr.startswith("_"):
            return False
        if type(obj) is Namespace:
            return True
        return any(isinstance(obj, kind) and attr in names for kind, names in _ATTRIBUTES)

    def is_safe_callable(self, obj: Any) -> bool:
        if obj is _range or obj is Namespace:
            return True
        owner, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        return any(isinstance(owner, kind) and name in names for kind, names in _ATTRIBUTES)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        owner = getattr(obj, "__self__", None)
        if not self.is_safe_callable(obj):
            name = obj._undefined_name if isinstance(obj, StrictUndefined) else getattr(obj, "__name__", "")
            raise SecurityError(f"'{str(name or 'this')[:60]}' is nothing that can be called here; there are filters")
        spend(1 + (len(owner) if isinstance(owner, str | Mapping) else 0) // 100)
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        spend(1)
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            return template_filters.joined([left, right], "")
        if operator == "+" and isinstance(left, list) and isinstance(right, list):
            spend(len(left) + len(right))
            return left + right
        for value in (left, right):
            if isinstance(value, str | list | tuple | Mapping):
                what = "formatting with % is not offered; use filters" if operator == "%" else "is for numbers"
                raise SecurityError(what if operator == "%" else f"'{operator}' {what}")
        if operator in ("*", "**") and isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() + right.bit_length() if operator == "*" else left.bit_length() * max(right, 1)
            if bits > 1024:
                raise SecurityError("the number is too large")
        return super().call_binop(context, operator, left, right)

    def unsafe_undefined(self, obj: Any, attribute: str) -> Any:
        return self.undefined(f"'{attribute[:60]}' cannot be read", name=attribute, obj=obj, exc=SecurityError)


def _range(*bounds: int) -> range:
    made = range(*bounds)
    if len(made) > MOST_RANGE:
        raise OverBudget(f"a range has at most {MOST_RANGE:,} numbers")
    return made


@pass_context
def _finalize(_context: Context, value: Any) -> Any:
    """What is put out is counted, in blocks that are set as well."""
    if isinstance(value, StrictUndefined):
        return value
    text = value if isinstance(value, str) else template_filters.as_text(value)
    spend(1, len(text))
    return text


@pass_context
def _turns(_context: Context, value: Any, characters: int) -> Iterator[Any]:
    """A loop's values; each turn is counted, with the characters that stand in the loop."""
    if isinstance(value, str):
        raise SecurityError("a loop goes over a list or an object, not over a text")
    return _counted(value, characters)


def _counted(values: Iterable[Any], characters: int) -> Iterator[Any]:
    for value in values:
        spend(1, characters)
        yield value


def _charged(filter: Any) -> Any:
    """A filter of Jinja's own with its input counted. It takes the context, so that it never runs at compile time."""
    passes = getattr(filter, "jinja_pass_arg", None)

    @pass_context
    def run(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
        if passes is None or isinstance(value, str | list | tuple | Mapping | range):
            size = len(value) if isinstance(value, str | list | tuple | Mapping | range) else 1
            spend(1 + (size // 100 if isinstance(value, str) else size))
        else:
            value = value if isinstance(value, StrictUndefined) else _maybe_counted(value)
        first: tuple[Any, ...] = ()
        match getattr(passes, "name", ""):
            case "context":
                first = (context,)
            case "eval_context":
                first = (context.eval_ctx,)
            case "environment":
                first = (context.environment,)
        return filter(*first, value, *args, **kwargs)

    return run


def _maybe_counted(value: Any) -> Any:
    return _counted(value, 0) if isinstance(value, Iterator) else value


def _made(html: bool) -> _Environment:
    made = _Environment(
        undefined=_Missing,
        autoescape=html,
        finalize=_finalize,
        optimized=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    made.globals = {"range": _range, "namespace": Namespace}
    own = template_filters.FILTERS_FOR_PEOPLE
    made.filters = {name: _charged(FILTERS[name]) for name in _PLAIN if name not in own}
    made.filters |= dict(own)
    made.filters |= {"~turns": _turns, "~concat": template_filters.concat}
    return made


@lru_cache(2)
def _environment(html: bool) -> _Environment:
    return _made(html)


@lru_cache(512)
def _compiled(source: str, html: bool) -> Template:
    environment = _environment(html)
    tree = _parse(environment, source)
    _rewrite(tree)
    return environment.from_string(tree)


def _parse(environment: _Environment, source: str) -> nodes.Template:
    if len(source) > MOST_SOURCE:
        raise Invalid(f"a template has at most {MOST_SOURCE:,} characters, this has {len(source):,}")
    try:
        tree = environment.parse(source)
    except TemplateSyntaxError as error:
        raise Invalid(f"line {error.lineno}: {_said(error)}") from error
    except RecursionError as error:
        raise Invalid("the template is nested too deeply") from error
    except (ValueError, OverflowError) as error:
        raise Invalid("the template holds a number that is too large") from error
    _walk(environment, tree)
    return tree


def _walk(environment: _Environment, tree: nodes.Template) -> None:
    """Raises Invalid where the template uses what is not offered."""
    count = 0
    level: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while level:
        node, depth = level.pop()
        count += 1
        where = f"line {node.lineno}: " if node.lineno else ""
        if depth > MOST_DEPTH or count > MOST_NODES:
            raise Invalid(f"{where}the template is {'nested too deeply' if depth > MOST_DEPTH else 'too long'}")
        if not isinstance(node, _NODES):
            word = next((text for kind, text in _WORDS.items() if isinstance(node, kind)), type(node).__name__)
            raise Invalid(f"{where}{word} are not offered in templates of messages")
        if isinstance(node, nodes.Name) and node.name in ("self", "super", "caller"):
            raise Invalid(f"{where}'{node.name}' is not offered in templates of messages")
        if isinstance(node, nodes.For) and node.recursive:
            raise Invalid(f"{where}recursive loops are not offered in templates of messages")
        if isinstance(node, nodes.Filter | nodes.Test):
            known: Mapping[str, Any] = environment.filters if isinstance(node, nodes.Filter) else environment.tests
            kind = "filter" if isinstance(node, nodes.Filter) else "test"
            if node.name not in known or node.name.startswith("~"):
                listed = sorted(name for name in known if name[0].isalpha())
                raise Invalid(f"{where}there is no {kind} '{node.name[:60]}'{_instead(node.name, listed)}")
        if isinstance(node, nodes.Getattr) and node.attr.startswith("_") and node.attr not in _SYSTEM:
            raise Invalid(f"{where}'{node.attr[:60]}' cannot be read")
        level += [(child, depth + 1) for child in node.iter_child_nodes()]


#: What every record has beside its fields.
_SYSTEM = ("_time", "_received", "_payload", "_index")


def _rewrite(tree: nodes.Node) -> None:
    """Has every loop and every `~` counted."""
    for loop in tree.find_all(nodes.For):
        characters = sum(len(data.data) for data in loop.find_all(nodes.TemplateData))
        loop.iter = nodes.Filter(loop.iter, "~turns", [nodes.Const(characters)], [], None, None, lineno=loop.lineno)
    _without_concat(tree)


def _without_concat(node: nodes.Node) -> None:
    for field, value in list(node.iter_fields()):
        if isinstance(value, nodes.Node):
            setattr(node, field, _concat(value))
            _without_concat(getattr(node, field))
        elif isinstance(value, list):
            for n, one in enumerate(value):
                if isinstance(one, nodes.Node):
                    value[n] = _concat(one)
                    _without_concat(value[n])


def _concat(node: nodes.Node) -> nodes.Node:
    if not isinstance(node, nodes.Concat):
        return node
    return nodes.Filter(nodes.List(node.nodes, lineno=node.lineno), "~concat", [], [], None, None, lineno=node.lineno)


# What others call ----------------------------------------------------------------------------------------------------


def check(source: Any, names: Collection[str] | None = None, *, html: bool = False) -> list[str]:
    """What is wrong with a template before it has seen a message: syntax, what is not offered, unknown names.

    `names`: what its context will have (`NAMES`); None: anything.
    """
    if not isinstance(source, str):
        return ["a text is needed"]
    try:
        _compiled(source, html)
        if names is None:
            return []
        used = meta.find_undeclared_variables(_environment(html).parse(source)) - {"range", "namespace"}
    except Invalid as error:
        return [error.message]
    except (RecursionError, MemoryError, SyntaxError, TemplateError):
        return ["the template is nested too deeply"]
    return [f"'{name}' is not known here{_instead(name, names)}" for name in sorted(used - set(names))]


def render(source: str, context: Mapping[str, Any], *, html: bool = False) -> str:
    """The text that a template makes of a context of plain values. Raises Invalid, with the line where it is known.

    `html`: values are escaped.
    """
    try:
        template = _compiled(source, html)
    except (RecursionError, MemoryError, SyntaxError) as error:
        raise Invalid("the template is nested too deeply") from error
    budget = Budget(MOST_STEPS, MOST_OUTPUT, time.monotonic() + MOST_SECONDS)
    with budget:
        try:
            # Not `render`: it would rewrite tracebacks, which costs more than the template.
            return "".join(template.root_render_func(template.new_context(dict(context))))
        except DashError as error:
            raise Invalid(_at_line(error.message, error)) from error
        except (OverBudget, SecurityError) as error:
            raise Invalid(_at_line(str(error), error)) from error
        except UndefinedError as error:
            raise Invalid(_at_line(str(error.message), error)) from error
        except TemplateError as error:
            raise Invalid(_at_line(_said(error), error)) from error
        except RecursionError as error:
            raise Invalid("the template is nested too deeply") from error
        except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise Invalid(_at_line(str(error)[:200] or type(error).__name__, error)) from error


def _at_line(message: str, error: BaseException) -> str:
    """The message with the line of the template that it is about."""
    trace, found = error.__traceback__, None
    while trace is not None:
        template = trace.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            found = template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return f"line {found}: {message}" if found else message


def _said(error: TemplateError) -> str:
    return str(error.message or type(error).__name__)[:300]


def _instead(name: str, known: Iterable[str]) -> str:
    listed = [one for one in known if one]
    close = difflib.get_close_matches(name, listed, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    shown = ", ".join(listed[:12])
    return f"; there are {shown}{', …' if len(listed) > 12 else ''}" if listed else ""
