"""Promise P5: nothing without consent, nothing after STOP, nothing in quiet hours that is not urgent.

Histories are generated: people in many zones, around the days on which their clocks change, who want
quiet, say STOP and START and change their minds, while they are to be told things. What is handed over is
judged by the words of the promise alone; life-safety goes at once; a deadline, once told, never moves.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from sqlmodel import Session

from notify.consent import read_required, record_start, record_stop
from notify.message import SUPPRESSED, Delivery
from notify.permission import HouseRules
from prevenant.consent import GRANTED, WITHDRAWN, Consent, record_consent
from prevenant.domain import Severity
from prevenant.limits import parse_limits
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.notify.people import Ledger

CHANNELS = ("sms", "email")
PEOPLE = ("ada", "bob", "cleo")
ZONES = (
    "Europe/Paris",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "Africa/Casablanca",
    "Pacific/Apia",
    "Asia/Kathmandu",
)
CHANGES = (
    datetime(2026, 3, 8, 6, tzinfo=UTC),
    datetime(2026, 3, 28, 20, tzinfo=UTC),
    datetime(2026, 4, 4, 12, tzinfo=UTC),
    datetime(2026, 10, 3, 12, tzinfo=UTC),
    datetime(2026, 10, 24, 20, tzinfo=UTC),
    datetime(2026, 11, 1, 4, tzinfo=UTC),
    datetime(2026, 6, 15, 9, tzinfo=UTC),
)
"""Shortly before clocks change, and a day on which none does."""
NIGHTS = (("22:00", "07:00"), ("21:30", "02:30"), ("12:00", "14:00"), ("00:00", "23:30"))

_people = st.sampled_from(PEOPLE)
_steps = st.one_of(
    st.tuples(st.just("say"), _people, st.sampled_from(list(Severity)), st.booleans()),
    st.tuples(st.just("stop"), _people, st.sampled_from(CHANNELS)),
    st.tuples(st.just("start"), _people, st.sampled_from(CHANNELS)),
    st.tuples(st.just("withdraw"), _people, st.sampled_from([*CHANNELS, "any"])),
    st.tuples(st.just("grant"), _people, st.sampled_from([*CHANNELS, "any"])),
    st.tuples(st.just("wait"), st.integers(1, 900)),
    st.tuples(st.just("wait"), st.integers(1, 45)),
    st.tuples(st.just("restart")),
)
_hours = st.tuples(st.sampled_from(NIGHTS), st.sampled_from(ZONES))


@dataclass
class World:
    """What the test itself knows of people, to judge by."""

    hours: dict[str, tuple[tuple[str, str], str]]
    stopped: set[tuple[str, str]] = field(default_factory=set)
    words: dict[tuple[str, str], str] = field(default_factory=dict)
    """The newest word by contact and channel."""
    bypass: int = Severity.CRITICAL
    required: frozenset[str] = frozenset()

    def is_quiet(self, contact: str, at: datetime) -> bool:
        """Return whether the clock on the contact's wall shows quiet hours."""
        (start, end), zone = self.hours[contact]
        shown = at.astimezone(ZoneInfo(zone)).time()
        begin, over = time.fromisoformat(start), time.fromisoformat(end)
        return begin <= shown < over if begin < over else shown >= begin or shown < over

    def objects(self, contact: str, channel: str, severity: int) -> bool:
        """Return whether nothing may go to a contact by a channel."""
        word = self.words.get((contact, channel))
        unasked = channel in self.required and word != GRANTED
        return (
            (contact, channel) in self.stopped
            or word == WITHDRAWN
            or (unasked and severity < Severity.LIFE_SAFETY)
        )


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    began=st.sampled_from(CHANGES),
    hours=st.lists(_hours, min_size=len(PEOPLE), max_size=len(PEOPLE)),
    bypass=st.sampled_from([Severity.MAJOR, Severity.CRITICAL, Severity.LIFE_SAFETY]),
    required=st.sampled_from(["", "email", "sms:FR, email"]),
    limits=st.sampled_from(["", "info 1/2h, minor 2/1h, major 2/30m 3/6h"]),
    steps=st.lists(_steps, min_size=3, max_size=14),
)
def test_the_promise_is_kept(
    sqlite_url: str,
    began: datetime,
    hours: list[tuple[tuple[str, str], str]],
    bypass: Severity,
    required: str,
    limits: str,
    steps: list[tuple[object, ...]],
) -> None:
    world = World(
        dict(zip(PEOPLE, hours, strict=True)),
        bypass=bypass,
        required=frozenset(read_required(required)),
    )
    store = Store(sqlite_url, is_durable=False)
    try:
        empty(store)
        rules = HouseRules(
            bypass=bypass, consent=read_required(required), limits=parse_limits(limits)
        )
        play(Ledger(store, MovedClock(began), rules), world, steps)
    finally:
        store.close()


def empty(store: Store) -> None:
    """Forget the history before."""
    with store.write() as session:
        for table in ("delivery", "message", "opt_out", "consent", "case_event", "timeline"):
            session.connection().exec_driver_sql(f"DELETE FROM {table}")


def play(ledger: Ledger, world: World, steps: list[tuple[object, ...]]) -> None:
    """Let a history happen, and judge everything that is handed over."""
    for contact, ((start, end), zone) in world.hours.items():
        ledger.hours[contact] = (f"{start}-{end}", zone)
    for step in steps:
        note(f"{ledger.clock.now()} {step}")
        match step:
            case ("say", str() as contact, Severity() as severity, bool() as is_both):
                turns = [["sms", "email"]] if is_both else [["sms"], ["email"]]
                number = ledger.say(contact, severity, turns)
                work(ledger, world)
                if severity == Severity.LIFE_SAFETY:
                    expect_told_at_once(ledger, world, contact, number)
            case ("wait", int() as minutes):
                pass_time(ledger, world, minutes)
            case ("restart",):
                again = Ledger(ledger.store, ledger.clock, ledger.rules)
                again.hours, again.sent, again._count = ledger.hours, ledger.sent, ledger._count
                ledger = again
                work(ledger, world)
            case (str() as word, str() as contact, str() as channel):
                with ledger.store.write() as session:
                    say_word(session, ledger, world, (word, contact, channel))
                ledger.clock.advance(seconds=1)
    pass_time(ledger, world, 14 * 24 * 60)
    # Nothing is lost: everything was handed over, or stands there with the reason why it was not.
    for one in ledger.deliveries():
        assert one.state in {"sent", SUPPRESSED}, one
        assert one.state == "sent" or one.reason


def pass_time(ledger: Ledger, world: World, minutes: int) -> None:
    """Let time pass: the outbox looks up at every deadline, and shortly before it."""
    until = ledger.clock.now() + timedelta(minutes=minutes)
    while True:
        now = ledger.clock.now()
        due = [one.next_at for one in ledger.deliveries() if waits(one, now) and one.next_at]
        next_at = min(due, default=until)
        if next_at >= until:
            break
        early = (next_at - now).total_seconds() * 0.99
        for seconds in (early, (next_at - now).total_seconds() - early):
            ledger.clock.advance(seconds=seconds)
            work(ledger, world)
    ledger.clock.advance(seconds=(until - ledger.clock.now()).total_seconds())
    work(ledger, world)


def say_word(session: Session, ledger: Ledger, world: World, said: tuple[str, str, str]) -> None:
    """Let a person say something about being told."""
    word, contact, channel = said
    number = next(
        (
            one.address
            for one in ledger.deliveries()
            if one.channel == channel and ledger.message(one.message_id).contact_id == contact
        ),
        None,
    )
    now = ledger.clock.now()
    if word in {"withdraw", "grant"}:
        state = WITHDRAWN if word == "withdraw" else GRANTED
        record_consent(session, Consent(contact_id=contact, channel=channel, state=state, at=now))
        for one in CHANNELS if channel == "any" else (channel,):
            world.words[contact, one] = state
    elif number is not None and word == "stop":
        record_stop(session, channel, number, "STOP", now)
        world.stopped.add((contact, channel))
    elif number is not None:
        record_start(session, channel, number)
        world.stopped.discard((contact, channel))


def work(ledger: Ledger, world: World) -> None:
    """Hand over what may go; judge each hand-over, and every deadline that was told before."""
    now = ledger.clock.now()
    before = {one.id: one for one in ledger.deliveries() if waits(one, now)}
    done = len(ledger.sent)
    ledger.work()
    after = {one.id: one for one in ledger.deliveries()}
    for at, contact, channel, key in ledger.sent[done:]:
        delivery = ledger.delivery(key, channel)
        assert not world.objects(contact, channel, delivery.severity), (contact, channel, key)
        if delivery.severity < world.bypass:
            assert not world.is_quiet(contact, at), (at, contact, key)
    for number, one in before.items():
        assert after[number].next_at == one.next_at, "a deadline has moved"
        assert after[number].state == one.state


def waits(delivery: Delivery, now: datetime) -> bool:
    """Return whether a delivery has a deadline that is still to come."""
    return delivery.state == "queued" and delivery.next_at is not None and delivery.next_at > now


def expect_told_at_once(ledger: Ledger, world: World, contact: str, number: int) -> None:
    """Expect that life-safety has gone by every channel by which it may, the moment it was said."""
    key, turns = ledger.message(number).key, ledger.message(number).turns
    told = {channel for at, _, channel, one in ledger.sent if one == key}
    may = {one for one in CHANNELS if not world.objects(contact, one, Severity.LIFE_SAFETY)}
    assert bool(told) is bool(may)
    if len(turns) == 1:
        assert told == may
    assert all(at == ledger.clock.now() for at, _, _, one in ledger.sent if one == key)
