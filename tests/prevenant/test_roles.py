"""Which roles a process of several can have."""

import pytest

from prevenant.errors import ConfigurationError
from prevenant.roles import ALL, ROLES, read_roles, show_roles

SQLITE, POSTGRES = "sqlite:///var/prevenant.db", "postgresql+psycopg://a@b/c"
KAFKA = "kafka://k:9092"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("route,engage", "route, engage"),
        (" engage , route ", "route, engage"),
        ("console", "console"),
        ("decide,listen", "listen, decide"),
        (",".join(ROLES), "listen, decide, route, engage, console"),
    ],
)
def test_roles_that_can_be_had_apart(text: str, shown: str) -> None:
    assert show_roles(read_roles(text, POSTGRES)) == shown


def test_on_sqlite_one_process_has_them_all() -> None:
    assert read_roles(",".join(ROLES), SQLITE) == ALL


@pytest.mark.parametrize("text", ["listen", "decide", "decide,route", ",".join(ROLES)])
def test_on_kafka_every_role_can_be_had_apart(text: str) -> None:
    assert read_roles(text, POSTGRES, KAFKA) == frozenset(text.split(","))


def test_kafka_needs_a_store_that_several_share() -> None:
    with pytest.raises(ConfigurationError, match="set PREVENANT_DATABASE_URL to a PostgreSQL"):
        read_roles(",".join(ROLES), SQLITE, KAFKA)


@pytest.mark.parametrize(
    ("text", "url", "words"),
    [
        ("rout,engage", POSTGRES, "there is no role 'rout': did you mean 'route'?"),
        ("ingest", POSTGRES, "write one of console, decide, engage, listen, route"),
        ("route,", POSTGRES, "there is no role ''"),
        ("listen", POSTGRES, "give one process both, or neither"),
        ("decide,route,engage,console", POSTGRES, "give one process both, or neither"),
        ("route,engage", SQLITE, "set PREVENANT_DATABASE_URL to a PostgreSQL"),
        ("listen,decide", SQLITE, "on SQLite one process has all the roles"),
    ],
)
def test_roles_that_cannot_be_had_are_refused(text: str, url: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_roles(text, url)
    assert words in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
