"""What may not go yet waits in the ledger for its time, and is not sent where it is not true any more."""

from datetime import UTC, datetime, timedelta

import pytest

from notify.message import (
    Ask,
    Errand,
    Message,
    close_asks,
    outdate_messages,
    queue_errand,
    raise_urgency,
)
from notify.permission import HouseRules
from prevenant.domain import Severity
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.notify.people import VISIT, Ledger

SEVEN = datetime(2026, 5, 5, 5, 0, tzinfo=UTC)
"""7 o'clock in Paris."""


@pytest.fixture
def night(store: Store) -> Ledger:
    """Return a ledger at 22:30 in Paris, where Ada wants to be left alone from 22 to 7."""
    ledger = Ledger(store, MovedClock(datetime(2026, 5, 4, 20, 30, tzinfo=UTC)))
    ledger.hours["ada"] = ("22:00-07:00", "Europe/Paris")
    return ledger


def test_it_waits_until_the_quiet_hours_are_over_and_says_so(night: Ledger) -> None:
    night.say()
    assert night.work() == 0
    (waiting,) = night.deliveries()
    assert (waiting.state, waiting.next_at) == ("queued", SEVEN)
    assert waiting.reason == "quiet hours 22:00-07:00 (Europe/Paris)"
    assert waiting.attempts == 0
    (told,) = night.story("message.deferred")
    assert told.startswith("sms to Ada (customer) waits until 2026-05-05 05:00 UTC: quiet hours")
    assert night.pass_time(hours=8, minutes=29) == 0
    assert night.pass_time(minutes=1) == 1
    assert [one.state for one in night.deliveries()] == ["sent"]


def test_others_are_told_and_so_is_whoever_wants_no_quiet(night: Ledger) -> None:
    night.say("bob")
    night.say()
    assert night.work() == 1


@pytest.mark.parametrize(
    ("severity", "goes"),
    [
        (Severity.INFO, False),
        (Severity.MAJOR, False),
        (Severity.CRITICAL, True),
        (Severity.LIFE_SAFETY, True),
    ],
)
def test_what_is_urgent_goes_at_once(night: Ledger, severity: Severity, *, goes: bool) -> None:
    night.say(severity=severity)
    assert night.work() == goes


def test_the_operator_says_what_is_urgent(store: Store) -> None:
    rules = HouseRules(quiet_hours="22:00-07:00", bypass=Severity.LIFE_SAFETY)
    ledger = Ledger(store, MovedClock(datetime(2026, 5, 4, 23, 30, tzinfo=UTC)), rules)
    ledger.say("ada", Severity.CRITICAL)
    ledger.say("ada", Severity.LIFE_SAFETY)
    ledger.say("guard", Severity.MAJOR, role="guard")
    assert ledger.work() == 2
    assert sorted(ledger.keys()) == ["m2", "m3"]


def test_the_deadline_stays_where_it_is_through_a_restart(night: Ledger) -> None:
    night.say()
    night.work()
    for _ in range(5):
        night.pass_time(hours=1)
        again = Ledger(night.store, night.clock)
        again.hours = night.hours
        assert again.work() == 0
        assert night.deliveries()[0].next_at == SEVEN
    assert len(night.story("message.deferred")) == 1


def test_what_becomes_urgent_while_it_waits_goes_then(night: Ledger) -> None:
    night.say()
    night.work()
    with night.store.write() as session:
        raise_urgency(session, 17, Severity.CRITICAL)
    assert night.work() == 1


def test_what_becomes_a_little_worse_keeps_its_deadline(night: Ledger) -> None:
    night.say(severity=Severity.INFO)
    night.work()
    with night.store.write() as session:
        raise_urgency(session, 17, Severity.MAJOR)
    assert night.work() == 0
    assert night.deliveries()[0].next_at == SEVEN
    assert len(night.story("message.deferred")) == 1


def test_what_is_not_true_any_more_is_not_sent_by_any_channel(night: Ledger) -> None:
    number = night.say(turns=[["sms"], ["email"]])
    night.work()
    night.clock.advance(hours=1)
    with night.store.write() as session:
        outdate_messages(session, 17, night.clock.now(), "the case was closed while it waited")
    assert night.pass_time(hours=8) == 0
    (kept_back,) = night.deliveries()
    assert (kept_back.state, kept_back.reason) == (
        "suppressed",
        "the case was closed while it waited",
    )
    assert night.message(number).state == "suppressed"
    assert "closed while it waited" in night.story("message.suppressed")[0]


def test_machines_and_technicians_are_told_though_the_case_is_closed(night: Ledger) -> None:
    night.say(role="technician")
    with night.store.write() as session:
        errand = Errand("errand", "webhook", "https://hook.example", "{}", "hook", 3, 17)
        queue_errand(session, errand, night.clock.now())
    night.work()
    night.clock.advance(hours=1)
    with night.store.write() as session:
        outdate_messages(session, 17, night.clock.now(), "the case was closed while it waited")
    assert [night.message(number).outdated for number in (1, 2)] == ["", ""]


def test_a_visit_is_taken_out_of_the_calendar_though_the_case_is_closed(night: Ledger) -> None:
    called_off = night.say(template="visit_cancelled", turns=[["email"]], **VISIT)
    moved = night.say(template="visit_moved", turns=[["email"]], **VISIT)
    night.work()
    night.clock.advance(hours=1)
    with night.store.write() as session:
        outdate_messages(session, 17, night.clock.now(), "the case was closed while it waited")
    assert night.message(called_off).outdated == ""
    assert night.message(moved).outdated != ""


def test_what_tells_of_the_end_stays_true(night: Ledger) -> None:
    night.say()
    with night.store.write() as session:
        outdate_messages(session, 17, night.clock.now(), "closed")
    night.work()
    assert night.pass_time(hours=9) == 1


def test_a_question_that_was_settled_is_not_asked(night: Ledger) -> None:
    night.say(ask=Ask("acknowledge"))
    night.say(ask=Ask("confirm", night.clock.now() + timedelta(hours=2)))
    night.say(ask=Ask("confirm", night.clock.now() + timedelta(hours=20)))
    night.work()
    with night.store.write() as session:
        close_asks(session, 17, ["acknowledge"])
    assert night.pass_time(hours=9) == 1
    assert night.keys() == ["m3"]
    assert [one.reason for one in night.deliveries()] == [
        "the question was settled while it waited",
        "the time to answer was over while it waited",
        "",
    ]


def test_an_answer_to_somebodys_own_message_waits_for_nothing(night: Ledger) -> None:
    night.say(key="answer:SM1", case=None)
    assert night.work() == 1


def test_an_unknown_zone_is_quiet_where_it_may_be_night(night: Ledger) -> None:
    night.hours["ada"] = ("22:00-07:00", "UTC")
    night.say(zone="Asia/Tokyo")
    assert night.work() == 0
    (waiting,) = night.deliveries()
    assert waiting.next_at == datetime(2026, 5, 4, 22, 0, tzinfo=UTC)
    with night.store.read() as session:
        assert session.get_one(Message, 1).timezone == "Asia/Tokyo"
