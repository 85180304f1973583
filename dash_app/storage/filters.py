"""Conditions of queries as PostgreSQL understands them: a tree of `domain.expressions` → SQL with bound values.

The answer is that of the same text in a mapping, as far as PostgreSQL can give it. Where a mapping would reject a
record (a cast that fails) or compute an infinity or NaN (a division by zero, the root of −1), the value here is null,
so that the record does not meet the condition: one bad value must not stop a query. `docs/query.md` lists what is left
of differences.
"""

from __future__ import annotations

from collections.abc import Callable

from dash_app.domain.errors import Invalid
from dash_app.domain.expressions import Call, Cast, Column, Literal, Tree, columns_of
from dash_app.storage.silver_columns import Binder, Condition

#: Guards name their operand more than once, so that deep nesting grows fast; PostgreSQL gets no more than this.
MOST_SQL = 100_000

_TYPES = {
    "number": "float8",
    "integer": "int8",
    "boolean": "boolean",
    "text": "text",
    "timestamp": "timestamptz",
    "json": "jsonb",
}
_OPERATORS = {"eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "and": "AND", "or": "OR"}
_ARITHMETIC = {"add": "+", "sub": "-"}
_BLANKS = " \t\r\n"

#: Functions of numbers: {0}, {1} are operands as float8. Guards keep out what PostgreSQL answers with an error.
_NUMERIC = {
    "abs": "abs({0})",
    "sign": "sign({0})",
    "ceil": "ceil({0})",
    "floor": "floor({0})",
    "trunc": "trunc({0})",
    "sqrt": "CASE WHEN {0} >= 0 THEN sqrt({0}) END",
    "cbrt": "cbrt({0})",
    "exp": "CASE WHEN {0} < -700 THEN 0 WHEN {0} <= 709 THEN exp({0}) END",
    "ln": "CASE WHEN {0} > 0 THEN ln({0}) END",
    "log2": "CASE WHEN {0} > 0 THEN ln({0}) / 0.6931471805599453 END",
    "log10": "CASE WHEN {0} > 0 THEN log({0}) END",
    "power": "CASE WHEN {1} = 0 THEN 1 WHEN {0} = 0 THEN CASE WHEN {1} > 0 THEN 0 END "
    "WHEN ({0} > 0 OR {1} = trunc({1})) AND abs({1}) < 1e300 AND {1} * ln(abs({0})) < -700 THEN 0 "
    "WHEN ({0} > 0 OR {1} = trunc({1})) AND abs({1}) < 1e300 AND {1} * ln(abs({0})) < 709 THEN power({0}, {1}) END",
    "mod": "({0} - {1} * trunc({0} / nullif({1}, 0)))",
    "sin": "sin({0})",
    "cos": "cos({0})",
    "tan": "tan({0})",
    "asin": "CASE WHEN {0} BETWEEN -1 AND 1 THEN asin({0}) END",
    "acos": "CASE WHEN {0} BETWEEN -1 AND 1 THEN acos({0}) END",
    "atan": "atan({0})",
    "atan2": "atan2({0}, {1})",
    "degrees": "degrees({0})",
    "radians": "radians({0})",
    "pi": "pi()",
    "mul": "({0} * {1})",
    "div": "({0} / nullif({1}, 0))",
    "neg": "(- {0})",
    "to_timestamp": "CASE WHEN {0} BETWEEN -62000000000 AND 253000000000 THEN to_timestamp({0}) END",
}
#: Functions of text: operands as text; a whole number written down is bound as int4.
_TEXTUAL = {
    "upper": "upper({0})",
    "lower": "lower({0})",
    "length": "char_length({0})::int8",
    "left": "left({0}, {1})",
    "right": "right({0}, {1})",
    "substr": "substr({0}, {1})",
    "substr3": "substr({0}, {1}, {2})",
    "replace": "replace({0}, {1}, {2})",
    "starts_with": "starts_with({0}, {1})",
    "ends_with": "(right({0}, char_length({1})) = {1})",
    "contains": "(strpos({0}, {1}) > 0)",
    "strpos": "strpos({0}, {1})::int8",
    "split_part": "split_part({0}, {1}, {2})",
    "concat_op": "({0} || {1})",
}
_TRIMS = {"trim": "btrim", "ltrim": "ltrim", "rtrim": "rtrim"}

# An ISO 8601 date that exists, and a time of that day: anything else would be an error of the cast.
_DAY = (
    r"(?!0000)(\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))"
    r"|(\d\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)"
)
_MOMENT = rf"^{_DAY}([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{{1,9}})?)?(Z|[+-](0\d|1[0-4]):?[0-5]\d)?)?$"
# At most as many digits as cannot leave the range.
_NUMBER = r"^[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,2})?$"
_INTEGER = r"^[+-]?\d{1,18}$"
_TRUE = ("true", "t", "yes", "y", "on", "1")
_FALSE = ("false", "f", "no", "n", "off", "0")

Names = Callable[[str], str]


def condition(tree: Tree) -> Condition:
    """A condition that can be set over each table: it is given what a field is called there.

    Raises Invalid where the SQL would grow past all bounds.
    """

    def render(names: Names, bind: Binder) -> str:
        return _Writer(names, bind).of(tree, "boolean")

    return render


def fields(tree: Tree) -> frozenset[str]:
    """Fields that a condition looks at."""
    return columns_of(tree)


class _Writer:
    def __init__(self, names: Names, bind: Binder) -> None:
        self._names = names
        self._bind = bind

    def of(self, tree: Tree, wanted: str | None = None) -> str:
        """The tree as SQL of its own type, or, for numbers beside numbers, of the wanted one."""
        if tree.type == "null":
            return f"NULL::{_TYPES[wanted or 'text']}"  # whatever it is made of, it has no value
        written = self._write(tree)
        if wanted == "number" and tree.type == "integer":
            written = f"({written})::float8"
        if len(written) > MOST_SQL:
            raise Invalid(problems=[("where", "too deeply nested to be asked of the database; simplify the condition")])
        return written

    def _write(self, tree: Tree) -> str:
        if isinstance(tree, Literal):
            return self._bind(tree.value, _TYPES[tree.type])
        if isinstance(tree, Column):
            return f"({self._names(tree.name)})"
        if isinstance(tree, Cast):
            return self._cast(self.of(tree.value), tree.value.type, tree.type)
        return self._call(tree)

    def _call(self, call: Call) -> str:
        name, args = call.name, call.args
        if name in _NUMERIC or name in _ARITHMETIC:
            form = _NUMERIC.get(name) or f"({{0}} {_ARITHMETIC[name]} {{1}})"
            return self._fill(form, [self.of(arg, "number") for arg in args])
        if name in ("and", "or"):
            return f"({f' {_OPERATORS[name]} '.join(self.of(arg, 'boolean') for arg in args)})"
        if name == "not":
            return f"(NOT {self.of(args[0], 'boolean')})"
        if name == "is_null":
            return f"({self.of(args[0])} IS NULL)"
        if name == "round":
            scale = self._bind(10.0 ** int(str(_value(args[1]))) if len(args) > 1 else 1.0, "float8")
            form = "CASE WHEN abs({0}) < 1e290 THEN sign({0}) * floor(abs({0}) * {1} + 0.5) / {1} ELSE {0} END"
            return self._fill(form, [self.of(args[0], "number"), scale])
        if name in ("like", "ilike"):
            return f"({self.of(args[0], 'text')} {name.upper()} {self._bind(_pattern(str(_value(args[1]))), 'text')})"
        if name in _TRIMS:
            return f"{_TRIMS[name]}({self.of(args[0], 'text')}, {self._bind(_BLANKS, 'text')})"
        if name == "concat":
            return f"concat({', '.join(self.of(arg, 'text') for arg in args)})"
        if name in ("date_part", "date_trunc"):
            part, moment = self._bind(_value(args[0]), "text"), self.of(args[1], "timestamp")
            if name == "date_trunc":
                return f"date_trunc({part}, {moment}, 'UTC')"
            return f"date_part({part}, {moment} AT TIME ZONE 'UTC')::float8"
        if name in _TEXTUAL:
            form = _TEXTUAL["substr3" if name == "substr" and len(args) == 3 else name]
            return self._fill(form, [self._operand(arg) for arg in args])
        return self._alike(call)

    def _alike(self, call: Call) -> str:
        """Calls whose operands are of one type."""
        name, args = call.name, call.args
        if name == "case":
            values = self._common([*args[1:-1:2], args[-1]])
            tests = [self.of(arg, "boolean") for arg in args[:-1:2]]
            whens = " ".join(f"WHEN {test} THEN {value}" for test, value in zip(tests, values, strict=False))
            return f"CASE {whens} ELSE {values[-1]} END"
        # Texts are ordered by code points, as in mappings, and not as a language would.
        ordered = name in ("lt", "le", "gt", "ge", "least", "greatest") and any(arg.type == "text" for arg in args)
        values = [f'({value} COLLATE "C")' if ordered else value for value in self._common(args)]
        if name == "in":
            return f"({values[0]} IN ({', '.join(values[1:])}))"
        if name in _OPERATORS:
            return f"({values[0]} {_OPERATORS[name]} {values[1]})"
        if name in ("coalesce", "nullif", "least", "greatest"):
            return f"{name}({', '.join(values)})"
        raise Invalid(problems=[("where", f"{name} cannot stand in the condition of a query")])

    def _common(self, args: list[Tree] | tuple[Tree, ...]) -> list[str]:
        types = {arg.type for arg in args} - {"null"}
        kind = "number" if types == {"number", "integer"} else next(iter(types), "text")
        return [self.of(arg, kind) for arg in args]

    def _operand(self, arg: Tree) -> str:
        if isinstance(arg, Literal) and arg.type == "integer":
            return self._bind(arg.value, "int4")
        return self.of(arg, "text")

    def _fill(self, form: str, values: list[str]) -> str:
        return form.format(*(f"({value})" for value in values))

    def _cast(self, value: str, have: str, want: str) -> str:
        if have in ("null", want):
            return f"({value})::{_TYPES[want]}"
        if have == "text":
            bare = f"btrim({value}, {self._bind(_BLANKS, 'text')})"
            if want == "boolean":
                true, false = self._bind(list(_TRUE), "text[]"), self._bind(list(_FALSE), "text[]")
                return (
                    f"CASE WHEN lower({bare}) = ANY({true}) THEN true WHEN lower({bare}) = ANY({false}) THEN false END"
                )
            pattern = self._bind({"number": _NUMBER, "integer": _INTEGER, "timestamp": _MOMENT}[want], "text")
            return f"CASE WHEN {bare} ~ {pattern} THEN ({bare})::{_TYPES[want]} END"
        if (have, want) == ("number", "integer"):
            return f"CASE WHEN abs({value}) < 9.2e18 THEN ({value})::int8 END"
        if (have, want) == ("number", "text"):
            whole = f"{value} = floor({value}) AND abs({value}) < 1e15"
            return f"CASE WHEN {whole} THEN ({value})::int8::text ELSE ({value})::text END"
        if have == "boolean" and want in ("number", "integer"):
            return f"({value})::int::{_TYPES[want]}"
        if want == "boolean":
            return f"({value} <> 0)"
        if (have, want) == ("timestamp", "text"):
            return f"to_char({value} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
        return f"({value})::{_TYPES[want]}"


def _value(tree: Tree) -> object:
    return tree.value if isinstance(tree, Literal) else None


def _pattern(pattern: str) -> str:
    """A LIKE pattern that PostgreSQL takes: a backslash at its end stands for itself."""
    trailing = len(pattern) - len(pattern.rstrip("\\"))
    return pattern + "\\" * (trailing % 2)
