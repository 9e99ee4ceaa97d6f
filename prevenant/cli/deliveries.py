"""`prevenant deliveries`: what was to be handed over and was not, to people and to machines."""

import sys
from typing import Annotated, Any

import typer
from sqlmodel import col, select

from notify.bounces import take_bounces
from notify.dead_letters import LOST, list_dead_letters, resend, resend_all, view_dead_letter
from notify.email import letters_of
from notify.message import CHANNELS, COMMAND, HOOK, WEBHOOK, Delivery, Message
from prevenant.cli.choices import LARGEST, AtMost, one_of
from prevenant.cli.noting import note_command
from prevenant.cli.shown import out, show_json, show_table, shown_time
from prevenant.errors import ConfigurationError
from prevenant.settings import load_settings
from prevenant.store import open_store
from prevenant.tables import last_told_at

app = typer.Typer(help="What was to be handed over, and how it went.", no_args_is_help=True)

_ALL = 10_000
_MAX_REPORT = 1_000_000


@app.command("list")
def list_deliveries(
    *,
    failed: Annotated[bool, typer.Option("--failed", help="Only what did not arrive.")] = False,
    channel: Annotated[
        str | None,
        typer.Option(
            help="sms, voice, email, webhook …",
            callback=one_of((*CHANNELS, WEBHOOK, COMMAND, HOOK)),
        ),
    ] = None,
    case: Annotated[int | None, typer.Option(help="Only of this case.", min=1, max=LARGEST)] = None,
    limit: AtMost = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show deliveries, the newest first; addresses stay hidden."""
    query = select(Delivery, Message).where(Delivery.message_id == Message.id)
    query = query.where(col(Delivery.state).in_(LOST)) if failed else query
    # What subscribers are told is listed by `prevenant webhooks deliveries`, too.
    chosen = Delivery.channel == channel if channel else Delivery.channel != HOOK
    query = query.where(chosen)
    query = query.where(Message.case_id == case) if case is not None else query
    query = query.order_by(col(Delivery.id).desc()).limit(limit)
    with open_store(load_settings()) as store, store.read() as session:
        rows = [_row(delivery, message) for delivery, message in session.exec(query)]
    if as_json:
        show_json(rows)
        return
    shown = ([str(value) if value is not None else "" for value in row.values()] for row in rows)
    show_table(["id", "case", "channel", "to", "state", "attempts", "at", "reason"], shown)


@app.command("dead-letters")
def show_dead_letters(
    *,
    limit: AtMost = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with bodies.")] = False,
) -> None:
    """Show webhooks and commands that failed for good, the newest first."""
    with open_store(load_settings()) as store, store.read() as session:
        rows = [view_dead_letter(*one) for one in list_dead_letters(session, limit)]
    for row in rows:
        row["at"] = shown_time(row["at"])
    if as_json:
        show_json(rows)
        return
    columns = ["id", "case", "channel", "to", "state", "attempts", "at", "reason"]
    shown = ([str(row[one]) if row[one] is not None else "" for one in columns] for row in rows)
    show_table(columns, shown)


@app.command("resend")
def resend_dead_letters(
    number: Annotated[
        int | None, typer.Argument(help="The delivery's number.", min=1, max=LARGEST)
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    by: Annotated[str, typer.Option(help="Who you are.")] = "",
) -> None:
    """Give a failed webhook or command again, under the same key."""
    if (number is None) != everything:
        message = "name a delivery, as in `prevenant deliveries resend 7`, or say --all"
        raise ConfigurationError(message)
    settings = load_settings()
    now = settings.make_clock().now()
    with open_store(settings) as store, store.write() as session:
        if number is not None:
            name = resend(session, number, now, by)
            said = f"delivery {number} to {name} is queued again"
        else:
            letters = [one.id or 0 for one, _ in list_dead_letters(session, _ALL)]
            said = f"{resend_all(session, letters, now, by)} are queued again"
        note_command(session, "deliveries resend", number or "--all", now, by)
    out.print(f"{said}: a running engine hands it over")


@app.command("take-report")
def take_report() -> None:
    """Take a report on an e-mail of ours from the standard input, as a mail server hands it over."""
    settings = load_settings()
    raw = sys.stdin.buffer.read(_MAX_REPORT + 1)
    if len(raw) > _MAX_REPORT:
        message = "a report has at most 1 MB: hand in what the mail server wrote"
        raise ConfigurationError(message)
    with open_store(settings) as store:
        with store.read() as session:
            now = settings.make_clock(last_told_at(session)).now()
        with store.write() as session:
            taken = take_bounces(session, letters_of(settings), raw, now)
    out.print("taken" if taken else "left alone: it is no report on an e-mail of ours")


def _row(delivery: Delivery, message: Message) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "case": message.case_id,
        "channel": delivery.channel,
        "to": f"{message.name} ({message.role})",
        "state": delivery.state,
        "attempts": delivery.attempts,
        "at": shown_time(delivery.updated_at),
        "reason": delivery.reason,
    }
