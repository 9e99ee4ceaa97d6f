"""No receipt or no reply in time: the next channel is tried, and at the end the case hears why."""

from collections.abc import Sequence

import pytest
from sqlmodel import col, select

from notify.delivery import take_receipt
from notify.following import end_silences
from notify.message import OVER, Ask, Delivery, Patience, close_asks
from notify.replies import Inbound, receive
from prevenant.store import Store
from prevenant.tables import CaseEvent
from tests.moved_clock import MovedClock
from tests.notify.people import TEMPLATES, Ledger, confirms

TURNS = [["sms"], ["voice"], ["email"]]
FIVE, HALF_AN_HOUR = Patience(300.0), Patience(300.0, 1_800.0)


class Watched(Ledger):
    """A ledger whose silences end."""

    def wait(self, **span: float) -> None:
        """Let time pass, and do what becomes due."""
        self.clock.advance(**span)
        with self.store.write() as session:
            end_silences(session, confirms, self.clock.now())
        self.work()

    def receipt(self, key: str, state: str = "delivered", provider_id: str = "") -> None:
        """Let a receipt come."""
        why = "away" if state in OVER else ""
        with self.store.write() as session:
            take_receipt(session, key, provider_id or f"SM{key}", state, self.clock.now(), why)

    def reply(self, text: str = "1") -> None:
        """Let Ada answer by SMS."""
        number = self.deliveries()[0].address
        with self.store.write() as session:
            inbound = Inbound(f"in-{self.clock.now()}", "sms", number, text)
            receive(session, TEMPLATES, inbound, self.clock.now())

    def states(self) -> list[tuple[str, str, str]]:
        """Return each delivery's channel, state and reason."""
        return [(one.channel, one.state, one.reason) for one in self.deliveries()]

    def heard(self) -> Sequence[tuple[str, str]]:
        """Return what the case has heard of messages, and why."""
        query = select(CaseEvent).where(col(CaseEvent.kind).startswith("message."))
        with self.store.read() as session:
            return [(one.kind, one.data["reason"]) for one in session.exec(query)]


@pytest.fixture
def one(store: Store, clock: MovedClock) -> Watched:
    """Return a ledger."""
    return Watched(store, clock)


def test_no_receipt_leads_to_the_next_channel_and_at_last_to_the_case(one: Watched) -> None:
    number = one.say(turns=TURNS[:2], patience=FIVE)
    one.work()
    one.wait(minutes=4, seconds=59)
    assert one.states() == [("sms", "sent", "")]
    one.wait(seconds=1)
    assert one.states() == [("sms", "sent", "no receipt within 5m"), ("voice", "sent", "")]
    assert one.heard() == []
    one.wait(minutes=5)
    assert one.heard() == [("message.failed", "no receipt within 5m")]
    # Nobody says that it did not arrive: it is not known.
    assert one.message(number).state == "sent"
    assert one.story("message.silent") == [
        "sms to Ada (customer): no receipt within 5m; the next channel is tried",
        "voice to Ada (customer): no receipt within 5m; no channel is left",
    ]


def test_a_receipt_in_time_ends_the_wait(one: Watched) -> None:
    one.say(turns=TURNS, patience=FIVE)
    one.work()
    one.receipt("m1-sms")
    one.wait(hours=1)
    assert one.states() == [("sms", "delivered", "")]
    assert one.heard() == [("message.delivered", "")]


def test_a_late_receipt_calls_off_what_was_not_sent_yet(one: Watched) -> None:
    one.say(turns=TURNS, patience=FIVE)
    one.work()
    one.clock.advance(minutes=5)
    with one.store.write() as session:
        end_silences(session, confirms, one.clock.now())
    one.receipt("m1-sms")
    one.work()
    assert one.states() == [
        ("sms", "delivered", ""),
        ("voice", "suppressed", "reached by sms after all"),
    ]
    assert one.heard() == [("message.delivered", "")]


def test_a_receipt_that_comes_after_all_was_tried_is_told_as_well(one: Watched) -> None:
    number = one.say(turns=TURNS[:2], patience=FIVE)
    one.work()
    one.wait(minutes=5)
    one.wait(minutes=5)
    one.receipt("m1-sms")
    assert [kind for kind, _ in one.heard()] == ["message.failed", "message.delivered"]
    assert one.message(number).state == "delivered"
    one.wait(hours=1)
    assert len(one.sent) == 2


def test_a_failure_goes_on_at_once_and_the_next_has_its_own_time(one: Watched) -> None:
    one.say(turns=TURNS[:2], patience=FIVE)
    one.work()
    one.clock.advance(minutes=4)
    one.receipt("m1-sms", "undelivered")
    one.work()
    assert one.states() == [("sms", "undelivered", "away"), ("voice", "sent", "")]
    one.wait(minutes=4)
    assert one.heard() == []
    one.wait(minutes=1)
    assert one.heard() == [("message.failed", "no receipt within 5m")]


def test_what_never_confirms_counts_as_received(one: Watched) -> None:
    one.say(turns=[["email"], ["sms"]], patience=FIVE)
    one.work()
    one.wait(hours=1)
    assert one.states() == [("email", "sent", "")]


def test_no_reply_leads_on_though_it_was_received(one: Watched) -> None:
    number = one.say(turns=TURNS[:2], ask=Ask("acknowledge"), patience=HALF_AN_HOUR)
    one.work()
    one.receipt("m1-sms")
    one.wait(minutes=29)
    assert len(one.sent) == 1
    one.wait(minutes=1)
    assert one.sent[-1][2] == "voice"
    one.receipt("m1-voice", "undelivered")
    assert one.heard() == [("message.delivered", ""), ("message.failed", "away")]
    assert one.message(number).state == "delivered"


def test_a_reply_is_better_than_a_receipt(one: Watched) -> None:
    one.say(turns=TURNS, ask=Ask("acknowledge"), patience=HALF_AN_HOUR)
    one.work()
    one.clock.advance(minutes=2)
    one.reply()
    one.wait(hours=2)
    assert one.states() == [("sms", "sent", "")]


def test_a_question_that_is_settled_is_asked_by_no_other_channel(one: Watched) -> None:
    one.say(turns=TURNS, ask=Ask("acknowledge"), patience=HALF_AN_HOUR)
    one.work()
    with one.store.write() as session:
        close_asks(session, 17, ["acknowledge"])
    one.wait(hours=2)
    assert len(one.sent) == 1


def test_receipts_twice_and_out_of_order_change_nothing(one: Watched) -> None:
    one.say(turns=TURNS, patience=FIVE)
    one.work()
    for state in ("delivered", "sent", "delivered", "undelivered", "failed"):
        one.receipt("m1-sms", state)
    assert one.states() == [("sms", "delivered", "")]
    assert one.heard() == [("message.delivered", "")]
    one.receipt("m1-sms", "read")
    one.receipt("m1-sms", "delivered")
    assert one.states() == [("sms", "read", "")]


def test_that_an_attempt_before_has_failed_means_nothing(one: Watched) -> None:
    one.say(turns=TURNS, patience=FIVE)
    one.work()
    one.receipt("m1-sms", "undelivered", provider_id="SManother")
    assert one.states() == [("sms", "sent", "")]


def test_a_failure_counts_where_the_provider_named_no_attempt_as_it_took_it(one: Watched) -> None:
    one.say(turns=TURNS, patience=FIVE)
    one.work()
    with one.store.write() as session:
        delivery = session.exec(select(Delivery)).one()
        delivery.provider_id = delivery.key
        session.add(delivery)
    one.receipt("m1-sms", "undelivered", provider_id="G9")
    assert one.states()[0] == ("sms", "undelivered", "away")
    assert one.states()[1][:2] == ("voice", "queued")


def test_quiet_hours_are_not_part_of_the_wait(one: Watched) -> None:
    one.hours["ada"] = ("09:00-17:00", "Europe/Paris")
    one.say(turns=TURNS, patience=FIVE)
    one.work()
    one.wait(hours=6)
    assert one.states()[0][:2] == ("sms", "queued")
    one.wait(hours=1)
    one.wait(minutes=4)
    assert one.states() == [("sms", "sent", "")]
    one.wait(minutes=1)
    assert one.states()[1] == ("voice", "sent", "")


def test_a_question_that_was_settled_is_asked_by_no_further_channel(
    store: Store, clock: MovedClock
) -> None:
    one = Watched(store, clock)
    one.say(turns=TURNS, ask=Ask("acknowledge"))
    one.work()
    with store.write() as session:
        close_asks(session, 17, ["acknowledge"])
    one.receipt("m1-sms", "undelivered")
    one.work()
    assert [delivery.channel for delivery in one.deliveries()] == ["sms"]
    with store.read() as session:
        assert session.exec(select(CaseEvent)).all() == []


def test_what_a_case_said_as_its_last_word_still_reaches_its_people(
    store: Store, clock: MovedClock
) -> None:
    one = Watched(store, clock)
    one.say(turns=TURNS, ask=Ask("acknowledge"), patience=FIVE)
    one.work()
    with store.write() as session:
        close_asks(session, 17, ["acknowledge"], settled=False)
    one.receipt("m1-sms", "undelivered")
    one.work()
    assert [delivery.channel for delivery in one.deliveries()] == ["sms", "voice"]
    one.wait(minutes=6)
    assert [delivery.channel for delivery in one.deliveries()] == ["sms", "voice", "email"]
