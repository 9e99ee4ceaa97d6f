"""Processes that stand beside the demo: they do not get its Ctrl-C, and end when it is killed."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_SETPRIV = shutil.which("setpriv")
_BOUND = (_SETPRIV, "--pdeathsig", "TERM") if _SETPRIV else ()


def start_process(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start `command`, which whoever starts it ends in good order; what it says is added to `log`.

    The starting thread has to live as long as the process: with util-linux, its end is the other's.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as said:
        return subprocess.Popen(  # noqa: S603  the commands are ours
            [*_BOUND, *command],
            env=environment,
            stdout=said,
            stderr=said,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
