"""Having the terminal to oneself, so that Ctrl-C ends the demo and not `make` around it."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def own_terminal() -> Iterator[None]:
    """Be the terminal's foreground process group; give the terminal back at the end.

    `make` would take Ctrl-C as its own and end with an error, although the demo ended well. Without a
    terminal nothing is done.
    """
    if not (sys.stdin.isatty() and os.getpgrp() != os.getpid()):
        yield
        return
    terminal = sys.stdin.fileno()
    before = os.tcgetpgrp(terminal)
    if before != os.getpgrp():
        yield
        return
    kept = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        os.setpgid(0, 0)
        os.tcsetpgrp(terminal, os.getpgrp())
        yield
    finally:
        with suppress(OSError):
            os.tcsetpgrp(terminal, before)
        signal.signal(signal.SIGTTOU, kept)
