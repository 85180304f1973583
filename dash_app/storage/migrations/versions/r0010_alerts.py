"""Alert rules, their states and events, silences and maintenance windows.

Revision ID: 0010
"""

from __future__ import annotations

from importlib.resources import files

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    sql = files("dash_app.storage.migrations.versions").joinpath("r0010_alerts.sql").read_text()
    # The driver's own cursor: Alembic would read ':name' in the text as parameters.
    op.get_bind().exec_driver_sql(sql.replace("%", "%%"))
