"""Alembic's entry: runs on the connection that `Store.upgrade` or the developer's command gives it."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlmodel import AutoString, SQLModel

from prevenant.crm.changes import watch_technicians


def render_item(kind: str, item: Any, _: AutogenContext) -> str | Literal[False]:
    """Write SQLModel's own string type as SQLAlchemy's."""
    return "sa.String()" if kind == "type" and isinstance(item, AutoString) else False


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
    user_module_prefix="store.",
    render_item=render_item,
)
context.run_migrations()
# A table that SQLite had to make anew for a migration has lost its triggers.
watch_technicians(connection)
