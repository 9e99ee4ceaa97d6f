"""`prevenant crm …`: the people, places and things that everything else is about."""

from collections.abc import Mapping
from datetime import datetime
from getpass import getuser
from pathlib import Path
from typing import Annotated

import typer
from sqlmodel import Session

from prevenant.api.crm import find_row, take_leave
from prevenant.cli.choices import AtMost
from prevenant.cli.noting import note_command
from prevenant.cli.shown import out, show_json, show_table, shown_time
from prevenant.crm.ages import forget_unread, view_crm
from prevenant.crm.entities import find_entity
from prevenant.crm.exporting import export_files, find_rows, hide_secrets
from prevenant.crm.importing import import_files
from prevenant.crm.missing import read_share
from prevenant.crm.sheets import UTF_8
from prevenant.crm.source_book import load_sources
from prevenant.crm.syncing import rehearse_source, sync_source
from prevenant.crm.taking import Outcome
from prevenant.crm.writing import Tally
from prevenant.durations import format_duration
from prevenant.erasing import erase_person
from prevenant.errors import ConfigurationError, CrmBusy
from prevenant.moments import read_time
from prevenant.person import export_person
from prevenant.settings import load_settings
from prevenant.store import open_store
from workflows.absence import announce_absences

app = typer.Typer(help="Customers, sites, devices and technicians.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
MostRemoved = Annotated[
    str,
    typer.Option(
        "--most-removed", help="What share of a kind of row may be taken out for being missing."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Judge only, write nothing.")]


@app.command("import")
def import_crm(
    path: Annotated[
        Path, typer.Argument(help="A folder of CSV files, one of them, or a workbook.")
    ],
    *,
    dry_run: DryRun = False,
    source: Annotated[str, typer.Option(help="Whose rows these are, for --remove-missing.")] = "",
    remove_missing: Annotated[
        bool,
        typer.Option("--remove-missing", help="Take out rows of --source that are listed no more."),
    ] = False,
    most_removed: MostRemoved = "50%",
    encoding: Annotated[
        str, typer.Option(help="Of CSV files: cp1252 is what Excel writes as plain CSV.")
    ] = UTF_8,
) -> None:
    """Import customers, contacts, sites, devices, technicians … from CSV or Excel."""
    try:
        b"x".decode(encoding)
    except (LookupError, ValueError):
        message = f"{encoding!r} is no encoding: write one such as cp1252"
        raise ConfigurationError(message) from None
    current = load_settings()
    now = current.make_clock().now()
    with open_store(current) as store, store.write() as session:
        tallies = import_files(
            session,
            path,
            now,
            source=source,
            remove_missing=remove_missing,
            most_removed=_share(most_removed),
            encoding=encoding,
        )
        told = announce_absences(session, now)
        note_command(session, "crm import", source, now)
        if dry_run:
            session.rollback()
    shown = ", ".join(f"{tally.listed} {name}" for name, tally in tallies.items())
    out.print(f"{'would import' if dry_run else 'imported'} {shown}")
    for name, tally in tallies.items():
        if what := _shown_tally(tally):
            out.print(f"  {name}: {what}")
        _show_unbelieved(f"{name}/", tally)
    if told and not dry_run:
        out.print(f"  {_jobs(told)} given to others, since their technicians are away")


@app.command("export")
def export_crm(
    path: Annotated[Path, typer.Argument(help="A folder, or a workbook: crm.xlsx.")],
) -> None:
    """Write everything as files that can be imported again."""
    with open_store(load_settings()) as store, store.read() as session:
        counts = export_files(session, path)
    shown = ", ".join(f"{count} {name}" for name, count in counts.items())
    out.print(f"{path}: {shown or 'nothing'}", markup=False)


@app.command("show")
def show_crm(
    kind: Annotated[str | None, typer.Argument(help="Such as technicians.")] = None,
    row: Annotated[str | None, typer.Argument(help="The id of one of them.")] = None,
    *,
    limit: AtMost = 100,
    as_json: AsJson = False,
) -> None:
    """Show what there is, how old what outside CRMs say is, and what of it could not be taken."""
    current = load_settings()
    with open_store(current) as store, store.read() as session:
        if kind is not None:
            _show_rows(session, kind, row, limit)
            return
        found = view_crm(session, current.make_clock().now())
    if as_json:
        show_json(hide_secrets(found))
        return
    rows = [(n, str(c["rows"]), str(c["removed"] or "")) for n, c in found["rows"].items()]
    show_table(["", "rows", "listed no more"], rows)
    if found["sources"]:
        show_table(
            ["source", "rows", "read", "age", "skipped", "trouble"],
            [
                (
                    one["source"],
                    one["entity"],
                    shown_time(one["synced_at"]),
                    "" if one["age_s"] is None else format_duration(round(one["age_s"])),
                    str(one["skipped"] or ""),
                    f"since {shown_time(one['failed_at'])}: {one['error']}" if one["error"] else "",
                )
                for one in found["sources"]
            ],
        )
    for one in found["skipped"]:
        line = f"{one['source']}/{one['entity']}/{one['record_id']}: {one['reason']}"
        out.print(line, markup=False)


@app.command("leave")
def add_leave(
    technician: Annotated[str, typer.Argument(help="A technician's id.")],
    *,
    until: Annotated[str, typer.Option(help="In ISO 8601, with an offset or in UTC.")],
    since: Annotated[str, typer.Option("--from", help="The same; now where it is not given.")] = "",
    reason: Annotated[str, typer.Option(help="leave, ill, or in words.")] = "leave",
) -> None:
    """Give a technician leave, or note an illness; their open jobs are given to others."""
    current = load_settings()
    now = current.make_clock().now()
    starts_at, ends_at = read_time(since) if since else now, read_time(until)
    with open_store(current) as store, store.write() as session:
        taken = take_leave(session, technician, starts_at, ends_at, reason, now)
        note_command(session, "crm leave", technician, now)
    out.print(f"{technician} is away until {shown_time(ends_at)} UTC")
    if taken["jobs_told"]:
        out.print(f"{_jobs(taken['jobs_told'])} given to others")


@app.command("sync")
def sync_crm(
    source: Annotated[
        str | None, typer.Argument(help="One of those in the file; else all.")
    ] = None,
    *,
    dry_run: DryRun = False,
    most_removed: MostRemoved | None = None,
) -> None:
    """Read outside CRMs now; the engine does so by itself."""
    current = load_settings()
    most = None if most_removed is None else _share(most_removed)
    sources = load_sources(current.crm_sources, most_removed=most)
    wanted = [one for one in sources if source in {None, one.name}]
    if not wanted:
        names = ", ".join(one.name for one in sources)
        hint = f"it names {names}" if names else "see docs/crm.md for how to write it"
        message = f"{current.crm_sources} names no {source or 'source'}: {hint}"
        raise ConfigurationError(message)
    failed = False
    with open_store(current) as store:
        if not dry_run:
            with store.write() as session:
                forget_unread(session, sources)
        for one in wanted:
            work = rehearse_source if dry_run else sync_source
            try:
                outcomes = work(store, current.make_clock(), one, announce_absences)
                failed = _show_outcomes(one.name, outcomes) or failed
            except CrmBusy as error:
                out.print(str(error), markup=False)
                failed = True
            finally:
                one.close()
    if failed:
        raise typer.Exit(1)


@app.command("export-person")
def show_person(
    contact: Annotated[str, typer.Argument(help="A contact's id.")],
) -> None:
    """Show everything that is held of a person, as JSON."""
    with open_store(load_settings()) as store, store.read() as session:
        found = export_person(session, contact)
    show_json(found)


@app.command("erase")
def erase(
    contact: Annotated[str, typer.Argument(help="A contact's id.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Take over open cases that need the person.")
    ] = False,
    by: Annotated[str, typer.Option(help="Who takes them over.")] = "",
) -> None:
    """Erase a person's data for good; counts, times and ratings stay."""
    current = load_settings()
    now: datetime = current.make_clock().now()
    with open_store(current) as store, store.write() as session:
        erased = erase_person(session, contact, now, by=by or getuser(), force=force)
        # Whose data it was is not to be found anywhere afterwards.
        note_command(session, "crm erase", "", now, by)
        if dry_run:
            session.rollback()
    count = sum(erased.rows.values())
    out.print(f"{'would erase' if dry_run else 'erased'} {contact}: {count} rows", markup=False)
    show_table(["table", "rows"], [(n, str(c)) for n, c in sorted(erased.rows.items()) if c])
    if erased.handed_over:
        out.print(f"handed over to {by or getuser()}: {erased.handed_over}", markup=False)
    for line in erased.left:
        out.print(f"by hand: {line}", markup=False)


def _jobs(count: int) -> str:
    return "1 open job is" if count == 1 else f"{count} open jobs are"


def _share(text: str) -> float:
    try:
        return read_share(text)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def _show_rows(session: Session, kind: str, row: str | None, limit: int) -> None:
    entity = find_entity(kind)
    if row is None:
        show_json([hide_secrets(one) for one in find_rows(session, entity, limit=limit)])
        return
    found = find_row(session, entity, row)
    if found is None:
        message = f"there is no {row!r} in {kind}: see `prevenant crm show {kind}`"
        raise ConfigurationError(message)
    show_json(found)


def _show_outcomes(name: str, outcomes: Mapping[str, Outcome]) -> bool:
    """Print what came of one source; return whether anything could not be read."""
    for kind, outcome in outcomes.items():
        what = _shown_tally(outcome.tally) or "nothing new"
        out.print(f"{name}: {outcome.tally.listed} {kind}: {what}", markup=False)
        _show_unbelieved(f"{name}/{kind}/", outcome.tally)
        for ref, reason in outcome.skipped.items():
            out.print(f"  {name}/{kind}/{ref}: {reason}", markup=False)
        if outcome.error:
            out.print(f"  {name}/{kind}: {outcome.error}", markup=False)
    return any(outcome.error for outcome in outcomes.values())


def _shown_tally(tally: Tally) -> str:
    counts = (
        ("new", tally.new),
        ("changed", tally.changed),
        ("removed", tally.removed),
        ("not believed", len(tally.unbelieved)),
    )
    return ", ".join(f"{count} {what}" for what, count in counts if count)


def _show_unbelieved(place: str, tally: Tally) -> None:
    for who, reason in tally.unbelieved.items():
        out.print(f"  {place}{who}: {reason}", markup=False)
