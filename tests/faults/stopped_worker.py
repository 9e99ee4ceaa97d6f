"""A worker of the story's people on a shared store, which may stop itself (SIGSTOP) at one moment.

python -m tests.faults.stopped_worker URL FOLDER [MOMENT]     says `ready`, and ends when its input ends

Its leases are short: a claim ends after 3 s, a transaction that stands still after 1 s.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from sqlalchemy import event
from sqlmodel import Session

from notify.claims import Claim, Outcome
from notify.outbox import Outbox
from notify.templating import Templates
from prevenant.clock import SystemClock
from prevenant.store import Store
from tests.faults.routing_story import Shop
from tests.workflows.test_case import make_workflow
from workflows.runtime import Route, Runtime

CLAIM_S, STALLED_S = 3.0, 1.0
RULE = "hot"
STEPS = """
- tell: guard
  template: told
- wait: acknowledged
  within: 1h
  otherwise: [{close: nobody came}]
"""
AT_THE_DOOR = "at the provider's door"
"""Behind our last look at the lease: no provider takes a fencing token, so that this one is counted."""
MOMENTS = (
    "claimed, not begun",
    AT_THE_DOOR,
    "handed over, not recorded",
    "recorded, not committed",
    "heard, not committed",
    "committing what was heard",
    "asking the store",
)


class Stopping:
    """Stops the process once, when it comes to a moment."""

    def __init__(self, moment: str) -> None:
        self._moment = moment

    def __call__(self, name: str) -> None:
        """Come to a moment."""
        if name == self._moment:
            self._moment = ""
            # Not any thread of ours: this one would go a little further.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

    def hook(self, store: Store) -> None:
        """Come to the moments that lie inside transactions."""
        write = store.write

        @contextmanager
        def watched(urgency: int = 5) -> Iterator[Session]:
            with write(urgency) as session:
                yield session
                is_route = threading.current_thread().name == "route"
                self("heard, not committed" if is_route else "recorded, not committed")

        store.write = watched  # type: ignore[method-assign]
        event.listen(store.engine, "commit", lambda _connection: self._at_commit())
        event.listen(store.engine, "before_cursor_execute", self._at_statement)

    def _at_commit(self) -> None:
        if threading.current_thread().name == "route":
            self("committing what was heard")

    def _at_statement(self, *call: object) -> None:
        if str(call[2]).startswith("INSERT INTO message"):
            self("asking the store")


def start(url: str, folder: Path, stop_at: Stopping) -> Callable[[], None]:
    """Start a worker; return how to end it."""
    store = Store(url, stalled_s=STALLED_S)
    stop_at.hook(store)
    moments = {
        "hand-over before": AT_THE_DOOR,
        "hand-over after": "handed over, not recorded",
    }
    shop = Shop(folder / "taken", lambda name: stop_at(moments[name]))
    clock = SystemClock()
    workflows, routes = {"visit": make_workflow(STEPS)}, {RULE: Route("visit", {"en": "Hot."})}
    templates = Templates({"told": {"en": {"sms": "{{ alarm.message }}"}}})
    runtime = Runtime(store, clock, workflows, routes, templates)
    outbox = Outbox(store, clock, {"sms": shop}, claim_s=CLAIM_S)
    attempt = outbox._attempt

    def begin(claim: Claim) -> Outcome:
        stop_at("claimed, not begun")
        return attempt(claim)

    outbox._attempt = begin  # type: ignore[method-assign]
    runs = {"route": runtime.run, "engage": outbox.run}
    threads = [threading.Thread(target=run, name=name) for name, run in runs.items()]
    for thread in threads:
        thread.start()

    def end() -> None:
        runtime.stop()
        outbox.stop()
        for thread in threads:
            thread.join()
        store.close()

    return end


def main() -> None:
    """Work until the input ends."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    end = start(sys.argv[1], Path(sys.argv[2]), Stopping(" ".join(sys.argv[3:])))
    print("ready", flush=True)  # noqa: T201  the answer
    sys.stdin.read()
    end()


if __name__ == "__main__":
    main()
