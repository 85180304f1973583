"""What the code of this floor works with: opened once by whoever starts a process, and handed down."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from dash_app.domain.kinds import Kinds
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
    #: Private networks that polls may reach.
    allowed_networks: tuple[IPv4Network | IPv6Network, ...]
    #: Single addresses that polls may reach although they are private: the demo's own server.
    allowed_addresses: frozenset[tuple[str, int]]
    #: Ports of Dash's own, which polls may not reach on this machine even where its network is allowed.
    own_ports: frozenset[int]
