"""Three hundred sites at once: one person is told once, everybody else as ever, the worst first."""

import threading
from datetime import datetime

import pytest
from sqlmodel import col, select

from notify.claims import Claim
from notify.message import SENT, Delivery, Message
from notify.outbox import Outbox
from notify.templating import Templates
from prevenant.crm.tables import Contact, Customer, RoleHolder, Site
from prevenant.domain import Severity
from prevenant.shelving import tell_case
from prevenant.store import Store
from prevenant.tables import CLEARED, Alarm, CaseEvent, TimelineEntry, add_case_event
from tests.moved_clock import MovedClock
from tests.servers import wait_until
from tests.workflows.test_case import make_workflow
from workflows.deskwork import TAKEN, post
from workflows.family import children_of, storm_of
from workflows.on_call import Layer, Schedule
from workflows.runtime import Route, Runtime
from workflows.storms import measure
from workflows.tables import Case

SITES = 300
STEPS = """
storm: {cases: 50, within: 1m, tell: dispatcher}
steps:
  - tell: customer
    template: all_clear
    channels: sms
  - wait: alarm.cleared
    within: 8h
    otherwise: {close: late}
  - close: over
"""


class Country:
    """Many sites, each with a customer, and one dispatcher."""

    def __init__(self, store: Store, clock: MovedClock, sites: int = SITES) -> None:
        self.store, self.clock, self.sites = store, clock, sites
        routes = {rule: Route("visit", {"en": "It is out."}) for rule in ("out", "hot")}
        workflows = {"visit": make_workflow(STEPS)}
        self.runtime = Runtime(store, clock, workflows, routes, Templates())
        with store.write() as session:
            session.add(Contact(id="dispatcher", name="Dora Dispatch", phone="+33639970001"))
            session.add(Customer(id="c", name="Everybody"))
            session.flush()
            session.add(RoleHolder(contact_id="dispatcher", role="dispatcher"))
            for number in range(sites):
                phone = f"+3363998{number:04}"
                session.add(Contact(id=f"p{number}", name=f"Person {number}", phone=phone))
            session.flush()
            for number in range(sites):
                session.add(
                    Site(
                        id=f"s{number}",
                        name=f"Site {number}",
                        customer_id="c",
                        contact_id=f"p{number}",
                        latitude=48.0,
                        longitude=2.0,
                    )
                )

    def fail(self, begin: int, end: int, rule: str = "out") -> None:
        """Raise an alarm at each of these sites, every fifth one of another severity."""
        now = self.clock.now()
        with self.store.write() as session:
            for number in range(begin, end):
                alarm = Alarm(
                    rule=rule,
                    device_type="fridge",
                    site_id=f"s{number % self.sites}",
                    device_id=f"s{number % self.sites}/f{number // self.sites}",
                    severity=Severity(1 + number % 5),
                    onset_at=now,
                    raised_at=now,
                    reason="`power` is off",
                )
                session.add(alarm)
                session.flush()
                tell_case(session, alarm, "alarm.raised", now, "it is out")

    def mend(self) -> None:
        """Clear every alarm."""
        with self.store.write() as session:
            for alarm in session.exec(select(Alarm)):
                alarm.state, alarm.cleared_at = CLEARED, self.clock.now()
                session.add(alarm)
                tell_case(session, alarm, "alarm.cleared", self.clock.now(), "it is back")

    def work(self) -> None:
        """Do everything that can be done now."""
        while self.runtime.work_once(self.clock.now()):
            pass

    def pass_time(self, **span: float) -> None:
        """Let time pass, and do what becomes due."""
        self.clock.advance(**span)
        self.work()

    def storms(self) -> list[Case]:
        """Return the storms."""
        with self.store.read() as session:
            query = select(Case).where(Case.storm_of != "").order_by(col(Case.id))
            return list(session.exec(query))

    def told(self, contact: str) -> list[Message]:
        """Return what somebody was told."""
        with self.store.read() as session:
            query = select(Message).where(Message.contact_id == contact)
            return list(session.exec(query.order_by(col(Message.id))))


@pytest.fixture
def country(store: Store, clock: MovedClock) -> Country:
    """Return a country of a few sites: enough for a storm."""
    return Country(store, clock, sites=60)


@pytest.mark.timeout(600)
def test_three_hundred_sites_in_one_second(store: Store, clock: MovedClock) -> None:
    country = Country(store, clock)
    country.fail(0, SITES)
    country.work()
    (storm,) = country.storms()
    with store.read() as session:
        children = children_of(session, storm)
        assert len(children) == SITES
        assert all(storm_of(session, child) == storm for child in children)
        assert {child.site_id for child in children} == {f"s{n}" for n in range(SITES)}
    assert country.told("dispatcher") == []
    country.pass_time(seconds=10)
    (message,) = country.told("dispatcher")
    assert f"{SITES} cases at {SITES} sites (out)" in str(message.texts["sms"])
    assert message.ask == "acknowledge"
    for number in range(SITES):
        assert len(country.told(f"p{number}")) == 1, f"the customer of site {number}"
    _leave_in_order_of_severity(country)
    country.pass_time(hours=1)
    assert len(country.told("dispatcher")) == 1, "nothing has changed"
    country.mend()
    country.work()
    (storm,) = country.storms()
    assert (storm.state, storm.outcome) == ("closed", f"its {SITES} cases have ended")
    assert len(country.told("dispatcher")) == 2
    assert storm.due_at is None


def _leave_in_order_of_severity(country: Country) -> None:
    """Let the outbox send everything, and make sure that the worst left first."""
    left: list[int] = []

    class Recorder:
        """A channel that takes whatever is handed over."""

        confirms = False

        def send(self, delivery: Delivery, message: Message) -> str:
            del message
            return delivery.key

        def find(self, delivery: Delivery, message: Message, known: frozenset[str]) -> str | None:
            raise AssertionError(delivery, message, known)

        def close(self) -> None:
            pass

    class Noted(Outbox):
        """Notes in which order attempts begin: which of those under way ends first, nobody can say."""

        def _turn(self, now: datetime) -> list[Claim]:
            begun = super()._turn(now)
            left.extend(one.delivery.severity for one in begun)
            return begun

    outbox = Noted(country.store, country.clock, {"sms": Recorder()})
    thread = threading.Thread(target=outbox.run, daemon=True)
    thread.start()

    def all_sent() -> bool:
        with country.store.read() as session:
            query = select(Delivery.id).where(Delivery.state == SENT)
            return len(session.exec(query).all()) == SITES + 1

    try:
        wait_until(all_sent, "everything sent", 90)
    finally:
        outbox.stop()
        thread.join()
    assert len(left) == SITES + 1
    assert left == sorted(left, reverse=True)


def test_below_the_limit_nothing_is_a_storm(country: Country) -> None:
    country.fail(0, 49)
    country.work()
    country.pass_time(seconds=61)
    country.fail(49, 58)
    country.work()
    assert country.storms() == []


def test_a_storm_that_grows_is_told_at_most_every_quarter_of_an_hour(country: Country) -> None:
    country.fail(0, 50)
    country.work()
    country.pass_time(seconds=10)
    assert len(country.told("dispatcher")) == 1
    for number in range(5):
        country.fail(50 + number, 51 + number, "hot")
        country.pass_time(seconds=30)
    assert len(country.told("dispatcher")) == 1
    country.pass_time(minutes=15)
    first, second = country.told("dispatcher")
    assert "55 cases at 55 sites (out, hot)" in str(second.texts["sms"])
    assert (first.ask, second.ask) == ("acknowledge", None)
    assert len(country.storms()) == 1


def test_what_comes_after_the_storm_is_no_part_of_it(country: Country) -> None:
    country.fail(0, 50)
    country.work()
    country.pass_time(minutes=2)
    country.fail(50, 51)
    country.work()
    with country.store.read() as session:
        assert len(children_of(session, country.storms()[0])) == 50
        last = session.exec(select(Case).order_by(col(Case.id).desc())).first()
        assert last is not None
        assert storm_of(session, last) is None


def test_somebody_takes_charge_of_a_storm_and_hears_when_it_is_over(country: Country) -> None:
    country.fail(0, 50)
    country.work()
    country.pass_time(seconds=10)
    (storm,) = country.storms()
    with country.store.write() as session:
        data = {"contact": "dispatcher", "name": "Dora Dispatch", "role": "dispatcher"}
        data |= {"ask": "acknowledge", "intent": "accept", "text": "1", "channel": "sms"}
        event = CaseEvent(
            key="r", kind="reply", urgency=5, case_id=storm.id, at=country.clock.now(), data=data
        )
        add_case_event(session, event)
    country.work()
    assert country.storms()[0].owner == "Dora Dispatch"
    country.mend()
    country.pass_time(minutes=2)
    assert country.storms()[0].state == "closed"
    assert "is over: 50 cases" in str(country.told("dispatcher")[-1].texts["sms"])


def test_a_storm_that_nobody_can_be_told_of_looks_again(country: Country) -> None:
    with country.store.write() as session:
        session.delete(session.get_one(RoleHolder, ("dispatcher", "dispatcher", "")))
    country.fail(0, 50)
    country.work()
    country.pass_time(seconds=10)
    assert country.told("dispatcher") == []
    with country.store.write() as session:
        session.add(RoleHolder(contact_id="dispatcher", role="dispatcher"))
    country.pass_time(minutes=15)
    assert len(country.told("dispatcher")) == 1


def test_whoever_is_on_call_is_told_of_a_storm(country: Country) -> None:
    with country.store.write() as session:
        session.delete(session.get_one(RoleHolder, ("dispatcher", "dispatcher", "")))
    steps = STEPS.replace("tell: dispatcher", "tell: on-call:night")
    night = Schedule("night", "UTC", (Layer(("dispatcher",)),))
    country.runtime.change_book(
        {"visit": make_workflow(steps)},
        country.runtime._story.routes,
        Templates(),
        {"night": night},
    )
    country.fail(0, 50)
    country.work()
    country.pass_time(seconds=10)
    (message,) = country.told("dispatcher")
    assert (message.role, message.template) == ("on-call:night", "storm_began")
    country.mend()
    country.pass_time(minutes=2)
    assert country.told("dispatcher")[-1].template == "storm_over"


def test_one_who_cannot_be_reached_has_nobody_told_again(country: Country) -> None:
    with country.store.write() as session:
        session.add(Contact(id="mute", name="Mute Mole"))
        session.flush()
        session.add(RoleHolder(contact_id="mute", role="dispatcher"))
    country.fail(0, 50)
    country.work()
    country.pass_time(seconds=10)
    country.pass_time(minutes=6)
    assert len(country.told("dispatcher")) == 1


def test_a_storm_where_nobody_could_be_reached_is_told_again(country: Country) -> None:
    with country.store.write() as session:
        session.get_one(Contact, "dispatcher").phone = ""
    country.fail(0, 50)
    country.work()
    country.pass_time(seconds=10)
    with country.store.write() as session:
        session.get_one(Contact, "dispatcher").phone = "+33639970001"
    country.pass_time(minutes=5)
    assert [message.state for message in country.told("dispatcher")] == ["failed", "queued"]


def test_who_has_taken_a_storm_over_has_what_it_brings_from_then_on(country: Country) -> None:
    country.fail(0, 50)
    country.work()
    country.pass_time(seconds=10)
    (storm,) = country.storms()
    with country.store.write() as session:
        post(session, TAKEN, storm.id or 0, country.clock.now(), "Dora Dispatch", "")
    country.work()
    country.fail(50, 55)
    country.pass_time(seconds=20)
    (storm,) = country.storms()
    assert storm.state == "handed_over"
    with country.store.read() as session:
        assert len(children_of(session, storm)) == 55
    assert len(country.told("dispatcher")) == 1


def test_a_case_opened_by_who_did_not_know_of_the_storm_begins_no_second(
    country: Country,
) -> None:
    country.fail(0, 50)
    country.work()
    with country.store.write() as session:
        latest = session.exec(select(Case).where(Case.storm_of == "").order_by(col(Case.id).desc()))
        latest.first().parent_id = None  # type: ignore[union-attr]
    country.fail(50, 51)
    country.work()
    (storm,) = country.storms()
    country.pass_time(seconds=10)
    with country.store.read() as session:
        assert len(children_of(session, storm)) == 51, "the stray one is found, too"


def test_two_workers_begin_one_storm(store: Store, clock: MovedClock) -> None:
    country = Country(store, clock, sites=120)
    country.fail(0, 120)
    story = country.runtime._story
    errors: list[BaseException] = []

    def work() -> None:
        runtime = Runtime(store, clock, story.workflows, story.routes, story.templates)
        try:
            while runtime.work_once(clock.now()):
                pass
        except BaseException as error:  # noqa: BLE001  it is shown below
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    country.work()
    assert errors == []
    country.pass_time(seconds=10)
    (storm,) = country.storms()
    with store.read() as session:
        assert measure(session, storm).cases == 120
        cases = session.exec(select(Case).where(Case.storm_of == "")).all()
        assert len(cases) == 120
        assert session.exec(select(TimelineEntry).where(TimelineEntry.kind == "storm.began")).one()
    assert "120 cases" in str(country.told("dispatcher")[0].texts["sms"])


def test_the_story_of_a_child_says_that_it_is_part_of_a_storm(country: Country) -> None:
    country.fail(0, 52)
    country.work()
    storm = country.storms()[0]
    with country.store.read() as session:
        lines = session.exec(select(TimelineEntry).where(TimelineEntry.kind == "storm.joined"))
        assert {line.detail["storm"] for line in lines} == {storm.id}
