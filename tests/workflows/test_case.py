"""How a case moves through its steps: parallel branches, facts that came early, deadlines, versions."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlmodel import select

from notify.message import Message
from notify.templating import Templates
from prevenant.crm.tables import Contact, RoleHolder
from prevenant.document import read_yaml
from prevenant.errors import Problem
from prevenant.store import Store
from prevenant.tables import Alarm, CaseEvent, TimelineEntry, add_case_event
from tests.moved_clock import MovedClock
from workflows.definition import Workflow, decode_steps, encode_steps
from workflows.reading import read_workflows
from workflows.runtime import Route, Runtime
from workflows.tables import Case

TOLD = "escalation"


def make_workflow(steps: str) -> Workflow:
    """Return a workflow of these steps."""
    problems: list[Problem] = []
    text = "visit:\n" + "".join(f"  {line}\n" for line in steps.strip().splitlines())
    document = read_yaml(text, problems, "rules.yaml")
    assert document is not None
    workflow = read_workflows([document], [])["visit"]
    assert not problems, problems
    return workflow


class Desk:
    """A runtime without threads: what happens is given to it, and it works until nothing is left."""

    def __init__(self, store: Store, clock: MovedClock, steps: str) -> None:
        self.store = store
        self.clock = clock
        self.use(steps)
        with store.write() as session:
            for role in ("guard", "chief"):
                session.add(Contact(id=role, name=role.title(), phone=f"+33639980{role[0:0]}001"))
                session.flush()
                session.add(RoleHolder(contact_id=role, role=role))

    def use(self, steps: str) -> None:
        """Publish another version of the workflow."""
        workflows = {"visit": make_workflow(steps)}
        routes = {"hot": Route("visit", {"en": "It is hot."}), "quiet": Route(None, {})}
        self.runtime = Runtime(self.store, self.clock, workflows, routes, Templates())

    def work(self) -> None:
        """Do everything that can be done now."""
        while self.runtime.work_once(self.clock.now()):
            pass

    def raise_alarm(self, rule: str = "hot", number: int = 1, severity: int = 3) -> None:
        """Raise an alarm on a device that the CRM does not know."""
        now = self.clock.now()
        with self.store.write() as session:
            alarm = Alarm(
                rule=rule,
                device_type="room",
                site_id="s",
                device_id=f"s/{number}",
                severity=severity,
                onset_at=now,
                raised_at=now,
                reason="`temperature > 26` holds",
            )
            session.add(alarm)
            session.flush()
            self._event(session, "alarm.raised", alarm.id or 0)
        self.work()

    def clear_alarm(self) -> None:
        """Clear the latest alarm."""
        with self.store.write() as session:
            alarm = session.exec(select(Alarm).order_by(Alarm.id.desc())).first()  # type: ignore[union-attr]
            assert alarm is not None
            self._event(session, "alarm.cleared", alarm.id or 0)
        self.work()

    def reply(self, contact: str, ask: str, intent: str) -> None:
        """Let a contact answer."""
        with self.store.write() as session:
            event = CaseEvent(
                key=f"reply-{self.clock.now()}-{contact}-{intent}",
                kind="reply",
                at=self.clock.now(),
                urgency=3,
                case_id=self.case().id,
                data={
                    "contact": contact,
                    "name": contact.title(),
                    "role": contact,
                    "ask": ask,
                    "intent": intent,
                    "number": 1,
                    "text": intent,
                    "channel": "sms",
                    "message": "m",
                },
            )
            add_case_event(session, event)
        self.work()

    def pass_time(self, **span: float) -> None:
        """Let time pass, and do what becomes due."""
        self.clock.advance(**span)
        self.work()

    def told(self) -> list[str]:
        """Return who was told, in order."""
        with self.store.read() as session:
            return [m.contact_id for m in session.exec(select(Message).order_by(Message.id))]  # type: ignore[arg-type]

    def story(self) -> list[str]:
        """Return the kinds of what happened to the cases, in order."""
        with self.store.read() as session:
            return [t.kind for t in session.exec(select(TimelineEntry).order_by(TimelineEntry.id))]  # type: ignore[arg-type]

    def case(self) -> Case:
        """Return the latest case."""
        with self.store.read() as session:
            case = session.exec(select(Case).order_by(Case.id.desc())).first()  # type: ignore[union-attr]
        assert case is not None
        return case

    def _event(self, session: object, kind: str, alarm_id: int) -> None:
        event = CaseEvent(
            key=f"{kind}:{alarm_id}:{self.clock.now()}",
            kind=kind,
            at=self.clock.now(),
            urgency=3,
            alarm_id=alarm_id,
            data={"reason": "because"},
        )
        add_case_event(session, event)  # type: ignore[arg-type]


@pytest.fixture
def desk(store: Store, clock: MovedClock) -> Callable[[str], Desk]:
    """Return how to make a desk with a workflow."""
    return lambda steps: Desk(store, clock, steps)


WAITS = """
- wait: alarm.cleared
  within: 10m
  otherwise: {escalate: guard, within: 5m, repeat: 2}
- close: done
"""


def test_a_wait_ends_by_its_fact(desk: Callable[[str], Desk]) -> None:
    one = desk(WAITS)
    one.raise_alarm()
    assert one.case().due_at == one.clock.now() + timedelta(minutes=10)
    one.clear_alarm()
    assert (one.case().state, one.case().outcome, one.case().due_at) == ("closed", "done", None)
    assert one.told() == []


def test_a_wait_ends_by_its_deadline_and_goes_on_after_otherwise(
    desk: Callable[[str], Desk],
) -> None:
    one = desk(WAITS)
    one.raise_alarm()
    one.pass_time(minutes=9, seconds=59)
    assert one.told() == []
    one.pass_time(seconds=1)
    assert one.told() == ["guard"]
    one.reply("guard", "acknowledge", "accept")
    assert (one.case().state, one.case().owner) == ("closed", "Guard")


def test_an_escalation_asks_again_and_ends_by_policy(desk: Callable[[str], Desk]) -> None:
    one = desk(WAITS)
    one.raise_alarm()
    one.pass_time(minutes=10)
    one.pass_time(minutes=5)
    one.pass_time(minutes=5)
    assert one.told() == ["guard", "guard"]
    assert "escalation.unanswered" in one.story()
    assert one.case().state == "closed"


def test_a_hand_off_asks_until_somebody_takes_it(desk: Callable[[str], Desk]) -> None:
    one = desk("- hand_off: [guard, chief]\n  within: 5m")
    one.raise_alarm()
    for _ in range(9):
        one.pass_time(days=1)
        assert one.case().state == "open"
        assert one.case().due_at is not None
    assert one.told()[:4] == ["guard", "chief", "guard", "chief"]
    one.reply("chief", "acknowledge", "accept")
    assert (one.case().state, one.case().owner) == ("handed_over", "Chief")


def test_a_hand_off_to_nobody_stays_alive(desk: Callable[[str], Desk]) -> None:
    one = desk("- hand_off: nobody")
    one.raise_alarm()
    assert one.case().due_at == one.clock.now() + timedelta(hours=1)
    assert "escalation.nobody" in one.story()
    with one.store.write() as session:
        session.add(RoleHolder(contact_id="chief", role="nobody"))
    one.pass_time(hours=1)
    assert one.told() == ["chief"]


def test_branches_run_beside_each_other_and_join(desk: Callable[[str], Desk]) -> None:
    one = desk("""
- parallel:
    - - wait: acknowledged
        within: 10m
        otherwise: {tell: chief, template: escalation_test}
    - - wait: alarm.cleared
        within: 1h
        otherwise: {tell: chief, template: escalation_test}
- close: joined
""")
    one.raise_alarm()
    one.clear_alarm()
    assert one.case().state == "open"
    one.reply("guard", "acknowledge", "accept")
    assert (one.case().state, one.case().outcome) == ("closed", "joined")


def test_facts_that_came_early_are_not_waited_for(desk: Callable[[str], Desk]) -> None:
    one = desk("""
- wait: acknowledged
  within: 1h
  otherwise: {close: late}
- wait: alarm.cleared
  within: 1h
  otherwise: {close: late}
- close: good
""")
    one.raise_alarm()
    one.clear_alarm()
    one.reply("guard", "acknowledge", "accept")
    assert one.case().outcome == "good"


def test_an_alarm_that_comes_back_joins_its_open_case(desk: Callable[[str], Desk]) -> None:
    one = desk("""
- wait: acknowledged
  within: 1h
  otherwise: {close: late}
- wait: alarm.cleared
  within: 1h
  otherwise: {close: late}
""")
    one.raise_alarm()
    first = one.case().id
    one.clear_alarm()
    one.pass_time(minutes=1)
    one.raise_alarm()
    assert one.case().id == first
    one.reply("guard", "acknowledge", "accept")
    assert one.case().state == "open", "the alarm is active again"
    one.clear_alarm()
    assert one.case().state == "closed"


def test_a_running_case_keeps_its_workflow(desk: Callable[[str], Desk]) -> None:
    one = desk(WAITS)
    one.raise_alarm()
    one.use("- close: at once")
    one.clear_alarm()
    assert one.case().outcome == "done"
    one.raise_alarm(number=2)
    assert one.case().outcome == "at once"


def test_a_rule_without_a_workflow_opens_no_case(desk: Callable[[str], Desk]) -> None:
    one = desk(WAITS)
    one.raise_alarm("quiet")
    with one.store.read() as session:
        assert session.exec(select(Case)).all() == []


def test_a_second_to_take_it_learns_who_has_it(desk: Callable[[str], Desk]) -> None:
    one = desk(WAITS)
    one.raise_alarm()
    one.reply("guard", "acknowledge", "accept")
    for _ in range(3):  # a key pressed, a text message, and another
        one.reply("chief", "acknowledge", "accept")
        one.pass_time(seconds=1)
    assert one.case().owner == "Guard"
    assert one.story().count("taken.already") == 3
    assert one.told() == ["chief"], "once"


def test_an_event_that_cannot_be_handled_stops_no_other_and_is_kept(
    desk: Callable[[str], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = desk(WAITS)
    one.raise_alarm()

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr("workflows.case.hear", broken)
        one.clear_alarm()
        one.raise_alarm(number=2)
        assert one.case().device_id == "s/2"
    with one.store.read() as session:
        failed = session.exec(select(CaseEvent).where(CaseEvent.attempts > 0)).one()
        assert "ZeroDivisionError" in (failed.error or "")
    one.pass_time(seconds=5)
    with one.store.read() as session:
        first = session.exec(select(Case).where(Case.device_id == "s/1")).one()
        assert first.state == "closed"


def test_an_event_that_never_can_be_handled_is_told_to_a_person(
    desk: Callable[[str], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = desk(WAITS)
    one.raise_alarm()

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("workflows.case.hear", broken)
    one.clear_alarm()
    for _ in range(8):
        one.pass_time(minutes=10)
    assert "case.failed" in one.story()


def test_a_deadline_that_cannot_be_handled_stops_no_other(
    desk: Callable[[str], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = desk(WAITS)
    one.raise_alarm()

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr("workflows.case.expire", broken)
        one.pass_time(minutes=10)
    assert "case.failed" in one.story()
    one.pass_time(minutes=5)
    assert one.told() == ["guard"]


def test_steps_survive_the_store() -> None:
    workflow = make_workflow(WAITS)
    again = decode_steps("visit", encode_steps(workflow))
    assert again == workflow
    assert again.version == workflow.version
