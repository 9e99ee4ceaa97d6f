"""`prevenant rules replay`: what a changed rule book would have done with what devices have sent."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from math import inf
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlmodel import Session

from prevenant.book import Book, load_book
from prevenant.cli.shown import out, show_json, show_table, shown_time
from prevenant.clock import from_epoch
from prevenant.crm.importing import import_folder
from prevenant.errors import ConfigurationError
from prevenant.garbage import collect_seldom
from prevenant.model_voices import RegistryVoices
from prevenant.moments import read_moment
from prevenant.publishing import find_active, find_version
from prevenant.replay import Difference, History, Outcome
from prevenant.replay_books import Questions, replay_books
from prevenant.settings import load_settings
from prevenant.store import Store, open_store

People = Callable[[Session], None]


def replay_rules(  # noqa: PLR0913  a command has as many options as it needs
    book: Annotated[
        Path | None,
        typer.Argument(help="The changed rule book.", show_default="the setting"),
    ] = None,
    *,
    against: Annotated[
        str,
        typer.Option(
            help="What it is compared with: a version's number, or a file.",
            show_default="the version in force",
        ),
    ] = "",
    journal: Annotated[
        Path | None, typer.Option("--journal", help="The journal.", show_default="the setting")
    ] = None,
    since: Annotated[str, typer.Option(help="A time in ISO 8601, or how long ago: 24h.")] = "",
    until: Annotated[str, typer.Option(help="A time in ISO 8601, or how long ago.")] = "",
    crm: Annotated[
        Path | None,
        typer.Option(help="A folder of CSV files with the people.", show_default="the store"),
    ] = None,
    alarms_only: Annotated[
        bool, typer.Option("--alarms-only", help="No cases, offers and messages: much faster.")
    ] = False,
    nobody_answers: Annotated[
        bool, typer.Option("--nobody-answers", help="As if nobody took a job or replied.")
    ] = False,
    fail_on_diff: Annotated[
        bool, typer.Option("--fail-on-diff", help="End with status 1 where anything differs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show which alarms, technicians and messages a changed book would have meant, as a diff.

    The history is read twice, by the book in force and by the changed one. Nothing is sent: people are
    reached at once, take what they are offered within minutes, and come when they said.
    """
    collect_seldom()
    current = load_settings()
    now = current.make_clock().now()
    begin, end = (read_moment(one, now) if one else None for one in (since, until))
    path = book or current.book
    after = load_book(path)
    questions = Questions(
        begin or 0.0,
        inf if end is None else end,
        alarms_only=alarms_only,
        nobody_answers=nobody_answers,
    )
    with open_store(current) as store:
        before, name = _find_other(store, against)
        done = replay_books(
            before,
            after,
            journal or current.journal,
            store,
            RegistryVoices(current.models),
            questions,
            None if crm is None else _importer(crm),
        )
    results, differences = (done.before, done.after), done.differences
    if as_json:
        show_json(_as_json(name, str(path), results, differences))
    else:
        _show(name, str(path), results, differences)
    raise typer.Exit(1 if differences and fail_on_diff else 0)


def _find_other(store: Store, against: str) -> tuple[Book, str]:
    """Return the book to compare with, and what it is called."""
    if against and not against.isdigit():
        return load_book(Path(against)), against
    with store.read() as session:
        version = find_version(session, int(against)) if against else find_active(session)
    if version is None:
        message = (
            "no rule book was published yet: name one to compare with, as in --against old.yaml"
        )
        raise ConfigurationError(message)
    return version.load(), f"version {version.number}"


def _importer(folder: Path) -> People:
    def people(session: Session) -> None:
        import_folder(session, folder)

    return people


def _show(
    before: str,
    after: str,
    results: Sequence[tuple[History, Outcome]],
    differences: Sequence[Difference],
) -> None:
    history = results[1][0]
    begin, end = (shown_time(from_epoch(at or 0.0)) for at in (history.begins_at, history.ends_at))
    out.print(
        f"{after} against {before}: {history.readings} readings from {begin} to {end}", markup=False
    )
    for damage in history.damages:
        out.print(f"lost: {damage}", markup=False)
    for name, (one, _) in zip((before, after), results, strict=True):
        if one.refused:
            out.print(f"{name} cannot read {one.refused} messages", markup=False)
    if differences:
        show_table(
            ["", "what", "at", "rule", "device", "before", "after"],
            [
                (
                    one.change,
                    one.what,
                    shown_time(from_epoch(one.at)),
                    one.rule,
                    one.device_id,
                    one.before,
                    one.after,
                )
                for one in differences
            ],
        )
    counts = Counter((one.what, one.change) for one in differences)
    for what, plural in (("alarm", "alarms"), ("offer", "offers"), ("message", "messages")):
        was, becomes = (len(getattr(outcome, plural)) for _, outcome in results)
        changes = [f"{counts[what, c]} {c}" for c in ("new", "gone", "changed") if counts[what, c]]
        out.print(f"{plural}: {was}, then {becomes}: {', '.join(changes) or 'the same'}")


def _as_json(
    before: str,
    after: str,
    results: Sequence[tuple[History, Outcome]],
    differences: Sequence[Difference],
) -> dict[str, Any]:
    history = results[1][0]
    return {
        "before": before,
        "after": after,
        "readings": history.readings,
        "from": from_epoch(history.begins_at or 0.0),
        "to": from_epoch(history.ends_at or 0.0),
        "lost": [str(damage) for damage in history.damages],
        "counts": {
            name: {
                "alarms": len(outcome.alarms),
                "offers": len(outcome.offers),
                "messages": len(outcome.messages),
                "refused": one.refused,
            }
            for name, (one, outcome) in zip(("before", "after"), results, strict=True)
        },
        "differences": [{**asdict(one), "at": from_epoch(one.at)} for one in differences],
    }
