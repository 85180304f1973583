"""The functions an expression may call: one closed table, from which the checker, the plan and the reference page read.

Every function works on one record at a time and always gives the same answer for it. That is what keeps a result from
depending on how a batch was cut; so there are no aggregates, windows, subqueries, clocks or random numbers, and
nothing that reads a file. None makes a text longer than a bound that is known before it runs
(`expressions.text_growth`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Parts of a time for `date_part` and `extract`.
PARTS = (
    "year", "quarter", "month", "week", "day", "hour", "minute", "second", "dow", "isodow", "doy", "epoch",
)  # fmt: skip
#: Widths for `date_trunc`.
WIDTHS = ("minute", "hour", "day", "week", "month", "quarter", "year")


@dataclass(frozen=True, slots=True)
class Function:
    """One function. `takes` names each argument's type; a type in brackets may be left out; `type…` is one or more of
    it.

    Types are those of fields, `any` (all of one type) and `'text'`, `'n'`: a text or whole number written down, not
    computed.
    """

    takes: tuple[str, ...]
    gives: str
    meaning: str
    #: May also stand in the filter of a query, which PostgreSQL runs.
    in_filter: bool = True

    @property
    def variadic(self) -> bool:
        return bool(self.takes) and self.takes[-1].endswith("…")

    @property
    def fewest(self) -> int:
        return sum(not take.startswith("[") for take in self.takes)


def _number(meaning: str, *takes: str) -> Function:
    return Function(takes or ("number",), "number", meaning)


FUNCTIONS: Mapping[str, Function] = {
    "abs": _number("without its sign"),
    "sign": _number("−1, 0 or 1"),
    "ceil": _number("the next whole number up"),
    "floor": _number("the next whole number down"),
    "trunc": _number("the whole part, towards zero"),
    "round": _number("rounded to whole numbers or to n digits (0 to 15); halves away from zero", "number", "['n']"),
    "sqrt": _number("square root"),
    "cbrt": _number("cube root"),
    "exp": _number("e to the power"),
    "ln": _number("natural logarithm"),
    "log2": _number("logarithm to base 2"),
    "log10": _number("logarithm to base 10"),
    "power": _number("the first to the power of the second", "number", "number"),
    "mod": _number("remainder, with the sign of the first; also written a % b", "number", "number"),
    "sin": _number("sine of radians"),
    "cos": _number("cosine of radians"),
    "tan": _number("tangent of radians"),
    "asin": _number("arc sine, in radians"),
    "acos": _number("arc cosine, in radians"),
    "atan": _number("arc tangent, in radians"),
    "atan2": _number("angle of the point (second, first), in radians", "number", "number"),
    "degrees": _number("radians to degrees"),
    "radians": _number("degrees to radians"),
    "pi": Function((), "number", "3.141592653589793"),
    "least": Function(("any…",), "any", "the smallest; nulls are left aside"),
    "greatest": Function(("any…",), "any", "the largest; nulls are left aside"),
    "coalesce": Function(("any…",), "any", "the first that is not null"),
    "nullif": Function(("any", "any"), "any", "null where both are equal, else the first"),
    "upper": Function(("text",), "text", "in capitals"),
    "lower": Function(("text",), "text", "in small letters"),
    "trim": Function(("text",), "text", "without spaces, tabs and line breaks at both ends"),
    "ltrim": Function(("text",), "text", "without them at the beginning"),
    "rtrim": Function(("text",), "text", "without them at the end"),
    "length": Function(("text",), "integer", "how many characters (Unicode code points)"),
    "left": Function(("text", "'n'"), "text", "the first n characters"),
    "right": Function(("text", "'n'"), "text", "the last n characters"),
    "substr": Function(("text", "'n'", "['n']"), "text", "from the n-th character (1 is the first), at most so many"),
    "replace": Function(("text", "'text'", "'text'"), "text", "every occurrence of the second replaced by the third"),
    "concat": Function(("text…",), "text", "joined; nulls are left out, while a || b is null where one is"),
    "starts_with": Function(("text", "text"), "boolean", "whether it begins so"),
    "ends_with": Function(("text", "text"), "boolean", "whether it ends so"),
    "contains": Function(("text", "text"), "boolean", "whether it has this in it"),
    "strpos": Function(("text", "'text'"), "integer", "where it first stands, counted from 1; 0 where it does not"),
    "split_part": Function(
        ("text", "'text'", "'n'"), "text", "the n-th part between separators; empty where there is none"
    ),
    "regexp_like": Function(
        ("text", "'text'"), "boolean", "whether the regular expression (linear time) is found in it", in_filter=False
    ),
    "date_part": Function(("'text'", "timestamp"), "number", f"{', '.join(PARTS)} of a time in UTC"),
    "date_trunc": Function(("'text'", "timestamp"), "timestamp", f"beginning of its {', '.join(WIDTHS)} in UTC"),
    "to_timestamp": Function(("number",), "timestamp", "the time so many seconds after 1970-01-01 UTC"),
}

#: Other ways to write the same call: `year(t)` is `date_part('year', t)`.
ALIASES: Mapping[str, str] = {
    "ceiling": "ceil",
    "pow": "power",
    "substring": "substr",
    "char_length": "length",
    "ifnull": "coalesce",
}
PART_FUNCTIONS = frozenset(PARTS)

#: Names that people try, and what to write instead.
HINTS: Mapping[str, str] = {
    "log": "log is base 10 in one database and natural in the next: write ln, log2 or log10",
    "now": "there is no clock: a record must come out the same when it is replayed",
    "current_timestamp": "there is no clock: a record must come out the same when it is replayed",
    "random": "there are no random numbers: a record must come out the same when it is replayed",
} | dict.fromkeys(
    ("sum", "avg", "count", "min", "max", "first", "last", "median", "stddev", "lag", "lead", "row_number", "rank"),
    "aggregates and windows belong into queries: here each record stands alone (least and greatest compare values)",
)
