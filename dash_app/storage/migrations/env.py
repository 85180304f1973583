"""Alembic's entry: runs the revisions on the connection that `dash_app.storage.migrate` hands over."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], version_table_schema="dash")
with context.begin_transaction():
    context.run_migrations()
