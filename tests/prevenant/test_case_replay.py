"""A case takes its course again from what it heard: the same, unless people or the code are others."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import select, update

from notify import Templates
from notify.message import Message
from prevenant.case_replay import retell
from prevenant.crm.tables import Contact, Leave, RoleHolder
from prevenant.errors import ConfigurationError
from prevenant.publishing import publish_edition, read_edition
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.workflows.dispatching import DispatchDesk
from tests.workflows.room import Room
from tests.workflows.test_audit import Watched
from tests.workflows.test_grouping import CRITICAL, LIFE, MINOR, Raised, Site
from workflows.absence import announce_absences
from workflows.office import office_of
from workflows.on_call import OnCallOverride, give_override
from workflows.tables import Case

ON_CALL = """
devices: {{door: {{topic: 'a/{{site}}/{{device}}', fields: {{open: bool}}}}}}
on_call: {{night: {{timezone: UTC, layers: [{{people: [{person}]}}]}}}}
workflows:
  visit:
    - tell: on-call:night
      template: self_audit
    - wait: alarm.cleared
      within: 1h
      otherwise: {{hand_off: "on-call:night"}}
"""


@pytest.fixture
def site(store: Store, clock: MovedClock) -> Site:
    """Return a site whose workflow gathers, at which an earlier case is over."""
    site = Site(store, clock)
    (first,) = site.write(Raised(-600, "earlier", 1, MINOR))
    site.work()
    site.change(first, "alarm.cleared")
    site.work()
    return site


def told(store: Store, case_id: int) -> list[str]:
    """Return the lines of a case that is told again and takes the same course."""
    retold = retell(store, case_id)
    assert not retold.differs, "\n".join(retold.lines)
    assert retold.steps == len(retold.lines)
    return list(retold.lines)


def test_a_group_with_all_that_became_of_its_alarms(site: Site) -> None:
    first, second = site.write(Raised(0, "s", 1, MINOR), Raised(0, "s", 2, MINOR))
    site.work()
    site.clock.advance(seconds=10)
    (third,) = site.write(Raised(10, "s", 3, MINOR))
    site.work()
    site.clock.advance(seconds=20)
    site.work()
    site.change(first, "alarm.cleared")
    site.clock.advance(minutes=1)
    site.change(second, "alarm.levelled", CRITICAL)
    site.work()
    site.clock.advance(seconds=1)
    site.change(second, "alarm.cleared")
    site.change(third, "alarm.cleared")
    site.work()
    case = site.cases()[-1]
    assert case.state == "closed"
    lines = told(site.store, case.id or 0)
    assert sum("alarm.joined" in line for line in lines) == 2
    assert "case.closed" in lines[-1]


def test_an_alarm_that_left_its_group_for_a_case_of_its_own(site: Site) -> None:
    _, second = site.write(Raised(0, "s", 1, MINOR), Raised(0, "s", 2, MINOR))
    site.work()
    site.clock.advance(seconds=5)
    site.change(second, "alarm.levelled", LIFE)
    site.work()
    assert len(site.cases()) == 3
    assert "case.opened" in told(site.store, 3)[0]


def test_escalation_by_deadlines_that_were_acted_on_late(store: Store, clock: MovedClock) -> None:
    watched = Watched(store, clock)
    watched.raise_alarm()
    watched.work()
    clock.advance(minutes=7)
    watched.work()
    clock.advance(minutes=6)
    watched.work()
    watched.acknowledge(1)
    watched.work()
    clock.advance(hours=2)
    watched.work()
    lines = told(store, 1)
    assert sum("escalated" in line for line in lines) >= 2


def test_other_people_are_a_difference_and_other_words_are_none(site: Site) -> None:
    site.write(Raised(0, "s", 1, CRITICAL))
    site.work()
    case_id = site.cases()[-1].id or 0
    with site.store.write() as session:
        session.exec(update(Message).values(texts={"sms": "It was worded otherwise."}))
    assert [line[:2] for line in told(site.store, case_id) if "message" in line] == ["~ "]
    with site.store.write() as session:
        session.add(Contact(id="other", name="Olga Other", phone="+33639980002"))
        session.flush()
        session.add(RoleHolder(contact_id="other", role="guard"))
    retold = retell(site.store, case_id)
    assert retold.differs
    assert any(line.startswith("+ ") and "Olga Other" in line for line in retold.lines)


def test_who_was_on_call_and_who_stood_in_are_those_of_then(site: Site, tmp_path: Path) -> None:
    def take_over(at: datetime, person: str) -> None:
        """Let a book come into force whose schedule names a person."""
        path = tmp_path / f"{person}.yaml"
        path.write_text(ON_CALL.format(person=person))
        edition = read_edition(path)
        with site.store.write() as session:
            found = publish_edition(session, edition, at, by="Zoe", origin=person)
            found.version.in_force_at = at
            session.add(found.version)
        one = edition.book
        routes = site.runtime._story.routes
        site.runtime.change_book(one.workflows, routes, one.templates, one.schedules)

    with site.store.write() as session:
        for person in ("tom", "ines", "zoe"):
            session.add(Contact(id=person, name=person.title(), phone="+33639980003"))
    take_over(site.clock.now() - timedelta(days=1), "tom")
    with site.store.write() as session:
        now = site.clock.now()
        until = now + timedelta(minutes=30)
        stands_in = OnCallOverride(
            schedule="night",
            contact_id="ines",
            starts_at=now,
            ends_at=until,
            given_by="Tom",
            created_at=now,
        )
        give_override(session, stands_in)
    site.write(Raised(0, "s", 1, MINOR))
    site.work()
    site.clock.advance(minutes=40)
    take_over(site.clock.now(), "zoe")
    site.clock.advance(minutes=20)
    site.work()
    lines = told(site.store, site.cases()[-1].id or 0)
    messages = [line for line in lines if "message  " in line]
    assert [line.partition(" to ")[2] for line in messages] == [
        "Ines (on-call:night)",
        "Zoe (on-call:night)",
    ]


def test_a_message_with_a_link_of_its_own_is_worded_as_it_was(
    store: Store, clock: MovedClock
) -> None:
    address = "https://service.example.com"
    with store.read() as session:
        office_of(session).public_url = address
    room = Room(store, clock, "- survey: csat\n- close: asked", Templates())
    room.raise_alarm()
    with store.read() as session:
        (said,) = session.exec(select(Message)).all()
    assert address in str(said.texts)
    marks = {line[:2] for line in retell(store, room.case().id or 0, address).lines}
    assert marks == {"  "}


def test_a_technician_who_fell_ill_is_no_difference(store: Store, clock: MovedClock) -> None:
    desk = DispatchDesk(store, clock)
    desk.add_technician("near", 10)
    desk.raise_alarm()
    desk.reply("near", "offer", "accept")
    desk.pass_time(minutes=5)
    with store.write() as session:
        now = clock.now()
        session.add(Leave(technician_id="near", starts_at=now, ends_at=now + timedelta(days=1)))
        session.flush()
        announce_absences(session, now, "near")
    desk.pass_time(minutes=1)
    lines = told(store, desk.case().id or 0)
    assert sum("technician.unavailable" in line for line in lines) == 1


def test_a_case_that_is_not_there_is_named(store: Store) -> None:
    with pytest.raises(ConfigurationError, match="there is no case 7"):
        retell(store, 7)
    with store.read() as session:
        assert session.exec(select(Case)).all() == []
