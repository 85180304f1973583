"""Sinks: where messages go. One file a kind."""

from __future__ import annotations

import importlib
from functools import cache

from dash_app.domain.kinds import Kinds
from dash_app.pipelines.sinks.base import Answer, File, Gone, Message, Sink

__all__ = ["Answer", "File", "Gone", "Message", "Sink", "load_sinks"]


@cache
def load_sinks() -> Kinds[Sink]:
    """Every sink kind: those of this folder, and those that other distributions announce as `dash_app.sinks`."""
    return Kinds.load("sinks", importlib.import_module(__name__), Sink)
