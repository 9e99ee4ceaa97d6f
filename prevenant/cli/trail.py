"""`prevenant trail`: who did what, on what, and how it ended."""

import sys
from dataclasses import replace
from typing import Annotated

import typer

from prevenant.access.trail import OUTCOMES, Asked, find_acts, view_act
from prevenant.api.trail import read_on, write_csv
from prevenant.cli.alarms import AsJson
from prevenant.cli.choices import AtMost, one_of
from prevenant.cli.shown import show_json, show_table, shown_time
from prevenant.moments import read_time
from prevenant.settings import load_settings
from prevenant.store import open_store


def show_trail(
    *,
    actor: Annotated[str, typer.Option(help="Of this person or token alone.")] = "",
    path: Annotated[str, typer.Option(help="On what begins so: /api/v1/cases/7/.")] = "",
    outcome: Annotated[
        str, typer.Option(help="done, refused, failed or begun.", callback=one_of(OUTCOMES))
    ] = "",
    since: Annotated[str, typer.Option(help="As 2026-05-04T08:00+02:00.")] = "",
    limit: AtMost = 100,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print all of it as CSV.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show who did what, on what, from where and how it ended, the newest first."""
    asked = Asked(actor=actor, path=path, outcome=outcome, limit=limit)
    asked = replace(asked, since=read_time(since) if since else None)
    with open_store(load_settings()) as store:
        if as_csv:
            sys.stdout.writelines(write_csv(read_on(store, asked)))
            return
        with store.read() as session:
            found = [view_act(one) for one in find_acts(session, asked)]
    if as_json:
        show_json(found)
        return
    rows = [
        (
            str(one["id"]),
            shown_time(one["at"]),
            one["actor"],
            f"{one['method']} {one['path']}",
            one["outcome"],
            str(one["status"] or ""),
            one["origin"],
        )
        for one in found
    ]
    show_table(["id", "at (UTC)", "who", "what", "outcome", "code", "from"], rows)
