"""What writing DDL by hand needs: identifiers that cannot break out, locks that cannot stall the readers."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
import structlog
from psycopg import sql

from dash_app.domain.errors import Invalid
from dash_app.storage.unit import Unit

log = structlog.get_logger(__name__)


def quote(name: str) -> str:
    """`name` as a quoted identifier. Invalid for what PostgreSQL cannot hold or would cut."""
    if not name or "\0" in name or len(name.encode()) > 63:
        raise Invalid(f"'{name[:80]}' cannot name a column or table: 1 to 63 bytes, without NUL")
    return '"' + name.replace('"', '""') + '"'


def comment(kind: str, name: str, text: str) -> str:
    """A COMMENT ON statement; `name` is quoted already."""
    return f"COMMENT ON {kind} {name} IS {sql.Literal(text).as_string(None)}"


def lock(unit: Unit, name: str) -> None:
    """Makes whoever creates the same thing wait until this unit ends; IF NOT EXISTS alone lets two collide."""
    unit.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"dash.silver.{name}",))


def patient(unit: Unit, statements: Sequence[str], patience: str = "300ms") -> bool:
    """Runs DDL behind a savepoint, waiting no longer than `patience` for each lock, since all readers queue behind it.

    False, with nothing changed, where a query held a lock for longer, or something depends on what is dropped.
    """
    before = unit.value("SELECT current_setting('lock_timeout')")
    try:
        with unit.driver.transaction():
            unit.execute("SELECT set_config('lock_timeout', %s, true)", (patience,))
            for statement in statements:
                unit.execute(statement)
            unit.execute("SELECT set_config('lock_timeout', %s, true)", (before,))
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DependentObjectsStillExist) as error:
        log.info("ddl.put_off", statement=statements[0][:200], reason=str(error).splitlines()[0])
        return False
    return True
