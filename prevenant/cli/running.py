"""`prevenant run` and `prevenant demo`: the engine, and the engine with everything around it simulated."""

import signal
from typing import Annotated

import typer

from prevenant import __version__
from prevenant.app import Engine, make_process
from prevenant.cli.rules_publish import describe_version
from prevenant.cli.shown import out
from prevenant.cli.simulate import FleetSpeed
from prevenant.errors import ConfigurationError
from prevenant.roles import ALL, ENGAGE, ROLES, read_roles, show_roles
from prevenant.settings import load_settings
from prevenant.worker import Worker


def run(
    role: Annotated[
        str, typer.Option(help="What this process does of it all, with commas between.")
    ] = ",".join(ROLES),
) -> None:
    """Run the engine, or one process of several: broker, store and providers as the settings say."""
    settings = load_settings()
    process = make_process(settings, read_roles(role, settings.database_url, settings.kafka_url))
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: process.ended.set())
    _announce(process)
    process.start()
    process.ended.wait()
    process.stop()
    raise typer.Exit(1 if process.failed else 0)


def demo(
    *,
    headless: Annotated[bool, typer.Option("--headless", help="Open no browser.")] = False,
    until_told: Annotated[
        bool, typer.Option("--until-told", help="End once every use case has told its people.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the last demo first.")] = False,
    speed: FleetSpeed = 60.0,
) -> None:
    """Show everything at work, with simulated devices, technicians, customers and carrier."""
    try:
        from simulators.demo import run_demo  # noqa: PLC0415  production never imports simulators
    except ModuleNotFoundError as error:
        message = f"the demo needs {error.name}: pip install '.[demo]', in Prevenant's folder"
        raise ConfigurationError(message) from None
    raise typer.Exit(run_demo(headless=headless, until_told=until_told, fresh=fresh, speed=speed))


def _announce(process: Engine | Worker) -> None:
    book = process.book.rules
    out.print(
        f"Prevenant {__version__}: {len(book.rules)} rules on {len(book.devices)} device types"
    )
    out.print(describe_version(process.books.published), markup=False)
    if process.roles != ALL:
        out.print(f"One of several processes: {show_roles(process.roles)}")
    missing = [name for name in ("sms", "voice", "email") if name not in process.channels]
    if missing and ENGAGE in process.roles:
        out.print(
            f"No credentials for {', '.join(missing)}: such messages stay on the page of deliveries"
        )
    if process.probes is not None:
        out.print(f"Probes and metrics: {process.probes.address}", markup=False)
    website = process.website
    if website is None:
        return
    out.print(f"Console: {website.address}")
    if "sms" in process.channels and not website.settings.public_url:
        out.print("No PREVENANT_PUBLIC_URL: no receipt and no reply comes in")
    if website.new_admin_token:
        out.print(f"Administrator's token, shown only now: {website.new_admin_token}")
        out.print(f"Sign in: {website.address}/?token={website.new_admin_token}")
