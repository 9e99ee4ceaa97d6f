"""Roles: what one of several processes does, and which roles can be had apart. Pure."""

from prevenant.document import suggest
from prevenant.errors import ConfigurationError

LISTEN, DECIDE, ROUTE, ENGAGE, CONSOLE = "listen", "decide", "route", "engage", "console"
ROLES = (LISTEN, DECIDE, ROUTE, ENGAGE, CONSOLE)
"""All of them, in the order in which a reading goes through them."""
ALL = frozenset(ROLES)
_BOUND = frozenset({LISTEN, DECIDE})
"""What comes in and what is decided on meet in the journal, a file that one process has."""


def read_roles(text: str, database_url: str, kafka_url: str = "") -> frozenset[str]:
    """Return the roles that a text such as `route,engage` names.

    Raises ConfigurationError for one that there is not, and for roles that cannot be had apart.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in ROLES:
            message = f"there is no role {name!r}: {suggest(name, ROLES)}"
            raise ConfigurationError(message)
    roles = frozenset(names)
    if len(roles & _BOUND) == 1 and not kafka_url:
        message = (
            "listen and decide share the journal: give one process both, or neither, "
            "or set PREVENANT_KAFKA_URL"
        )
        raise ConfigurationError(message)
    if kafka_url and database_url.startswith("sqlite"):
        message = (
            "on Kafka several processes share the store: "
            "set PREVENANT_DATABASE_URL to a PostgreSQL, or leave PREVENANT_KAFKA_URL out"
        )
        raise ConfigurationError(message)
    if roles != ALL and database_url.startswith("sqlite"):
        message = (
            "on SQLite one process has all the roles: leave --role out, "
            "or set PREVENANT_DATABASE_URL to a PostgreSQL"
        )
        raise ConfigurationError(message)
    return roles


def show_roles(roles: frozenset[str]) -> str:
    """Return roles in words, in their order."""
    return ", ".join(role for role in ROLES if role in roles)
