"""A condition over the records of a pipeline, as a sink's `where`: the language and the meaning of a mapping's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from dash_app.domain.errors import Invalid
from dash_app.domain.specs import FieldSpec
from dash_app.pipelines.expression_plan import Program, program
from dash_app.pipelines.expressions import parse_condition


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Keeps the records of a frame that meet the condition; without one, all."""

    _program: Program | None

    @classmethod
    def of(cls, where: str, fields: Iterable[FieldSpec]) -> RecordFilter:
        """Raises Invalid, whose place is `where`."""
        if not where.strip():
            return cls(None)
        types = {field.name: field.type for field in fields}
        try:
            return cls(program(parse_condition(where, {**types, "_time": "timestamp"}), "_f_"))
        except Invalid as error:
            raise Invalid(problems=[("where", error.message)]) from error

    def apply(self, frame: pl.DataFrame) -> pl.DataFrame:
        """A condition that is null, or that fails for a record, does not hold for it."""
        if self._program is None:
            return frame
        widened, added = self._program.columns(frame)
        holds = self._program.value.cast(pl.Boolean).fill_null(False)
        if self._program.failed is not None:
            holds = holds & ~self._program.failed.fill_null(True)
        return widened.filter(holds).drop(added)
