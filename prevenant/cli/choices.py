"""What lists may be asked for: how many rows, and words that are known."""

from collections.abc import Callable, Collection
from typing import Annotated

import typer

from prevenant.document import suggest

AtMost = Annotated[int, typer.Option(min=1, help="At most so many.")]


def one_of(known: Collection[str]) -> Callable[[str | None], str | None]:
    """Return what refuses a word that would find nothing, since there is no such thing."""

    def check(word: str | None) -> str | None:
        if word and word not in known:
            message = f"{word!r} is not known: {suggest(word, known)}"
            raise typer.BadParameter(message)
        return word

    return check
