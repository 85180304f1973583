"""Roles, teams under row security, the durable inbox and its doorbell, the catalog, the ledgers.

Revision ID: 0001
"""

from __future__ import annotations

from importlib.resources import files

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    sql = files("dash_app.storage.migrations.versions").joinpath("r0001_foundation.sql").read_text()
    # The driver's own cursor: Alembic would read ':name' in the text as parameters.
    op.get_bind().exec_driver_sql(sql.replace("%", "%%"))
