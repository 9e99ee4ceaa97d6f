"""`prevenant deliveries`: what was to be handed over and was not, to people and to machines."""

import sys
from typing import Annotated, Any

import typer
from sqlmodel import Session, col, select

from notify.bounces import take_bounces
from notify.email import letters_of
from notify.message import (
    COMMAND,
    FAILED,
    OUTBOX,
    QUEUED,
    SUPPRESSED,
    UNDELIVERED,
    WEBHOOK,
    Delivery,
    Message,
)
from prevenant.cli.shown import out, show_json, show_table, shown_time
from prevenant.errors import ConfigurationError
from prevenant.settings import load_settings
from prevenant.store import open_store, wake
from prevenant.tables import last_told_at

app = typer.Typer(help="What was to be handed over, and how it went.", no_args_is_help=True)

_LOST = (FAILED, UNDELIVERED, SUPPRESSED)
_MAX_REPORT = 1_000_000
_MACHINES = (WEBHOOK, COMMAND)


@app.command("list")
def list_deliveries(
    *,
    failed: Annotated[bool, typer.Option("--failed", help="Only what did not arrive.")] = False,
    channel: Annotated[str | None, typer.Option(help="sms, voice, email, webhook or mqtt.")] = None,
    case: Annotated[int | None, typer.Option(help="Only of this case.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show deliveries, the newest first; addresses stay hidden."""
    query = select(Delivery, Message).where(Delivery.message_id == Message.id)
    query = query.where(col(Delivery.state).in_(_LOST)) if failed else query
    query = query.where(Delivery.channel == channel) if channel else query
    query = query.where(Message.case_id == case) if case is not None else query
    query = query.order_by(col(Delivery.id).desc()).limit(limit)
    with open_store(load_settings()) as store, store.read() as session:
        rows = [_row(delivery, message) for delivery, message in session.exec(query)]
    if as_json:
        show_json(rows)
        return
    shown = ([str(value) if value is not None else "" for value in row.values()] for row in rows)
    show_table(["id", "case", "channel", "to", "state", "attempts", "at", "reason"], shown)


@app.command("retry")
def retry_delivery(
    number: Annotated[int, typer.Argument(help="The delivery's number.")],
) -> None:
    """Hand a failed webhook or command over again, under the same key."""
    settings = load_settings()
    with open_store(settings) as store, store.write() as session:
        name = queue_again(session, number)
    out.print(f"delivery {number} to {name} is queued again: a running engine hands it over")


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


def queue_again(session: Session, number: int) -> str:
    """Queue a delivery to a machine that has failed; return to whom. Raises ConfigurationError."""
    delivery = session.get(Delivery, number)
    if delivery is None:
        message = f"there is no delivery {number}: see `prevenant deliveries list --failed`"
        raise ConfigurationError(message)
    if delivery.channel not in _MACHINES:
        message = (
            f"delivery {number} is for a person, who would be told too late: tell them yourself"
        )
        raise ConfigurationError(message)
    if delivery.state not in _LOST:
        message = f"delivery {number} is {delivery.state}: only one that failed can be tried again"
        raise ConfigurationError(message)
    whole = session.get_one(Message, delivery.message_id)
    delivery.state, delivery.reason, delivery.attempts, delivery.next_at = QUEUED, "", 0, None
    whole.state, whole.reason = QUEUED, ""
    session.add(delivery)
    session.add(whole)
    wake(session, OUTBOX)
    return whole.name


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
