"""Follows the story for subscribers: queues for each what it is to be told, behind the last line it has.

The story is the record: a line is committed with what it tells of, and whoever writes it pays nothing for
subscribers, however many there are. What is queued is committed with how far the subscription has come,
so that nothing is left out and nothing told anew, whatever ends the process in between.

On PostgreSQL a line may be committed after one with a higher number. So lines count only once every
transaction is over that was writing the story when the highest of them had its number.
"""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import text
from sqlmodel import Session, func, select

from notify.hook import AHEAD, Reference, count_ahead, forget_given, queue_things
from notify.subscription import ENABLED, SUBSCRIPTIONS, Subscription, find_enabled
from prevenant.api.hook_events import Line, find_things, read_lines
from prevenant.clock import Clock
from prevenant.domain import Severity
from prevenant.errors import StoreUnavailable
from prevenant.store import Store
from prevenant.tables import TIMELINE, TimelineEntry

log = structlog.get_logger()

_LINES_AT_ONCE = 200
_PAUSE_S = 0.25
"""What follows within it is queued together, so that a storm pays for few transactions."""
_UNSETTLED_PAUSE_S = 0.05
_STORE_PAUSE_S = 1.0
_FORGET_EVERY = timedelta(hours=1)
# Each who writes the story holds this lock from before its line has a number until its commit.
_WRITERS = text(
    "SELECT virtualtransaction FROM pg_locks WHERE relation = 'timeline'::regclass"
    " AND mode = 'RowExclusiveLock' AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@dataclass(frozen=True, slots=True)
class _Planned:
    """What is queued for one subscription next."""

    subscription: int
    after: int
    """Up to which line it was told when this was planned."""
    until: int
    things: list[Reference]


class Horizon:
    """Knows up to which line the story is whole."""

    def __init__(self) -> None:
        self._settled = self._newest = 0
        self._writers: frozenset[str] = frozenset()
        self.is_whole = True
        """Whether no line was being written when we looked last."""

    def look(self, session: Session) -> int:
        """Return the highest line up to which every line is there that ever will be."""
        newest = session.exec(select(func.max(TimelineEntry.id))).one() or 0
        if session.get_bind().dialect.name == "sqlite":
            return newest
        writers = frozenset(session.execute(_WRITERS).scalars())
        self.is_whole = not writers
        if self.is_whole:
            self._settled, self._writers = newest, writers
        elif not self._writers & writers:
            # Whoever wrote when we took the last number is done; now we wait for these.
            self._settled = max(self._settled, self._newest)
            self._newest, self._writers = newest, writers
        return self._settled


class HookFeed:
    """Queues for each subscription what follows for it from the story."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._bell = store.listen(TIMELINE)
        store.call(SUBSCRIPTIONS, self._look_anew)
        self._horizon = Horizon()
        self._is_idle = False
        """Whether nobody has subscribed, as far as is known: the story then costs nothing."""
        self._forgot_at: datetime | None = None
        self._stopping = threading.Event()

    def run(self) -> None:
        """Follow the story until `stop`."""
        while not self._stopping.is_set():
            try:
                has_more = self.turn()
            except StoreUnavailable as error:
                log.error("subscribers wait", reason=str(error))
                self._stopping.wait(_STORE_PAUSE_S)
                continue
            if has_more:
                continue
            self._stopping.wait(0 if self._is_idle else _PAUSE_S)
            at_most_s = None if self._horizon.is_whole or self._is_idle else _UNSETTLED_PAUSE_S
            self._bell.wait(self._clock, None, at_most_s)

    def stop(self) -> None:
        """End `run`."""
        self._stopping.set()
        self._bell.ring()

    def turn(self) -> bool:
        """Queue what follows for each subscription; return whether there is more at once."""
        if self._is_idle:
            return False
        # Before it is read: who subscribes meanwhile says so afterwards.
        self._is_idle = True
        with self._store.read() as session:
            until = self._horizon.look(session)
            found = find_enabled(session)
            planned = [one for each in found if (one := self._plan(session, each, until))]
        self._is_idle = self._is_idle and not found
        if found:
            self._forget()
        if not planned:
            return False
        with self._store.write(Severity.INFO) as session:
            for one in planned:
                self._queue(session, one)
        return any(len(one.things) < AHEAD and one.until < until for one in planned)

    def _plan(self, session: Session, subscription: Subscription, until: int) -> _Planned | None:
        """Return what is queued next, as far as there is room; whole lines alone."""
        after = subscription.told
        if until <= after:
            return None
        room = AHEAD - count_ahead(session, subscription)
        if room <= 0:
            return None
        lines = self._lines(session, after, until)
        end = lines[-1].id if len(lines) == _LINES_AT_ONCE else until
        things = find_things(session, subscription, lines)
        if len(things) > room:
            # One line can be followed by more than there is room for: it is told none the less.
            end = things[room - 1].line
            things = [one for one in things if one.line <= end]
        return _Planned(subscription.id or 0, after, end, things)

    def _lines(self, session: Session, after: int, until: int) -> list[Line]:
        """Return lines, read once for all that have come equally far."""
        kept: dict[tuple[int, int], list[Line]] = session.info.setdefault("lines", {})
        if (after, until) not in kept:
            kept[after, until] = read_lines(session, after, until, _LINES_AT_ONCE)
        return kept[after, until]

    def _queue(self, session: Session, planned: _Planned) -> None:
        query = select(Subscription).where(
            Subscription.id == planned.subscription,
            Subscription.told == planned.after,
            Subscription.state == ENABLED,
        )
        subscription = session.exec(query.with_for_update(skip_locked=True)).first()
        if subscription is None:
            # Another process was first, or it was changed just now: it is looked at again.
            return
        subscription.told = planned.until
        session.add(subscription)
        queue_things(session, subscription, planned.things, self._clock.now())

    def _forget(self) -> None:
        now = self._clock.now()
        if self._forgot_at is not None and now - self._forgot_at < _FORGET_EVERY:
            return
        with self._store.write(Severity.INFO) as session:
            forgotten = forget_given(session, now)
        # Where there was much, more may be left.
        self._forgot_at = now if forgotten == 0 else None

    def _look_anew(self) -> None:
        self._is_idle = False
        self._bell.ring()
