"""PgBouncer: fewer server connections than services have clients."""
