"""The database's history: numbered Alembic revisions, each plain SQL."""
