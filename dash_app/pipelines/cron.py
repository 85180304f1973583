"""When something is due by the calendar: five fields of cron and an IANA zone.

Days follow the wall clock of the zone, so that `0 7 * * 1` in Europe/Oslo is seven in the morning in summer and in
winter. A time that a change of clocks leaves out comes right after the gap, and one that it brings twice comes once,
as Debian's cron has it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

#: Longer ones are lists that nobody wrote by hand.
MAX_LENGTH = 200


def problem(expression: str) -> str | None:
    """What is wrong with a cron expression, or None."""
    if len(expression) > MAX_LENGTH or len(expression.split()) != 5:
        return "needs five fields: minute, hour, day of the month, month, day of the week, such as '0 7 * * 1'"
    try:
        next(CronSim(expression, datetime(2024, 1, 1, tzinfo=UTC)))
    except (CronSimError, ValueError) as error:
        return f"is no cron expression ({str(error).lower()}); five fields are needed, such as '*/15 6-18 * * 1-5'"
    except StopIteration:
        return "names a day that never comes"
    return None


def zone_problem(name: str) -> str | None:
    """What is wrong with the name of a time zone, or None."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        return "is no IANA time zone, such as Europe/Oslo or UTC"
    return None


def next_after(expression: str, zone: str, now: datetime) -> datetime:
    """The first time after `now` (with a zone) at which the expression is due, in UTC."""
    due: datetime = next(CronSim(expression, now.astimezone(ZoneInfo(zone))))
    return due.astimezone(UTC)
