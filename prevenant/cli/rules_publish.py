"""`prevenant rules publish`, `versions`, `show`, `rollback`: which rule book is in force."""

from pathlib import Path
from typing import Annotated

import typer

from prevenant.book_texts import describe_differences
from prevenant.cli.choices import LARGEST, AtMost
from prevenant.cli.noting import note_command
from prevenant.cli.shown import out, printable, show_json, show_table, shown_time
from prevenant.publishing import (
    BookVersion,
    Publication,
    find_version,
    list_versions,
    origin_of,
    publish_edition,
    read_edition,
    roll_back,
    user_name,
    view_version,
)
from prevenant.settings import load_settings
from prevenant.store import open_store

Note = Annotated[str, typer.Option("--note", help="Why, for the history.")]
Number = Annotated[
    int,
    typer.Argument(help="Its number, as `prevenant rules versions` shows it.", min=1, max=LARGEST),
]


def publish_rules(
    book: Annotated[
        Path | None, typer.Argument(help="The rule book.", show_default="the setting")
    ] = None,
    *,
    note: Note = "",
) -> None:
    """Judge a rule book and put it in force: a running engine takes it within a second."""
    current = load_settings()
    path = book or current.book
    edition = read_edition(path)
    now = current.make_clock().now()
    with open_store(current) as store, store.write() as session:
        origin = origin_of(path)
        done = publish_edition(session, edition, now, by=user_name(), origin=origin, note=note)
        note_command(session, "rules publish", origin, now)
    _tell(done, str(path))


def list_rules(
    *,
    limit: AtMost = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what was published, the newest first, by whom, and what is in force."""
    with open_store(load_settings()) as store, store.read() as session:
        versions = list_versions(session, limit)
    if as_json:
        show_json([view_version(one) for one in versions])
        return
    rows = [
        (
            str(one.id),
            one.state,
            shown_time(one.published_at),
            one.by,
            one.origin,
            one.note,
            shown_time(one.in_force_at),
        )
        for one in versions
    ]
    show_table(["version", "state", "published", "by", "from", "note", "in force from"], rows)


def show_rules(version: Number) -> None:
    """Print the files of one version; each of several under a comment with its name."""
    with open_store(load_settings()) as store, store.read() as session:
        found = find_version(session, version)
    for name, text in found.files.items():
        if len(found.files) > 1:
            typer.echo(f"# file: {printable(name)}")
        typer.echo(text, nl=not text.endswith("\n"))


def roll_rules_back(version: Number, *, note: Note = "") -> None:
    """Put an earlier version in force again, as a new one."""
    current = load_settings()
    now = current.make_clock().now()
    with open_store(current) as store, store.write() as session:
        done = roll_back(session, version, now, by=user_name(), note=note)
        note_command(session, "rules rollback", version, now)
    _tell(done, f"version {version}")


def describe_version(version: BookVersion) -> str:
    """Return which version is in force, in words."""
    note = f": {printable(version.note)}" if version.note else ""
    at = shown_time(version.published_at)
    return f"Rule book: version {version.id}, published {at} by {version.by} from {version.origin}{note}"


def _tell(done: Publication, what: str) -> None:
    number = done.version.id
    if done.is_new:
        out.print(f"{what} is version {number}, and active", markup=False)
        out.print(describe_differences(done.differences), markup=False)
    else:
        out.print(f"{what} equals version {number}, which is active: nothing to do", markup=False)
