"""What is too much for somebody goes in one message at the end of its window; nothing is lost."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlmodel import select

from notify.delivery import take_receipt
from notify.following import end_silences
from notify.limits import room_at
from notify.message import Ask, Message, Patience, outdate_messages, raise_urgency
from notify.permission import HouseRules
from notify.segments import MAX_SEGMENTS, measure
from notify.templating import Templates
from prevenant.domain import Severity
from prevenant.errors import Throttled
from prevenant.limits import Limit, parse_limits
from prevenant.store import Store
from prevenant.tables import CaseEvent
from tests.moved_clock import MovedClock
from tests.notify.people import VISIT, Ledger, confirms


@pytest.fixture
def busy(store: Store, clock: MovedClock) -> Ledger:
    """Return a ledger that gives everybody two messages an hour that are major, and three a day."""
    return Ledger(store, clock, HouseRules(limits=parse_limits("major 2/1h 3/1d")))


def test_what_is_too_much_is_gathered_at_the_end_of_the_window(busy: Ledger) -> None:
    busy.say()
    busy.work()
    busy.clock.advance(minutes=10)
    for _ in range(4):
        busy.say()
    assert busy.work() == 1
    waiting = [one for one in busy.deliveries() if one.state == "queued"]
    assert len(waiting) == 3
    assert {one.next_at for one in waiting} == {busy.clock.now() + timedelta(minutes=50)}
    assert "no more than 2 in 1h of severity major" in waiting[0].reason
    assert busy.pass_time(minutes=49) == 0
    assert busy.pass_time(minutes=1) == 1
    with busy.store.read() as session:
        digest = session.exec(select(Message).where(Message.template == "digest")).one()
    text = str(digest.texts["sms"])
    assert text.splitlines() == [
        "3 messages from Prevenant:",
        "- said 3",
        "- said 4",
        "- said 5",
    ]
    parts = [one for one in busy.deliveries() if one.digest_id == digest.id]
    assert [one.state for one in parts] == ["sent"] * 3
    assert len(busy.story("message.gathered")) == 3


def test_what_becomes_of_the_digest_becomes_of_each(busy: Ledger) -> None:
    for case in (1, 2, 3, 4):
        busy.say(case=case)
    busy.work()
    busy.pass_time(hours=1)
    digest = busy.deliveries()[-1]
    with busy.store.write() as session:
        assert take_receipt(session, digest.key, "SM1", "delivered", busy.clock.now())
    with busy.store.read() as session:
        heard = [one.case_id for one in session.exec(select(CaseEvent))]
    assert heard == [3, 4]
    assert [busy.message(number).state for number in (3, 4)] == ["delivered"] * 2


def test_a_digest_that_fails_sends_each_by_its_next_channel(busy: Ledger) -> None:
    for _ in range(4):
        busy.say(turns=[["sms"], ["email"]])
    busy.work()
    busy.pass_time(hours=1)
    digest = next(
        one for one in busy.deliveries() if busy.message(one.message_id).template == "digest"
    )
    with busy.store.write() as session:
        provider_id = digest.provider_id or ""
        take_receipt(session, digest.key, provider_id, "undelivered", busy.clock.now(), "away")
    assert [one.channel for one in busy.deliveries()][-2:] == ["email"] * 2
    # By e-mail they are as many as before, and go together once more.
    assert busy.work() == 0
    busy.pass_time(days=1)
    assert busy.sent[-1][2] == "email"
    assert len([one for one in busy.sent if one[2] == "email"]) == 1


def test_one_that_waits_alone_goes_as_it_is(busy: Ledger) -> None:
    for _ in range(3):
        busy.say()
    busy.work()
    assert busy.pass_time(hours=1) == 1
    assert busy.keys() == ["m1", "m2", "m3"]


def test_what_does_not_fit_is_counted_and_named(busy: Ledger) -> None:
    for case in range(150):
        busy.say(case=case)
    busy.work()
    busy.pass_time(hours=1)
    with busy.store.read() as session:
        digest = session.exec(select(Message).where(Message.template == "digest")).one()
    text = str(digest.texts["sms"])
    said = sum(line.startswith("- ") for line in text.splitlines())
    assert text.startswith("148 messages")
    assert f"And {148 - said} more (cases {said + 2}, {said + 3}," in text
    assert len(text) < 1_600
    assert [one.state for one in busy.deliveries()].count("sent") == 151


@pytest.mark.parametrize("severity", [Severity.CRITICAL, Severity.LIFE_SAFETY])
def test_what_has_no_limit_goes_at_once(busy: Ledger, severity: Severity) -> None:
    for _ in range(20):
        busy.say(severity=severity)
    assert busy.work() == 20


def test_questions_and_answers_have_no_limit(busy: Ledger) -> None:
    for number in range(10):
        busy.say(ask=Ask("acknowledge"))
        busy.say(key=f"answer:{number}", case=None)
    assert busy.work() == 20
    assert busy.say()
    assert busy.work() == 1


def test_each_contact_has_the_own_limit(busy: Ledger) -> None:
    for contact in ("ada", "bob"):
        for _ in range(3):
            busy.say(contact)
    assert busy.work() == 4


def test_a_message_on_two_channels_counts_once(busy: Ledger) -> None:
    busy.say(turns=[["sms", "email"]])
    busy.say(turns=[["sms", "email"]])
    assert busy.work() == 4


def test_the_day_is_full_though_the_hour_is_not(busy: Ledger) -> None:
    began = busy.clock.now()
    for _ in range(4):
        busy.say()
        busy.work()
        busy.clock.advance(hours=2)
    assert len(busy.sent) == 3
    assert busy.deliveries()[-1].next_at == began + timedelta(days=1)


def test_a_window_begins_with_the_oldest_that_counts(clock: MovedClock) -> None:
    hour = Limit(2, timedelta(hours=1))
    ago = [clock.now() - timedelta(minutes=minutes) for minutes in (70, 50, 20)]
    assert room_at([hour], ago, clock.now()) == (clock.now() + timedelta(minutes=10), hour)
    assert room_at([hour], ago[:2], clock.now()) is None
    assert room_at([], ago, clock.now()) is None


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("urgent 3/1d", "'urgent' is no severity"),
        ("life_safety 3/1d", "life_safety has no limit"),
        ("info", "is no list of limits"),
        ("info 3/1d, info 4/1d", "stands twice"),
        ("info 0/1d", "'0/1d' is no limit"),
        ("info 3/soon", "is no length of time"),
        ("info 3/8d", "a limit is for 1s to 7d"),
    ],
)
def test_what_is_no_limit_says_what_to_write(text: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        parse_limits(text)


def test_what_is_acted_on_is_never_gathered(busy: Ledger) -> None:
    for _ in range(3):
        busy.say()
        busy.say(role="technician")
    assert busy.work() == 2 + 3
    for _ in range(3):
        busy.say(template="visit_moved", turns=[["email"]], **VISIT)
    assert busy.work() == 3


def test_life_safety_is_not_gathered_though_it_has_waited_for_a_limit(busy: Ledger) -> None:
    for _ in range(4):
        busy.say()
    busy.work()
    with busy.store.write() as session:
        raise_urgency(session, 17, Severity.LIFE_SAFETY)
    assert busy.work() == 2
    assert busy.keys() == ["m1", "m2", "m3", "m4"]


def test_the_next_channel_of_each_is_tried_where_no_receipt_for_the_digest_comes(
    busy: Ledger,
) -> None:
    for _ in range(4):
        busy.say(turns=[["sms"], ["email"]], patience=Patience(300.0))
    busy.work()
    busy.pass_time(hours=1)
    busy.clock.advance(minutes=6)
    with busy.store.write() as session:
        end_silences(session, confirms, busy.clock.now())
    assert [one.channel for one in busy.deliveries()].count("email") == 4


def test_each_line_is_whole_and_what_does_not_fit_is_counted_in_any_alphabet(busy: Ledger) -> None:
    busy.say()
    busy.say()
    for _ in range(5):
        busy.say(what="à l'évêché, " * 20 + "répondez 1")
    busy.work()
    busy.pass_time(hours=1)
    with busy.store.read() as session:
        digest = session.exec(select(Message).where(Message.template == "digest")).one()
    text = str(digest.texts["sms"])
    assert measure(text).segments <= MAX_SEGMENTS
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    assert all(line.endswith("répondez 1") for line in lines)
    assert f"And {5 - len(lines)} more" in text


def test_by_whatsapp_a_digest_is_no_longer_than_twilio_takes(busy: Ledger) -> None:
    for _ in range(30):
        busy.say(turns=[["whatsapp"]], what="long words " * 20)
    busy.work()
    busy.pass_time(hours=1)
    with busy.store.read() as session:
        digest = session.exec(select(Message).where(Message.template == "digest")).one()
    assert len(str(digest.texts["whatsapp"])) <= 1_600
    assert "more" in str(digest.texts["whatsapp"])


def test_words_of_a_book_that_cannot_be_worded_hold_nothing_up(busy: Ledger) -> None:
    own = Templates({"digest": {"en": {"sms": "{{ nobody.knows }}"}}})
    busy.rules = replace(busy.rules, templates=own)
    for _ in range(4):
        busy.say()
    busy.work()
    assert busy.pass_time(hours=1) == 1


def test_words_of_a_book_know_whom_they_are_for(busy: Ledger) -> None:
    own = Templates({"digest": {"en": {"sms": "{{ contact.first_name }}: {{ digest.count }}"}}})
    busy.rules = replace(busy.rules, templates=own)
    for _ in range(4):
        busy.say()
    busy.work()
    busy.pass_time(hours=1)
    with busy.store.read() as session:
        digest = session.exec(select(Message).where(Message.template == "digest")).one()
    assert digest.texts["sms"] == "Ada: 2"


def put_off_digest(busy: Ledger, cases: Sequence[int]) -> None:
    """Gather what two cases and more have to say, while the provider takes nothing for an hour."""
    for case in (1, 2, *cases):
        busy.say(case=case, turns=[["sms"], ["email"]])
    busy.work()
    busy.clock.advance(hours=1)
    busy.fail_with = Throttled("the provider is away", "", 3_600.0)
    busy.work()
    busy.fail_with = None


def test_a_digest_that_waits_says_nothing_that_is_not_true_any_more(busy: Ledger) -> None:
    put_off_digest(busy, [17, 18, 19])
    with busy.store.write() as session:
        outdate_messages(session, 18, busy.clock.now(), "the case was closed while it waited")
    assert busy.pass_time(hours=1) == 1
    with busy.store.read() as session:
        (said,) = [
            str(one.texts["sms"])
            for one in session.exec(select(Message).where(Message.template == "digest"))
            if one.key == busy.keys()[-1]
        ]
    assert said.splitlines() == ["2 messages from Prevenant:", "- said 3", "- said 5"]
    assert [busy.message(number).state for number in (3, 4, 5)] == ["sent", "suppressed", "sent"]


def test_a_digest_of_what_is_all_over_is_not_sent(busy: Ledger) -> None:
    put_off_digest(busy, [17, 17])
    with busy.store.write() as session:
        outdate_messages(session, 17, busy.clock.now(), "the case was closed while it waited")
    assert busy.pass_time(hours=1) == 0
    assert [busy.message(number).state for number in (3, 4)] == ["suppressed"] * 2
    assert busy.pass_time(days=1) == 0
    assert {one.channel for one in busy.deliveries()} == {"sms"}
