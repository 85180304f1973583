"""What sources keep beside a cursor: breakers, streams and their owners, uploads, objects seen.

Revision ID: 0008
"""

from __future__ import annotations

from importlib.resources import files

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    sql = files("dash_app.storage.migrations.versions").joinpath("r0008_sources.sql").read_text()
    # The driver's own cursor: Alembic would read ':name' in the text as parameters.
    op.get_bind().exec_driver_sql(sql.replace("%", "%%"))
