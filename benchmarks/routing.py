"""What routing is measured with: a rule book, people, alarms by the thousand, and a provider at hand.

python -m benchmarks.routing URL TAKEN      a worker on URL that notes what it handed over in TAKEN
"""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import insert
from sqlmodel import Session, SQLModel, select

from notify.message import DELIVERED, Delivery, Message
from prevenant.clock import SystemClock, epoch_seconds
from prevenant.crm.tables import Contact, Customer, Device, RoleHolder, Site
from prevenant.domain import Severity, Transition
from prevenant.publishing import publish_edition, read_edition
from prevenant.store import Store
from prevenant.stream.alarms import write_transitions
from prevenant.tables import Alarm, CaseEvent, add_case_event
from prevenant.worker import Worker
from workflows.tables import Case

SITES = 50
BOOK = """
devices:
  unit: {topic: 'bench/{site}/units/{device}', fields: {hot: bool, gone: bool}}
rules:
  hot: {on: unit, when: hot, severity: major, workflow: callout, message: 'It is hot.'}
  gone: {on: unit, when: gone, severity: life_safety, workflow: callout, message: 'It is gone.'}
workflows:
  callout:
    - tell: guard
      template: told
      channels: sms
      ask: acknowledge
    - wait: acknowledged
      within: 12h
      otherwise: {hand_off: guard}
templates:
  told: {en: {sms: '{{ device.label }}, {{ site.name }}: {{ alarm.message }} Case {{ case.number }}.'}}
"""


class Provider:
    """Takes every message at once, and knows when, by its key and by the first word of its text."""

    confirms = True

    def __init__(self, notes: TextIO | None = None) -> None:
        self.taken: list[tuple[str, str, float]] = []
        self._notes = notes
        self._lock = threading.Lock()
        """Guards the notes: attempts are made by many threads, and a file takes from one at a time."""

    def send(self, delivery: Delivery, message: Message) -> str:
        """Take a delivery."""
        text = str(message.texts[delivery.channel])
        self.taken.append((delivery.key, text.partition(",")[0], time.perf_counter()))
        if self._notes is not None:
            with self._lock:
                self._notes.write(f"{delivery.key}\n")
        return f"provider-{delivery.key}"

    def find(self, delivery: Delivery, message: Message, known: frozenset[str]) -> str | None:
        """Look whether a delivery was taken."""
        del message, known
        is_taken = any(key == delivery.key for key, *_ in self.taken)
        return f"provider-{delivery.key}" if is_taken else None

    def close(self) -> None:
        """Let notes be read."""
        if self._notes is not None:
            self._notes.flush()


def make_store(url: str, folder: Path, devices: int) -> Store:
    """Return a store with tables, the book, and a guard, a customer and devices at each site."""
    book = folder / "bench.yaml"
    book.write_text(BOOK, "utf-8")
    store = Store(url)
    store.upgrade()
    with store.write() as session:
        now = SystemClock().now()
        publish_edition(session, read_edition(book), now, by="bench", origin="bench")
        session.add(Customer(id="c", name="Airport"))
        for number in range(SITES):
            guard = f"g{number}"
            session.add(Contact(id=guard, name=f"Guard {number}", phone=f"+3363998{number:04}"))
            session.flush()
            site = Site(
                id=f"s{number}",
                name=f"Hall {number}",
                customer_id="c",
                latitude=48.8 + number / 1000,
                longitude=2.3,
                timezone="Europe/Paris",
            )
            session.add(site)
            session.flush()
            session.add(RoleHolder(contact_id=guard, role="guard", site_id=site.id))
        session.flush()
        rows = [
            {"id": device_id(n), "site_id": f"s{n % SITES}", "type": "unit", "label": f"u{n}"}
            for n in range(devices)
        ]
        _insert(session, Device, rows)
    return store


def device_id(number: int) -> str:
    """Return the identity of a device."""
    return f"s{number % SITES}/u{number}"


def severity_of(number: int) -> Severity:
    """One alarm in a hundred is about life and death."""
    return Severity.LIFE_SAFETY if number % 100 == 50 else Severity.MAJOR


def raise_alarms(session: Session, first: int, count: int, now: datetime) -> None:
    """Raise alarms as the processor would."""
    at = epoch_seconds(now)
    write_transitions(
        session,
        [
            Transition(
                "raised",
                "gone" if severity_of(n) == Severity.LIFE_SAFETY else "hot",
                "unit",
                f"s{n % SITES}",
                device_id(n),
                severity_of(n),
                at,
                at,
                {},
                "`hot` holds",
            )
            for n in range(first, first + count)
        ],
    )


def fill_with_waiting(store: Store, count: int, now: datetime) -> None:
    """Make `count` more cases wait as the one that stands in the store does: all told, none answered."""
    with store.read() as session:
        models = [session.exec(select(table)).one() for table in (Alarm, Case, Message, Delivery)]
    alarm, case, message, delivery = (_columns(row) for row in models)
    due = case["due_at"]
    for first in range(1, count + 1, 10_000):
        numbers = range(first, min(first + 10_000, count + 1))
        ids = [1_000 + n for n in numbers]
        with store.write() as session:
            _insert(
                session,
                Alarm,
                [{**alarm, "id": i, "device_id": device_id(i), "raised_at": now} for i in ids],
            )
            _insert(
                session,
                Case,
                [
                    {
                        **case,
                        "id": i,
                        "alarm_id": i,
                        "device_id": device_id(i),
                        "due_at": due + timedelta(milliseconds=i),
                    }
                    for i in ids
                ],
            )
            _insert(
                session,
                Message,
                [{**message, "id": i, "key": f"case-{i}-1", "case_id": i} for i in ids],
            )
            _insert(
                session,
                Delivery,
                [
                    {
                        **delivery,
                        "id": i,
                        "message_id": i,
                        "key": f"m{i}-sms",
                        "provider_id": f"p{i}",
                        "state": DELIVERED,
                    }
                    for i in ids
                ],
            )


def acknowledge(session: Session, case_id: int, now: datetime) -> None:
    """Have a guard take a case."""
    data = {"name": "Guard", "contact": "g0", "role": "guard", "text": "1", "channel": "sms"}
    event = CaseEvent(
        key=f"reply:bench-{case_id}",
        kind="reply",
        at=now,
        urgency=Severity.MAJOR,
        case_id=case_id,
        data={**data, "ask": "acknowledge", "intent": "accept", "number": 1},
    )
    add_case_event(session, event)


def _columns(row: SQLModel) -> dict[str, Any]:
    return {name: getattr(row, name) for name in type(row).model_fields}


def _insert(session: Session, table: type[SQLModel], rows: list[dict[str, Any]]) -> None:
    session.execute(insert(table), rows)


@contextmanager
def working(store: Store, provider: Provider) -> Iterator[Worker]:
    """Run route and engage in this process."""
    worker = Worker(store, SystemClock(), {"sms": provider})
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


def main() -> None:
    """Be a worker of its own until told to stop; say then what it took."""
    url, taken = sys.argv[1], Path(sys.argv[2])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    store = Store(url)
    with taken.open("w") as notes, working(store, Provider(notes)):
        print("ready", flush=True)  # noqa: T201  for the one who started us
        stop.wait()
    store.close()


if __name__ == "__main__":
    main()
