"""A story of cases that goes through every kind of step, told by one process that can be killed anywhere.

It needs no threads: what is due is done, then somebody answers, then time passes. Everything stands in a
folder: the store, the time, and what the provider has taken. Whoever tells it again goes on where it
was left.
"""

import typing
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, or_, select

from notify.message import DELIVERED, OVER, QUEUED, REACHED, SENT, Delivery, Message
from notify.outbox import Outbox
from notify.replies import Inbound, receive
from notify.templating import Templates
from prevenant.clock import from_epoch
from prevenant.crm.shifts import parse_shifts
from prevenant.crm.tables import Contact, Customer, RoleHolder, Site, Technician
from prevenant.shelving import tell_case
from prevenant.store import Store
from prevenant.tables import Alarm, CaseEvent
from tests.moved_clock import MovedClock
from tests.workflows.test_case import make_workflow
from workflows.definition import Step, Workflow
from workflows.runtime import Route, Runtime
from workflows.tables import OPEN, Case

BEGIN = 1_800_000_000.0
_TURNS = 400

VISIT = """
- tell: customer
  template: told
  channels: [sms, email]
- command: {topic: 'doors/{{ device.id }}', payload: {lock: true}}
  within: 30s
  otherwise: {escalate: chief}
- call: https://desk.example.com/hook
  name: ticket
  within: 10m
  otherwise: {escalate: chief}
- if: severity >= major
  then: {tell: guard, template: told}
- ask: customer
  name: entry
  template: told
  answers:
    home: {words: [at home]}
    never: [{close: not wanted}]
  within: 4h
  otherwise: {hand_off: chief}
- dispatch: {skill: doors, within: 50 km, offer: 10m}
  otherwise: {hand_off: chief}
- wait: technician.arrived
  within: 2h
  otherwise: {escalate: chief}
- parallel:
    - - tell: guard
        template: told
    - - wait: technician.done
        within: 3h
        otherwise: {escalate: chief, within: 10m, repeat: 1}
- survey: csat
- close: done
"""
HAND_OVER = """
- escalate: guard
  within: 5m
  repeat: 2
- hand_off: chief
  within: 5m
"""
"""Guards never answer; a chief answers the second time."""
WORKFLOWS = {"visit": VISIT, "hand-over": HAND_OVER}
KINDS: tuple[type, ...] = typing.get_args(Step)
"""Every kind of step there is: a new one has to come up in these workflows."""
_ANSWERS = {"offer": "1", "progress": ("1", "2", "3 hinge"), "question": "1", "rating": "5"}


class Shop:
    """A provider that keeps what it has taken in a file, so that it outlives whoever handed it over."""

    confirms = False

    def __init__(self, path: Path, moment: Callable[[str], None]) -> None:
        self._path = path
        self._moment = moment

    def send(self, delivery: Delivery, message: Message) -> str:
        """Take a delivery."""
        del message
        self._moment("hand-over before")
        with self._path.open("a") as file:
            file.write(f"{delivery.key}\n")
        self._moment("hand-over after")
        return f"shop-{delivery.key}"

    def find(self, delivery: Delivery, message: Message, known: frozenset[str]) -> str | None:
        """Look whether a delivery was taken."""
        del message, known
        return f"shop-{delivery.key}" if delivery.key in taken(self._path.parent) else None

    def close(self) -> None:
        """Do nothing."""


def taken(folder: Path) -> Counter[str]:
    """Return what the provider has taken, and how often."""
    path = folder / "taken"
    return Counter(path.read_text().split()) if path.exists() else Counter()


def prepare(folder: Path, url: str = "") -> None:
    """Make the store, its people, and two alarms."""
    store = Store(url or f"sqlite:///{folder / 'store.db'}")
    store.upgrade()
    now = from_epoch(BEGIN)
    with store.write() as session:
        for number, name in enumerate(("guard", "chief", "tech", "client")):
            phone = f"+3363998000{number}"
            session.add(Contact(id=name, name=name.title(), phone=phone, email=f"{name}@v.example"))
        session.add(Customer(id="c", name="Airport"))
        session.flush()
        place: dict[str, Any] = {"latitude": 48.85, "longitude": 2.35, "timezone": "UTC"}
        session.add(Site(id="s", name="Hall", customer_id="c", contact_id="client", **place))
        session.flush()
        for role in ("guard", "chief"):
            session.add(RoleHolder(contact_id=role, role=role))
        work: dict[str, Any] = {"skills": {"doors": 2}, "shifts": parse_shifts("always")}
        session.add(Technician(id="t", contact_id="tech", **work, **place))
        for rule in WORKFLOWS:
            alarm = Alarm(
                rule=rule,
                device_type="door",
                site_id="s",
                device_id=f"s/{rule}",
                severity=3,
                onset_at=now,
                raised_at=now,
                reason="it holds",
            )
            session.add(alarm)
            session.flush()
            tell_case(session, alarm, "alarm.raised", now, alarm.reason)
    store.close()


def read_workflows() -> dict[str, Workflow]:
    """Return the workflows of the story."""
    return {name: Workflow(name, make_workflow(text).steps) for name, text in WORKFLOWS.items()}


class Story:
    """One process that tells the story."""

    def __init__(
        self,
        folder: Path,
        moment: Callable[[str], None] = lambda _name: None,
        workflows: Mapping[str, Workflow] | None = None,
    ) -> None:
        self.folder = folder
        self.moment = moment
        self.store = Store(f"sqlite:///{folder / 'store.db'}")
        at = (folder / "time").read_text() if (folder / "time").exists() else str(BEGIN)
        self.clock = MovedClock(from_epoch(float(at)))
        self.templates = Templates({"told": {"en": {"sms": "{{ alarm.message }}"}}})
        self.idle = 0
        """How often nothing was left to do but to wait."""
        names = ("sms", "voice", "email", "webhook", "mqtt")
        channels = dict.fromkeys(names, Shop(folder / "taken", moment))
        self.outbox = Outbox(self.store, self.clock, channels)
        self.publish(workflows or read_workflows())

    def publish(self, workflows: Mapping[str, Workflow]) -> None:
        """Go by these workflows from now on, in a process that has forgotten all others."""
        routes = {name: Route(name, {"en": "It holds."}) for name in WORKFLOWS}
        # A transaction takes on as much however fast the machine is: the moments are the same.
        self.runtime = Runtime(
            self.store, self.clock, workflows, routes, self.templates, steady=lambda: 0.0
        )

    def tell(self, on_idle: Callable[["Story"], None] = lambda _story: None) -> None:
        """Tell it to its end."""
        self.outbox._recover()
        for _ in range(_TURNS):
            while self._work():
                pass
            if self._is_over():
                return
            self.idle += 1
            on_idle(self)
            if not self._answer():
                self._let_time_pass()
        message = f"the story does not end: {self.runtime.next_due()}"
        raise TimeoutError(message)

    def close(self) -> None:
        """Give the store back."""
        self.store.close()

    def _work(self) -> bool:
        now = self.clock.now()
        if self.runtime.work_once(now):
            return True
        claims = self.outbox._turn(now)
        for claim in claims:
            self.outbox._work(claim)
        return bool(claims or self.outbox._results)

    def _is_over(self) -> bool:
        with self.store.read() as session:
            cases = session.exec(select(Case.state)).all()
            open_deliveries = _open_deliveries(session)
            unheard = session.exec(select(CaseEvent).where(col(CaseEvent.heard_at).is_(None)))
            return OPEN not in cases and not open_deliveries and not unheard.all()

    def _answer(self) -> bool:
        """Let the first answer that was not given yet be given; each once, by its name."""
        with self.store.write() as session:
            for message in session.exec(select(Message).order_by(col(Message.id))):
                for number, text in enumerate(_answers_to(message)):
                    name = f"reply-{message.key}-{number}"
                    key = CaseEvent.key == f"reply:{name}"
                    if not session.exec(select(CaseEvent.id).where(key)).first():
                        inbound = Inbound(name, "sms", message.addresses["sms"], text)
                        receive(session, self.templates, inbound, self.clock.now(), message)
                        return True
        return False

    def _let_time_pass(self) -> None:
        moments = [self.runtime.next_due()]
        with self.store.read() as session:
            moments += [one.next_at for one in _open_deliveries(session)]
        until = min(at for at in moments if at is not None)
        self._set_time(max(until, self.clock.now() + timedelta(seconds=1)))

    def _set_time(self, at: datetime) -> None:
        self.clock.advance(seconds=(at - self.clock.now()).total_seconds())
        # A file that is written whole or not at all.
        (self.folder / "time.new").write_text(str(at.timestamp()))
        (self.folder / "time.new").replace(self.folder / "time")


def _open_deliveries(session: Session) -> list[Delivery]:
    over = [*OVER, *REACHED, SENT]
    query = select(Delivery).where(or_(col(Delivery.state).not_in(over), Delivery.state == QUEUED))
    return list(session.exec(query))


def _answers_to(message: Message) -> tuple[str, ...]:
    if message.state != SENT or message.ask is None or "sms" not in message.addresses:
        return ()
    if message.ask == "acknowledge":
        is_second = message.contact_id == "chief" and message.key.endswith(("4", "5"))
        return ("1",) if is_second and message.ask_open else ()
    answers = _ANSWERS[message.ask.partition(":")[0]]
    return answers if isinstance(answers, tuple) else (answers,)


def messages(folder: Path) -> dict[str, tuple[str, str]]:
    """Return to whom each message of the story went, and by which template."""
    store = Store(f"sqlite:///{folder / 'store.db'}")
    with store.read() as session:
        found = {one.key: (one.contact_id, one.template) for one in session.exec(select(Message))}
    store.close()
    return found


def check(folder: Path, expected: Mapping[str, tuple[str, str]]) -> None:
    """Every message once, the same as if nothing had happened, and every alarm at a named end."""
    assert messages(folder) == expected
    store = Store(f"sqlite:///{folder / 'store.db'}")
    with store.read() as session:
        deliveries = session.exec(select(Delivery)).all()
        lost = find_lost(session)
        outcomes = {one.rule: (one.state, one.outcome) for one in session.exec(select(Case))}
    store.close()
    assert lost == []
    assert outcomes == {
        "visit": ("closed", "done"),
        "hand-over": ("handed_over", "handed over to Chief"),
    }
    assert {one.state for one in deliveries} == {SENT, DELIVERED}
    assert taken(folder) == Counter({one.key: 1 for one in deliveries})


def find_lost(session: Session) -> list[int]:
    """Return the alarms that have neither a named end nor a live timer nor anything to be heard."""
    alarms = session.exec(select(Alarm)).all()
    cases = {case.alarm_id: case for case in session.exec(select(Case))}
    unheard = set(session.exec(select(CaseEvent.alarm_id).where(col(CaseEvent.heard_at).is_(None))))
    return [
        alarm.id or 0
        for alarm in alarms
        if alarm.id not in unheard
        and (
            (case := cases.get(alarm.id or 0)) is None
            or (case.state == OPEN and case.due_at is None)
            or (case.state != OPEN and not case.outcome)
        )
    ]
