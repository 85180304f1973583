"""What the code of this floor works with: opened once by whoever starts a process, and handed down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dash_app.domain.kinds import Kinds
from dash_app.pipelines.reach import Reach
from dash_app.pipelines.sinks.base import Sink
from dash_app.pipelines.sources.base import Source
from dash_app.pipelines.sources.webhook.base import SignatureScheme
from dash_app.storage.engine import Database
from dash_app.storage.objects import Objects
from dash_app.storage.vault import Vault


@dataclass(frozen=True)
class Resources:
    """The stores and the kinds."""

    database: Database
    objects: Objects
    vault: Vault
    sources: Kinds[Source]
    schemes: Kinds[SignatureScheme]
    sinks: Kinds[Sink]
    #: The one way out: what sources and sinks may reach.
    reach: Reach
    #: Folders of this machine below which sources may watch for files; none unless a setting names them.
    watch_roots: tuple[Path, ...]
