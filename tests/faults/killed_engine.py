"""An engine that kills itself at one moment, as a power cut would: `killed_engine.py MOMENT`."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from ingest.journal import Journal
from notify.outbox import Outbox
from prevenant import cli
from prevenant.stream import alarms
from prevenant.stream.embedded import EmbeddedHost
from workflows.runtime import Runtime

MOMENTS: dict[str, tuple[Any, str, str]] = {
    "journaled, not acknowledged": (Journal, "append", "after"),
    "acknowledged, not decided": (EmbeddedHost, "_decide", "before"),
    "decided, alarm not written": (alarms, "write_transition", "before"),
    "alarm written, case not opened": (Runtime, "_take_alarm", "before"),
    "case opened, not committed": (Runtime, "_take_alarm", "after"),
    "message queued, not handed over": (Outbox, "_attempt", "before"),
    "handed over, not recorded": (Outbox, "_record_sent", "before"),
}


def die_at(moment: str) -> None:
    """Make the engine kill itself when it first comes to `moment`."""
    owner, name, when = MOMENTS[moment]
    original: Callable[..., Any] = getattr(owner, name)

    def dying(*arguments: Any, **options: Any) -> Any:
        if when == "after":
            original(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, dying)


if __name__ == "__main__":
    die_at(sys.argv[1])
    sys.argv[1:] = ["run"]
    cli.main()
