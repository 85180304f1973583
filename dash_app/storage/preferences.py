"""What a person wants the same on every page and in every team."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from dash_app.domain.errors import Invalid
from dash_app.domain.zones import is_zone
from dash_app.storage.unit import Unit


@dataclass(frozen=True, slots=True)
class Preferences:
    """`timezone`: an IANA name; '': the one of the browser."""

    timezone: str = ""


def get(unit: Unit, user: UUID) -> Preferences:
    row = unit.row("SELECT timezone FROM preferences WHERE user_id = %s", (user,))
    return Preferences(*row) if row else Preferences()


def set_timezone(unit: Unit, user: UUID, timezone: str) -> Preferences:
    """Raises Invalid for what is no time zone; '' goes back to the browser's."""
    if timezone and not is_zone(timezone):
        raise Invalid(
            problems=[
                ("timezone", f"'{timezone[:60]}' is not a time zone; IANA's names are meant, such as Europe/Oslo")
            ]
        )
    unit.execute(
        "INSERT INTO preferences (user_id, timezone) VALUES (%s, %s) "
        "ON CONFLICT (user_id) DO UPDATE SET timezone = excluded.timezone, updated_at = clock_timestamp()",
        (user, timezone),
    )
    return Preferences(timezone)
