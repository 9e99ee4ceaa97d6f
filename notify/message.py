"""Messages and their deliveries: the ledger of everything that was to be said, and how it went.

A *message* is one intention to tell one contact something. A *delivery* is an attempt of it on one
channel. A message tries its channels in turns; the channels of one turn go out together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, ColumnElement, Index, bindparam, text
from sqlmodel import Field, Session, col, select

from notify.segments import fit_text, measure
from notify.subscription import SUBSCRIPTIONS
from notify.templating import CALENDAR, CANCEL, Templates
from prevenant.domain import first_name_of
from prevenant.rows import TableRow
from prevenant.store import UtcDateTime, wake
from prevenant.tables import CaseEvent, add_case_event, json_column, list_column, utc_column

OUTBOX = "outbox"
"""The bell that rings when a delivery can be attempted."""
SENDINGS = "deliveries"
"""The bell that rings when one was attempted, and something may be waited for."""

QUEUED, SENDING, UNCERTAIN, SENT = "queued", "sending", "uncertain", "sent"
DELIVERED, READ = "delivered", "read"
UNDELIVERED, FAILED, SUPPRESSED = "undelivered", "failed", "suppressed"
GATHERED = "gathered"
"""It goes with others in one message, and what becomes of that becomes of it."""
REACHED = frozenset({DELIVERED, READ})
OVER = frozenset({UNDELIVERED, FAILED, SUPPRESSED})

SMS = "sms"
CHANNELS = (SMS, "voice", "email", "whatsapp", "chat")
"""By which people are told."""
ANSWER, DIGEST = "answer:", "digest-"
"""How the keys of answers to what somebody has written begin, and those of messages that gather others."""
TECHNICIAN = "technician"
"""As what somebody is told of a job."""
WEBHOOK, COMMAND = "webhook", "mqtt"
"""By which machines are: their addresses are a URL and a topic."""
HOOK = "subscription"
"""By which subscribers are told of the story: their address is a URL, too."""
SUBSCRIBER = "subscriber"
"""As what they are told: apart from what is said to people, and to machines in cases."""


class Message(TableRow, table=True):
    """One intention to tell one contact something."""

    __table_args__ = (
        Index("ix_message_contact", "contact_id", "created_at"),
        Index(
            "ix_message_move_on",
            "move_on_at",
            sqlite_where=text("move_on_at IS NOT NULL"),
            postgresql_where=text("move_on_at IS NOT NULL"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(unique=True)
    case_id: int | None = Field(default=None, index=True)
    contact_id: str
    name: str
    role: str
    """As what the contact is told: `customer`, `technician`, or a role such as `security`."""
    template: str
    language: str
    """In which it is said: the contact's own where the template has it."""
    severity: int
    turns: list[list[str]] = Field(sa_column=Column(JSON, nullable=False))
    turn: int = 0
    texts: dict[str, Any] = json_column()
    """By channel, as rendered when the message was decided."""
    left_out: int = 0
    """How many characters of the SMS were left out, since it was too long."""
    addresses: dict[str, Any] = json_column()
    state: str = Field(default=QUEUED, index=True)
    reason: str = ""
    ask: str | None = None
    """What is asked: `offer`, `acknowledge`, `person` (who calls back), `confirm`, `progress`,
    `rating`, `nps`, `ces`, or `question:NAME`; None expects no answer."""
    ask_choices: list[dict[str, Any]] = list_column()
    """The answers to a `question`, in their order: each with `name` and `words`."""
    ask_open: bool = False
    ask_settled: bool = False
    """Somebody has answered, or no answer counts any more: nobody is asked by a further channel."""
    ask_until: datetime | None = utc_column(nullable=True)
    timezone: str = "UTC"
    """Where the contact is, as far as the case knows."""
    outdated: str = ""
    """Why it is not true any more, where that became so before it was sent."""
    receipt_within_s: float | None = None
    """After so long without a receipt the next channel is tried."""
    reply_within_s: float | None = None
    """After so long without a reply the next channel is tried."""
    tried_at: datetime | None = utc_column(nullable=True)
    """When the first attempt of the present turn began."""
    move_on_at: datetime | None = utc_column(nullable=True)
    """When the next channel is tried, unless something is heard by then."""
    created_at: datetime = utc_column()


class Delivery(TableRow, table=True):
    """An attempt of a message on one channel; tried again under the same key."""

    __table_args__ = (
        Index(
            "ix_delivery_open",
            "severity",
            "id",
            sqlite_where=text("state IN ('queued', 'sending', 'uncertain')"),
            postgresql_where=text("state IN ('queued', 'sending', 'uncertain')"),
        ),
        Index(
            "ix_delivery_claimed",
            "claimed_by",
            sqlite_where=text("claimed_by <> ''"),
            postgresql_where=text("claimed_by <> ''"),
        ),
        Index(
            "ix_delivery_next",
            "next_at",
            sqlite_where=text("state IN ('queued', 'sending', 'uncertain')"),
            postgresql_where=text("state IN ('queued', 'sending', 'uncertain')"),
        ),
        Index(
            "ix_delivery_poll",
            "poll_at",
            sqlite_where=text("poll_at IS NOT NULL"),
            postgresql_where=text("poll_at IS NOT NULL"),
        ),
        Index(
            "ix_delivery_digest",
            "digest_id",
            sqlite_where=text("digest_id IS NOT NULL"),
            postgresql_where=text("digest_id IS NOT NULL"),
        ),
        Index(
            "ix_delivery_subscription",
            "subscription_id",
            "id",
            sqlite_where=text("subscription_id IS NOT NULL"),
            postgresql_where=text("subscription_id IS NOT NULL"),
        ),
        Index(
            "ix_delivery_turn",
            "subscription_id",
            "id",
            sqlite_where=text(
                "subscription_id IS NOT NULL AND state IN ('queued', 'sending', 'uncertain')"
            ),
            postgresql_where=text(
                "subscription_id IS NOT NULL AND state IN ('queued', 'sending', 'uncertain')"
            ),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(unique=True)
    message_id: int = Field(foreign_key="message.id", index=True)
    channel: str
    address: str = Field(index=True)
    severity: int
    state: str = QUEUED
    reason: str = ""
    attempts: int = 0
    segments: int = 0
    """How many an SMS takes; 0 for anything else."""
    encoding: str = ""
    """In which encoding an SMS goes: `GSM-7` or `UCS-2`."""
    provider: str = ""
    """Which of several providers has it, or may have; nothing where a channel has but one."""
    provider_id: str | None = Field(default=None, index=True)
    answer: dict[str, Any] = json_column()
    """What a webhook answered, where it was an object."""
    letter: dict[str, Any] = json_column()
    """Of an e-mail, which it `follows`, and the `entry` of a calendar that it changes."""
    possible_duplicate: bool = False
    """It was sent again although an earlier attempt may have been taken."""
    next_at: datetime | None = utc_column(nullable=True)
    deferred: str = ""
    """Why it waits, or has waited: `quiet hours` or `limit`."""
    deferred_until: datetime | None = utc_column(nullable=True)
    digest_id: int | None = None
    """The message in which it was gathered with others."""
    poll_at: datetime | None = utc_column(nullable=True)
    """When the provider is asked what became of it."""
    subscription_id: int | None = None
    """Whose it is, where it tells a subscriber of the story."""
    in_turn: bool = False
    """Whether it waits until the subscriber has what was queued before it."""
    claimed_by: str = ""
    """Whose attempt is under way."""
    claim: int = 0
    """How often it was claimed: the fencing token of the last claim."""
    started_at: datetime | None = utc_column(nullable=True)
    sent_at: datetime | None = utc_column(nullable=True)
    updated_at: datetime = utc_column()


@dataclass(frozen=True, slots=True)
class Recipient:
    """Someone to tell: who, in which language, and where they can be reached by channel."""

    contact_id: str
    name: str
    role: str
    language: str
    timezone: str
    addresses: Mapping[str, str]
    preferred: str = "sms"


@dataclass(frozen=True, slots=True)
class Ask:
    """A question that goes with a message."""

    kind: str
    until: datetime | None = None
    choices: Sequence[Mapping[str, Any]] = ()
    """The answers to a `question`: each with `name` and `words`, which mean the same."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a receipt and a reply are waited for, before the next channel is tried; None: for ever."""

    receipt_within_s: float | None = None
    reply_within_s: float | None = None


FOR_EVER = Patience()


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that has been decided, before it is worded."""

    key: str
    recipient: Recipient
    template: str
    variables: Mapping[str, Any]
    turns: Sequence[Sequence[str]]
    severity: int
    case_id: int | None = None
    ask: Ask | None = None
    patience: Patience = FOR_EVER


def is_moot(message: Message) -> bool:
    """Return whether a message is not true any more, or offers what is not to be had."""
    return bool(message.outdated) or (message.ask == "offer" and not message.ask_open)


def calendar_of(message: Message) -> str:
    """Return what the e-mail of a message does to its reader's calendar; nothing where it does nothing."""
    email = message.texts.get("email")
    return str(email.get(CALENDAR, "")) if isinstance(email, Mapping) else ""


_BY_KEYS = select(Message).where(col(Message.key).in_(bindparam("keys", expanding=True)))
_HEARD = select(CaseEvent.id).where(CaseEvent.key == bindparam("key"))


def is_unfollowed(before: datetime) -> ColumnElement[bool]:
    """Select messages that should have moved on to their next channel before a time."""
    return col(Message.move_on_at) < before


def queue_message(session: Session, templates: Templates, draft: Draft, now: datetime) -> Message:
    """Word a message and queue its first deliveries, in the transaction of `session`.

    A draft whose key is known already changes nothing and returns the message of before.
    """
    (message,) = queue_messages(session, [word_message(templates, draft, now)], now)
    return message


def word_message(templates: Templates, draft: Draft, now: datetime) -> Message:
    """Word a message for each channel that its recipient can be told by. Raises what templates raise."""
    recipient = draft.recipient
    turns = resolve_turns(draft.turns, recipient)
    variables = {
        **draft.variables,
        "contact": {"name": recipient.name, "first_name": first_name_of(recipient.name)},
    }
    texts = {
        channel: templates.render(
            draft.template, recipient.language, channel, variables, recipient.timezone
        )
        for turn in turns
        for channel in turn
    }
    left_out = shorten(texts, str(variables.get("link") or ""))
    return Message(
        key=draft.key,
        case_id=draft.case_id,
        contact_id=recipient.contact_id,
        name=recipient.name,
        role=recipient.role,
        template=draft.template,
        language=templates.language_for(draft.template, recipient.language),
        severity=draft.severity,
        turns=turns,
        texts=texts,
        left_out=left_out,
        addresses={channel: recipient.addresses[channel] for channel in texts},
        ask=draft.ask.kind if draft.ask else None,
        ask_open=draft.ask is not None,
        ask_until=draft.ask.until if draft.ask else None,
        ask_choices=[dict(choice) for choice in draft.ask.choices] if draft.ask else [],
        timezone=recipient.timezone,
        receipt_within_s=draft.patience.receipt_within_s,
        reply_within_s=draft.patience.reply_within_s if draft.ask else None,
        created_at=now,
    )


def queue_messages(
    session: Session, worded: Sequence[Message], now: datetime, *, are_new: bool = False
) -> list[Message]:
    """Queue the first deliveries of messages, written together, in the transaction of `session`.

    Returns, for each, itself, or the message of before whose key it has: that is not queued again. None
    is looked for where they `are_new`.
    """
    known: dict[str, Message] = {}
    if not are_new:
        # Every message is written at once: what else waits to be written need not go before.
        with session.no_autoflush:
            found = session.exec(_BY_KEYS, params={"keys": [one.key for one in worded]}).all()
        known = {one.key: one for one in found}
    fresh = [one for one in worded if one.key not in known]
    session.add_all(fresh)
    session.flush()
    for message in fresh:
        if message.turns:
            queue_turn(session, message, now)
        else:
            message.state = FAILED
            message.reason = "no address for any of the channels"
            tell_case(session, message, "message.failed", now)
    return [known.get(one.key, one) for one in worded]


def shorten(texts: dict[str, Any], link: str = "") -> int:
    """Shorten the SMS that is too long; return how many of its characters were left out."""
    if SMS not in texts:
        return 0
    fitted = fit_text(str(texts[SMS]), link)
    texts[SMS] = fitted.text
    return fitted.left_out


def tell_case(
    session: Session,
    message: Message,
    kind: str,
    now: datetime,
    answer: Mapping[str, Any] | None = None,
) -> None:
    """Let the case of a message hear, once, that it arrived or that nobody could be told."""
    key = f"{kind}:{message.key}"
    if message.case_id is None or session.exec(_HEARD, params={"key": key}).first():
        return
    data = {
        "message": message.key,
        "contact": message.contact_id,
        "role": message.role,
        "reason": message.reason,
        "answer": dict(answer or {}),
    }
    event = CaseEvent(
        key=key, kind=kind, at=now, urgency=message.severity, case_id=message.case_id, data=data
    )
    add_case_event(session, event)


@dataclass(frozen=True, slots=True)
class Errand:
    """Something to be handed to a machine: a webhook's body, a command's payload."""

    key: str
    channel: str
    address: str
    body: str
    name: str
    """What the machine is called in the story."""
    severity: int
    case_id: int


def queue_errand(session: Session, errand: Errand, now: datetime) -> None:
    """Queue an errand, in the transaction of `session`; it is delivered and counted like a message."""
    message = Message(
        key=errand.key,
        case_id=errand.case_id,
        contact_id="",
        name=errand.name,
        role="machine",
        template="",
        language="",
        severity=errand.severity,
        turns=[[errand.channel]],
        texts={errand.channel: errand.body},
        addresses={errand.channel: errand.address},
        created_at=now,
    )
    session.add(message)
    session.flush()
    queue_turn(session, message, now)


def raise_urgency(session: Session, case_id: int, severity: int) -> None:
    """Let what a case has not sent yet, by this channel or the next, leave as `severity` asks for.

    The messages are locked before their deliveries, as by whoever takes a receipt.
    """
    less_urgent = select(Message).where(
        Message.case_id == case_id,
        Message.severity < severity,
        col(Message.state).not_in([*REACHED, *OVER]),
    )
    locked = less_urgent.order_by(col(Message.id)).with_for_update(key_share=True)
    ids = []
    for message in session.exec(locked).all():
        message.severity = severity
        session.add(message)
        ids.append(message.id)
    waiting = select(Delivery).where(
        col(Delivery.state).in_([QUEUED, GATHERED]),
        Delivery.severity < severity,
        col(Delivery.message_id).in_(ids),
    )
    deliveries = session.exec(waiting.order_by(col(Delivery.id))).all()
    gathering = {one.digest_id for one in deliveries if one.state == GATHERED}
    whole = select(Delivery).where(
        Delivery.state == QUEUED,
        Delivery.severity < severity,
        col(Delivery.message_id).in_(gathering),
    )
    digests = session.exec(whole.order_by(col(Delivery.id))).all() if gathering else ()
    for delivery in (*deliveries, *digests):
        delivery.severity = severity
        if delivery.deferred_until == delivery.next_at:
            # Whether it still has to wait is judged again.
            delivery.next_at = None
        session.add(delivery)
        wake(session, OUTBOX)


def outdate_messages(session: Session, case_id: int, now: datetime, reason: str) -> None:
    """Let what a case had to say to people before now, and what waits to be sent, not be true any more.

    What is said at the same moment tells of the end, and stays true. So does what calls a visit off, and
    what a technician is told: that a job is over is true for ever.
    """
    params = {"case_id": case_id, "now": now}
    # What a case says is written at once: what else waits to be written need not go before.
    with session.no_autoflush:
        earlier = session.exec(_WAITING, params=params).all()
    for message in earlier:
        if calendar_of(message) != CANCEL:
            message.outdated = message.outdated or reason
            session.add(message)


_WAITING = (
    select(Message)
    .where(Message.case_id == bindparam("case_id"), Message.state == QUEUED)
    .where(Message.outdated == "", Message.contact_id != "", Message.role != TECHNICIAN)
    .where(col(Message.created_at) < bindparam("now", type_=UtcDateTime()))
    .order_by(col(Message.id))
)


def queue_turn(session: Session, message: Message, now: datetime) -> list[Delivery]:
    """Queue a delivery on each channel of the message's present turn, and return them."""
    queued = []
    for channel in message.turns[message.turn]:
        delivery = Delivery(
            key=f"m{message.id}-{channel}",
            message_id=message.id or 0,
            channel=channel,
            address=message.addresses[channel],
            severity=message.severity,
            next_at=now,
            updated_at=now,
        )
        if channel == SMS:
            size = measure(message.texts[channel])
            delivery.segments, delivery.encoding = size.segments, size.encoding
        session.add(delivery)
        queued.append(delivery)
        wake(session, bell_of(channel))
    queued_deliveries(session).extend(queued)
    queued_messages(session).append(message)
    return queued


def bell_of(channel: str) -> str:
    """Return the bell that rings when something can be attempted by a channel."""
    return SUBSCRIPTIONS if channel == HOOK else OUTBOX


def queued_messages(session: Session) -> list[Message]:
    """Return the messages of what was queued in the transaction of `session`."""
    queued: list[Message] = session.info.setdefault("queued messages", [])
    return queued


def queued_deliveries(session: Session) -> list[Delivery]:
    """Return what was queued in the transaction of `session`, in its order."""
    queued: list[Delivery] = session.info.setdefault("queued deliveries", [])
    return queued


def resolve_turns(turns: Sequence[Sequence[str]], recipient: Recipient) -> list[list[str]]:
    """Return the turns with `preferred` filled in, without channels the recipient has no address for.

    Each channel stands once, where it comes first. Where nothing but `preferred` is written, the other
    channels that can be read follow.
    """
    wanted: list[list[str]] = []
    for turn in turns:
        if [list(one) for one in turns] == [["preferred"]]:
            others = [c for c in CHANNELS if c not in {recipient.preferred, "voice"}]
            wanted += [[recipient.preferred], *([other] for other in others)]
        else:
            wanted.append([recipient.preferred if c == "preferred" else c for c in turn])
    seen: set[str] = set()
    resolved = []
    for turn in wanted:
        channels = [c for c in dict.fromkeys(turn) if c not in seen and recipient.addresses.get(c)]
        seen.update(channels)
        if channels:
            resolved.append(channels)
    return resolved


def close_asks(
    session: Session,
    case_id: int,
    kinds: Sequence[str],
    contact_id: str = "",
    *,
    settled: bool = True,
) -> None:
    """Expect no more answers to these questions of a case, from one contact or from anybody.

    A kind that ends with a colon is all that begin with it. Where they are not `settled`, as at the end of
    a case that did not wait for an answer, what they tell is still to reach its people.
    """
    with session.no_autoflush:
        asked = session.exec(_ASKED, params={"case_id": case_id}).all()
    for message in asked:
        is_meant = any(_is_of_kind(message, kind) for kind in kinds)
        if message.ask_open and is_meant and contact_id in {"", message.contact_id}:
            message.ask_open, message.ask_settled = False, settled
            session.add(message)


def _is_of_kind(message: Message, kind: str) -> bool:
    ask = message.ask or ""
    return ask.startswith(kind) if kind.endswith(":") else ask == kind


_ASKED = select(Message).where(Message.case_id == bindparam("case_id"), col(Message.ask_open))
