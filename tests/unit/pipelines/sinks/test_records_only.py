"""Sinks that keep records refuse what is none, instead of writing nothing and calling it sent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from dash_app.domain.errors import Permanent
from dash_app.pipelines.reach import Reach
from dash_app.pipelines.sinks.base import Message, Sink
from dash_app.pipelines.sinks.postgres import PostgresSink
from dash_app.pipelines.sinks.s3_parquet import S3Parquet


@pytest.mark.parametrize("kind", [PostgresSink, S3Parquet])
@pytest.mark.parametrize("type", ["alert", "report"])
def test_an_alert_is_refused_before_anything_is_reached(kind: type[Sink], type: Any) -> None:
    at = datetime(2026, 1, 5, tzinfo=UTC)
    message = Message(f"msg_{1:032x}", type, at, "acme", "hot", "Hot", "", {"alert": "hot"})
    with pytest.raises(Permanent, match=f"takes records, and this is a message of type {type}"):
        kind.from_options(dict(kind.example)).send(message, Reach())
