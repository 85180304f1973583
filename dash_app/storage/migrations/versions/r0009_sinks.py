"""Sinks, their pipelines, the outbox of deliveries and every attempt.

Revision ID: 0009
"""

from __future__ import annotations

from importlib.resources import files

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    sql = files("dash_app.storage.migrations.versions").joinpath("r0009_sinks.sql").read_text()
    # The driver's own cursor: Alembic would read ':name' in the text as parameters.
    op.get_bind().exec_driver_sql(sql.replace("%", "%%"))
