"""Uploads: files that people bring, and nothing that comes by itself.

Any pipeline takes uploads beside what its source brings; this kind is for one that takes nothing else. How a file is
received and cut into payloads is told in `pipelines/uploads`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from dash_app.pipelines.sources.base import Source


class Upload(Source):
    kind = "upload"
    summary = "Files that are brought by hand or by a program: CSV, NDJSON, JSON or Parquet."
    example: ClassVar[Mapping[str, Any]] = {}
