"""Push: what PostgreSQL announces reaches every viewer, read once and encoded once."""
