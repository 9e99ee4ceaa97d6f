"""`prevenant backup`: copies of journal and store, beside a running engine."""

from pathlib import Path
from typing import Annotated

import typer

from prevenant.backup import back_up, is_in_postgres
from prevenant.cli.shown import out
from prevenant.settings import load_settings


def make_backup(
    to: Annotated[Path, typer.Option("--to", help="A new folder for the copies.")],
) -> None:
    """Copy the journal, then the store, each whole and at one moment; the engine may run."""
    settings = load_settings()
    for copy in back_up(settings, to):
        out.print(f"{copy}: {copy.stat().st_size / 1e6:.1f} MB", markup=False)
    if is_in_postgres(settings):
        out.print("The store is PostgreSQL's: run pg_dump now, after this", markup=False)
