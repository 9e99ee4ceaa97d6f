"""`prevenant on-call`: who is on call now and next, where nobody is, and who stands in."""

from datetime import timedelta
from typing import Annotated

import typer

from prevenant.api.on_call import (
    NewOverride,
    describe_schedules,
    find_schedule,
    put_override,
    schedules_in_force,
)
from prevenant.cli.alarms import AsJson
from prevenant.cli.choices import LARGEST, By
from prevenant.cli.noting import note_command
from prevenant.cli.shown import out, show_json, show_table, shown_time
from prevenant.moments import read_time
from prevenant.settings import load_settings
from prevenant.store import open_store
from workflows.on_call import end_override

app = typer.Typer(help="Who is on call.", no_args_is_help=True)

Start = Annotated[str, typer.Option("--from", help="As 2026-05-04T08:00+02:00; else now.")]


@app.command("show")
def show(
    schedule: Annotated[str, typer.Argument(help="Of this schedule alone.")] = "",
    *,
    begins: Start = "",
    days: Annotated[int, typer.Option(min=1, max=400, help="For so many days.")] = 14,
    as_json: AsJson = False,
) -> None:
    """Show who is on call and takes over when, who stands in, and when nobody is on call."""
    current = load_settings()
    start = read_time(begins) if begins else current.make_clock().now()
    with open_store(current) as store, store.read() as session:
        known = schedules_in_force(session)
        chosen = [find_schedule(session, schedule)] if schedule else list(known.values())
        found = describe_schedules(session, chosen, start, start + timedelta(days=days))
    if as_json:
        show_json(found)
        return
    rows = [
        (
            one["schedule"],
            shown_time(duty["from"]),
            duty["name"] or duty["contact"] or "nobody",
            duty["reason"],
        )
        for one in found
        for duty in one["duties"]
    ]
    show_table(["schedule", "from (UTC)", "on call", "why"], rows)
    for one in found:
        for override in one["overrides"]:
            times = f"{shown_time(override['starts_at'])} to {shown_time(override['ends_at'])}"
            text = f"{override['contact_id']} for {one['schedule']}, {times}"
            out.print(f"override {override['id']}: {text}", markup=False)
        for gap in one["gaps"]:
            times = f"{shown_time(gap['from'])} to {shown_time(gap['to'])}"
            out.print(f"gap: nobody for {one['schedule']}, {times}", markup=False)


@app.command("override")
def override(
    schedule: Annotated[str, typer.Argument(help="The schedule.")],
    contact: Annotated[str, typer.Argument(help="The contact who stands in.")],
    by: By,
    *,
    ends: Annotated[str, typer.Option("--to", help="As 2026-05-04T18:00+02:00.")],
    begins: Start = "",
    reason: Annotated[str, typer.Option(help="Why.")] = "",
) -> None:
    """Let somebody stand in for a while."""
    current = load_settings()
    wanted = NewOverride(
        schedule=schedule,
        contact=contact,
        starts_at=read_time(begins) if begins else None,
        ends_at=read_time(ends),
        by=by,
        reason=reason,
    )
    with open_store(current) as store, store.write() as session:
        now = current.make_clock().now()
        given = put_override(session, wanted, now)
        note_command(session, "on-call override", schedule, now, by)
        until = shown_time(given.ends_at)
        text = f"override {given.id}: {contact} stands in for {schedule} until {until} UTC"
    out.print(text, markup=False)


@app.command("end")
def end(
    number: Annotated[int, typer.Argument(help="The override's number.", min=1, max=LARGEST)],
    by: By,
) -> None:
    """End an override before its time."""
    current = load_settings()
    with open_store(current) as store, store.write() as session:
        now = current.make_clock().now()
        end_override(session, number, now, by)
        note_command(session, "on-call end", number, now, by)
    out.print(f"override {number} has ended")
