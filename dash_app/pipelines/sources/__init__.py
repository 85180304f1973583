"""Sources: where payloads come from. One file (or folder) a kind; `webhook/` holds one file a signature scheme."""

from __future__ import annotations

import importlib
from functools import cache

from dash_app.domain.kinds import Kinds
from dash_app.pipelines.sources.base import Page, PollSource, Source
from dash_app.pipelines.sources.webhook.base import SignatureScheme, load_schemes

__all__ = ["Page", "PollSource", "SignatureScheme", "Source", "load_schemes", "load_sources"]


@cache
def load_sources() -> Kinds[Source]:
    """Every source kind: those of this folder, and those that other distributions announce as `dash_app.sources`."""
    return Kinds.load("sources", importlib.import_module(__name__), Source)
