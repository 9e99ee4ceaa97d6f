"""A ledger for trying when people are told: messages, hand-overs that work, and a clock that is moved."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

from sqlmodel import Session, col, select

from notify.claims import Claimed, Result, Sent, claim, record
from notify.message import (
    FOR_EVER,
    Ask,
    Delivery,
    Draft,
    Message,
    Patience,
    Recipient,
    queue_message,
)
from notify.permission import NO_RULES, HouseRules
from notify.templating import Templates, read_templates
from prevenant.document import read_yaml
from prevenant.domain import Severity
from prevenant.errors import DeliveryError
from prevenant.store import Store
from prevenant.tables import TimelineEntry
from tests.moved_clock import MovedClock

_TEXT = (
    "said: {en: {sms: 'said {{ what }}', email: {subject: '{{ what }}', text: 'said {{ what }}'}}}"
)
ROOM: dict[int, int] = dict.fromkeys(Severity, 1_000)
CHANNELS = ("sms", "voice", "email", "whatsapp")

VISIT: dict[str, Any] = {
    "visit": {
        "start": datetime(2026, 5, 6, 12, 30, tzinfo=UTC),
        "end": datetime(2026, 5, 6, 14, 30, tzinfo=UTC),
    },
    "technician": {"first_name": "Lea", "name": "Lea Moreau"},
    "site": {"name": "Home", "address": "1 Rue"},
    "device": {"label": "Refrigerator", "type": "refrigerator"},
    "alarm": {"message": "It is warm."},
    "why": "late",
}
"""What templates say of a visit."""


def confirms(delivery: Delivery) -> bool:
    """Return whether a receipt for a delivery comes."""
    return delivery.channel in {"sms", "voice"}


def make_templates() -> Templates:
    """Return the shipped templates, and `said`."""
    document = read_yaml(_TEXT, [], "rules.yaml")
    assert document is not None
    return Templates(read_templates([document]))


TEMPLATES = make_templates()


class Ledger:
    """Messages to people whose quiet hours are given, and what an outbox makes of them."""

    def __init__(self, store: Store, clock: MovedClock, rules: HouseRules = NO_RULES) -> None:
        self.store = store
        self.clock = clock
        self.hours: dict[str, tuple[str, str]] = {}
        """By contact: the quiet hours and the time zone."""
        self.rules = replace(rules, hours_of=self._hours_of, templates=TEMPLATES)
        self.sent: list[tuple[datetime, str, str, str]] = []
        """What was handed over: when, to whom, by which channel, the key."""
        self.fail_with: DeliveryError | None = None
        """What every hand-over ends with instead."""
        self._count = 0

    def _hours_of(self, _session: Session, ids: Any) -> Mapping[str, tuple[str, str]]:
        return {one: self.hours[one] for one in ids if one in self.hours}

    def say(  # noqa: PLR0913  a message has so many sides
        self,
        contact: str = "ada",
        severity: int = Severity.MAJOR,
        turns: Sequence[Sequence[str]] = (("sms",),),
        *,
        case: int | None = 17,
        ask: Ask | None = None,
        role: str = "customer",
        patience: Patience = FOR_EVER,
        key: str = "",
        zone: str = "UTC",
        template: str = "said",
        **variables: Any,
    ) -> int:
        """Queue a message; return its number."""
        self._count += 1
        number = f"+3363998{crc32(contact.encode()) % 10_000:04}"
        addresses = {
            **dict.fromkeys(("sms", "voice", "whatsapp"), number),
            "email": f"{contact}@home.example",
        }
        recipient = Recipient(contact, contact.title(), role, "en", zone, addresses)
        draft = Draft(
            key or f"m{self._count}",
            recipient,
            template,
            {"what": self._count, **variables},
            turns,
            severity,
            case,
            ask,
            patience,
        )
        with self.store.write() as session:
            return queue_message(session, TEMPLATES, draft, self.clock.now()).id or 0

    def work(self) -> int:
        """Hand over all that may go now; return how much that was."""
        handed = rests = 0
        for _ in range(1_000):
            claimed = self._turn()
            handed += len(claimed.claims)
            # What is gathered goes with the next turn.
            rests = 0 if claimed.claims or claimed.held_back else rests + 1
            if rests > 1:
                return handed
        message = "the outbox never rests"
        raise AssertionError(message)

    def _turn(self) -> Claimed:
        now = self.clock.now()
        with self.store.write() as session:
            claimed = claim(session, "us", (), ROOM, (now, 0.0), CHANNELS, (), self.rules)
            session.flush()
        results = list(claimed.held_back)
        for one in claimed.claims:
            if self.fail_with is not None:
                results.append(Result(one, self.fail_with))
                continue
            self.sent.append((now, one.message.contact_id, one.delivery.channel, one.message.key))
            results.append(Result(one, Sent(f"SM{one.delivery.key}")))
        with self.store.write() as session:
            assert record(session, "us", results, now) == []
        return claimed

    def pass_time(self, **span: float) -> int:
        """Move the clock, and hand over what became due."""
        self.clock.advance(**span)
        return self.work()

    def keys(self) -> list[str]:
        """Return the keys of what was handed over, in order."""
        return [key for _, _, _, key in self.sent]

    def deliveries(self) -> Sequence[Delivery]:
        """Return all deliveries, in order."""
        with self.store.read() as session:
            return session.exec(select(Delivery).order_by(col(Delivery.id))).all()

    def delivery(self, key: str, channel: str) -> Delivery:
        """Return the delivery of a message by a channel."""
        query = select(Delivery).join(Message, col(Message.id) == col(Delivery.message_id))
        with self.store.read() as session:
            return session.exec(query.where(Message.key == key, Delivery.channel == channel)).one()

    def message(self, number: int) -> Message:
        """Return a message."""
        with self.store.read() as session:
            return session.get_one(Message, number)

    def story(self, kind: str) -> list[str]:
        """Return the lines of the story of one kind."""
        query = select(TimelineEntry).where(TimelineEntry.kind == kind)
        with self.store.read() as session:
            return [one.summary for one in session.exec(query.order_by(col(TimelineEntry.id)))]
