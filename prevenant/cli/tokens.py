"""`prevenant tokens`: what programs ask the API with."""

from typing import Annotated

import typer

from prevenant.access.tokens import find_named, list_tokens, revoke_token
from prevenant.api.server import parts_of_api
from prevenant.api.tokens import NewToken, make_token, view_token
from prevenant.cli.alarms import AsJson
from prevenant.cli.choices import By
from prevenant.cli.shown import out, show_json, show_table, shown_time
from prevenant.cli.users import changing
from prevenant.errors import ConfigurationError
from prevenant.settings import load_settings
from prevenant.store import open_store
from prevenant.tables import last_told_at

app = typer.Typer(help="What programs ask the API with.", no_args_is_help=True)


@app.command("list")
def show_tokens(*, as_json: AsJson = False) -> None:
    """Show tokens, what they may, for which parts of the API, and until when."""
    settings = load_settings()
    with open_store(settings) as store, store.read() as session:
        now = settings.make_clock(last_told_at(session)).now()
        found = [view_token(session, one, now) for one in list_tokens(session)]
    if as_json:
        show_json(found)
        return
    rows = [
        (
            one["name"],
            "yes" if one["is_good"] else "no",
            ", ".join(one["grants"]),
            ", ".join(one["scopes"]) or "all",
            shown_time(one["expires_at"]),
            shown_time(one["used_at"]),
        )
        for one in found
    ]
    show_table(["name", "opens", "grants", "parts", "until", "last used"], rows)


@app.command("add")
def add_new_token(
    name: Annotated[str, typer.Argument(help="What stands in the story.")],
    *,
    grants: Annotated[
        list[str] | None,
        typer.Option("--grant", help="operator, or operator@site:t2 …; may repeat."),
    ] = None,
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scope", help="A part of the API alone: cases, cases:read …; may repeat."),
    ] = None,
    lasts: Annotated[str, typer.Option(help="For so long, as 90d; else until revoked.")] = "",
    by: By,
) -> None:
    """Make a token; prints it, which is shown only now."""
    if not grants:
        message = "say what the token may: --grant viewer, or --grant operator@site:t2"
        raise ConfigurationError(message)
    new = NewToken.model_construct(name=name, grants=grants, scopes=scopes or [], lasts=lasts)
    with changing("tokens add", name, by) as (session, now):
        token = make_token(session, new, parts_of_api(), now, by)
    out.print(f"Token {name}, shown only now: {token}", markup=False)


@app.command("revoke")
def revoke(name: Annotated[str, typer.Argument(help="Which one.")], *, by: By) -> None:
    """Let a token open nothing from now on."""
    with changing("tokens revoke", name, by) as (session, now):
        revoke_token(session, find_named(session, name), now, by)
    out.print(f"{name} opens nothing any more", markup=False)
