"""A command waits for what it needs itself, and for nothing that another one needs."""

import subprocess
import sys

import pytest
import typer.main

from prevenant.cli import app
from prevenant.cli.lazy import LazyGroup

HEAVY = {"fastapi", "numpy", "pandas", "pyarrow", "scipy", "sqlmodel", "twilio"}
NEEDED: list[tuple[list[str], set[str]]] = [
    (["version"], set()),
    (["--version"], set()),
    (["--help"], set()),
    (["rules", "--help"], set()),
    (["models", "--help"], set()),
    (["settings"], set()),
    (["rules", "check"], {"sqlmodel"}),
    (["rules", "import", "--help"], set()),
]


@pytest.mark.parametrize(("typed", "needed"), NEEDED, ids=" ".join)
def test_what_is_loaded(typed: list[str], needed: set[str]) -> None:
    code = (
        "import sys; from prevenant.cli import main; sys.argv = ['prevenant', *sys.argv[1:]]\n"
        "try: main()\n"
        f"finally: print('loaded', *sorted({HEAVY} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *typed], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.splitlines()[-1].split()) == {"loaded", *needed}


ALONE = """
import os, sys
from importlib import import_module
import alembic.command, babel, fastapi, holidays, pandas, phonenumbers, sklearn.neighbors, twilio.rest
import prevenant.settings, prevenant.store, prevenant.tables
for name in sys.argv[1:]:
    if os.fork() == 0:
        import_module(name)
        os._exit(0)
    if os.wait()[1]:
        print(name)
"""
"""Prints the modules that cannot be loaded before any other, but for those that import none of ours."""


def test_every_command_is_loaded_without_the_others() -> None:
    whole = typer.main.get_command(app)
    assert isinstance(whole, LazyGroup)
    names = {where.partition(":")[0] for where, _ in whole.parts.values()}
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *sorted(names)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "", done.stderr


def groups(group: LazyGroup) -> list[LazyGroup]:
    """Return a group and those within it."""
    inner = [one for one in group.commands.values() if isinstance(one, LazyGroup)]
    return [group, *(found for one in inner for found in groups(one))]


def test_the_help_says_of_each_command_what_the_command_says_itself() -> None:
    whole = typer.main.get_command(app)
    assert isinstance(whole, LazyGroup)
    found = groups(whole)
    assert len(found) == 3
    for group in found:
        for name, (_, words) in group.parts.items():
            command = group.commands[name]
            assert command.name == name
            assert (command.help or "").split("\n")[0] == words
