"""An engine that kills itself at one moment, as a power cut would: `killed_engine.py MOMENT [FOLDER]`.

A moment of publishing counts from when there is a file `published` in FOLDER.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ingest.journal import Journal
from notify.outbox import Outbox
from prevenant import cli
from prevenant.book_switch import BookSwitch
from prevenant.stream import deciding
from prevenant.stream.deciding import Decider
from prevenant.stream.embedded import EmbeddedHost
from prevenant.stream.writing import AlarmWriter
from workflows import grouping

MOMENTS: dict[str, tuple[Any, str, str]] = {
    "journaled, not acknowledged": (Journal, "append", "after"),
    "acknowledged, not decided": (EmbeddedHost, "_decide", "before"),
    "decided, alarm not written": (AlarmWriter, "_write_some", "before"),
    "alarm written, case not opened": (grouping, "take_alarm", "before"),
    "case opened, not committed": (grouping, "take_alarm", "after"),
    "claimed as it was queued, not begun": (Outbox, "_begin", "before"),
    "message queued, not handed over": (Outbox, "_attempt", "before"),
    "handed over, not recorded": (Outbox, "_finish", "before"),
}


PUBLISHING: dict[str, tuple[Any, str, str]] = {
    "change not in the journal": (Journal, "change_book", "before"),
    "change in the journal, not taken": (Journal, "change_book", "after"),
    "handed over, not written": (BookSwitch, "follow", "after"),
    "written, not committed": (deciding, "end_alarms_of_types_gone", "after"),
    "committed, not in force": (Decider, "install", "before"),
    "in force, without a snapshot": (Decider, "install", "after"),
}
"""Moments of a change from the version with which the engine began."""


def die_at(moment: str) -> None:
    """Make the engine kill itself when it first comes to `moment`."""
    owner, name, when = (MOMENTS | PUBLISHING)[moment]
    original: Callable[..., Any] = getattr(owner, name)

    def dying(*arguments: Any, **options: Any) -> Any:
        is_due = moment in MOMENTS or (FOLDER / "published").exists()
        result = original(*arguments, **options) if when == "after" or not is_due else None
        if is_due:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, dying)


if __name__ == "__main__":
    FOLDER = Path(sys.argv[2]) if sys.argv[2:] else Path()
    die_at(sys.argv[1])
    sys.argv[1:] = ["run"]
    cli.main()
