"""`prevenant rules`: the commands about rule books, each loaded when it is typed."""

from typing import ClassVar

import typer

from prevenant.cli.lazy import LazyGroup


class _Commands(LazyGroup):
    """The commands about rule books."""

    parts: ClassVar = {
        "check": (
            "prevenant.cli.rules_check:check_rules",
            (
                "Judge a rule book: every mistake at once, each with its place and remedy; "
                "else what is doubtful."
            ),
        ),
        "test": (
            "prevenant.cli.rules_test:run_tests",
            "Run the tests of a rule book: readings in; alarms, steps of cases and messages out.",
        ),
        "publish": (
            "prevenant.cli.rules_publish:publish_rules",
            "Judge a rule book and put it in force: a running engine takes it within a second.",
        ),
        "versions": (
            "prevenant.cli.rules_publish:list_rules",
            "Show what was published, the newest first, by whom, and what is in force.",
        ),
        "show": (
            "prevenant.cli.rules_publish:show_rules",
            "Print the files of one version; each of several under a comment with its name.",
        ),
        "rollback": (
            "prevenant.cli.rules_publish:roll_rules_back",
            "Put an earlier version in force again, as a new one.",
        ),
        "replay": (
            "prevenant.cli.rules_replay:replay_rules",
            "Show which alarms, technicians and messages a changed book would have meant, as a diff.",
        ),
        "import": (
            "prevenant.cli.rules_import:import_rules",
            "Carry over rules of another system; what cannot be carried over is listed on stderr.",
        ),
        "explain": (
            "prevenant.cli.alarms:explain",
            (
                "Say why an alarm was raised: every comparison with its value, "
                "what held it back, and its story."
            ),
        ),
    }


app = typer.Typer(cls=_Commands, help="Check, test and publish rule books.", no_args_is_help=True)


@app.callback()
def rules() -> None:
    """Check, test and publish rule books."""
