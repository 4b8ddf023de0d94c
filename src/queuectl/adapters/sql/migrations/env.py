"""Alembic's script: it runs the migrations on the connection, and in the transaction, that it is handed."""

from alembic import context

from queuectl.adapters.sql.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
