"""`prevenant run` and `prevenant demo`: the engine, and the engine with everything around it simulated."""

import signal
from typing import Annotated

import typer

from prevenant import __version__
from prevenant.app import Engine
from prevenant.cli.rules_publish import describe_version
from prevenant.cli.shown import out
from prevenant.cli.simulate import FleetSpeed
from prevenant.errors import ConfigurationError
from prevenant.settings import load_settings


def run() -> None:
    """Run the engine: broker, store and providers as the settings say."""
    engine = Engine(load_settings())
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: engine.ended.set())
    _announce(engine)
    engine.start()
    engine.ended.wait()
    engine.stop()
    raise typer.Exit(1 if engine.failed else 0)


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
        message = f"the demo needs {error.name}: pip install 'prevenant[demo]'"
        raise ConfigurationError(message) from None
    raise typer.Exit(run_demo(headless=headless, until_told=until_told, fresh=fresh, speed=speed))


def _announce(engine: Engine) -> None:
    book = engine.book.rules
    out.print(
        f"Prevenant {__version__}: {len(book.rules)} rules on {len(book.devices)} device types"
    )
    out.print(describe_version(engine.books.published), markup=False)
    missing = [name for name in ("sms", "voice", "email") if name not in engine.channels]
    if missing:
        out.print(f"No credentials for {', '.join(missing)}: such messages stay on the outbox page")
    out.print(f"Console: {engine.address}")
    if "sms" in engine.channels and not engine.settings.public_url:
        out.print("No PREVENANT_PUBLIC_URL: no receipt and no reply comes in")
    if engine.new_admin_token:
        out.print(f"Administrator's token, shown only now: {engine.new_admin_token}")
        out.print(f"Sign in: {engine.address}/?token={engine.new_admin_token}")
