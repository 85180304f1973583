"""Roles and what each may do: one table, asked by REST, pages and the live channel alike."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from uuid import UUID

from dash_app.domain.embeds import Embed
from dash_app.domain.errors import Forbidden


class Role(IntEnum):
    """A member's role in a team; each may do all that the one before may."""

    viewer = 1
    editor = 2
    admin = 3


#: The least role that an action asks for.
ACTIONS: dict[str, Role] = {
    "pipelines.read": Role.viewer,
    "pipelines.write": Role.editor,
    "payloads.read": Role.viewer,
    "query.run": Role.viewer,
    "dashboards.read": Role.viewer,
    "dashboards.write": Role.editor,
    "sinks.read": Role.viewer,
    "sinks.write": Role.editor,
    "alerts.read": Role.viewer,
    "alerts.write": Role.editor,
    "secrets.read": Role.editor,
    "tokens.own": Role.viewer,
    "members.read": Role.viewer,
    "members.write": Role.admin,
    "audit.read": Role.admin,
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a user acting in one team, with the role that the session or token carries."""

    user: UUID
    email: str
    name: str
    team: UUID
    team_slug: str
    team_name: str
    role: Role
    #: The token or session that stands for the user; what a revocation names.
    credential: str = ""
    via: str = "session"
    #: Who holds an embed's address instead of a credential sees what it shows, and no more.
    embed: Embed | None = None

    def may(self, action: str) -> bool:
        return self.role >= ACTIONS[action]

    def require(self, action: str) -> None:
        """Nothing, or Forbidden with the role that the action asks for."""
        if not self.may(action):
            raise Forbidden(f"{action} asks for the role {ACTIONS[action].name}; yours is {self.role.name}")
