"""Whether a delivery may go to its contact: now, later or not at all, and why.

    still true? ─▶ consent ─▶ quiet hours ─▶ limits ─▶ go

Life-safety waits for nothing. What a machine is given, and what answers somebody's own message, disturbs
nobody and waits for nothing either.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlmodel import Session

from notify.consent import RequiredConsent, Wishes, find_wishes
from notify.limits import is_limited, room_at, told_at
from notify.message import ANSWER, DIGEST, QUEUED, SENDING, Delivery, Message, is_moot
from notify.quiet_hours import QuietHours, possible_zones, read_quiet_hours
from notify.templating import Templates, local_zone
from prevenant.domain import Severity
from prevenant.limits import Limits
from prevenant.tables import add_timeline

QUIET, LIMIT = "quiet hours", "limit"
CUSTOMERS = frozenset({"customer", "site-contact"})

HoursOf = Callable[[Session, Collection[str]], Mapping[str, tuple[str, str]]]
"""Finds the quiet hours and the time zones of contacts, as the CRM has them."""


@dataclass(frozen=True, slots=True)
class Later:
    """It may go at a time; until then it waits."""

    until: datetime
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Never:
    """It may not go, nor by any other channel where it is `for_good`."""

    reason: str
    for_good: bool = False


Verdict = Later | Never | None
"""None: it may go."""


@dataclass(frozen=True, slots=True)
class HouseRules:
    """What the operator has set, and how to ask the CRM about contacts."""

    hours_of: HoursOf = lambda _session, _ids: {}
    quiet_hours: str = ""
    """Of customers who have none of their own."""
    bypass: int = Severity.CRITICAL
    """What is at least so severe goes in quiet hours, too."""
    consent: RequiredConsent = field(default_factory=dict)
    """Where customers have to have agreed."""
    limits: Limits = field(default_factory=dict)
    """How often somebody is told something, by severity; the rest is gathered."""
    templates: Templates | None = None
    """With which words it is gathered; None: with those that are shipped."""

    @property
    def words(self) -> Templates:
        """The words with which messages are gathered."""
        return self.templates or Templates()


NO_RULES = HouseRules()


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of those whom some deliveries are for."""

    wishes: Wishes
    hours: Mapping[int | None, QuietHours]
    """The quiet hours of those whom something concerns that may have to wait, by message."""


def look_up(
    session: Session, rules: HouseRules, waiting: Collection[tuple[Delivery, Message]]
) -> Known:
    """Return what has to be known to judge deliveries, of all of them at once."""
    addresses = [(delivery.channel, delivery.address) for delivery, _ in waiting]
    wishes = find_wishes(session, addresses, {message.contact_id for _, message in waiting})
    return Known(wishes, _find_hours(session, rules, waiting))


def _find_hours(
    session: Session, rules: HouseRules, waiting: Collection[tuple[Delivery, Message]]
) -> dict[int | None, QuietHours]:
    messages = [
        message
        for delivery, message in waiting
        if delivery.severity < rules.bypass and not _disturbs_nobody(message)
    ]
    people = {message.contact_id for message in messages}
    known = rules.hours_of(session, people) if people else {}
    found: dict[int | None, QuietHours] = {}
    for message in messages:
        own, zone = known.get(message.contact_id, ("", ""))
        if not own and message.role in CUSTOMERS:
            own = rules.quiet_hours
        addresses = [str(one) for one in message.addresses.values()]
        hours = own and read_quiet_hours(own, possible_zones(zone, message.timezone, addresses))
        if hours:
            found[message.id] = hours
    return found


def judge(
    session: Session,
    rules: HouseRules,
    known: Known,
    delivery: Delivery,
    message: Message,
    now: datetime,
) -> Verdict:
    """Judge one delivery; `known` is what `look_up` has found."""
    outdated = why_outdated(delivery, message, now)
    if outdated:
        return Never(outdated, for_good=True)
    of_it = delivery.channel, delivery.address, message.contact_id
    objection = known.wishes.find_objection(*of_it)
    if objection:
        return Never(objection)
    if delivery.severity >= Severity.LIFE_SAFETY or _disturbs_nobody(message):
        return None
    if message.role in CUSTOMERS:
        lacking = known.wishes.find_missing_consent(rules.consent, *of_it)
        if lacking:
            return Never(lacking)
    quiet = known.hours.get(message.id) if delivery.severity < rules.bypass else None
    until = quiet.until(now) if quiet else None
    if until is not None:
        return Later(until, QUIET, f"quiet hours {quiet}")
    return _judge_limits(session, rules, delivery, message, now)


def _judge_limits(
    session: Session, rules: HouseRules, delivery: Delivery, message: Message, now: datetime
) -> Later | None:
    limits = rules.limits.get(delivery.severity, ())
    is_whole = delivery.deferred == LIMIT or message.key.startswith(DIGEST)
    if not limits or is_whole or not is_limited(message):
        return None
    full = room_at(limits, told_at(session, message, delivery.severity, limits, now), now)
    if full is None:
        return None
    word = Severity(delivery.severity).word
    return Later(full[0], LIMIT, f"no more than {full[1]} of severity {word}: goes with others")


def why_outdated(delivery: Delivery, message: Message, now: datetime) -> str:
    """Return why a message is not worth sending any more, or nothing where it is.

    What could have gone at once is taken at its word; what had to wait may not be true any more.
    """
    if is_moot(message):
        return message.outdated or "the offer was over before it could be made"
    if not delivery.deferred or message.ask is None:
        return ""
    if not message.ask_open:
        return "the question was settled while it waited"
    if message.ask_until is not None and message.ask_until <= now:
        return "the time to answer was over while it waited"
    return ""


def put_off(
    session: Session, delivery: Delivery, message: Message, later: Later, now: datetime
) -> None:
    """Let a delivery wait; its deadline is written once, and stands in the ledger and in the story."""
    if delivery.state == SENDING:
        # It was claimed in a commit whose answer was lost, and never begun.
        delivery.attempts -= 1
        delivery.state = QUEUED
    delivery.claimed_by = ""
    delivery.next_at = later.until
    is_known = (delivery.reason, delivery.deferred_until) == (later.reason, later.until)
    if delivery.deferred != LIMIT:
        # What was to go with others does so, also where the night comes in between.
        delivery.deferred = later.kind
    delivery.deferred_until = later.until
    delivery.reason = later.reason
    delivery.updated_at = now
    session.add(delivery)
    if is_known:
        return
    at = later.until.astimezone(local_zone(message.timezone))
    summary = (
        f"{delivery.channel} to {message.name} ({message.role}) waits until {at:%Y-%m-%d %H:%M}"
    )
    add_timeline(
        session,
        now,
        "message.deferred",
        f"{summary} {at.tzname()}: {later.reason}",
        case_id=message.case_id,
        detail={
            "message": message.id,
            "channel": delivery.channel,
            "to": message.name,
            "until": later.until.isoformat(),
            "why": later.kind,
        },
    )


def _disturbs_nobody(message: Message) -> bool:
    """Return whether it is for a machine, or answers somebody's own message."""
    return not message.contact_id or message.key.startswith(ANSWER)
