"""`prevenant users`: people who may sign in at the console, and what they may do."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated

import typer
from sqlmodel import Session

from prevenant.access.accounts import find_account, list_accounts, renew_password
from prevenant.access.passwords import make_password
from prevenant.access.sign_ins import end_sign_ins
from prevenant.api.users import NewUser, UserChange, alter_user, make_user, view_user
from prevenant.cli.alarms import AsJson
from prevenant.cli.choices import By
from prevenant.cli.noting import note_command
from prevenant.cli.shown import out, show_json, show_table, shown_time
from prevenant.settings import load_settings
from prevenant.store import open_store
from prevenant.tables import last_told_at

app = typer.Typer(help="People who may sign in, and what they may do.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The user name.")]
Grants = Annotated[
    list[str] | None,
    typer.Option(
        "--grant",
        help="operator, or viewer@area:north, author@customer:acme, operator@site:t2; may repeat.",
    ),
]


@contextmanager
def changing(what: str, on: str, by: str) -> Iterator[tuple[Session, datetime]]:
    """Open the store to change something of access, which stands in the trail with it."""
    settings = load_settings()
    with open_store(settings) as store:
        with store.read() as session:
            now = settings.make_clock(last_told_at(session)).now()
        with store.write() as session:
            yield session, now
            note_command(session, what, on, now, by)


@app.command("list")
def list_users(*, as_json: AsJson = False) -> None:
    """Show who may sign in, by what, and what they may do where."""
    with open_store(load_settings()) as store, store.read() as session:
        found = [view_user(session, one) for one in list_accounts(session)]
    if as_json:
        show_json(found)
        return
    rows = [
        (
            one["name"],
            one["shown_name"],
            "yes" if one["is_active"] else "no",
            ", ".join([*one["grants"], *one["grants_by_group"]]) or "nothing",
            one["signs_in_by"],
            shown_time(one["signed_in_at"]),
        )
        for one in found
    ]
    show_table(["name", "shown as", "may sign in", "grants", "by", "last signed in"], rows)


@app.command("add")
def add_user(
    name: Name,
    *,
    shown_name: Annotated[str, typer.Option("--as", help="What stands in the story.")] = "",
    grants: Grants = None,
    by: By,
) -> None:
    """Let somebody sign in; prints a first password, which has to be changed."""
    new = NewUser.model_construct(name=name, shown_name=shown_name, grants=grants or [])
    first = make_password()
    with changing("users add", name, by) as (session, now):
        made = make_user(session, new, first, now, by)
        said = f"{made.shown_name} may sign in as {made.name}"
    _show_password(said, first.password)


@app.command("change")
def change_user(
    name: Name,
    *,
    shown_name: Annotated[
        str | None, typer.Option("--as", help="What stands in the story.")
    ] = None,
    grants: Grants = None,
    active: Annotated[bool | None, typer.Option("--on/--off", help="May sign in, or not.")] = None,
    by: By,
) -> None:
    """Change how somebody is called, all that they may, or whether they may sign in at all."""
    change = UserChange.model_construct(shown_name=shown_name, grants=grants, is_active=active)
    with changing("users change", name, by) as (session, now):
        user = find_account(session, name)
        alter_user(session, user, change, now, by)
        held = view_user(session, user)["grants"]
    out.print(f"{user.name} is shown as {user.shown_name}", markup=False)
    out.print(f"may sign in: {'yes' if user.is_active else 'no'}")
    out.print(f"grants: {', '.join(held) or 'none'}", markup=False)


@app.command("password")
def renew_user_password(name: Name, *, by: By) -> None:
    """Give a new first password, and sign out every browser of theirs."""
    first = make_password()
    with changing("users password", name, by) as (session, now):
        user = find_account(session, name)
        renew_password(session, user, first, now)
    _show_password(f"{user.name} was signed out everywhere", first.password)


@app.command("sign-out")
def sign_out(name: Name, *, by: By) -> None:
    """Sign out every browser of somebody."""
    with changing("users sign-out", name, by) as (session, now):
        user = find_account(session, name)
        count = end_sign_ins(session, now, account=user.name)
    out.print(f"{user.name} was signed out of {count} browser{'' if count == 1 else 's'}")


def _show_password(said: str, password: str) -> None:
    out.print(said, markup=False)
    out.print(f"First password, shown only now: {password}", markup=False)
