"""`prevenant webhooks`: whom outside programs have told what happens."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated

import typer
from sqlmodel import Session, col, select

from notify.hook import queue_test
from notify.message import Delivery, Message
from notify.subscription import Subscription
from prevenant.access.roles import Actor, Grant, Role
from prevenant.api.live_topics import STORY
from prevenant.api.subscribing import (
    KEEPS,
    Change,
    NewSubscription,
    alter,
    drop,
    find_mine,
    list_mine,
    make,
    rotate,
    view,
    view_given,
)
from prevenant.api.subscriptions import resend_lost
from prevenant.cli.alarms import AsJson
from prevenant.cli.choices import LARGEST, AtMost, By
from prevenant.cli.shown import out, show_json, show_table
from prevenant.cli.users import changing
from prevenant.errors import ConfigurationError
from prevenant.settings import load_settings
from prevenant.store import open_store

app = typer.Typer(help="Whom outside programs have told what happens.", no_args_is_help=True)

Number = Annotated[
    int, typer.Argument(help="Which one, as `prevenant webhooks list` says.", min=1, max=LARGEST)
]


@app.command("list")
def show_webhooks(*, as_json: AsJson = False) -> None:
    """Show subscriptions, what each is told of, and how that goes; no secrets, no addresses."""
    with open_store(load_settings()) as store, store.read() as session:
        found = [view(session, one) for one in list_mine(session, _actor(""))]
    if as_json:
        for one in found:
            del one["url"]
        show_json(found)
        return
    rows = [
        (
            str(one["id"]),
            one["name"],
            ", ".join(one["topics"]),
            ", ".join(one["kinds"]) or "every kind",
            "every site" if one["sites"] is None else ", ".join(one["sites"]),
            one["state"],
            str(one["waiting"]),
            str(one["lost"]),
            one["reason"] or one["failure"],
        )
        for one in found
    ]
    columns = ["id", "name", "topics", "kinds", "sites", "state", "waiting", "lost", "reason"]
    show_table(columns, rows)


@app.command("add")
def add_webhook(
    name: Annotated[str, typer.Argument(help="By which people know it.")],
    url: Annotated[str, typer.Argument(help="Where it is told: https://…")],
    *,
    topics: Annotated[
        list[str] | None,
        typer.Option("--topic", help="story, alarms, cases, work_orders, messages; may repeat."),
    ] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option("--kind", help="Only of such lines, as case.*; may repeat."),
    ] = None,
    sites: Annotated[
        list[str] | None, typer.Option("--site", help="Only of this site; may repeat.")
    ] = None,
    by: By,
) -> None:
    """Have an endpoint told of what happens from now on; prints its secret, which is shown only now."""
    new = NewSubscription.model_construct(
        name=name,
        url=url,
        topics=topics or [STORY],
        kinds=kinds or [],
        sites=sites or None,
        enabled=True,
    )
    with changing("webhooks add", name, by) as (session, now):
        made = make(session, new, _actor(by), load_settings(), now)
        number, secret = made.id, made.secrets[0]["secret"]
    out.print(f"Webhook {number}, secret shown only now: {secret}", markup=False)


@app.command("remove")
def remove_webhook(number: Number, *, by: By) -> None:
    """Tell an endpoint nothing more, and forget its address, its secrets and what it was given."""
    with _changing("remove", number, by) as (session, found, now):
        drop(session, found, now)
    out.print(f"webhook {number} is told nothing any more")


@app.command("pause")
def pause_webhook(number: Number, *, by: By) -> None:
    """Tell an endpoint nothing for now; what happens meanwhile is told when it is resumed."""
    with _changing("pause", number, by) as (session, found, now):
        alter(session, found, Change(enabled=False), _actor(by), load_settings(), now)
    out.print(f"webhook {number} is paused")


@app.command("resume")
def resume_webhook(number: Number, *, by: By) -> None:
    """Tell an endpoint again, first of all what happened meanwhile."""
    with _changing("resume", number, by) as (session, found, now):
        alter(session, found, Change(enabled=True), _actor(by), load_settings(), now)
    out.print(f"webhook {number} is told again")


@app.command("rotate")
def rotate_webhook(
    number: Number,
    *,
    keeps: Annotated[str, typer.Option(help="So long the secret of before signs, too.")] = KEEPS,
    by: By,
) -> None:
    """Give a new secret; prints it, which is shown only now."""
    with _changing("rotate", number, by) as (session, found, now):
        secret = rotate(session, found, keeps, now)
    out.print(f"Webhook {number}, new secret shown only now: {secret}", markup=False)


@app.command("test")
def test_webhook(number: Number, *, by: By) -> None:
    """Give an endpoint something that tells nothing; a running engine hands it over."""
    with _changing("test", number, by) as (session, found, now):
        queue_test(session, found, now)
    out.print(f"queued: `prevenant webhooks deliveries {number}` says what comes of it")


@app.command("deliveries")
def show_given(
    number: Number,
    *,
    limit: AtMost = 100,
    as_json: AsJson = False,
) -> None:
    """Show what was queued for an endpoint and what came of it, the newest first."""
    query = (
        select(Delivery, Message)
        .where(Delivery.message_id == Message.id, Delivery.subscription_id == number)
        .order_by(col(Delivery.id).desc())
        .limit(limit)
    )
    with open_store(load_settings()) as store, store.read() as session:
        found = [view_given(*one) for one in session.exec(query)]
    if as_json:
        show_json(found)
        return
    columns = ["id", "topic", "kind", "line", "state", "attempts", "status", "reason"]
    rows = ([str(one[name]) if one[name] is not None else "" for name in columns] for one in found)
    show_table(columns, rows)


@app.command("resend")
def give_again(number: Number, *, by: By) -> None:
    """Give an endpoint again all that it did not take, in the order of the story."""
    with _changing("resend", number, by) as (session, found, now):
        count = resend_lost(session, found, now)
    out.print(f"{count} are queued again: a running engine hands them over")


@contextmanager
def _changing(what: str, number: int, by: str) -> Iterator[tuple[Session, Subscription, datetime]]:
    with changing(f"webhooks {what}", str(number), by) as (session, now):
        found = find_mine(session, _actor(by), number, to_change=True)
        if found is None:
            message = f"there is no webhook {number}: see `prevenant webhooks list`"
            raise ConfigurationError(message)
        yield session, found, now


def _actor(by: str) -> Actor:
    """Return whoever may use the command line, who may do everything."""
    return Actor(by, (Grant(Role.ADMINISTRATOR),))
