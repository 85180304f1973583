"""Retention: from where on a pipeline's records, rollups and payloads are kept, and which files are to go.

Revision ID: 0002
"""

from __future__ import annotations

from importlib.resources import files

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    sql = files("dash_app.storage.migrations.versions").joinpath("r0002_retention.sql").read_text()
    # The driver's own cursor: Alembic would read ':name' in the text as parameters.
    op.get_bind().exec_driver_sql(sql.replace("%", "%%"))
