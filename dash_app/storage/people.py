"""Users, teams, members, browser sessions, API tokens, and the audit trail.

Secrets are kept as hashes: passwords with argon2id, sessions and tokens (which are random already) with SHA-256. The
look-ups that come before a team is known go through narrow functions of the database, called in a unit of `anyone`.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import argon2
import sqlalchemy as sa
from argon2.exceptions import InvalidHashError, VerificationError

from dash_app.domain import ids
from dash_app.domain.access import Principal, Role
from dash_app.domain.changes import AccessChanged
from dash_app.domain.errors import Conflict, Invalid, NotFound
from dash_app.storage import silver
from dash_app.storage.tables import ApiToken, AuditRow
from dash_app.storage.unit import Unit

#: How long a browser session lives without being used, and at most.
SESSION_LIFETIME = timedelta(days=14)

_TOKEN_PREFIX = "dash_"
_hasher = argon2.PasswordHasher()
#: Verified where the user is unknown, so that the answer takes as long as for a known one.
_NOBODY = _hasher.hash(secrets.token_urlsafe(16))


@dataclass(frozen=True, slots=True)
class Membership:
    """One team of a user."""

    team: UUID
    slug: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Member:
    """One user of a team."""

    user: UUID
    email: str
    name: str
    role: Role
    disabled: bool


@dataclass(frozen=True, slots=True)
class Token:
    """An API token without its secret. `hint` is its beginning, for telling tokens apart."""

    id: UUID
    name: str
    hint: str
    role: Role
    user: UUID
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


# Users and teams, as dash_ingest -------------------------------------------------------------------------------------


def create_team(unit: Unit, slug: str, name: str) -> UUID:
    """A team with its two schemas; needs a unit of `ingest`."""
    ids.check_slug(slug)
    if unit.value("SELECT 1 FROM teams WHERE slug = %s", (slug,)):
        raise Conflict(f"there is a team '{slug}' already")
    team = ids.new_id()
    unit.execute("INSERT INTO teams (id, slug, name) VALUES (%s, %s, %s)", (team, slug, name))
    silver.create_team_schemas(unit, slug)
    return team


def find_team(unit: Unit, slug: str | None = None) -> UUID:
    """The team with this slug, or the oldest; needs a unit of `ingest`."""
    team: UUID | None = unit.value(
        "SELECT id FROM teams WHERE %(slug)s::text IS NULL OR slug = %(slug)s ORDER BY created_at, id LIMIT 1",
        {"slug": slug},
    )
    if team is None:
        raise NotFound(f"no team '{slug}'" if slug else "there is no team yet")
    return team


def create_user(unit: Unit, email: str, password: str, *, name: str = "") -> UUID:
    """A user who can log in, member of nothing yet; needs a unit of `ingest`."""
    email = check_email(email)
    check_password(password)
    if unit.value("SELECT 1 FROM users WHERE email = %s", (email,)):
        raise Conflict(f"there is a user {email} already")
    user = ids.new_id()
    unit.execute(
        "INSERT INTO users (id, email, name, password_hash) VALUES (%s, %s, %s, %s)",
        (user, email, name.strip() or email.split("@")[0], _hasher.hash(password)),
    )
    return user


def check_email(email: str) -> str:
    email = email.strip().lower()
    local, _, host = email.rpartition("@")
    if not local or not host or len(email) > 254 or any(c.isspace() or not c.isprintable() for c in email):
        raise Invalid(problems=[("email", f"'{email[:80]}' is not an e-mail address like ada@example.org")])
    return email


def check_password(password: str) -> str:
    if not 10 <= len(password) <= 1024:
        raise Invalid(problems=[("password", "a password has at least 10 characters")])
    return password


def add_member(unit: Unit, team: UUID, user: UUID, role: Role) -> None:
    unit.execute(
        "INSERT INTO members (team_id, user_id, role) VALUES (%s, %s, %s) "
        "ON CONFLICT (team_id, user_id) DO UPDATE SET role = excluded.role",
        (team, user, role.name),
    )
    unit.notify(AccessChanged(str(user)))


def anybody(unit: Unit) -> bool:
    """Whether there is a user at all; needs a unit of `ingest`."""
    return unit.value("SELECT EXISTS (SELECT FROM users)") is True


# Log-in, before a team is known --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Login:
    user: UUID
    email: str
    name: str


def verify_password(unit: Unit, email: str, password: str) -> Login | None:
    """The user whose password this is. Takes ~50 ms of a core, as long for an unknown user as for a known one."""
    row = unit.row(
        "SELECT user_id, email, name, password_hash, disabled FROM find_login(%s)", (email.strip().lower()[:254],)
    )
    try:
        _hasher.verify(row[3] if row else _NOBODY, password[:1024])
    except (VerificationError, InvalidHashError):
        return None
    return Login(row[0], row[1], row[2]) if row and not row[4] else None


def memberships(unit: Unit, user: UUID) -> list[Membership]:
    return [
        Membership(row[0], row[1], row[2], Role[row[3]])
        for row in unit.rows("SELECT team_id, slug, name, role FROM teams_of(%s)", (user,))
    ]


def open_session(unit: Unit, team: UUID, user: UUID, *, user_agent: str = "") -> str:
    """A new browser session and its secret, which the cookie carries; needs the team's unit."""
    secret = secrets.token_urlsafe(32)
    unit.execute(
        "INSERT INTO browser_sessions (hash, team_id, user_id, expires_at, user_agent) VALUES (%s, %s, %s, "
        "now() + %s, %s)",
        (digest(secret), team, user, SESSION_LIFETIME, user_agent[:400]),
    )
    return secret


def close_session(unit: Unit, user: UUID, secret: str) -> None:
    """Ends a session; needs the team's unit."""
    unit.execute("DELETE FROM browser_sessions WHERE hash = %s", (digest(secret),))
    unit.notify(AccessChanged(str(user)))


def prune_sessions(unit: Unit) -> None:
    """Forgets sessions that are over, and answers kept for repeated requests; needs a unit of `ingest`."""
    unit.execute("DELETE FROM browser_sessions WHERE expires_at < now()")
    unit.execute("DELETE FROM idempotency_keys WHERE created_at < now() - interval '1 day'")


def session_principal(unit: Unit, secret: str) -> Principal | None:
    """Who a session's secret stands for; None for an unknown, expired or disabled one."""
    hashed = digest(secret)
    row = unit.row("SELECT * FROM find_session(%s)", (hashed,))
    if row is None:
        return None
    user, email, name, team, slug, team_name, role, idle = row
    if idle > 60:
        unit.execute("SELECT touch_session(%s)", (hashed,))
        unit.commit()
    return Principal(user, email, name, team, slug, team_name, Role[role], hashed.hex(), "session")


def token_principal(unit: Unit, secret: str) -> Principal | None:
    """Who an API token stands for, with the lesser of the token's and the member's role."""
    hashed = digest(secret)
    row = unit.row("SELECT * FROM find_token(%s)", (hashed,))
    if row is None:
        return None
    token, user, email, name, team, slug, team_name, role, member_role = row
    unit.execute("SELECT touch_token(%s)", (hashed,))
    unit.commit()
    return Principal(user, email, name, team, slug, team_name, min(Role[role], Role[member_role]), str(token), "token")


def live_principal(unit: Unit, user: UUID, credential: str, via: str) -> Principal | None:
    """Who a credential of a team's member stands for, looked up by its id instead of its secret; None where it has
    ended, or the user is no member any more. Needs the team's unit."""
    lives = (
        "SELECT 1 FROM browser_sessions s WHERE s.user_id = u.id AND s.hash = decode(%(credential)s, 'hex') "
        "AND s.expires_at > now()"
        if via == "session"
        else "SELECT 1 FROM api_tokens a WHERE a.user_id = u.id AND a.id = %(credential)s::uuid "
        "AND a.revoked_at IS NULL"
    )
    row = unit.row(
        "SELECT u.email, u.name, t.id, t.slug, t.name FROM members m JOIN users u ON u.id = m.user_id "
        f"JOIN teams t ON t.id = m.team_id WHERE u.id = %(user)s AND NOT u.disabled AND EXISTS ({lives})",
        {"user": user, "credential": credential},
    )
    if row is None:
        return None
    email, name, team, slug, team_name = row
    return Principal(user, email, name, team, slug, team_name, Role.viewer, credential, via)


# In a team -----------------------------------------------------------------------------------------------------------


def members(unit: Unit) -> list[Member]:
    rows = unit.rows(
        "SELECT u.id, u.email, u.name, m.role, u.disabled FROM members m JOIN users u ON u.id = m.user_id "
        "ORDER BY m.created_at, u.id"
    )
    return [Member(user, email, name, Role[role], disabled) for user, email, name, role, disabled in rows]


def create_token(unit: Unit, team: UUID, user: UUID, name: str, role: Role) -> tuple[Token, str]:
    """A new API token and its secret, which is shown this once."""
    if not name.strip() or len(name) > 100:
        raise Invalid(problems=[("name", "a token's name has 1 to 100 characters")])
    secret = _TOKEN_PREFIX + secrets.token_urlsafe(32)
    row = ApiToken(
        id=ids.new_id(),
        team_id=team,
        user_id=user,
        name=name.strip(),
        hash=digest(secret),
        hint=secret[: len(_TOKEN_PREFIX) + 4],
        role=role.name,
        last_used_at=None,
        revoked_at=None,
    )
    unit.session.add(row)
    unit.session.flush()
    unit.session.refresh(row)
    return _token(row), secret


def _token(row: ApiToken) -> Token:
    return Token(
        row.id, row.name, row.hint, Role[row.role], row.user_id, row.created_at, row.last_used_at, row.revoked_at
    )


def tokens(unit: Unit, user: UUID | None = None) -> list[Token]:
    """The team's tokens, or one user's, newest first."""
    statement = sa.select(ApiToken).order_by(ApiToken.id.desc())
    if user is not None:
        statement = statement.where(ApiToken.user_id == user)
    return [_token(row) for row in unit.session.scalars(statement)]


def revoke_token(unit: Unit, token: UUID, user: UUID | None = None) -> Token:
    """Revokes a token (of this user, where one is given); what uses it is refused within a second."""
    row = unit.session.get(ApiToken, token)
    if row is None or (user is not None and row.user_id != user):
        raise NotFound("no such token")
    row.revoked_at = unit.session.scalar(sa.select(sa.func.now()))
    unit.session.flush()
    unit.notify(AccessChanged(str(row.user_id)))
    return _token(row)


def record(
    unit: Unit,
    who: Principal | None,
    team: UUID,
    action: str,
    target: str = "",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Adds to the audit trail, in the same transaction as what was done."""
    unit.session.add(
        AuditRow(
            team_id=team,
            actor=who.user if who else None,
            actor_email=who.email if who else "",
            action=action,
            target=target,
            detail=dict(detail or {}),
        )
    )


def audit(unit: Unit, *, limit: int = 100, before: int | None = None) -> list[dict[str, Any]]:
    """The team's audit trail, newest first."""
    statement = sa.select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(AuditRow.id < before)
    return [
        {
            "id": str(r.id),
            "at": r.at,
            "actor": r.actor_email,
            "action": r.action,
            "target": r.target,
            "detail": r.detail,
        }
        for r in unit.session.scalars(statement)
    ]
