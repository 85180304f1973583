"""What every kind of tile is: its options, and what it needs of its query.

The options are parameters (`domain.kinds`): from them come the validation of a dashboard's document, the JSON schema of
the API, the form of the editor. Options that have parts are described in `parts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import param

from dash_app.domain.kinds import Kind
from dash_app.domain.tiles import shapes


class TileKind(Kind):
    """Base of every kind of tile."""

    #: What it is called where people choose one.
    title: ClassVar[str] = ""
    #: What its query must give, in words; what a tile says whose columns do not fit.
    needs: ClassVar[str] = ""
    #: How many queries it draws: none, one (`query`), or many (`query` or `queries`).
    queries: ClassVar[Literal["none", "one", "many"]] = "one"
    #: A document of this kind that works on a pipeline with these fields: for docs and the gallery.
    example: ClassVar[Mapping[str, Any]] = {}
    #: What is inside options that are lists or objects, as JSON Schema (`shapes`).
    parts: ClassVar[Mapping[str, shapes.Schema]] = {}
    #: How options were written before they had names for their values: option → written → meant.
    earlier: ClassVar[Mapping[str, Mapping[Any, str]]] = {}

    @classmethod
    def from_options(cls, options: Mapping[str, Any], where: str = "options") -> Self:
        read = {
            name: cls.earlier[name].get(value, value) if name in cls.earlier and isinstance(value, bool) else value
            for name, value in options.items()
        }
        return super().from_options(read, where)

    def problems(self) -> list[tuple[str, str]]:
        return [
            problem
            for name, schema in self.parts.items()
            if (value := getattr(self, name)) is not None
            for problem in shapes.problems(value, schema, name)
        ]

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        schema = super().json_schema()
        schema["title"] = cls.title
        for name, parts in cls.parts.items():
            schema["properties"][name] |= parts
        return schema


class DrawnTile(TileKind):
    """Base of the kinds that draw numbers."""

    unit = param.String(
        default=None,
        allow_None=True,
        doc="Unit of the values, such as °C, bytes, s, percent or EUR. Without it the one that the field has; "
        "an empty text means none.",
    )
    decimals = param.Integer(
        default=None,
        allow_None=True,
        bounds=(0, 12),
        doc="Digits after the point. Without it as many as tell the values apart.",
    )
    thresholds = param.List(
        default=[],
        doc="Where a value changes colour: from each `value` on its `color`. One without a value holds from the start.",
    )

    parts: ClassVar[Mapping[str, shapes.Schema]] = {
        "thresholds": {
            "type": "array",
            "maxItems": 20,
            "items": shapes.record(("color",), value={"type": ["number", "null"]}, color=shapes.COLOR),
        }
    }


class SeriesTile(DrawnTile):
    """Base of the kinds that draw series along an axis."""

    legend: Any = param.Selector(
        default="last",
        objects=["none", "last", "table"],
        doc="Below the chart: nothing, series with last values, or a table of least, mean, greatest and last.",
    )
    series = param.Dict(
        default={},
        doc="What is different for one series, under its name: colour, label, unit, axis, or steps.",
    )

    parts: ClassVar[Mapping[str, shapes.Schema]] = {
        **DrawnTile.parts,
        "series": {
            "type": "object",
            "additionalProperties": shapes.record(
                axis={"type": "string", "enum": ["left", "right"]},
                color=shapes.COLOR,
                unit=shapes.UNIT,
                label=shapes.TEXT,
                steps={"type": "boolean"},
            ),
        },
    }


#: How values of one time stand to each other; true and false are what was written before there were three ways.
STACKED: Mapping[Any, str] = {True: "normal", False: "none"}
