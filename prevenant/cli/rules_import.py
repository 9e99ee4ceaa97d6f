"""`prevenant rules import`: rules of other systems as a rule book."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from prevenant.cli.shown import printable
from prevenant.document import suggest
from prevenant.errors import ConfigurationError
from rules.importing.formats import FORMATS
from rules.importing.writing import write_book


def import_rules(
    form: Annotated[str, typer.Argument(metavar="FORMAT", help=f"One of {', '.join(FORMATS)}.")],
    file: Annotated[Path, typer.Argument(help="The other system's file.")],
    *,
    out: Annotated[
        Path | None, typer.Option(help="A new file for the book.", show_default="standard output")
    ] = None,
) -> None:
    """Carry over rules of another system; what cannot be carried over is listed on stderr."""
    if form not in FORMATS:
        message = f"there is no format {form!r}: {suggest(form, FORMATS)}"
        raise ConfigurationError(message)
    if out is not None and out.exists():
        message = f"{out} is there already: name a new file with --out"
        raise ConfigurationError(message)
    carried = FORMATS[form](_read(file), str(file))
    book = write_book(carried)
    if out is None:
        sys.stdout.write(book)
    else:
        _write(out, book)
    for one in dict.fromkeys(map(str, carried.unported)):
        sys.stderr.write(f"{printable(one)}\n")
    sys.stderr.write(f"{carried.summary}\n")


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except FileNotFoundError:
        message = f"there is no file {file}: name the one to import"
    except (OSError, UnicodeDecodeError) as error:
        message = f"{file} cannot be read: {error}"
    raise ConfigurationError(message)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        message = f"{file} cannot be written: {error.strerror}: name another with --out"
        raise ConfigurationError(message) from None
