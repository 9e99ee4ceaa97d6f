"""Alembic's entry: runs on the connection that `Store.upgrade` or the developer's command gives it."""

from alembic import context
from sqlmodel import SQLModel

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
    user_module_prefix="store.",
)
context.run_migrations()
