"""Pipeline to pipeline: the records of one are the payloads of another.

They are passed on in the transaction that writes them (`pipelines/flow`), from the moment on at which this pipeline was
set up, each once. Records that a replay of the other pipeline makes anew are not passed on again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import param

from dash_app.pipelines.sources.base import Source


class FromPipeline(Source):
    kind = "pipeline"
    summary = "The records of another pipeline; each of its payloads gives one here."
    example: ClassVar[Mapping[str, Any]] = {"pipeline": "orders"}

    pipeline = param.String(default="", doc="The pipeline whose records are taken, by its slug or id.")

    def problems(self) -> list[tuple[str, str]]:
        found = super().problems()
        if not self.pipeline:
            found.append(("pipeline", "is missing: the slug or the id of another pipeline"))
        return found

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        return super().json_schema() | {"required": ["pipeline"]}
