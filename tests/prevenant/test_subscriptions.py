"""What outside programs are told: everything once and in order, signed, and kept while they are away."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import func, select

from notify.hook import AHEAD, Hook, forget_given, queue_test, sign
from notify.in_turn import is_stuck
from notify.message import HOOK, Delivery, Message
from notify.outbox import OF_SUBSCRIBERS, Outbox
from notify.outside import Outside, is_outside, parse_networks
from notify.subscription import ENABLED, PAUSED, Subscription, begin, make_tag
from prevenant.access.roles import Actor, Grant, Role
from prevenant.api import hook_feed
from prevenant.api.hook_events import render
from prevenant.api.hook_feed import HookFeed
from prevenant.api.live_topics import STORY, TOPICS, tell
from prevenant.api.story import main_zone
from prevenant.api.subscribing import Change, alter, drop, rotate
from prevenant.api.subscriptions import resend_lost
from prevenant.clock import SystemClock
from prevenant.errors import ConfigurationError
from prevenant.settings import Settings
from prevenant.store import Store
from prevenant.tables import Alarm, TimelineEntry, add_timeline
from tests.moved_clock import MovedClock
from tests.servers import wait_until
from tests.subscriber import Endpoint, endpoint

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HERE = "127.0.0.0/8"
SETTINGS = Settings(webhook_networks=HERE)
CAMILLE = Actor("Camille", (Grant(Role.ADMINISTRATOR),))


@dataclass
class Rig:
    """A store, who follows its story, who calls, and an endpoint that is told."""

    store: Store
    clock: MovedClock
    endpoint: Endpoint
    feed: HookFeed
    outbox: Outbox

    def subscribe(self, **values: Any) -> int:
        """Subscribe the endpoint, by default to every line."""
        now = self.clock.now()
        usual: dict[str, Any] = {
            "name": "desk",
            "url": self.endpoint.url,
            "topics": [STORY],
            "secrets": [{"secret": SECRET, "until": None}],
            "tag": make_tag(),
            "created_by": "Camille",
            "created_at": now,
            "changed_at": now,
        }
        self.endpoint.secret = SECRET
        with self.store.write() as session:
            made = Subscription(**{**usual, **values})
            begin(session, made)
            return made.id or 0

    def say(self, count: int = 1, kind: str = "note", **about: Any) -> list[int]:
        """Let the story go on; return its new lines."""
        with self.store.write() as session:
            for number in range(count):
                add_timeline(session, self.clock.now(), kind, f"line {number}", **about)
        with self.store.read() as session:
            newest = session.exec(select(func.max(TimelineEntry.id))).one() or 0
        return list(range(newest - count + 1, newest + 1))

    def go(self) -> None:
        """Let everything be done that can be done now."""
        for _ in range(2_000):
            more = self.feed.turn()
            claims = self.outbox._turn(self.clock.now())
            for one in claims:
                self.outbox._work(one)
            if not (more or claims or self.outbox._results):
                return
        pytest.fail("it never comes to rest")

    def subscription(self, number: int = 1) -> Subscription:
        """Return a subscription as it is now."""
        with self.store.read() as session:
            return session.get_one(Subscription, number)

    def deliveries(self) -> list[Delivery]:
        """Return what was queued, in its order."""
        with self.store.read() as session:
            return list(session.exec(select(Delivery).order_by(Delivery.id)))  # type: ignore[arg-type]

    def change(self, **values: Any) -> None:
        """Change the first subscription."""
        with self.store.write() as session:
            found = session.get_one(Subscription, 1)
            alter(session, found, Change(**values), CAMILLE, SETTINGS, self.clock.now())


def rig_on(store: Store, clock: MovedClock, told: Endpoint, networks: str = HERE) -> Rig:
    hook = Hook(store, clock, Outside(parse_networks(networks)), render)
    feed = HookFeed(store, clock)
    outbox = Outbox(store, clock, {HOOK: hook}, share=OF_SUBSCRIBERS)
    wait_until(lambda: store.hears_others or not store.is_shared, "word of others")
    return Rig(store, clock, told, feed, outbox)


@pytest.fixture
def told() -> Iterator[Endpoint]:
    """Run an endpoint."""
    with endpoint() as running:
        yield running


@pytest.fixture
def rig(store: Store, clock: MovedClock, told: Endpoint) -> Rig:
    """Return a rig on either database."""
    return rig_on(store, clock, told)


@pytest.fixture
def small(sqlite_url: str, clock: MovedClock, told: Endpoint) -> Iterator[Rig]:
    """Return a rig on SQLite."""
    store = Store(sqlite_url)
    store.upgrade()
    yield rig_on(store, clock, told)
    store.close()


def add_alarm(rig: Rig, site: str) -> int:
    now = rig.clock.now()
    with rig.store.write() as session:
        alarm = Alarm(
            rule="warm",
            device_type="fridge",
            site_id=site,
            device_id=f"{site}/R1",
            severity=3,
            onset_at=now,
            raised_at=now,
            reason="it is warm",
        )
        session.add(alarm)
        session.flush()
        return alarm.id or 0


def test_the_signature_is_that_of_the_standard() -> None:
    body = b'{"test": 2432232314}'
    signed = sign([SECRET], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_that_knows_the_standard_believes_it(small: Rig) -> None:
    from standardwebhooks import Webhook  # noqa: PLC0415  judged by the receiver's own library

    small.outbox._channels[HOOK]._clock = SystemClock()  # type: ignore[attr-defined]
    small.subscribe()
    small.say()
    small.go()
    [one] = small.endpoint.given
    text = json.dumps(one.body, ensure_ascii=False)
    assert Webhook(SECRET).verify(text, one.headers) == one.body


def test_everything_is_told_once_and_in_the_order_of_the_story(rig: Rig) -> None:
    rig.say(3)
    rig.subscribe()
    lines = rig.say(AHEAD + 20)
    rig.go()
    assert rig.endpoint.lines() == lines
    assert len(rig.endpoint.given) == len(lines)
    assert rig.endpoint.forged == 0
    assert len({one.number for one in rig.endpoint.given}) == len(lines)
    more = rig.say(2)
    rig.go()
    assert rig.endpoint.lines() == lines + more


def test_it_is_told_what_a_live_stream_tells(small: Rig) -> None:
    small.subscribe(topics=list(TOPICS))
    number = add_alarm(small, "t1")
    lines = small.say(2, "alarm.raised", alarm_id=number)
    small.go()
    with small.store.read() as session:
        entries = [session.get_one(TimelineEntry, one) for one in lines]
        streamed = tell(session, entries, main_zone(session), frozenset(TOPICS))
    said = [text.text.split("\n") for text in streamed]
    expected = [(line[1][7:], json.loads(line[2][6:]), int(line[0][4:])) for line in said]
    found = [(one.body["type"], one.body["data"], one.line) for one in small.endpoint.given]
    assert found == expected
    assert {one.body["kind"] for one in small.endpoint.given} == {"alarm.raised"}
    assert {one.body["site"] for one in small.endpoint.given} == {"t1"}


def test_only_sites_and_kinds_that_were_asked_for_are_told(small: Rig) -> None:
    small.subscribe(sites=["t1"], kinds=["alarm.*"], topics=["story", "alarms"])
    here, there = add_alarm(small, "t1"), add_alarm(small, "t2")
    small.say(1, "alarm.raised", alarm_id=there)
    small.say(1, "alarm.raised")
    small.say(1, "note", alarm_id=here)
    [wanted] = small.say(1, "alarm.raised", alarm_id=here)
    # What follows about the same alarm is of another kind, and hides nothing.
    small.say(1, "note", alarm_id=here)
    small.go()
    found = [(one.line, one.body["type"]) for one in small.endpoint.given]
    assert found == [(wanted, "story"), (wanted, "alarm")]


def test_who_is_away_is_waited_for_and_then_told_everything_in_order(small: Rig) -> None:
    small.subscribe()
    small.endpoint.answer = lambda _: (503, {})
    lines = small.say(5)
    small.go()
    pauses = []
    for _ in range(14):
        head = small.deliveries()[0]
        assert head.next_at is not None
        pauses.append((head.next_at - small.clock.now()).total_seconds())
        small.clock.advance(seconds=pauses[-1])
        small.go()
    assert pauses[:5] == [2, 4, 8, 16, 32]
    assert pauses[-1] == 3_600
    # The first alone was tried: the others wait behind it, and are not lost.
    assert [one.attempts for one in small.deliveries()] == [15, 0, 0, 0, 0]
    assert small.endpoint.given == []
    assert small.subscription().failure == "the endpoint answers 503"
    with small.store.read() as session:
        late = select(Delivery).where(is_stuck(small.clock.now() - timedelta(minutes=1)))
        assert session.exec(late).all() == []
    small.endpoint.answer = lambda _: (204, {})
    small.clock.advance(hours=1)
    small.go()
    assert small.endpoint.lines() == lines
    assert small.subscription().failing_since is None


def test_who_is_away_for_days_is_paused_with_the_reason_and_loses_nothing(small: Rig) -> None:
    small.subscribe()
    lines = small.say(2)
    small.endpoint.answer = lambda _: (500 if small.endpoint.posts % 2 else 502, {})
    for _ in range(200):
        if small.subscription().state == PAUSED:
            break
        lines += small.say()
        small.go()
        small.clock.advance(hours=1)
    paused = small.subscription()
    assert (paused.state, "nothing was taken for 3 days" in paused.reason) == (PAUSED, True)
    with small.store.read() as session:
        query = select(TimelineEntry).where(TimelineEntry.kind == "webhook.paused")
        [said] = session.exec(query).all()
    assert said.summary == f"the webhook desk is paused: {paused.reason}"
    posts = small.endpoint.posts
    lines += small.say(3)
    small.clock.advance(days=1)
    small.go()
    assert small.endpoint.posts == posts
    small.endpoint.answer = lambda _: (200, {})
    small.change(enabled=True)
    with small.store.write() as session:
        resend_lost(session, session.get_one(Subscription, 1), small.clock.now())
    small.go()
    told = [one.line for one in small.endpoint.given if one.body["kind"] == "note"]
    assert told == lines


def test_what_is_refused_again_and_again_is_set_aside_and_can_be_given_again(small: Rig) -> None:
    small.subscribe()
    bad, good = small.say(2)
    small.endpoint.answer = lambda one: (422 if one.line == bad else 204, {})
    for _ in range(8):
        small.go()
        small.clock.advance(minutes=5)
    lost, taken = small.deliveries()
    assert (lost.state, lost.attempts, lost.reason) == (
        "failed",
        8,
        "the endpoint refuses it with 422",
    )
    assert (taken.state, small.endpoint.lines()) == ("delivered", [good])
    assert small.subscription().state == ENABLED
    small.endpoint.answer = lambda _: (204, {})
    with small.store.write() as session:
        assert resend_lost(session, session.get_one(Subscription, 1), small.clock.now()) == 1
    small.go()
    assert small.endpoint.lines() == [good, bad]


def test_its_advice_on_when_to_come_again_is_followed(small: Rig) -> None:
    small.subscribe()
    small.endpoint.answer = lambda _: (429, {"Retry-After": "97"})
    small.say()
    small.go()
    [one] = small.deliveries()
    assert one.next_at == small.clock.now() + timedelta(seconds=97)


def test_who_is_gone_for_good_is_paused_at_once(small: Rig) -> None:
    small.subscribe()
    small.endpoint.answer = lambda _: (410, {})
    small.say()
    small.go()
    found = small.subscription()
    assert (found.state, found.reason) == (PAUSED, "the endpoint answers 410")


def test_an_earlier_secret_signs_beside_the_new_one_for_a_while(small: Rig) -> None:
    small.subscribe()
    with small.store.write() as session:
        found = session.get_one(Subscription, 1)
        new = rotate(session, found, "24h", small.clock.now())
    for secret in (SECRET, new):
        small.endpoint.secret = secret
        small.say()
        small.go()
    assert (len(small.endpoint.given), small.endpoint.forged) == (2, 0)
    small.clock.advance(hours=25)
    small.endpoint.secret = SECRET
    small.say()
    small.go()
    assert (len(small.endpoint.given), small.endpoint.forged) == (2, 1)
    small.endpoint.secret = new
    small.clock.advance(minutes=5)
    small.go()
    assert len(small.endpoint.given) == 3


def test_a_secret_that_leaked_is_good_for_nothing_at_once(small: Rig) -> None:
    small.subscribe()
    with small.store.write() as session:
        rotate(session, session.get_one(Subscription, 1), "0", small.clock.now())
    small.say()
    small.go()
    assert small.endpoint.forged == 1


def test_a_test_waits_for_nothing_and_hastens_what_waits(small: Rig) -> None:
    small.subscribe()
    small.endpoint.answer = lambda _: (503, {})
    [line] = small.say()
    small.go()
    small.clock.advance(minutes=1)
    small.go()
    small.endpoint.answer = lambda _: (204, {})
    with small.store.write() as session:
        queue_test(session, session.get_one(Subscription, 1), small.clock.now())
    small.go()
    assert [one.body["type"] for one in small.endpoint.given] == ["test", "story"]
    assert small.endpoint.lines() == [0, line]


def test_a_paused_one_can_be_tested_and_is_told_afterwards_what_happened(small: Rig) -> None:
    small.subscribe(state=PAUSED, reason="paused by Camille")
    lines = small.say(2)
    with small.store.write() as session:
        queue_test(session, session.get_one(Subscription, 1), small.clock.now())
    small.go()
    assert [one.body["type"] for one in small.endpoint.given] == ["test"]
    small.change(enabled=True)
    small.go()
    assert small.endpoint.lines()[1:] == lines


def test_a_test_that_reaches_nobody_ends(small: Rig) -> None:
    small.subscribe()
    small.endpoint.answer = lambda _: (503, {})
    with small.store.write() as session:
        queue_test(session, session.get_one(Subscription, 1), small.clock.now())
    for _ in range(10):
        small.go()
        small.clock.advance(minutes=5)
    [one] = small.deliveries()
    assert (one.state, one.attempts, small.endpoint.posts) == ("failed", 8, 8)


def test_no_more_is_queued_than_is_soon_given(small: Rig) -> None:
    small.subscribe()
    small.endpoint.answer = lambda _: (503, {})
    small.say(AHEAD * 3)
    small.go()
    assert len(small.deliveries()) == AHEAD


def test_where_nobody_has_subscribed_the_story_costs_nothing(small: Rig) -> None:
    small.go()
    asked: list[str] = []
    watch = lambda *values: asked.append(values[2])  # noqa: E731  sqlalchemy hands over six values
    small.say(5)
    event.listen(small.store.engine, "before_cursor_execute", watch)
    try:
        assert not small.feed.turn()
        assert asked == []
    finally:
        event.remove(small.store.engine, "before_cursor_execute", watch)
    small.subscribe()
    lines = small.say(1)
    small.go()
    assert small.endpoint.lines() == lines


def test_whoever_writes_the_story_asks_nothing_of_subscriptions(small: Rig) -> None:
    for number in range(10):
        small.subscribe(name=f"desk {number}", topics=list(TOPICS))
    asked: list[str] = []

    def watch(*values: Any) -> None:
        asked.append(values[2])

    with small.store.write() as session:
        event.listen(session.get_bind(), "before_cursor_execute", watch)
        add_timeline(session, small.clock.now(), "note", "one line")
        bind = session.get_bind()
    event.remove(bind, "before_cursor_execute", watch)
    assert [one for one in asked if "webhook_subscription" in one or "delivery" in one] == []
    assert any("timeline" in one for one in asked)


def test_what_was_taken_is_forgotten_after_a_week_and_what_has_ended_at_once(small: Rig) -> None:
    small.subscribe()
    small.say(3)
    small.go()
    small.clock.advance(days=8)
    with small.store.write() as session:
        assert forget_given(session, small.clock.now()) == 3
        assert session.exec(select(Message)).all() == []
    small.endpoint.answer = lambda _: (503, {})
    small.say(3)
    small.go()
    with small.store.write() as session:
        drop(session, session.get_one(Subscription, 1), small.clock.now())
    assert small.deliveries() == []
    ended = small.subscription()
    assert (ended.url, ended.secrets) == ("", [])
    posts = small.endpoint.posts
    small.say(3)
    small.go()
    assert small.endpoint.posts == posts


def test_a_line_that_is_gone_is_not_told_and_says_nothing_of_the_endpoint(small: Rig) -> None:
    small.subscribe(topics=["alarms"])
    number = add_alarm(small, "t1")
    small.say(1, "alarm.raised", alarm_id=number)
    small.feed.turn()
    with small.store.write() as session:
        session.delete(session.get_one(Alarm, number))
    small.go()
    [one] = small.deliveries()
    assert (one.state, one.reason) == (
        "failed",
        "what it tells of is not kept any more, or not told here",
    )
    assert small.subscription().failing_since is None
    assert small.endpoint.posts == 0


def test_no_line_is_told_that_could_come_before_one_that_is_told(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not rig.store.is_shared:
        pytest.skip("SQLite has one writer: lines are committed in the order of their numbers")
    monkeypatch.setattr(hook_feed, "_PAUSE_S", 0)
    rig.subscribe()
    other = Store(rig.store.url)
    with other.write() as slow:
        slow.execute(TimelineEntry.__table__.insert(), [_line(rig, "early")])  # type: ignore[attr-defined]
        rig.say(2)
        rig.go()
        rig.go()
        assert rig.endpoint.given == []
        assert not rig.feed._horizon.is_whole
    rig.go()
    rig.go()
    told = [one.body["data"]["summary"] for one in rig.endpoint.given]
    assert told == ["early", "line 0", "line 1"]
    assert rig.endpoint.lines() == sorted(rig.endpoint.lines())
    other.close()


def _line(rig: Rig, summary: str) -> dict[str, Any]:
    return {"at": rig.clock.now(), "kind": "note", "summary": summary, "detail": {}}


def test_a_number_that_is_never_written_holds_nothing_up(rig: Rig) -> None:
    rig.subscribe()
    with rig.store.write() as session:
        add_timeline(session, rig.clock.now(), "note", "never")
        session.flush()
        session.rollback()
    lines = rig.say(2)
    rig.go()
    assert rig.endpoint.lines() == lines


@pytest.mark.parametrize(
    "text",
    [
        "10.1.2.3",
        "127.0.0.1",
        "169.254.169.254",
        "192.168.1.1",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fd00::1",
        "fe80::1",
        "::ffff:10.1.2.3",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
    ],
)
def test_what_is_inside_is_known_in_every_form(text: str) -> None:
    assert not is_outside(ip_address(text))


def test_what_is_outside_is_known() -> None:
    assert is_outside(ip_address("1.1.1.1"))
    assert is_outside(ip_address("2606:4700:4700::1111"))


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://localhost/x",
        "https://a.localhost./x",
        "http://example.com/x",
        "https://user:word@example.com/x",
        "ftp://example.com/x",
        "https://",
        "https://example.com:99999/",
        "https://exa mple.com/",
        "https://example.com/#x",
        "javascript:alert(1)",
    ],
)
def test_an_address_that_is_no_good_is_refused_when_it_is_typed(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Outside().check_url(url)


def test_a_name_that_leads_inside_is_refused_when_it_is_called(
    small: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = rig_on(small.store, small.clock, small.endpoint, networks="")
    strict.subscribe()
    strict.say()
    strict.go()
    assert strict.endpoint.posts == 0
    assert "not in the world outside" in strict.subscription().failure
    # A name that led elsewhere when it was looked up: what counts is where the line ends.
    monkeypatch.setattr(Outside, "check_name", lambda *_: None)
    strict.clock.advance(minutes=1)
    strict.go()
    assert strict.endpoint.posts == 0
    assert "not in the world outside" in strict.subscription().failure


def test_redirects_are_not_followed(small: Rig) -> None:
    small.subscribe()
    small.endpoint.answer = lambda _: (302, {"Location": small.endpoint.url})
    small.say()
    small.go()
    assert small.endpoint.posts == 1
    assert small.subscription().failure == "the endpoint answers 302"


def test_no_secret_and_no_address_stands_in_what_is_queued(small: Rig) -> None:
    small.subscribe(url=f"{small.endpoint.url}?token=hidden")
    small.endpoint.answer = lambda _: (503, {})
    small.say()
    small.go()
    with small.store.read() as session:
        rows = [*session.exec(select(Delivery)), *session.exec(select(Message))]
    said = " ".join(str(one.model_dump()) for one in rows)
    assert "hidden" not in said
    assert "whsec_" not in said
    assert small.endpoint.url not in said
