"""`prevenant alarms` and `prevenant rules explain`: what is the matter, why, and what people say of it."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from prevenant.api.alarms import NewShelf, explain_alarm, find_alarms, find_shelves, put_shelf
from prevenant.cli.choices import LARGEST, AtMost, By, one_of
from prevenant.cli.noting import note_command
from prevenant.cli.shown import out, printable, show_json, show_table, shown_time
from prevenant.domain import Severity
from prevenant.moments import read_time
from prevenant.settings import load_settings
from prevenant.shelf_scope import check_scope
from prevenant.shelving import (
    MAINTENANCE,
    SHELVED,
    Shelf,
    acknowledge,
    end_shelf,
    find_alarm,
    reset,
)
from prevenant.store import open_store
from prevenant.tables import ACTIVE, CLEARED, LATCHED, Alarm
from workflows.saying import predictions_in

app = typer.Typer(help="Alarms, and what people say of them.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Number = Annotated[int, typer.Argument(help="The alarm's number.", min=1, max=LARGEST)]
_TRUTHS = {True: "true", False: "false", None: "unknown"}


@app.command("list")
def list_alarms(
    *,
    state: Annotated[
        str | None,
        typer.Option(
            help="active, latched or cleared.", callback=one_of((ACTIVE, LATCHED, CLEARED))
        ),
    ] = None,
    rule: Annotated[str | None, typer.Option(help="Only of this rule.")] = None,
    device: Annotated[str | None, typer.Option(help="Only of this device, as SITE/DEVICE.")] = None,
    site: Annotated[str | None, typer.Option(help="Only at this site.")] = None,
    limit: AtMost = 100,
    as_json: AsJson = False,
) -> None:
    """Show alarms, the newest first."""
    with open_store(load_settings()) as store, store.read() as session:
        found = find_alarms(session, state=state, rule=rule, device=device, site=site, limit=limit)
    if as_json:
        show_json([one.model_dump() for one in found])
        return
    rows = [
        (
            str(one.id),
            one.rule,
            one.device_id,
            Severity(one.severity).word,
            _state(one),
            shown_time(one.raised_at),
            one.reason,
        )
        for one in found
    ]
    show_table(["alarm", "rule", "device", "severity", "state", "raised", "why"], rows)


@app.command("acknowledge")
def acknowledge_alarm(alarm: Number, by: By) -> None:
    """Say that you have seen an alarm."""
    current = load_settings()
    with open_store(current) as store, store.write() as session:
        now = current.make_clock().now()
        acknowledge(session, alarm, now, by)
        note_command(session, "alarms acknowledge", alarm, now, by)
    out.print(f"alarm {alarm} is acknowledged")


@app.command("reset")
def reset_alarm(alarm: Number, by: By) -> None:
    """End a latched alarm."""
    current = load_settings()
    with open_store(current) as store, store.write() as session:
        now = current.make_clock().now()
        reset(session, alarm, now, by)
        note_command(session, "alarms reset", alarm, now, by)
    out.print(f"alarm {alarm} is reset")


@app.command("shelve")
def shelve(
    by: By,
    *,
    lasts: Annotated[str, typer.Option("--for", help="How long, as in 2h.")],
    rule: Annotated[str, typer.Option(help="Alarms of this rule.")] = "",
    device: Annotated[str, typer.Option(help="Of this device, as SITE/DEVICE.")] = "",
    site: Annotated[str, typer.Option(help="At this site.")] = "",
    reason: Annotated[str, typer.Option(help="Why.")] = "",
) -> None:
    """Let nobody be told of some alarms for a while; they are still decided and shown."""
    wanted = NewShelf(
        kind=SHELVED, rule=rule, device=device, site=site, lasts=lasts, by=by, reason=reason
    )
    _put(wanted)


@app.command("maintenance")
def announce_maintenance(
    by: By,
    *,
    starts: Annotated[str, typer.Option("--from", help="As 2026-05-04T08:00+02:00.")],
    ends: Annotated[str, typer.Option("--to", help="The same.")],
    site: Annotated[str, typer.Option(help="At this site.")] = "",
    device: Annotated[str, typer.Option(help="Of this device, as SITE/DEVICE.")] = "",
    rule: Annotated[str, typer.Option(help="Alarms of this rule.")] = "",
    reason: Annotated[str, typer.Option(help="Why.")] = "",
) -> None:
    """Announce maintenance: alarms from then to then are not told, those that outlast it are."""
    wanted = NewShelf(
        kind=MAINTENANCE,
        rule=rule,
        device=device,
        site=site,
        starts_at=read_time(starts),
        ends_at=read_time(ends),
        by=by,
        reason=reason,
    )
    _put(wanted)


@app.command("shelves")
def list_shelves(
    *,
    past: Annotated[bool, typer.Option("--past", help="Those that are over too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what keeps alarms from being told, now or later."""
    current = load_settings()
    with open_store(current) as store, store.read() as session:
        found = find_shelves(session, current.make_clock().now(), past=past)
    if as_json:
        show_json([one.model_dump() for one in found])
        return
    rows = [
        (
            str(one.id),
            one.kind,
            one.scope,
            shown_time(one.starts_at),
            shown_time(one.ended_at or one.ends_at),
            one.owner,
            one.reason,
        )
        for one in found
    ]
    show_table(["shelf", "kind", "what", "from", "to", "by", "why"], rows)


@app.command("unshelve")
def unshelve(
    shelf: Annotated[int, typer.Argument(help="The shelf's number.", min=1, max=LARGEST)], by: By
) -> None:
    """End a shelf or maintenance before its time; alarms that are still active are told."""
    current = load_settings()
    with open_store(current) as store, store.write() as session:
        now = current.make_clock().now()
        end_shelf(session, shelf, now, by)
        note_command(session, "alarms unshelve", shelf, now, by)
    out.print(f"shelf {shelf} has ended")


def explain(alarm: Number, *, as_json: AsJson = False) -> None:
    """Say why an alarm was raised: every comparison with its value, what held it back, and its story."""
    with open_store(load_settings()) as store, store.read() as session:
        found = explain_alarm(session, find_alarm(session, alarm))
    if as_json:
        show_json(found)
        return
    out.print(printable(f"alarm {alarm}: {found['rule']} on {found['device_id']}"), markup=False)
    out.print(printable(f"  {found['reason']}"), markup=False)
    if found["trace"]:
        rows = [
            (line["condition"], _shown(line["value"]), _TRUTHS[line["truth"]])
            for line in found["trace"]
        ]
        show_table(["compared", "value", "truth"], rows)
    for words in _why(found["values"]):
        out.print(printable(f"  {words}"), markup=False)
    for line in found["story"]:
        text = f"{shown_time(line['at'])}  {line['kind']}  {line['summary']}"
        out.print(printable(text), markup=False)


def _why(values: dict[str, Any]) -> Iterator[str]:
    """Yield why models said what they said, and what to do about it."""
    said = predictions_in(values)
    if said.get("why"):
        yield f"because {said['why']}"
    if said.get("action"):
        yield f"next: {said['action']}"
    if said.get("parts"):
        yield f"bring: {said['parts']}"
    if said.get("skill"):
        yield f"needs: {said['skill']}"


def _put(wanted: NewShelf) -> None:
    current = load_settings()
    with open_store(current) as store, store.write() as session:
        now = current.make_clock().now()
        shelf: Shelf = put_shelf(session, wanted, now)
        number, scope, until = shelf.id, shelf.scope, shown_time(shelf.ends_at)
        command = "maintenance" if shelf.kind == MAINTENANCE else "shelve"
        unchecked = check_scope(session, wanted.rule, wanted.device, wanted.site)
        note_command(session, f"alarms {command}", scope, now, wanted.by)
    out.print(f"shelf {number}: {scope} until {until} UTC", markup=False)
    if unchecked:
        out.print(f"note: {unchecked}", markup=False)


def _state(alarm: Alarm) -> str:
    if alarm.held_by and alarm.state == "active":
        return f"active, not told: {alarm.held_by}"
    return f"{alarm.state}, acknowledged" if alarm.acknowledged_at else alarm.state


def _shown(value: Any) -> str:
    if value is None:
        return "unknown"
    return str(value).lower() if isinstance(value, bool) else f"{value}"
