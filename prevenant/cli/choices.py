"""What lists may be asked for: how many rows, and words that are known."""

import getpass
from collections.abc import Callable, Collection
from typing import Annotated

import typer

from prevenant.document import suggest

LARGEST = 2**31 - 1
"""The largest number that a row can have, or that rows are counted to."""
AtMost = Annotated[int, typer.Option(min=1, max=LARGEST, help="At most so many.")]


def one_of(known: Collection[str]) -> Callable[[str | None], str | None]:
    """Return what refuses a word that would find nothing, since there is no such thing."""

    def check(word: str | None) -> str | None:
        if word and word not in known:
            message = f"{word!r} is not known: {suggest(word, known)}"
            raise typer.BadParameter(message)
        return word

    return check


def _short(name: str) -> str:
    if len(name) > _LONGEST_NAME:
        message = f"{len(name)} characters are too long for a name: write at most {_LONGEST_NAME}"
        raise typer.BadParameter(message)
    return name


_LONGEST_NAME = 100
By = Annotated[
    str,
    typer.Option("--by", help="Who does it.", default_factory=getpass.getuser, callback=_short),
]
