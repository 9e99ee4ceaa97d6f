"""`prevenant journal`: what it holds, and its readings as tables."""

from pathlib import Path
from typing import Annotated

import typer

from ingest.export import (
    Selection,
    describe_export,
    describe_journal,
    examine_journal,
    export_frames,
    export_readings,
)
from ingest.journal import Journal
from prevenant.book import load_book
from prevenant.cli.shown import out, show_json
from prevenant.document import suggest
from prevenant.errors import ConfigurationError
from prevenant.kafka_address import KafkaAddress
from prevenant.moments import read_moment
from prevenant.settings import load_settings

app = typer.Typer(help="The durable log of readings.", no_args_is_help=True)

JournalFile = Annotated[
    Path | None, typer.Option("--journal", help="The journal.", show_default="the setting")
]


@app.command("stat")
def show_journal(
    *,
    journal: JournalFile = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Read all of it, and the snapshot; compare the checksums."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what the journal holds, also beside a running engine; status 1 where it is damaged."""
    current = load_settings()
    found = examine_journal(journal or current.journal, check=check)
    if as_json:
        show_json(found)
    else:
        limits = current.journal_keep or "for ever", current.journal_max_size or "any size"
        for line in describe_journal(found, *limits):
            out.print(line, markup=False)
    raise typer.Exit(1 if found.found or found.snapshot_damage else 0)


@app.command("export")
def export_journal(  # noqa: PLR0913  a command has as many options as it needs
    to: Annotated[Path, typer.Option("--to", help="The folder for the files.")],
    *,
    journal: JournalFile = None,
    book: Annotated[
        Path | None, typer.Option(help="The rule book that says how to read it.")
    ] = None,
    since: Annotated[str, typer.Option(help="A time in ISO 8601, or how long ago: 24h.")] = "",
    until: Annotated[str, typer.Option(help="A time in ISO 8601, or how long ago.")] = "",
    device_type: Annotated[
        list[str] | None, typer.Option("--type", help="Only devices of this type; repeatable.")
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option(help="Only this device, SITE/DEVICE; repeatable.")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="What arrived, as it was sent.")] = False,
    form: Annotated[str, typer.Option("--format", help="parquet or csv.")] = "parquet",
) -> None:
    """Write the journal's readings as tables, one file for each device type."""
    current = load_settings()
    if form not in {"parquet", "csv"}:
        message = f"there is no format {form!r}: write parquet or csv"
        raise ConfigurationError(message)
    if to.exists() and not to.is_dir():
        message = f"{to} is a file: name a folder with --to"
        raise ConfigurationError(message)
    now = current.make_clock().now()
    selection = Selection(
        read_moment(since, now) if since else 0.0,
        read_moment(until, now) if until else float("inf"),
        frozenset(device_type or ()),
        frozenset(device or ()),
    )
    source = journal or current.journal
    if raw:
        exported = export_frames(source, to, selection, form)
    else:
        types = load_book(book or current.book).rules.devices
        for name in selection.types:
            if name not in types:
                message = f"the rule book has no device type {name!r}: {suggest(name, types)}"
                raise ConfigurationError(message)
        exported = export_readings(source, types, to, selection, form)
    for line in describe_export(exported):
        out.print(line, markup=False)


@app.command("fetch")
def fetch_journal(
    to: Annotated[Path, typer.Option("--to", help="A new journal's file.")],
) -> None:
    """Bring what Kafka holds into a journal, which replay, export and training can read."""
    current = load_settings()
    if not current.kafka_url:
        message = "there is no Kafka to fetch from: set PREVENANT_KAFKA_URL"
        raise ConfigurationError(message)
    try:
        # Few have the extra.
        from ingest.topic import Topic  # noqa: PLC0415
        from prevenant.stream.fetching import fetch_topic  # noqa: PLC0415
    except ModuleNotFoundError as error:
        message = (
            f"PREVENANT_KAFKA_URL needs {error.name}: pip install '.[kafka]', in Prevenant's folder"
        )
        raise ConfigurationError(message) from None
    topic = Topic(KafkaAddress.parse(current.kafka_url), current.kafka_topic)
    partitions, journal, count = topic.count_partitions(), Journal(to), 0
    try:
        for count in fetch_topic(topic, partitions, journal):  # noqa: B007  the last is shown
            pass
    finally:
        journal.close()
    out.print(f"{to}: {count} messages of {partitions} partitions", markup=False)
