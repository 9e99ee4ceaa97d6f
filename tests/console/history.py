"""Two months of service at the demo's homes, written at once: what pages of figures are tried with."""

import random
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from notify.message import Delivery, Message
from prevenant.crm.tables import Device, Site, Technician
from prevenant.tables import Alarm, add_timeline
from workflows.tables import Case, CaseAlarm, SentSurvey, WorkflowVersion, WorkOrder

RULES = (("compressor-will-fail", 3), ("refrigerator-warm", 4), ("terminal-temperature", 2))
_STATES = ("delivered", "delivered", "delivered", "read", "sent", "undelivered", "failed")


def write_history(session: Session, now: datetime, *, days: int = 60, seed: int = 7) -> int:
    """Write two cases a day, most of them with a visit; return how many."""
    made_up = random.Random(seed)
    session.add(WorkflowVersion(version="history", name="visit", steps="[]"))
    session.flush()
    devices = session.exec(select(Device).order_by(col(Device.id)).limit(12)).all()
    technicians = session.exec(select(Technician).order_by(col(Technician.id)).limit(3)).all()
    written = 0
    for day in range(days, 0, -1):
        for _ in range(2):
            at = now - timedelta(days=day) + timedelta(hours=made_up.uniform(0, 20))
            device = made_up.choice(devices)
            _write_case(session, made_up, at, device, made_up.choice(technicians))
            written += 1
    return written


def _write_case(
    session: Session, made_up: random.Random, at: datetime, device: Device, technician: Technician
) -> None:
    rule, severity = made_up.choice(RULES)

    def after(low: float, high: float, since: datetime = at) -> datetime:
        return since + timedelta(minutes=made_up.uniform(low, high))

    alarm = Alarm(
        rule=rule,
        device_type=device.type,
        site_id=device.site_id,
        device_id=device.id,
        severity=severity,
        state="cleared",
        onset_at=at - timedelta(minutes=made_up.uniform(1, 20)),
        raised_at=at,
        cleared_at=at + timedelta(hours=4),
        reason="`cabinet > 8` holds",
    )
    session.add(alarm)
    session.flush()
    closed_at = after(180, 400)
    case = Case(
        alarm_id=alarm.id or 0,
        rule=rule,
        device_type=device.type,
        site_id=device.site_id,
        device_id=device.id,
        severity=severity,
        workflow="visit",
        workflow_version="history",
        state="closed",
        outcome="done",
        opened_at=at,
        closed_at=closed_at,
    )
    session.add(case)
    session.flush()
    number = case.id or 0
    session.add(
        CaseAlarm(
            case_id=number,
            alarm_id=alarm.id or 0,
            rule=rule,
            device_id=device.id,
            severity=severity,
            joined_at=at,
            ended_at=closed_at,
        )
    )
    _write_message(session, made_up, case, after(0.2, 3))
    accepted_at = after(3, 12)
    add_timeline(session, accepted_at, "offer.accepted", "accepts", case_id=number)
    order = WorkOrder(
        case_id=number,
        technician_id=technician.id,
        contact_id=technician.contact_id,
        technician_name="Tom",
        device_id=device.id,
        site_id=device.site_id,
        state="done",
        visit_start=accepted_at,
        visit_end=after(60, 120),
        code=made_up.choice(["confirmed", "confirmed", "other_cause", "no_fault_found"]),
        accepted_at=accepted_at,
        updated_at=closed_at,
    )
    session.add(order)
    session.flush()
    detail = {"order": order.id}
    steps = ("en_route", after(15, 30)), ("arrived", after(35, 90)), ("done", after(100, 170))
    for state, then in steps:
        add_timeline(session, then, f"technician.{state}", state, case_id=number, detail=detail)
    kind = made_up.choice(["csat", "csat", "nps", "ces"])
    largest = {"csat": 5, "nps": 10, "ces": 7}[kind]
    survey = SentSurvey(
        case_id=number, contact_id="someone", kind=kind, message_key="k", sent_at=closed_at
    )
    if made_up.random() < 0.7:
        survey.rating = made_up.randint(largest - 2, largest)
        survey.answered_at = closed_at
    session.add(survey)


def _write_message(session: Session, made_up: random.Random, case: Case, sent_at: datetime) -> None:
    site = session.get_one(Site, case.site_id)
    key = f"history-{case.id}"
    state = made_up.choice(_STATES)
    message = Message(
        key=key,
        case_id=case.id,
        contact_id=site.contact_id or "someone",
        name="Marie Dupont",
        role="customer",
        template="visit_planned",
        language="fr",
        severity=case.severity,
        turns=[["sms"], ["email"]],
        texts={"sms": "Bonjour Marie, nous venons mardi."},
        addresses={"sms": "+33639980009"},
        state=state,
        created_at=sent_at,
    )
    session.add(message)
    session.flush()
    delivery = Delivery(
        key=key,
        message_id=message.id or 0,
        channel="sms",
        address="+33639980009",
        severity=case.severity,
        state=state,
        reason="the carrier says undelivered (code 30003)" if state == "undelivered" else "",
        attempts=1,
        segments=1,
        sent_at=sent_at,
        updated_at=sent_at,
    )
    session.add(delivery)
