"""The command `prevenant`. Every error that a user can cause is one line that says what to do."""

import logging
import math
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import structlog
import typer
from typer.exceptions import TyperException

from prevenant import __version__
from prevenant.app import Engine
from prevenant.book import load_book
from prevenant.book_advice import advise, in_order
from prevenant.book_people import advise_on_people, people_in_folder, people_in_store
from prevenant.cli import (
    alarms,
    crm,
    deliveries,
    devices,
    dispatch,
    journal,
    on_call,
    rules_import,
    rules_publish,
    rules_replay,
    rules_test,
)
from prevenant.cli.shown import out, show_table
from prevenant.errors import ConfigurationError, PrevenantError
from prevenant.settings import describe_settings, load_settings

app = typer.Typer(
    help="Prevenant listens to devices, sends technicians and tells customers before they notice.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
rules_app = typer.Typer(help="Check, test and publish rule books.", no_args_is_help=True)
rules_publish.add_commands(rules_app)
simulate_app = typer.Typer(help="Stand in for devices.", no_args_is_help=True)
rules_app.command("import")(rules_import.import_rules)
rules_app.command("replay")(rules_replay.replay_rules)
rules_app.command("test")(rules_test.run_tests)
app.add_typer(rules_app, name="rules")
rules_app.command("explain")(alarms.explain)
app.add_typer(alarms.app, name="alarms")
app.add_typer(crm.app, name="crm")
app.add_typer(deliveries.app, name="deliveries")
app.add_typer(devices.devices_app, name="devices")
app.add_typer(devices.quarantine_app, name="quarantine")
app.add_typer(dispatch.app, name="dispatch")
app.add_typer(journal.app, name="journal")
app.add_typer(on_call.app, name="on-call")
app.add_typer(simulate_app, name="simulate")


def _a_speed(speed: float) -> float:
    if not (math.isfinite(speed) and speed > 0):
        message = f"{speed:g} is no speed: write a number above 0, such as 60"
        raise typer.BadParameter(message)
    return speed


BookFile = Annotated[Path | None, typer.Argument(help="The rule book.", show_default="the setting")]
FleetSpeed = Annotated[
    float, typer.Option(help="How many times faster than real time.", callback=_a_speed)
]
RecordSpeed = Annotated[
    float, typer.Option(help="Seconds of the record per real second.", callback=_a_speed)
]


def main() -> None:
    """Run the command line."""
    _log_to_stderr()
    try:
        status = app(prog_name="prevenant", standalone_mode=False)
    except PrevenantError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"{line}\n" if _has_place(error) else f"error: {line}\n")
        sys.exit(1)
    except TyperException as error:
        _say_what_is_mistyped(error)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.filename is None:
            raise
        sys.stderr.write(
            f"error: {error.filename}: {error.strerror}; mend that, or name another file\n"
        )
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


@app.callback(invoke_without_command=True)
def common(
    *,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    """Take the options that come before any command."""
    if version:
        show_version()
        raise typer.Exit


@app.command("version")
def show_version() -> None:
    """Show the version."""
    out.print(f"prevenant {__version__}")


@app.command()
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


@app.command()
def settings() -> None:
    """Show every setting, its value and where it comes from; secrets stay hidden."""
    show_table(["setting", "value", "from", "meaning"], describe_settings(load_settings()))


@rules_app.command("check")
def check_rules(
    book: BookFile = None,
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings too.")] = False,
    crm: Annotated[
        Path | None,
        typer.Option(help="CSV files with the people; without it, those of the store."),
    ] = None,
) -> None:
    """Judge a rule book: every mistake at once, each with its place and remedy; else what is doubtful."""
    path = _book(book)
    good = load_book(path)
    warnings = advise(good, datetime.now(UTC).date())
    people = people_in_folder(crm) if crm else people_in_store(load_settings().database_url)
    if people is not None:
        warnings = in_order([*warnings, *advise_on_people(good, people)])
    for one in warnings:
        sys.stderr.write(f"{one.source}:{one.line}:{one.column}: warning: {one.message}\n")
    if warnings and strict:
        raise typer.Exit(1)
    rules, types = len(good.rules.rules), len(good.rules.devices)
    out.print(
        f"{path}: {rules} rules on {types} device types, {len(good.workflows)} workflows: good"
    )


@simulate_app.command("devices")
def simulate_devices(
    *,
    speed: FleetSpeed = 1.0,
    seed: Annotated[int, typer.Option(help="Makes another fleet's noise.")] = 1,
) -> None:
    """Publish the demo fleet's telemetry to the broker of the settings, until Ctrl-C."""
    from simulators.fleet import run_fleet  # noqa: PLC0415  production never imports simulators

    run_fleet(load_settings().mqtt_urls[0], speed, seed)


@simulate_app.command("replay")
def simulate_replay(
    file: Annotated[Path, typer.Argument(help="A CSV file, one reading a row.")],
    *,
    device_type: Annotated[str, typer.Option("--type", help="A device type of the rule book.")],
    device: Annotated[
        str, typer.Option(help="SITE/DEVICE, or a device without a site.")
    ] = "replay/1",
    field: Annotated[
        list[str] | None, typer.Option(help="FIELD=COLUMN, or FIELD=COLUMN:fahrenheit to convert.")
    ] = None,
    time_column: Annotated[
        str | None,
        typer.Option(help="The column with the time.", show_default="timestamp, if there is one"),
    ] = None,
    speed: RecordSpeed = 60.0,
    limit: Annotated[int, typer.Option(min=0, help="Stop after so many rows; 0: never.")] = 0,
) -> None:
    """Publish the rows of a CSV file as telemetry of one device."""
    from simulators.replay import replay_csv  # noqa: PLC0415  as above

    current = load_settings()
    types = load_book(current.book).rules.devices
    if device_type not in types:
        message = f"the rule book has no device type {device_type!r}: it has {', '.join(types)}"
        raise ConfigurationError(message)
    count = replay_csv(
        current.mqtt_urls[0],
        file,
        types[device_type],
        device,
        field or [],
        time_column,
        speed,
        limit,
    )
    out.print(f"published {count} readings of {device}")


@app.command()
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
        from simulators.demo import run_demo  # noqa: PLC0415  as above
    except ModuleNotFoundError as error:
        message = f"the demo needs {error.name}: pip install 'prevenant[demo]'"
        raise ConfigurationError(message) from None
    raise typer.Exit(run_demo(headless=headless, until_told=until_told, fresh=fresh, speed=speed))


def _book(path: Path | None) -> Path:
    return path or load_settings().book


def _say_what_is_mistyped(error: TyperException) -> None:
    """Say in one line what is wrong with a command as it was typed, and where the right one stands."""
    message = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    # Without a message the help has been printed already.
    if message:
        path = context.command_path if context else "prevenant"
        sys.stderr.write(f"error: {message}: see `{path} --help`\n")


def _has_place(error: PrevenantError) -> bool:
    return hasattr(error, "problems")


def _announce(engine: Engine) -> None:
    book = engine.book.rules
    out.print(
        f"Prevenant {__version__}: {len(book.rules)} rules on {len(book.devices)} device types"
    )
    out.print(rules_publish.describe_version(engine.books.published), markup=False)
    missing = [name for name in ("sms", "voice", "email") if name not in engine.channels]
    if missing:
        out.print(f"No credentials for {', '.join(missing)}: such messages stay on the outbox page")
    out.print(f"Console: {engine.address}")
    if "sms" in engine.channels and not engine.settings.public_url:
        out.print("No PREVENANT_PUBLIC_URL: no receipt and no reply comes in")
    if engine.new_admin_token:
        out.print(f"Administrator's token, shown only now: {engine.new_admin_token}")
        out.print(f"Sign in: {engine.address}/?token={engine.new_admin_token}")


def _log_to_stderr() -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=False, sort_keys=False, pad_event_to=0),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
