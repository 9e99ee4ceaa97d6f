"""Somebody who tells subscribers and kills itself at one moment, as a power cut would; the next goes on.

python -m tests.faults.killed_teller     answers each line FOLDER NUMBER with a status: 9 where killed

A few lines of the story are written, each in a transaction of its own, and told meanwhile. With a
number of -1 nobody is killed, and what moments there were stands in FOLDER/moments.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlmodel import Session, func, select

from notify.hook import Hook
from notify.message import HOOK, Delivery
from notify.outbox import OF_SUBSCRIBERS, Outbox
from notify.outside import Outside, parse_networks
from notify.subscription import Subscription, begin
from prevenant.api.hook_events import render
from prevenant.api.hook_feed import HookFeed
from prevenant.store import Store
from prevenant.tables import TimelineEntry, add_timeline
from tests.faults.forked import answer_each_line
from tests.faults.killed_worker import Moments
from tests.moved_clock import MovedClock

LINES = 3
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TAG = "5f0c2a91"


def prepare(folder: Path, url: str) -> None:
    """Make the store, with somebody who is told of every line."""
    store = Store(f"sqlite:///{folder / 'store.db'}")
    store.upgrade()
    now = MovedClock().now()
    with store.write() as session:
        begin(
            session,
            Subscription(
                name="desk",
                url=url,
                topics=["story"],
                secrets=[{"secret": SECRET, "until": None}],
                tag=TAG,
                created_by="Camille",
                created_at=now,
                changed_at=now,
            ),
        )
    store.close()


def live(folder: Path, last: int) -> None:
    """Go on with the story and tell it, up to one moment."""
    moments = Moments(last)
    store, clock = Store(f"sqlite:///{folder / 'store.db'}"), MovedClock()
    hook = Hook(store, clock, Outside(parse_networks("127.0.0.0/8")), render)
    _watch(moments, hook)
    feed = HookFeed(store, clock)
    outbox = Outbox(store, clock, {HOOK: hook}, share=OF_SUBSCRIBERS)
    outbox._recover()
    while True:
        is_written = _go_on(store, clock)
        feed.turn()
        claims = outbox._turn(clock.now())
        for one in claims:
            outbox._work(one)
        if not (is_written or claims or outbox._results):
            with store.read() as session:
                waiting = select(Delivery.id).where(Delivery.state != "delivered")
                if not session.exec(waiting).all():
                    break
            # What may have been taken is looked at again after a moment.
            clock.advance(seconds=5)
    store.close()
    (folder / "moments").write_text("\n".join(moments.names))


def _go_on(store: Store, clock: MovedClock) -> bool:
    with store.read() as session:
        written = session.exec(select(func.count()).select_from(TimelineEntry)).one()
    if written == LINES:
        return False
    with store.write() as session:
        add_timeline(session, clock.now(), "note", f"line {written}")
    return True


def _watch(moments: Moments, hook: Hook) -> None:
    """Come to a moment around each commit and each hand-over."""
    write, send = Store.write, hook.send

    @contextmanager
    def watched(store: Store, urgency: int = 5) -> Iterator[Session]:
        with write(store, urgency) as session:
            yield session
            moments("commit before")
        moments("commit after")

    def handed(*values: Any) -> str:
        moments("hand-over before")
        number = send(*values)
        moments("hand-over after")
        return number

    setattr(Store, "write", watched)  # noqa: B010  a plain assignment is no method to mypy
    setattr(hook, "send", handed)  # noqa: B010  a plain assignment is no method to mypy


if __name__ == "__main__":
    answer_each_line(live)
