"""Writes the migration from the last one's tables to those that the code declares now.

make migration NAME="Give shifts a name"
"""

import sys
import tempfile
from pathlib import Path

import alembic.command
import alembic.config

import prevenant.app
from prevenant.store import Store

MIGRATIONS = Path(prevenant.app.__file__).parent / "migrations"


def write_migration(name: str, folder: Path = MIGRATIONS) -> None:
    """Compare an empty database that was brought up to date with the declared tables."""
    config = alembic.config.Config()
    config.set_main_option("script_location", str(folder))
    number = len(list((folder / "versions").glob("[0-9]*.py"))) + 1
    with tempfile.TemporaryDirectory() as scratch:
        store = Store(f"sqlite:///{scratch}/empty.db")
        store.upgrade()
        with store.engine.begin() as connection:
            config.attributes["connection"] = connection
            alembic.command.revision(config, name, autogenerate=True, rev_id=f"{number:04}")
        store.close()


if __name__ == "__main__":
    write_migration(sys.argv[1])
