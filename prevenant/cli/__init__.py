"""The command `prevenant`. Every error that a user can cause is one line that says what to do."""

import logging
import sys
from typing import Annotated, ClassVar

import structlog
import typer
from typer.exceptions import TyperException

from prevenant import __version__
from prevenant.cli.lazy import LazyGroup
from prevenant.errors import PrevenantError


class _Commands(LazyGroup):
    """The commands, and the groups of them."""

    parts: ClassVar = {
        "run": (
            "prevenant.cli.running:run",
            "Run the engine, or one process of several: broker, store and providers as the settings say.",
        ),
        "settings": (
            "prevenant.cli.listing:list_settings",
            "Show every setting, its value and where it comes from; secrets stay hidden.",
        ),
        "demo": (
            "prevenant.cli.running:demo",
            "Show everything at work, with simulated devices, technicians, customers and carrier.",
        ),
        "backup": (
            "prevenant.cli.backup:make_backup",
            "Copy the journal, then the store, each whole and at one moment; the engine may run.",
        ),
        "rules": ("prevenant.cli.rules:app", "Check, test and publish rule books."),
        "alarms": ("prevenant.cli.alarms:app", "Alarms, and what people say of them."),
        "cases": ("prevenant.cli.cases:app", "Cases: what is done about alarms."),
        "crm": ("prevenant.cli.crm:app", "Customers, sites, devices and technicians."),
        "deliveries": (
            "prevenant.cli.deliveries:app",
            "What was to be handed over, and how it went.",
        ),
        "devices": ("prevenant.cli.devices:devices_app", "Devices that were heard."),
        "quarantine": ("prevenant.cli.devices:quarantine_app", "Payloads that could not be read."),
        "dispatch": ("prevenant.cli.dispatch:app", "Whom dispatch sent, and why."),
        "journal": ("prevenant.cli.journal:app", "The durable log of readings."),
        "kpis": (
            "prevenant.cli.kpis:show_kpis",
            "Show how well the service is done: times, shares and surveys, each by its definition.",
        ),
        "models": ("prevenant.cli.models:app", "Predictive models: train, judge, put in force."),
        "on-call": ("prevenant.cli.on_call:app", "Who is on call."),
        "replies": (
            "prevenant.cli.replies:app",
            "What people answered, and how well that is understood.",
        ),
        "tasks": ("prevenant.cli.tasks:app", "Long work that was asked for in the console."),
        "templates": (
            "prevenant.cli.templates:app",
            "What is said, by language and channel.",
        ),
        "users": ("prevenant.cli.users:app", "People who may sign in, and what they may do."),
        "tokens": ("prevenant.cli.tokens:app", "What programs ask the API with."),
        "trail": (
            "prevenant.cli.trail:show_trail",
            "Show who did what, on what, from where and how it ended, the newest first.",
        ),
        "webhooks": (
            "prevenant.cli.webhooks:app",
            "Whom outside programs have told what happens.",
        ),
        "simulate": ("prevenant.cli.simulate:app", "Stand in for devices."),
    }


app = typer.Typer(
    cls=_Commands,
    help="Prevenant listens to devices, sends technicians and tells customers before they notice.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def main() -> None:
    """Run the command line."""
    _log_to_stderr()
    _check_encoding(sys.argv[1:])
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
    typer.echo(f"prevenant {__version__}")


def _say_what_is_mistyped(error: TyperException) -> None:
    """Say in one line what is wrong with a command as it was typed, and where the right one stands."""
    message = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    # Without a message the help has been printed already.
    if message:
        path = context.command_path if context else "prevenant"
        sys.stderr.write(f"error: {message}: see `{path} --help`\n")


def _check_encoding(words: list[str]) -> None:
    """End where a word is no text, but bytes that no store and no file would take."""
    for number, word in enumerate(words, 1):
        if not word.isascii() and any("\ud800" <= one <= "\udfff" for one in word):
            sys.stderr.write(f"error: word {number} of the command is not UTF-8: type it anew\n")
            sys.exit(2)


def _has_place(error: PrevenantError) -> bool:
    return hasattr(error, "problems")


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
