"""What a source and a sink for PostgreSQL are both told: where the database is, and who one is there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import param

from dash_app.pipelines.reach import Reach
from dash_app.storage.outside_postgres import Target

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?|[0-9A-Fa-f:]{2,45}")


class PostgresOptions(param.Parameterized):
    """Mixed into kinds."""

    shapes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"ca_certificate": {"format": "pem"}}

    host = param.String(default="", doc="The server's name or address.")
    port = param.Integer(default=5432, bounds=(1, 65_535), doc="The server's port.")
    database = param.String(default="", doc="The name of the database.")
    user = param.String(default="", doc="Who to log in as: best a role that may do just this.")
    password = param.String(default="", doc="The password, kept encrypted and never shown.")
    tls: Any = param.Selector(
        default="verify-full",
        objects=["verify-full", "require", "disable"],
        doc="verify-full: encrypted, and the certificate must be the host's. require: encrypted. disable: neither.",
    )
    ca_certificate = param.String(
        default="", doc="Certificates in PEM that the server's must be signed by; empty: the usual authorities."
    )

    def connection_problems(self) -> list[tuple[str, str]]:
        found = []
        if not _HOST.fullmatch(self.host):
            found.append(("host", "is missing" if not self.host else "is neither a host's name nor an address"))
        for option in ("database", "user"):
            value = getattr(self, option)
            if not value or len(value) > 200 or not value.isprintable():
                found.append((option, "is missing" if not value else "holds characters that it cannot have"))
        if "\x00" in self.password:
            found.append(("password", "holds a zero byte"))
        if self.ca_certificate and "-----BEGIN CERTIFICATE-----" not in self.ca_certificate:
            found.append(("ca_certificate", "is no certificate in PEM: it begins with -----BEGIN CERTIFICATE-----"))
        return found

    def target(self, reach: Reach, timeout: float) -> Target:
        """The database behind checked addresses. Raises AddressNotAllowed, or Transient for a name nobody knows."""
        return Target(
            host=self.host,
            port=self.port,
            database=self.database,
            user=self.user,
            password=self.password,
            addresses=tuple(reach.addresses(self.host, self.port)),
            tls=self.tls,
            ca=self.ca_certificate,
            timeout=timeout,
        )
