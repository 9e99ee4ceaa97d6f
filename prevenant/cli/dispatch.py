"""`prevenant dispatch explain`: why this technician and not the others, and what became of each offer."""

from typing import Annotated, Any

import typer

from prevenant.api.dispatch import explain_dispatch
from prevenant.cli.choices import LARGEST
from prevenant.cli.shown import out, printable, show_json, show_table, shown_time
from prevenant.errors import ConfigurationError
from prevenant.settings import load_settings
from prevenant.store import open_store

app = typer.Typer(help="Whom dispatch sent, and why.", no_args_is_help=True)


@app.callback()
def common() -> None:
    """Whom dispatch sent, and why."""


@app.command("explain")
def explain(
    case: Annotated[int, typer.Argument(help="The case's number.", min=1, max=LARGEST)],
    *,
    number: Annotated[
        int | None, typer.Option("--round", help="Only this round.", min=1, max=LARGEST)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the candidates of each round with their reasons, whom each filter excluded, and the offers."""
    with open_store(load_settings()) as store, store.read() as session:
        found = explain_dispatch(session, case, number)
    if found is None:
        message = f"there is no case {case}: see `prevenant cases list`"
        raise ConfigurationError(message)
    if number is not None and not found["rounds"]:
        message = f"case {case} has no round {number}: leave --round out to see all"
        raise ConfigurationError(message)
    if as_json:
        show_json(found)
        return
    if not found["rounds"]:
        out.print(f"case {case} has sent nobody")
    for one in found["rounds"]:
        _show_round(case, one)
    _show_offers(found)


def _show_round(case: int, one: dict[str, Any]) -> None:
    head = f"case {case}, round {one['round']} at {shown_time(one['at'])}: {one['need']}"
    out.print(printable(head), markup=False)
    counted = f"{one['eligible']:,} of {one['total']:,} can go"
    out.print(printable(f"{counted}; {one['summary'] or 'nobody is excluded'}"), markup=False)
    out.print(printable(f"ways: {one['ways']}"), markup=False)
    if one["plan"]:
        out.print(printable(f"plan: {one['plan']}"), markup=False)
    headings = ["rank", "technician", "way", "distance", "load", "over", "known", "score", "reason"]
    show_table(headings, [_row(candidate) for candidate in one["candidates"]])
    out.print()


def _row(one: dict[str, Any]) -> list[str]:
    scores = one["scores"]
    return [
        str(one["rank"] or "-"),
        one["technician_name"],
        "" if one["travel_s"] is None else f"{one['travel_s'] / 60:.0f} min",
        "" if one["distance_km"] is None else f"{one['distance_km']:.1f} km",
        _minutes(scores.get("load")),
        _minutes(scores.get("overqualified")),
        _minutes(scores.get("known")),
        "" if one["score"] is None else f"{one['score']:.1f}",
        one["reason"],
    ]


def _minutes(value: float | None) -> str:
    return f"{value:+.0f}" if value else ""


def _show_offers(found: dict[str, Any]) -> None:
    if found["offers"]:
        rows = [
            (
                one["technician_name"],
                one["state"],
                shown_time(one["offered_at"]),
                shown_time(one["answered_at"] or one["expires_at"]),
            )
            for one in found["offers"]
        ]
        show_table(["offered to", "state", "offered", "answered or until"], rows)
        out.print()
    if found["work_orders"]:
        orders = [
            (
                one["technician_name"],
                one["state"],
                shown_time(one["visit_start"]),
                shown_time(one["visit_end"]),
                one["cause"],
            )
            for one in found["work_orders"]
        ]
        show_table(["job of", "state", "from", "to", "cause"], orders)
