"""`prevenant devices` and `prevenant quarantine`: who was heard, and what could not be read."""

from collections.abc import Callable
from typing import Annotated

import typer
from sqlmodel import Session

from ingest.quarantine import (
    DISCARDED,
    DUE,
    REPLAYED,
    WAITING,
    Quarantined,
    ask_for_replay,
    discard,
)
from prevenant.api.devices import (
    adopt_heard,
    count_refused,
    find_device,
    find_devices,
    find_refused,
    view_refused,
)
from prevenant.cli.choices import LARGEST, AtMost, one_of
from prevenant.cli.noting import note_command
from prevenant.cli.shown import out, show_json, show_table, shown_time
from prevenant.errors import ConfigurationError
from prevenant.settings import load_settings
from prevenant.store import open_store

devices_app = typer.Typer(help="Devices that were heard.", no_args_is_help=True)
quarantine_app = typer.Typer(help="Payloads that could not be read.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@devices_app.command("list")
def list_devices(
    *,
    unknown: Annotated[
        bool, typer.Option("--unknown", help="Only those that the CRM does not have.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Only offline or silent ones.")
    ] = False,
    device_type: Annotated[str | None, typer.Option("--type", help="Only of this type.")] = None,
    site: Annotated[str | None, typer.Option(help="Only at this site.")] = None,
    limit: AtMost = 1000,
    as_json: AsJson = False,
) -> None:
    """Show the devices that were heard: whether they are online, since when, and their last values."""
    current = load_settings()
    with open_store(current) as store, store.read() as session:
        found = [
            one
            for state in (("offline", "silent") if offline else (None,))
            for one in find_devices(
                session,
                current.make_clock().now(),
                state=state,
                type_name=device_type,
                site=site,
                unknown=unknown or None,
                limit=limit,
            )
        ]
    found = sorted(found, key=lambda one: str(one["id"]))[:limit]
    rows = [
        (
            one["id"],
            one["type"],
            one["state"],
            shown_time(one["last_seen_at"]),
            one["label"] if one["is_known"] else "not in the CRM",
            ", ".join(f"{name} {value}" for name, value in one["values"].items()),
        )
        for one in found
    ]
    if as_json:
        show_json(found)
    else:
        show_table(["device", "type", "state", "last seen", "label", "values"], rows)


@devices_app.command("show")
def show_device(device: Annotated[str, typer.Argument(help="As SITE/DEVICE.")]) -> None:
    """Show everything that is known of a device, as JSON."""
    current = load_settings()
    with open_store(current) as store, store.read() as session:
        found = find_device(session, current.make_clock().now(), device)
    if found is None:
        message = f"no device {device!r} was heard: see `prevenant devices list`"
        raise ConfigurationError(message)
    show_json(found)


@devices_app.command("adopt")
def adopt_devices(
    device: Annotated[str | None, typer.Argument(help="As SITE/DEVICE.")] = None,
    *,
    site: Annotated[
        str | None, typer.Option(help="Its site in the CRM; else that of its id.")
    ] = None,
    label: Annotated[str, typer.Option(help="What people call it.")] = "",
    place: Annotated[str, typer.Option(help="Where at the site, in words.")] = "",
    every: Annotated[
        bool, typer.Option("--all", help="Every unknown device, perhaps only those of --site.")
    ] = False,
) -> None:
    """Make a device that was heard known to the CRM, so that its cases find site and people."""
    if (device is None) == (not every):
        message = "name one device, or all of them with --all"
        raise ConfigurationError(message)
    current = load_settings()
    now = current.make_clock().now()
    with open_store(current) as store, store.write() as session:
        wanted = [device] if device else []
        if every:
            found = find_devices(session, now, unknown=True, site=site, limit=1_000_000)
            wanted = [one["id"] for one in found]
        for name in wanted:
            home = site or str(name).rpartition("/")[0]
            adopt_heard(session, now, str(name), home, label if device else "", place)
            note_command(session, "devices adopt", name, now)
    out.print(f"adopted {len(wanted)} {'device' if len(wanted) == 1 else 'devices'}")


@quarantine_app.command("list")
def list_quarantine(
    *,
    topic: Annotated[str, typer.Option(help="Only where the topic has this in it.")] = "",
    reason: Annotated[str, typer.Option(help="Only where the reason has this in it.")] = "",
    state: Annotated[
        str | None,
        typer.Option(
            help="waiting, due, replayed or discarded.",
            callback=one_of((WAITING, DUE, REPLAYED, DISCARDED)),
        ),
    ] = None,
    limit: AtMost = 100,
    as_json: AsJson = False,
) -> None:
    """Show payloads that could not be read, the newest first, each with its reason."""
    with open_store(load_settings()) as store, store.read() as session:
        found = find_refused(session, state=state, topic=topic, reason=reason, limit=limit)
        total = sum(one["count"] for one in count_refused(session))
    rows = [
        (
            str(one["id"]),
            shown_time(one["received_at"]),
            one["topic"],
            one["outcome"] if one["state"] == "replayed" else one["reason"],
            one["state"],
        )
        for one in found
    ]
    if as_json:
        show_json(found)
    else:
        show_table(["id", "received", "topic", "reason", "state"], rows)
        out.print(f"{len(found)} shown, {total} refused ever")


@quarantine_app.command("show")
def show_refused(
    number: Annotated[int, typer.Argument(help="Its id.", min=1, max=LARGEST)],
) -> None:
    """Show one refused payload as JSON: its first 4 KiB, what cannot be printed escaped."""
    with open_store(load_settings()) as store, store.read() as session:
        row = session.get(Quarantined, number)
    if row is None:
        raise ConfigurationError(_no_refused(number))
    show_json(view_refused(row))


@quarantine_app.command("replay")
def replay_quarantine(
    numbers: Annotated[
        list[int] | None, typer.Argument(min=1, max=LARGEST, help="Their ids.")
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All that wait.")] = False,
) -> None:
    """Have the engine read refused payloads again, once its book was mended."""
    count = _mark_refused("replay", ask_for_replay, numbers, every=every)
    out.print(f"{count} will be read again by the engine")


@quarantine_app.command("discard")
def discard_quarantine(
    numbers: Annotated[
        list[int] | None, typer.Argument(min=1, max=LARGEST, help="Their ids.")
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All that wait.")] = False,
) -> None:
    """Set refused payloads aside for good."""
    count = _mark_refused("discard", discard, numbers, every=every)
    out.print(f"{count} discarded")


def _mark_refused(
    command: str,
    mark: Callable[[Session, list[int] | None], int],
    numbers: list[int] | None,
    *,
    every: bool,
) -> int:
    if bool(numbers) == every:
        message = "name the ids, or all of them with --all"
        raise ConfigurationError(message)
    current = load_settings()
    with open_store(current) as store, store.write() as session:
        for number in numbers or ():
            if session.get(Quarantined, number) is None:
                raise ConfigurationError(_no_refused(number))
        which = ", ".join(map(str, numbers)) if numbers else "--all"
        note_command(session, f"quarantine {command}", which, current.make_clock().now())
        return mark(session, None if every else numbers)


def _no_refused(number: int) -> str:
    return f"there is no refused payload {number}: see `prevenant quarantine list`"
