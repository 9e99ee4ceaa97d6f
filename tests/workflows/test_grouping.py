"""Alarms of one site and workflow join one case, in whatever order and split they are heard."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlmodel import col, select

from notify.message import Message
from notify.templating import Templates
from prevenant.crm.tables import Contact, RoleHolder
from prevenant.domain import Severity
from prevenant.shelving import tell_case
from prevenant.store import Store
from prevenant.tables import CLEARED, Alarm, CaseEvent, TimelineEntry
from tests.moved_clock import MovedClock
from tests.workflows.test_case import make_workflow
from workflows import grouping
from workflows.runtime import Route, Runtime
from workflows.tables import Case, CaseAlarm

WAIT_S = 30.0
STEPS = """
group_wait: 30s
steps:
  - tell: guard
    template: self_audit
  - wait: alarm.cleared
    within: 1h
    otherwise: {close: late}
  - close: over
"""


@dataclass(frozen=True)
class Raised:
    """An alarm that is raised: so many seconds after the start, at a site, on a device."""

    after_s: int
    site: str
    device: int
    severity: Severity


class Site:
    """A runtime whose workflow gathers, and alarms that are written when the test says so."""

    def __init__(self, store: Store, clock: MovedClock) -> None:
        self.store, self.clock, self.start = store, clock, clock.now()
        workflow = make_workflow(STEPS)
        routes = {"hot": Route("visit", {"en": "It is hot."})}
        self.runtime = Runtime(store, clock, {"visit": workflow}, routes, Templates())
        with store.write() as session:
            session.add(Contact(id="guard", name="Guard", phone="+33639980001"))
            session.flush()
            session.add(RoleHolder(contact_id="guard", role="guard"))

    def write(self, *alarms: Raised) -> list[int]:
        """Raise alarms, which nobody has heard yet; return their numbers."""
        numbers = []
        with self.store.write() as session:
            for one in alarms:
                at = self.start + timedelta(seconds=one.after_s)
                alarm = Alarm(
                    rule="hot",
                    device_type="room",
                    site_id=one.site,
                    device_id=f"{one.site}/{one.device}",
                    severity=one.severity,
                    onset_at=at,
                    raised_at=at,
                    reason="`temperature > 26` holds",
                )
                session.add(alarm)
                session.flush()
                tell_case(session, alarm, "alarm.raised", at, "it is hot")
                numbers.append(alarm.id or 0)
        return numbers

    def change(self, number: int, kind: str, severity: Severity | None = None) -> None:
        """Clear an alarm, or give it another severity."""
        with self.store.write() as session:
            alarm = session.get_one(Alarm, number)
            if kind == "alarm.cleared":
                alarm.state, alarm.cleared_at = CLEARED, self.clock.now()
            alarm.severity = severity or alarm.severity
            session.add(alarm)
            tell_case(session, alarm, kind, self.clock.now(), "so it is")

    def work(self) -> None:
        """Do everything that can be done now."""
        while self.runtime.work_once(self.clock.now()):
            pass

    def cases(self) -> list[Case]:
        """Return all cases, the earliest first."""
        with self.store.read() as session:
            return list(session.exec(select(Case).order_by(col(Case.id))))

    def groups(self) -> set[frozenset[tuple[datetime, str]]]:
        """Return which alarms make a case, by when they were raised and on what."""
        groups: dict[int, set[tuple[datetime, str]]] = {}
        with self.store.read() as session:
            for one in session.exec(select(CaseAlarm)):
                groups.setdefault(one.case_id, set()).add((one.joined_at, one.device_id))
        return {frozenset(one) for one in groups.values()}

    def texts(self) -> list[str]:
        """Return what was said by SMS, in order."""
        with self.store.read() as session:
            found = session.exec(select(Message).order_by(col(Message.id)))
            return [str(one.texts["sms"]) for one in found]

    def story(self) -> list[str]:
        """Return the kinds of what happened, in order."""
        with self.store.read() as session:
            lines = session.exec(select(TimelineEntry).order_by(col(TimelineEntry.id)))
            return [one.kind for one in lines]


@pytest.fixture
def site(store: Store, clock: MovedClock) -> Site:
    """Return a site whose workflow gathers."""
    return Site(store, clock)


MINOR, CRITICAL, LIFE = Severity.MINOR, Severity.CRITICAL, Severity.LIFE_SAFETY


def test_alarms_within_the_wait_are_one_case_and_one_message(site: Site) -> None:
    site.write(Raised(0, "s", 1, MINOR))
    site.work()
    (case,) = site.cases()
    assert case.due_at == site.start + timedelta(seconds=WAIT_S)
    site.clock.advance(seconds=20)
    site.write(Raised(20, "s", 2, MINOR), Raised(20, "s", 3, MINOR), Raised(20, "other", 1, MINOR))
    site.work()
    assert site.texts() == []
    site.clock.advance(seconds=10)
    site.work()
    assert len(site.cases()) == 2
    (text,) = site.texts()
    assert "It is hot. And 2 more devices at s." in text
    assert site.story().count("alarm.joined") == 2


def test_a_group_that_is_heard_late_is_told_of_as_a_whole(site: Site) -> None:
    site.write(*(Raised(2 * number, "s", number, MINOR) for number in range(5)))
    site.clock.advance(minutes=5)
    site.work()
    (text,) = site.texts()
    assert "And 4 more devices at s." in text


def test_a_later_alarm_has_a_case_of_its_own(site: Site) -> None:
    site.write(Raised(0, "s", 1, MINOR))
    site.work()
    site.clock.advance(seconds=31)
    site.write(Raised(31, "s", 2, MINOR))
    site.work()
    assert len(site.cases()) == 2


def test_what_is_critical_begins_at_once_and_later_ones_join(site: Site) -> None:
    site.write(Raised(0, "s", 1, MINOR))
    site.work()
    site.clock.advance(seconds=5)
    site.write(Raised(5, "s", 2, CRITICAL))
    site.work()
    (text,) = site.texts()
    assert "1 more device at s" in text
    site.clock.advance(seconds=5)
    site.write(Raised(10, "s", 3, MINOR))
    site.work()
    assert [case.severity for case in site.cases()] == [CRITICAL]
    assert len(site.texts()) == 1


def test_life_safety_neither_joins_nor_waits(site: Site) -> None:
    site.write(Raised(0, "s", 1, MINOR))
    site.work()
    site.write(Raised(1, "s", 2, LIFE), Raised(1, "s", 3, LIFE))
    site.work()
    assert [case.severity for case in site.cases()] == [MINOR, LIFE, LIFE]
    assert len(site.texts()) == 2
    assert site.cases()[1].gathers_until is None


def test_an_alarm_that_becomes_one_of_life_safety_leaves_for_a_case_of_its_own(site: Site) -> None:
    first, second = site.write(Raised(0, "s", 1, MINOR), Raised(0, "s", 2, MINOR))
    site.work()
    site.change(second, "alarm.levelled", LIFE)
    site.work()
    assert [case.severity for case in site.cases()] == [MINOR, LIFE]
    assert [case.device_id for case in site.cases()] == ["s/1", "s/2"]
    assert len(site.texts()) == 1
    site.change(first, "alarm.cleared")
    site.change(second, "alarm.cleared")
    site.work()
    site.clock.advance(seconds=60)
    site.work()
    assert [case.outcome for case in site.cases()] == ["over before anybody was told", "over"]


def test_an_alarm_alone_that_becomes_one_of_life_safety_keeps_its_case(site: Site) -> None:
    (only,) = site.write(Raised(0, "s", 1, MINOR))
    site.work()
    site.change(only, "alarm.levelled", LIFE)
    site.work()
    assert len(site.texts()) == 1, "it begins at once"
    site.write(Raised(1, "s", 2, MINOR))
    site.work()
    assert len(site.cases()) == 2, "nothing joins it"


def test_a_case_is_over_when_its_last_alarm_is_and_has_the_severity_of_its_worst(
    site: Site,
) -> None:
    first, second = site.write(Raised(0, "s", 1, Severity.MAJOR), Raised(0, "s", 2, MINOR))
    site.work()
    site.clock.advance(seconds=30)
    site.work()
    site.change(first, "alarm.cleared")
    site.work()
    (case,) = site.cases()
    assert (case.state, case.severity) == ("open", MINOR)
    assert "alarm.over" in site.story()
    site.change(second, "alarm.levelled", CRITICAL)
    site.work()
    assert site.cases()[0].severity == CRITICAL
    site.change(second, "alarm.cleared")
    site.work()
    assert (site.cases()[0].state, site.cases()[0].outcome) == ("closed", "over")


def test_an_alarm_of_a_group_that_comes_back_joins_its_open_case_however_late(site: Site) -> None:
    _, second = site.write(Raised(0, "s", 1, MINOR), Raised(0, "s", 2, MINOR))
    site.work()
    site.change(second, "alarm.cleared")
    site.work()
    site.clock.advance(minutes=10)
    site.write(Raised(600, "s", 2, MINOR))
    site.work()
    assert len(site.cases()) == 1


def test_an_alarm_in_the_place_of_another_counts_once(site: Site) -> None:
    """Its end is the end of the case, though nobody said that the one before it is over."""
    site.write(Raised(0, "s", 1, MINOR))
    site.work()
    site.clock.advance(seconds=40)
    (second,) = site.write(Raised(40, "s", 1, LIFE))
    site.work()
    (case,) = site.cases()
    assert case.severity == LIFE
    site.change(second, "alarm.cleared")
    site.work()
    assert site.cases()[0].outcome == "over"


def test_a_group_that_cannot_begin_goes_to_a_person_and_begins_later(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site.store.write() as session:
        session.add(RoleHolder(contact_id="guard", role="dispatcher"))
    site.write(Raised(0, "s", 1, MINOR), Raised(0, "s", 2, MINOR))
    site.work()
    with monkeypatch.context() as patched:
        patched.setattr("workflows.case._STEP_LIMIT", 0)
        site.clock.advance(seconds=30)
        site.work()
    assert len(site.texts()) == 1
    assert "cannot go on" in site.cases()[0].outcome
    site.clock.advance(minutes=5)
    site.work()
    (case,) = site.cases()
    assert (case.state, case.outcome) == ("open", "")
    assert "And 1 more device at s." in site.texts()[-1]


def test_one_that_cannot_be_given_to_a_case_keeps_no_other_from_its_own(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = grouping._give

    def fails(*given: object) -> object:
        if given[3].device_id == "s/1":  # type: ignore[attr-defined]
            raise ZeroDivisionError
        return sound(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(grouping, "_give", fails)
    site.write(Raised(0, "s", 1, MINOR), Raised(0, "s", 2, MINOR), Raised(0, "s", 3, MINOR))
    site.work()
    site.clock.advance(seconds=3)
    site.work()
    assert {device for group in site.groups() for _, device in group} == {"s/2", "s/3"}
    assert len(site.cases()) == 1


def test_what_is_over_before_the_wait_is_tells_nobody(site: Site) -> None:
    (only,) = site.write(Raised(0, "s", 1, MINOR))
    site.work()
    site.change(only, "alarm.cleared")
    site.work()
    site.clock.advance(seconds=30)
    site.work()
    (case,) = site.cases()
    assert (case.state, case.outcome) == ("closed", "over before anybody was told")
    assert site.texts() == []


def test_an_end_that_is_more_urgent_than_the_beginning_is_heard_behind_it(site: Site) -> None:
    (only,) = site.write(Raised(0, "s", 1, MINOR))
    site.change(only, "alarm.cleared", CRITICAL)
    site.work()
    assert [case.outcome for case in site.cases()] == ["over"]


def test_an_end_that_was_heard_before_the_beginning_is_not_forgotten(site: Site) -> None:
    (only,) = site.write(Raised(0, "s", 1, MINOR))
    site.change(only, "alarm.cleared", CRITICAL)
    with site.store.write() as session:
        end = session.exec(select(CaseEvent).where(CaseEvent.kind == "alarm.cleared")).one()
        end.heard_at = site.clock.now()
        session.add(end)
    site.work()
    assert [case.outcome for case in site.cases()] == ["over before anybody was told"]


ALARMS = st.lists(
    st.builds(
        Raised,
        st.integers(0, 120),
        st.sampled_from(["s", "t"]),
        st.integers(1, 12),
        st.sampled_from([Severity.INFO, MINOR, Severity.MAJOR, CRITICAL, LIFE]),
    ),
    min_size=1,
    max_size=14,
    unique_by=lambda one: (one.site, one.device),
).map(lambda alarms: sorted(alarms, key=lambda one: one.after_s))


def expected(alarms: Sequence[Raised], start: datetime) -> set[frozenset[tuple[datetime, str]]]:
    """Return which alarms make a case, by the plainest reading of the rule."""
    groups: list[tuple[int, str, list[Raised]]] = []
    for one in alarms:
        last = next((g for g in reversed(groups) if g[1] == one.site), None)
        if one.severity == LIFE:
            groups.append((one.after_s, "alone", [one]))
        elif last is not None and one.after_s <= last[0] + WAIT_S:
            last[2].append(one)
        else:
            groups.append((one.after_s, one.site, [one]))
    return {
        frozenset((start + timedelta(seconds=a.after_s), f"{a.site}/{a.device}") for a in group)
        for _, _, group in groups
    }


@cache
def _empty_store() -> bytes:
    """Return a store with all its tables, so that not every example has to make them."""
    with TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{Path(folder) / 'x.db'}", is_durable=False)
        store.upgrade()
        with store.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        store.close()
        return (Path(folder) / "x.db").read_bytes()


@contextmanager
def fresh_store() -> Iterator[Store]:
    """Open an empty store for one example."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "x.db").write_bytes(_empty_store())
        store = Store(f"sqlite:///{Path(folder) / 'x.db'}", is_durable=False)
        yield store
        store.close()


@settings(max_examples=50, deadline=None)
@given(alarms=ALARMS, cuts=st.sets(st.integers(0, 14)), late=st.integers(0, 25))
@example(
    alarms=[Raised(0, "s", 1, MINOR), Raised(25, "s", 2, CRITICAL), Raised(50, "s", 3, MINOR)],
    cuts=set(),
    late=0,
)
def test_the_same_alarms_make_the_same_cases(
    alarms: list[Raised], cuts: set[int], late: int
) -> None:
    """Heard one by one, in any batches, in order of severity, at once or late: all the same."""
    with fresh_store() as store:
        site = Site(store, MovedClock())
        waiting: list[Raised] = []
        for number, one in enumerate(alarms):
            waiting.append(one)
            if number in cuts or number == len(alarms) - 1:
                site.write(*waiting)
                behind = (site.start - site.clock.now()).total_seconds() + one.after_s + late
                site.clock.advance(seconds=max(0.0, behind))
                site.work()
                waiting.clear()
        assert site.groups() == expected(alarms, site.start)
        for case in site.cases():
            with site.store.read() as session:
                query = select(CaseAlarm).where(CaseAlarm.case_id == case.id)
                severities = [one.severity for one in session.exec(query)]
            assert len(severities) == 1 or LIFE not in severities
            assert case.severity == max(severities)
        site.clock.advance(seconds=WAIT_S)
        site.work()
        assert len(site.texts()) == len(site.cases())


def test_two_workers_open_one_case_for_one_group(store: Store, clock: MovedClock) -> None:
    """Eight workers hear forty alarms of one site at once, and none is in two cases."""
    site = Site(store, clock)
    site.write(*(Raised(0, "s", number, MINOR) for number in range(40)))
    story = site.runtime._story
    runtimes = [
        Runtime(store, clock, story.workflows, story.routes, story.templates) for _ in range(8)
    ]
    errors: list[BaseException] = []

    def work(runtime: Runtime) -> None:
        try:
            while runtime.work_once(clock.now()):
                pass
        except BaseException as error:  # noqa: BLE001  it is shown below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(one,)) for one in runtimes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    site.work()
    assert errors == []
    assert len(site.cases()) == 1
    with store.read() as session:
        assert len(session.exec(select(CaseAlarm)).all()) == 40
        failed = session.exec(select(CaseEvent).where(col(CaseEvent.error).is_not(None))).all()
        assert failed == []
