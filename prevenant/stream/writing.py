"""The alarm writer: changes of alarms go to the store by severity, beside the deciding.

The changes of one alarm keep their order; those of a more severe alarm go before the others. Where they
are few, their cases hear of them in the very transaction that writes them. What waits
is bounded: whoever decides has to wait where the store cannot follow, and the broker with it. Until
everything is written, the journal has it, and no snapshot is taken that would forget it.
"""

import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain

import structlog
from sqlmodel import Session

from prevenant.clock import steady_seconds
from prevenant.domain import Severity, Transition
from prevenant.errors import StoreUnavailable
from prevenant.store import Store
from prevenant.stream.alarms import AT_ONCE, write_transitions
from prevenant.tables import NotHeard, let_cases_hear

log = structlog.get_logger()

_MOST_WAITING = 20_000
_TOGETHER = 256
"""How many changes one transaction writes at most."""
_TOGETHER_S = 0.05
"""For how long it begins another one."""
_FEW = 8
"""So many changes at most are heard by their cases in the transaction that writes them."""

Key = tuple[str, str]
"""A rule and a device: what identifies an alarm while it is open."""


class Backlog:
    """Changes that wait to be written, ordered by the severity of their alarm, then by arrival."""

    def __init__(self) -> None:
        self._of: dict[Key, deque[Transition]] = {}
        self._order: list[tuple[int, int, Key]] = []
        self._rank: dict[Key, int] = {}
        self._numbers = itertools.count()
        self.count = 0

    def add(self, transition: Transition) -> None:
        """Let a change wait; an alarm that has become more severe moves forward with all its changes."""
        key = transition.rule, transition.device_id
        self._of.setdefault(key, deque()).append(transition)
        self.count += 1
        if transition.severity > self._rank.get(key, 0):
            self._rank[key] = transition.severity
            heapq.heappush(self._order, (-transition.severity, next(self._numbers), key))

    @property
    def urgency(self) -> int:
        """The severity of what comes next; 0 where nothing waits."""
        self._drop_stale()
        return -self._order[0][0] if self._order else 0

    def take(self) -> list[Transition]:
        """Take the changes of the most severe alarm, in their order."""
        self._drop_stale()
        _, _, key = heapq.heappop(self._order)
        taken = self._of.pop(key)
        del self._rank[key]
        self.count -= len(taken)
        return list(taken)

    def put_back(self, transitions: Sequence[Transition]) -> None:
        """Let changes wait again, before what has come since."""
        key = transitions[0].rule, transitions[0].device_id
        since = self._of.pop(key, deque())
        self._rank.pop(key, None)
        self.count -= len(since)
        for transition in (*transitions, *since):
            self.add(transition)

    def _drop_stale(self) -> None:
        while self._order and self._rank.get(self._order[0][2]) != -self._order[0][0]:
            heapq.heappop(self._order)


class AlarmWriter:
    """Writes changes of alarms in a thread of its own, between `start` and `close`."""

    def __init__(
        self,
        store: Store,
        retrying: Callable[[Callable[[Session], object], Callable[[], int]], None],
    ) -> None:
        """Prepare; `retrying` writes to the store however long it is away, at an urgency."""
        self._store = store
        self._retrying = retrying
        self._backlog = Backlog()
        self._changed = threading.Condition()
        self._is_writing = False
        self._is_closing = False
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to write beside whoever decides."""
        self._thread = threading.Thread(target=self._run, name="alarms", daemon=True)
        self._thread.start()

    def close(self) -> bool:
        """End after the transaction under way; return whether everything is written."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        return self._failure is None and not self._backlog.count

    def write(self, transitions: Sequence[Transition]) -> None:
        """Have changes written; before `start` at once, else soon. Raises what the writing raised."""
        if not transitions:
            return
        with self._changed:
            while self._backlog.count >= _MOST_WAITING and self._failure is None:
                self._changed.wait()
            self._raise_failure()
            for transition in transitions:
                self._backlog.add(transition)
            self._changed.notify_all()
        if self._thread is None:
            while self._backlog.count:
                self._write_some()

    @property
    def unwritten(self) -> int:
        """How many changes wait to be written; at least one while some are being written."""
        return self._backlog.count or int(self._is_writing)

    def wait_until_written(self) -> None:
        """Wait until nothing is left to write. Raises what the writing raised."""
        with self._changed:
            while not self.is_idle() and self._failure is None:
                self._changed.wait()
            self._raise_failure()

    def is_idle(self) -> bool:
        """Return whether everything is written. Raises what the writing raised."""
        self._raise_failure()
        return not self._backlog.count and not self._is_writing

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._backlog.count and not self._is_closing:
                    self._changed.wait()
                if self._is_closing:
                    return
                self._is_writing = True
            failure: BaseException | None = None
            try:
                self._write_some()
            except Exception as error:  # noqa: BLE001  raised in the thread that decides
                failure = error
            with self._changed:
                self._is_writing = False
                self._failure = failure
                self._changed.notify_all()
            if failure is not None:
                return

    def _write_some(self) -> None:
        """Write the most severe changes that wait, in one transaction that is soon over."""
        taken: list[list[Transition]] = []

        def work(session: Session, *, with_cases: bool = True) -> None:
            self._put_back(taken)
            began = steady_seconds()
            urgency = self._urgency()
            while not taken or not self._is_enough(taken, urgency, began):
                changes = self._take_some(urgency)
                if not changes:
                    break
                taken.extend(changes)
                write_transitions(session, [*chain.from_iterable(changes)])
            if with_cases:
                self._let_cases_hear(session, taken, urgency)

        try:
            try:
                self._retrying(work, self._urgency)
            except NotHeard as error:
                if not error.is_busy:
                    log.error("cases hear later", error=repr(error.__cause__), exc_info=error)
                self._retrying(partial(work, with_cases=False), self._urgency)
        except StoreUnavailable:
            self._put_back(taken)
            raise

    def _let_cases_hear(
        self, session: Session, taken: Sequence[Sequence[Transition]], urgency: int
    ) -> None:
        """Let cases hear within the transaction, where it is small and nothing more urgent waits."""
        if sum(map(len, taken)) > _FEW or self._store.is_wanted(urgency):
            return
        let_cases_hear(self._store, session, urgency)

    def _is_enough(self, taken: Sequence[Sequence[Transition]], urgency: int, began: float) -> bool:
        return (
            sum(map(len, taken)) >= _TOGETHER
            or steady_seconds() - began >= _TOGETHER_S
            or self._store.is_wanted(urgency)
        )

    def _urgency(self) -> int:
        with self._changed:
            return self._backlog.urgency or Severity.INFO

    def _take_some(self, urgency: int) -> list[list[Transition]]:
        """Take the changes of the next alarms that are as urgent as this transaction is."""
        taken: list[list[Transition]] = []
        with self._changed:
            while len(taken) < AT_ONCE and self._backlog.urgency == urgency:
                taken.append(self._backlog.take())
        return taken

    def _put_back(self, taken: list[list[Transition]]) -> None:
        """Let what a transaction that failed had taken wait again."""
        with self._changed:
            while taken:
                self._backlog.put_back(taken.pop())
