"""A room for trying workflows: a runtime without threads, people and places, and what happens to them."""

import itertools
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from notify.delivery import move
from notify.message import DELIVERED, FAILED, SENT, Delivery, Message
from notify.replies import Inbound, read_meaning, receive
from notify.templating import Templates, read_templates
from prevenant.crm.shifts import parse_shifts
from prevenant.crm.tables import Contact, Customer, Device, RoleHolder, Site, Technician
from prevenant.document import read_yaml
from prevenant.domain import Severity
from prevenant.errors import Problem
from prevenant.store import Store
from prevenant.tables import Alarm, CaseEvent, TimelineEntry, add_case_event
from tests.moved_clock import MovedClock
from workflows.definition import Workflow
from workflows.reading import read_workflows
from workflows.runtime import Route, Runtime
from workflows.tables import Case

TEMPLATES = """
plain: {en: {sms: "plain {{ device.label }}"}}
sorted: {en: {sms: "Sorted.{% if survey | default(true) %} From 1 to 5?{% endif %}"}}
access: {en: {sms: "May we come in? {{ choices }}"}}
"""


def read_workflow(text: str, name: str = "visit") -> Workflow:
    """Return a workflow of a few lines of YAML; what is wrong with it fails the test."""
    problems: list[Problem] = []
    lines = "".join(f"  {line}\n" for line in text.strip("\n").splitlines())
    document = read_yaml(f"{name}:\n{lines}", problems, "rules.yaml")
    assert document is not None, problems
    workflow = read_workflows([document], [])[name]
    assert not problems, problems
    return workflow


def make_templates(text: str = TEMPLATES) -> Templates:
    """Return the shipped templates and those of `text`."""
    problems: list[Problem] = []
    document = read_yaml(text, problems, "rules.yaml")
    assert document is not None
    templates = Templates(read_templates([document]))
    assert not problems, problems
    return templates


class Room:
    """What happens is given to it, and it works until nothing is left to do now."""

    def __init__(
        self,
        store: Store,
        clock: MovedClock,
        steps: str | Workflow,
        templates: Templates | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        self.templates = templates or make_templates()
        self._numbers = itertools.count()
        self.use(steps if isinstance(steps, Workflow) else read_workflow(steps))
        with store.write() as session:
            if session.get(Contact, "ada") is None:
                settle_people(session)

    def use(self, workflow: Workflow) -> None:
        """Publish another version of the workflow."""
        routes = {"hot": Route("visit", {"en": "It is hot."})}
        workflows = {"visit": workflow}
        self.runtime = Runtime(self.store, self.clock, workflows, routes, self.templates)

    def work(self) -> None:
        """Do everything that can be done now."""
        for _ in range(1_000):
            if not self.runtime.work_once(self.clock.now()):
                return
        message = "the runtime never rests"
        raise AssertionError(message)

    def raise_alarm(
        self,
        severity: Severity = Severity.MAJOR,
        values: Mapping[str, Any] | None = None,
        device: str = "s/fridge",
    ) -> None:
        """Raise an alarm, and do what follows."""
        now = self.clock.now()
        with self.store.write() as session:
            alarm = Alarm(
                rule="hot",
                device_type="room",
                site_id="s",
                device_id=device,
                severity=severity,
                onset_at=now,
                raised_at=now,
                values=dict(values or {}),
                reason="`temperature > 26` holds",
            )
            session.add(alarm)
            session.flush()
            self._alarm_event(session, "alarm.raised", alarm.id or 0, severity)
        self.work()

    def level_alarm(self, severity: Severity) -> None:
        """Let the alarm have another severity."""
        with self.store.write() as session:
            self._alarm_event(session, "alarm.levelled", self.case().alarm_id, severity)
        self.work()

    def clear_alarm(self) -> None:
        """Clear the alarm."""
        with self.store.write() as session:
            self._alarm_event(session, "alarm.cleared", self.case().alarm_id, Severity.MAJOR)
        self.work()

    def clear_device(self, device: str) -> None:
        """Clear the latest alarm on a device, if there was one."""
        query = select(Alarm.id).where(Alarm.device_id == device).order_by(col(Alarm.id).desc())
        with self.store.write() as session:
            number = session.exec(query).first()
            if number is not None:
                self._alarm_event(session, "alarm.cleared", number, Severity.MAJOR)
        self.work()

    def tell_case(self, kind: str, **data: Any) -> None:
        """Let the latest case hear something."""
        self.tell(self.case().id, kind, **data)

    def tell(self, case_id: int | None, kind: str, **data: Any) -> None:
        """Let a case hear something."""
        with self.store.write() as session:
            event = CaseEvent(
                key=f"{kind}:{next(self._numbers)}",
                kind=kind,
                at=self.clock.now(),
                urgency=3,
                case_id=case_id,
                data=data,
            )
            add_case_event(session, event)
        self.work()

    def reply(self, contact: str, text: str) -> str:
        """Let somebody answer by SMS; return what became of it."""
        meaning = read_meaning(text)
        with self.store.write() as session:
            number = session.get_one(Contact, contact).phone
            inbound = Inbound(f"in-{next(self._numbers)}", "sms", number, text)
            now = self.clock.now()
            outcome = receive(session, self.templates, inbound, now, meaning=meaning).outcome
        self.work()
        return outcome

    def deliver(
        self, state: str = DELIVERED, *, to: str = "", answer: Mapping[str, Any] | None = None
    ) -> int:
        """Let what is queued arrive, or fail; return how much there was."""
        query = select(Delivery).where(Delivery.state == "queued").order_by(col(Delivery.id))
        with self.store.write() as session:
            found = [
                one
                for one in session.exec(query)
                if not to or session.get_one(Message, one.message_id).contact_id == to
            ]
            for one in found:
                one.answer = dict(answer or {})
                if state == DELIVERED:
                    move(session, one, SENT, self.clock.now())
                move(session, one, state, self.clock.now(), "no" if state == FAILED else "")
        self.work()
        return len(found)

    def pass_time(self, **span: float) -> None:
        """Let time pass, and do what becomes due."""
        self.clock.advance(**span)
        self.work()

    def told(self, contact: str = "") -> list[str]:
        """Return who was told with which template, in order; of one contact the templates alone."""
        with self.store.read() as session:
            messages = session.exec(select(Message).order_by(col(Message.id))).all()
        if contact:
            return [one.template for one in messages if one.contact_id == contact]
        return [f"{one.contact_id or one.name} {one.template}".strip() for one in messages]

    def messages(self) -> Sequence[Message]:
        """Return everything that was to be said, in order."""
        with self.store.read() as session:
            return session.exec(select(Message).order_by(col(Message.id))).all()

    def story(self, *kinds: str) -> list[str]:
        """Return the lines of the story of these kinds."""
        with self.store.read() as session:
            lines = session.exec(select(TimelineEntry).order_by(col(TimelineEntry.id))).all()
        return [one.summary for one in lines if one.kind in kinds]

    def kinds(self) -> list[str]:
        """Return the kinds of what happened to the case, in order."""
        with self.store.read() as session:
            lines = session.exec(select(TimelineEntry).order_by(col(TimelineEntry.id))).all()
        return [one.kind for one in lines]

    def case(self) -> Case:
        """Return the latest case."""
        with self.store.read() as session:
            case = session.exec(select(Case).order_by(col(Case.id).desc())).first()
        assert case is not None
        return case

    @property
    def outcome(self) -> tuple[str, str]:
        """Return how the latest case stands."""
        case = self.case()
        return case.state, case.outcome

    @property
    def due_at(self) -> datetime | None:
        """Return when the latest case looks up again."""
        return self.case().due_at

    def _alarm_event(self, session: Session, kind: str, alarm_id: int, severity: Severity) -> None:
        event = CaseEvent(
            key=f"{kind}:{alarm_id}:{next(self._numbers)}",
            kind=kind,
            at=self.clock.now(),
            urgency=severity,
            alarm_id=alarm_id,
            data={"reason": "because", "severity": int(severity)},
        )
        add_case_event(session, event)


def settle_people(session: Session) -> None:
    """Write a household with a fridge, two technicians near it, and staff."""
    people = {
        "ada": "customer",
        "guard": "guard",
        "chief": "chief",
        "desk": "dispatcher",
        "tom": "technician",
        "tim": "technician",
    }
    session.add(Customer(id="home", name="The household"))
    session.flush()
    for number, name in enumerate(people):
        contact = Contact(id=name, name=name.title(), phone=f"+3363998{number:04}")
        contact.customer_id = "home" if name == "ada" else None
        session.add(contact)
    session.flush()
    site = Site(id="s", name="Home", customer_id="home", latitude=48.0, longitude=2.0)
    session.add(site)
    site.contact_id, site.timezone = "ada", "Europe/Paris"
    session.flush()
    session.add(Device(id="s/fridge", site_id="s", type="room", label="Fridge", place="Kitchen"))
    for name, role in people.items():
        if role not in {"customer", "technician"}:
            session.add(RoleHolder(contact_id=name, role=role))
    for number, name in enumerate(("tom", "tim")):
        session.add(
            Technician(
                id=name,
                contact_id=name,
                latitude=48.01 + number / 100,
                longitude=2.0,
                skills={"cold": 2},
                shifts=parse_shifts("always"),
            )
        )
