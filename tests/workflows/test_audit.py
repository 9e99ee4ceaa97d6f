"""The self-audit finds everything that would be lost, each with its reason, and nothing that would not."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlmodel import Session, col, delete, select, update

from notify.message import SENDING, UNCERTAIN, Delivery, Message
from notify.templating import Templates
from prevenant.crm.tables import Contact, RoleHolder
from prevenant.shelving import tell_case
from prevenant.store import Store
from prevenant.tables import CLEARED, Alarm, CaseEvent, ModelState, TimelineEntry, add_case_event
from tests.moved_clock import MovedClock
from tests.workflows.test_case import make_workflow
from tests.workflows.test_grouping import fresh_store
from workflows.audit import CHECKS, _describe_model, find_lost
from workflows.auditor import Auditor
from workflows.own_alarm import AUDIT_RULE
from workflows.runtime import Route, Runtime
from workflows.tables import Case, CaseAlarm, Offer

STEPS = """
- tell: guard
  template: escalation_text
  ask: acknowledge
- wait: acknowledged
  within: 5m
  otherwise: {escalate: guard, within: 5m, repeat: 2}
- wait: alarm.cleared
  within: 1h
  otherwise: {hand_off: guard}
- close: done
""".replace("escalation_text", "self_audit")


class Watched:
    """A runtime with an auditor beside it, and no threads."""

    def __init__(self, store: Store, clock: MovedClock) -> None:
        self.store, self.clock = store, clock
        routes = {"hot": Route("visit", {"en": "It is hot."}), "quiet": Route(None, {})}
        workflows = {"visit": make_workflow(STEPS)}
        self.runtime = Runtime(store, clock, workflows, routes, Templates())
        self.auditor = Auditor(store, clock)
        self.number = 0
        with store.write() as session:
            for role in ("guard", "operator"):
                session.add(Contact(id=role, name=role.title(), phone="+33639980001"))
                session.flush()
                session.add(RoleHolder(contact_id=role, role=role))
        clock.advance(minutes=10)

    def work(self) -> None:
        """Do everything that can be done now."""
        while self.runtime.work_once(self.clock.now()):
            pass

    def raise_alarm(self, rule: str = "hot") -> int:
        """Raise an alarm on another device; return its number."""
        now = self.clock.now()
        self.number += 1
        with self.store.write() as session:
            alarm = Alarm(
                rule=rule,
                device_type="room",
                site_id="s",
                device_id=f"s/{self.number}",
                severity=3,
                onset_at=now,
                raised_at=now,
                reason="it is hot",
            )
            session.add(alarm)
            session.flush()
            tell_case(session, alarm, "alarm.raised", now, "it is hot")
            return alarm.id or 0

    def clear(self, number: int) -> None:
        """Clear an alarm."""
        with self.store.write() as session:
            alarm = session.get_one(Alarm, number)
            alarm.state, alarm.cleared_at = CLEARED, self.clock.now()
            session.add(alarm)
            tell_case(session, alarm, "alarm.cleared", self.clock.now(), "it is cool")

    def acknowledge(self, case_id: int) -> None:
        """Let the guard take a case."""
        data = {"contact": "guard", "name": "Guard", "role": "guard", "ask": "acknowledge"}
        data |= {"intent": "accept", "text": "1", "channel": "sms"}
        with self.store.write() as session:
            self.number += 1
            key = f"reply-{self.number}"
            add_case_event(
                session,
                CaseEvent(
                    key=key,
                    kind="reply",
                    at=self.clock.now(),
                    urgency=3,
                    case_id=case_id,
                    data=data,
                ),
            )

    def lost(self) -> list[str]:
        """Return the kinds of what is lost."""
        with self.store.read() as session:
            return [one.kind for one in find_lost(session, self.clock.now())]

    def audit(self) -> list[str]:
        """Go round once, and return the reasons of the audit's alarms that are active."""
        self.auditor.audit(self.clock.now())
        return [alarm.reason for alarm in self.alarms("active")]

    def alarms(self, state: str) -> list[Alarm]:
        """Return the audit's own alarms."""
        with self.store.read() as session:
            query = select(Alarm).where(Alarm.rule == AUDIT_RULE, Alarm.state == state)
            return list(session.exec(query.order_by(col(Alarm.id))))

    def injure(self, wound: Callable[[Session, "Watched"], None]) -> None:
        """Damage the store as no code of ours should."""
        with Session(self.store.engine) as session:
            # Without the database's own guards: outside of a transaction, where SQLite wants it.
            connection = session.connection()
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("COMMIT")
                connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            wound(session, self)
            session.commit()
        self.store.engine.dispose()

    def told(self, contact: str) -> list[str]:
        """Return what somebody was told."""
        with self.store.read() as session:
            query = select(Message).where(Message.contact_id == contact)
            found = session.exec(query.order_by(col(Message.id)))
            return [str(one.texts["sms"]) for one in found]


@pytest.fixture
def watched(store: Store, clock: MovedClock) -> Watched:
    """Return a runtime and its auditor, long up."""
    return Watched(store, clock)


def _forget_the_raise(session: Session, _: Watched) -> None:
    session.exec(delete(CaseAlarm))
    session.exec(delete(CaseEvent))
    session.exec(update(Case).values(state="closed", due_at=None))


def _forget_the_deadline(session: Session, _: Watched) -> None:
    session.exec(update(Case).values(due_at=None))


def _let_the_deadline_pass(session: Session, watched: Watched) -> None:
    session.exec(update(Case).values(due_at=watched.clock.now() - timedelta(minutes=5)))


def _fail_again_and_again(session: Session, _: Watched) -> None:
    session.exec(update(Case).values(failures=3))


def _leave_unheard(session: Session, watched: Watched) -> None:
    at = watched.clock.now() - timedelta(minutes=5)
    session.exec(update(CaseEvent).values(heard_at=None, at=at, error="ValueError('broken')"))


def _give_up(session: Session, _: Watched) -> None:
    session.exec(update(CaseEvent).values(outcome="given up", error="ValueError('broken')"))


def _forget_the_version(session: Session, _: Watched) -> None:
    session.exec(update(Case).values(workflow_version="gone"))


def _forget_its_alarm(session: Session, watched: Watched) -> None:
    session.exec(delete(CaseAlarm))
    session.exec(update(Alarm).values(state=CLEARED, cleared_at=watched.clock.now()))


def _hand_over_to_nobody(session: Session, _: Watched) -> None:
    session.exec(update(Case).values(state="handed_over", due_at=None, owner=""))


def _leave_an_offer(session: Session, watched: Watched) -> None:
    at = watched.clock.now() - timedelta(minutes=5)
    session.add(
        Offer(
            case_id=session.exec(select(Case.id)).one() or 0,
            step="0",
            technician_id="t",
            contact_id="guard",
            technician_name="Camille",
            message_key="k",
            offered_at=at,
            expires_at=at,
        )
    )


def _shelve_beyond(session: Session, watched: Watched) -> None:
    at = watched.clock.now() - timedelta(minutes=5)
    session.exec(update(Alarm).values(held_by="shelved", held_until=at))


def _hang(state: str) -> Callable[[Session, Watched], None]:
    def wound(session: Session, watched: Watched) -> None:
        at = watched.clock.now() - timedelta(minutes=15)
        session.exec(update(Delivery).values(state=state, started_at=at, next_at=None))

    return wound


def _leave_queued(session: Session, watched: Watched) -> None:
    at = watched.clock.now() - timedelta(minutes=15)
    session.exec(update(Delivery).values(next_at=at))


def _follow_nobody(session: Session, watched: Watched) -> None:
    at = watched.clock.now() - timedelta(minutes=15)
    session.exec(update(Message).values(move_on_at=at))


WOUNDS = {
    "alarm-without-case": _forget_the_raise,
    "case-without-deadline": _forget_the_deadline,
    "deadline-missed": _let_the_deadline_pass,
    "deadline-failing": _fail_again_and_again,
    "event-unheard": _leave_unheard,
    "event-given-up": _give_up,
    "case-without-workflow": _forget_the_version,
    "case-without-alarm": _forget_its_alarm,
    "case-without-owner": _hand_over_to_nobody,
    "offer-left-open": _leave_an_offer,
    "shelf-over": _shelve_beyond,
    "message-stuck": _hang(SENDING),
    "message-stuck ": _hang(UNCERTAIN),
    "message-stuck  ": _leave_queued,
    "message-unfollowed": _follow_nobody,
}


def test_there_is_a_wound_for_every_check() -> None:
    of_models = {"model-out"}  # it is about no alarm, and has a test of its own below
    assert {kind.strip() for kind in WOUNDS} | of_models == {check.kind for check in CHECKS}


@pytest.mark.parametrize("kind", WOUNDS)
def test_it_finds_what_is_lost_and_a_person_is_told(watched: Watched, kind: str) -> None:
    number = watched.raise_alarm()
    watched.work()
    watched.clock.advance(minutes=4)
    assert watched.lost() == []
    assert watched.audit() == []
    watched.injure(WOUNDS[kind])
    assert set(watched.lost()) == {kind.strip()}
    (reason,) = watched.audit()
    assert "hot on s/1" in reason, "it says what it is about"
    assert watched.audit() == [reason], "it is told once"
    _let_only_the_audit_work(watched)
    assert any(reason in text for text in watched.told("operator"))
    assert len(watched.alarms("active")) == 1
    assert number


def _let_only_the_audit_work(watched: Watched) -> None:
    """Let the case of the audit's alarm go on, and leave what is injured as it is."""
    now = watched.clock.now()
    with watched.store.write() as session:
        event = session.exec(
            select(CaseEvent)
            .join(Alarm, col(Alarm.id) == CaseEvent.alarm_id)
            .where(Alarm.rule == AUDIT_RULE)
        ).one()
        watched.runtime._hear(session, event, now)
        event.heard_at = now
    with watched.store.write() as session:
        case = session.exec(select(Case).where(Case.rule == AUDIT_RULE)).one()
        from workflows import case as cases  # noqa: PLC0415  only here

        later = now + timedelta(seconds=31)
        cases.expire(watched.runtime._running(session, case, later))


def test_what_is_healed_is_cleared_and_its_case_ends(watched: Watched) -> None:
    watched.raise_alarm()
    watched.work()
    watched.injure(_forget_the_deadline)
    assert len(watched.audit()) == 1
    watched.clock.advance(seconds=31)
    watched.work()
    assert len(watched.told("operator")) == 1
    due = watched.clock.now() + timedelta(minutes=5)
    with watched.store.write() as session:
        session.exec(update(Case).where(col(Case.rule) == "hot").values(due_at=due))
    assert watched.audit() == []
    for _ in range(4):
        watched.clock.advance(minutes=15)
        watched.work()
    with watched.store.read() as session:
        own = session.exec(select(Case).where(Case.rule == AUDIT_RULE)).one()
        assert (own.state, own.outcome) == ("closed", "healed")
        kinds = set(session.exec(select(TimelineEntry.kind)))
    assert {"audit.lost", "audit.healed"} <= kinds


def test_many_losses_of_a_kind_are_one_more_alarm(watched: Watched) -> None:
    for _ in range(40):
        watched.raise_alarm()
    watched.work()
    watched.injure(_forget_the_deadline)
    reasons = watched.audit()
    assert len(reasons) == 21
    assert "20 more" in reasons[-1]
    assert watched.audit() == reasons
    watched.clock.advance(seconds=31)
    watched.work()
    (text,) = watched.told("operator")
    assert "20 more devices" in text
    due = watched.clock.now() + timedelta(minutes=5)
    with watched.store.write() as session:
        session.exec(update(Case).where(col(Case.rule) == "hot").values(due_at=due))
    assert watched.audit() == []


def test_two_auditors_raise_one_alarm(watched: Watched) -> None:
    watched.raise_alarm()
    watched.work()
    watched.injure(_forget_the_deadline)
    other = Auditor(watched.store, watched.clock)
    watched.clock.advance(minutes=3)
    other.audit(watched.clock.now())
    assert len(watched.audit()) == 1


def test_it_is_not_audited_itself_but_falls_silent(watched: Watched) -> None:
    watched.raise_alarm()
    watched.work()
    watched.injure(_forget_the_deadline)
    assert not watched.auditor.audit(watched.clock.now()).is_silenced
    watched.clock.advance(minutes=3)
    one = watched.auditor.audit(watched.clock.now())
    assert (one.lost, one.is_silenced) == (1, True), "nobody hears of its alarm"
    watched.work()
    assert not watched.auditor.audit(watched.clock.now()).is_silenced


def test_what_was_due_while_it_was_down_is_late_and_not_lost(watched: Watched) -> None:
    watched.raise_alarm()
    watched.work()
    watched.clock.advance(hours=1)
    watched.auditor = Auditor(watched.store, watched.clock)
    assert watched.audit() == []
    assert watched.lost() != []
    watched.clock.advance(minutes=3)
    assert len(watched.audit()) > 0


def test_a_large_table_is_looked_at_bit_by_bit(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.auditor._SLICE", 10)
    for _ in range(95):
        watched.raise_alarm("quiet")
    watched.work()
    with watched.store.write() as session:
        session.exec(update(CaseEvent).where(col(CaseEvent.id).in_([3, 91])).values(outcome=""))
    watched.clock.advance(minutes=3)
    rounds = [sorted(one.split()[1] for one in watched.audit()) for _ in range(10)]
    assert rounds[0] == ["3", "91"], "the oldest slice, and what is new"
    assert rounds[-1] == ["3", "91"], "an alarm stays until its own loss is healed"


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["raise", "quiet", "clear", "acknowledge", "wait", "wait long", "restart"]),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=16,
)


@settings(max_examples=40, deadline=None)
@given(actions=ACTIONS)
def test_it_is_silent_on_everything_that_may_happen(actions: list[tuple[str, int]]) -> None:
    with fresh_store() as store:
        watched = Watched(store, MovedClock())
        alarms: list[int] = []
        for action, number in actions:
            match action:
                case "raise":
                    alarms.append(watched.raise_alarm())
                case "quiet":
                    watched.raise_alarm("quiet")
                case "clear" if alarms:
                    watched.clear(alarms.pop(number % len(alarms)))
                case "acknowledge" if alarms:
                    with store.read() as session:
                        ids = list(session.exec(select(Case.id)))
                    if ids:
                        watched.acknowledge(ids[number % len(ids)] or 0)
                case "wait":
                    watched.clock.advance(seconds=40 * number)
                case "wait long":
                    watched.clock.advance(hours=number)
                case "restart":
                    watched.auditor = Auditor(store, watched.clock)
            watched.work()
            with store.write() as session:
                session.exec(update(Delivery).values(state="sent"))
            with store.read() as session:
                assert find_lost(session, watched.clock.now()) == []
            assert watched.audit() == []


def test_no_check_reads_a_whole_table(tmp_path: Path, clock: MovedClock) -> None:
    """What is not looked at in slices is answered by an index of just what is lost."""
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    store.upgrade()
    statements: list[tuple[str, object]] = []

    def note(
        _connection: object, _cursor: object, statement: str, parameters: object, *_: object
    ) -> None:
        statements.append((statement, parameters))

    event.listen(store.engine, "before_cursor_execute", note)
    plans: dict[str, str] = {}
    with store.read() as session:
        for check in CHECKS:
            statements.clear()
            if check.is_sliced:
                check.find(session, clock.now(), after=0, upto=100)
            else:
                check.find(session, clock.now())
            statement, parameters = statements[-1]
            rows = session.connection().exec_driver_sql(
                f"EXPLAIN QUERY PLAN {statement}",
                parameters,  # type: ignore[arg-type]
            )
            plans[check.kind] = "; ".join(str(row[3]) for row in rows)
    store.close()
    for kind, plan in plans.items():
        first = plan.split("; ")[0]
        assert first.startswith("SEARCH") or "USING INDEX ix_" in first, f"{kind}: {plan}"
        assert not any(one.startswith("SCAN") and "USING" not in one for one in plan.split("; ")), (
            f"{kind}: {plan}"
        )


def test_a_model_that_cannot_be_believed_reaches_the_operator_and_clears_when_healed(
    store: Store, clock: MovedClock
) -> None:
    watched = Watched(store, clock)
    with store.write() as session:
        for name, state in (("idle", "none"), ("well", "speaking"), ("worn", "broken")):
            row = ModelState(name=name, device_type="fridge", state=state, since=clock.now())
            row.reason = "it has failed" if state == "broken" else ""
            session.add(row)
    watched.auditor.audit(clock.now())
    watched.work()
    with store.read() as session:
        (alarm,) = session.exec(select(Alarm).where(Alarm.rule == AUDIT_RULE))
        told = session.exec(select(Message).where(Message.contact_id == "operator")).all()
    assert alarm.values["kind"] == "model-out"
    assert alarm.reason == (
        "model worn is broken and not believed of any fridge: it has failed; "
        "the rules go on without it"
    )
    clock.advance(minutes=2)
    watched.work()
    with store.read() as session:
        told = session.exec(select(Message).where(Message.contact_id == "operator")).all()
    assert [one.template for one in told] == ["self_audit"]
    with store.write() as session:
        row = session.exec(select(ModelState).where(ModelState.name == "worn")).one()
        row.state, row.refused = "speaking", "version 2 is damaged"
        session.add(row)
    slow = ModelState(name="x", device_type="fridge", state="slow", reason="raise score_every")
    slow.refused = "version 2 is damaged"
    assert _describe_model(slow) == (
        "model x takes more of the machine than it should: raise score_every; version 2 is damaged"
    )
    clock.advance(minutes=1)
    watched.auditor.audit(clock.now())
    with store.write() as session:
        (alarm,) = session.exec(select(Alarm).where(Alarm.rule == AUDIT_RULE))
        assert alarm.state != CLEARED, "what is to speak cannot"
        row = session.exec(select(ModelState).where(ModelState.name == "worn")).one()
        row.refused = ""
        session.add(row)
    clock.advance(minutes=1)
    watched.auditor.audit(clock.now())
    with store.read() as session:
        (alarm,) = session.exec(select(Alarm).where(Alarm.rule == AUDIT_RULE))
    assert alarm.state == CLEARED
