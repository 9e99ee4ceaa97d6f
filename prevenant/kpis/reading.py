"""The facts of a time, read from the store: a few queries, whatever the number of cases."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, or_
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from notify.message import CHANNELS, OVER, Delivery, Message
from notify.replies.inbound import AMBIGUOUS, HANDED_OFF, NOTED, UNCLEAR, UNKNOWN, Reply
from notify.replies.intents import ANGER, COMPLAINT, TALK
from prevenant.crm.tables import Site
from prevenant.kpis.facts import AlarmFacts, CaseFacts, Facts, Origin, SurveyFacts, Visit
from prevenant.tables import CLEARED, Alarm, TimelineEntry
from workflows.links import CUSTOMER_ROLES
from workflows.own_alarm import AUDIT_RULE
from workflows.tables import Case, CaseAlarm, SentSurvey, WorkOrder

_ACKNOWLEDGED = ("acknowledged", "taken_over", "offer.accepted")
_ALARM_ACKNOWLEDGED = "alarm.acknowledged"
_PROGRESS = {"technician.en_route": "en_route_at", "technician.arrived": "arrived_at"}
_PROGRESS |= {"technician.done": "done_at"}
_WANTED = "person.wanted"
_CALLS = frozenset({"person", "complaint", "anger"})
"""What customers want who get in touch by themselves; another time for a visit is an answer."""
_UNASKED = (UNKNOWN, NOTED, UNCLEAR, AMBIGUOUS, HANDED_OFF)
"""What becomes of what somebody writes who was not asked anything."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Of which time and of what facts are wanted; None is everything."""

    since: datetime
    until: datetime
    sites: Collection[str] | None = None
    customer: str | None = None
    rule: str | None = None
    severity: int | None = None

    def picks(self, table: type[Alarm | Case]) -> ColumnElement[bool]:
        """Return what picks the rows of alarms or cases that are meant, of whatever time."""
        wanted = [col(table.rule) != AUDIT_RULE]
        if self.sites is not None:
            wanted.append(col(table.site_id).in_(self.sites))
        if self.customer is not None:
            theirs = select(Site.id).where(Site.customer_id == self.customer)
            wanted.append(col(table.site_id).in_(theirs))
        if self.rule is not None:
            wanted.append(col(table.rule) == self.rule)
        if self.severity is not None:
            wanted.append(col(table.severity) == self.severity)
        return and_(*wanted)

    def holds(self, column: Any) -> ColumnElement[bool]:
        """Return what picks moments of this time."""
        return and_(column >= self.since, column < self.until)


def read_facts(session: Session, scope: Scope) -> Facts:
    """Return what was raised, opened, closed or sent in a time."""
    return Facts(
        _read_alarms(session, scope), _read_cases(session, scope), _read_surveys(session, scope)
    )


def _read_alarms(session: Session, scope: Scope) -> list[AlarmFacts]:
    # What had passed before it could be heard is written as raised and cleared at one moment.
    passed = and_(col(Alarm.state) == CLEARED, col(Alarm.cleared_at) == Alarm.raised_at)
    columns = Alarm.site_id, Alarm.rule, Alarm.severity, Alarm.onset_at, Alarm.raised_at
    query = select_columns(*map(col, columns)).where(
        scope.holds(Alarm.raised_at), scope.picks(Alarm), ~passed
    )
    return [
        AlarmFacts(Origin(site, rule, severity), onset_at, raised_at)
        for site, rule, severity, onset_at, raised_at in session.execute(query)
    ]


def _read_surveys(session: Session, scope: Scope) -> list[SurveyFacts]:
    query = (
        select_columns(
            col(Case.site_id),
            col(Case.rule),
            col(Case.severity),
            col(SentSurvey.kind),
            col(SentSurvey.sent_at),
            col(SentSurvey.rating),
        )
        .join(Case, col(Case.id) == SentSurvey.case_id)
        .where(scope.holds(SentSurvey.sent_at), scope.picks(Case))
    )
    return [SurveyFacts(Origin(*row[:3]), *row[3:]) for row in session.execute(query)]


def _read_cases(session: Session, scope: Scope) -> list[CaseFacts]:
    meant = _cases_of(scope)
    query = select_columns(
        col(Case.id),
        col(Case.site_id),
        col(Case.rule),
        col(Case.severity),
        col(Case.opened_at),
        col(Case.closed_at),
        col(CaseAlarm.joined_at),
    ).outerjoin(
        CaseAlarm, and_(col(CaseAlarm.case_id) == Case.id, col(CaseAlarm.alarm_id) == Case.alarm_id)
    )
    parts = [
        _told(session, meant),
        _acknowledged(session, meant),
        _progress(session, meant),
        _calls(session, meant),
        _returned(session, meant),
    ]
    cases = []
    for number, site, rule, severity, opened_at, closed_at, joined_at in session.execute(
        query.where(meant)
    ):
        case = CaseFacts(
            origin=Origin(site, rule, severity),
            # An alarm that was raised again has joined its case again, later than that was opened.
            began_at=min(opened_at, joined_at or opened_at),
            opened_at=opened_at,
            closed_at=closed_at,
        )
        facts = {name: value for part in parts for name, value in part.get(number, {}).items()}
        cases.append(case.with_facts(**facts))
    return cases


def _cases_of(scope: Scope) -> ColumnElement[bool]:
    """Return what picks the cases that were opened or closed in a time; storms count by their cases."""
    in_time = or_(scope.holds(Case.opened_at), scope.holds(Case.closed_at))
    return and_(in_time, col(Case.storm_of) == "", scope.picks(Case))


Part = Mapping[int, Mapping[str, Any]]
"""Facts by the number of their case."""


def _told(session: Session, meant: ColumnElement[bool]) -> Part:
    """Return when somebody, and the customer, was first told something that has not failed since."""
    handed_over = and_(
        col(Delivery.sent_at).is_not(None),
        col(Delivery.state).not_in(OVER),
        col(Delivery.channel).in_(CHANNELS),
    )
    query = (
        select(Message.case_id, Message.role, func.min(Delivery.sent_at))
        .join(Case, col(Case.id) == Message.case_id)
        .outerjoin(Delivery, and_(col(Delivery.message_id) == Message.id, handed_over))
        .where(meant, Message.contact_id != "")
        .group_by(col(Message.case_id), col(Message.role))
    )
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    for case_id, role, sent_at in session.execute(query):
        facts = found[case_id]
        _keep_first(facts, "told_at", sent_at)
        if role in CUSTOMER_ROLES:
            facts["concerns_customer"] = True
            _keep_first(facts, "customer_told_at", sent_at)
    return found


def _acknowledged(session: Session, meant: ColumnElement[bool]) -> Part:
    """Return when somebody first said to look after it: of the case, of its alarm, or of the job."""
    of_case = (
        select(TimelineEntry.case_id, func.min(TimelineEntry.at))
        .join(Case, col(Case.id) == TimelineEntry.case_id)
        .where(meant, col(TimelineEntry.kind).in_(_ACKNOWLEDGED))
        .group_by(col(TimelineEntry.case_id))
    )
    of_alarm = (
        select(CaseAlarm.case_id, func.min(TimelineEntry.at))
        .join(Case, col(Case.id) == CaseAlarm.case_id)
        .join(TimelineEntry, col(TimelineEntry.alarm_id) == CaseAlarm.alarm_id)
        .where(meant, TimelineEntry.kind == _ALARM_ACKNOWLEDGED)
        # Of an earlier case of the same alarm it says nothing about this one.
        .where(TimelineEntry.at >= CaseAlarm.joined_at)
        .group_by(col(CaseAlarm.case_id))
    )
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    for query in (of_case, of_alarm):
        for case_id, at in session.execute(query):
            _keep_first(found[case_id], "acknowledged_at", at)
    return found


def _progress(session: Session, meant: ColumnElement[bool]) -> Part:
    """Return who was sent, and what they have reported."""
    orders = (
        select(WorkOrder.case_id, WorkOrder.id, WorkOrder.state, WorkOrder.code)
        .join(Case, col(Case.id) == WorkOrder.case_id)
        .where(meant)
    )
    of_case: dict[int, dict[int, tuple[str, str]]] = defaultdict(dict)
    for case_id, order, state, code in session.execute(orders):
        of_case[case_id][order] = state, code
    if not of_case:
        return {}
    lines = (
        select(TimelineEntry.case_id, TimelineEntry.kind, TimelineEntry.at, TimelineEntry.detail)
        .join(Case, col(Case.id) == TimelineEntry.case_id)
        .where(meant, col(TimelineEntry.kind).in_(_PROGRESS))
        .order_by(col(TimelineEntry.id))
    )
    found: dict[int, dict[str, Any]] = {
        case_id: {"was_sent": True, "visits": ()} for case_id in of_case
    }
    reported: dict[int, dict[str, datetime]] = defaultdict(dict)
    for case_id, kind, at, detail in session.execute(lines):
        if kind == "technician.arrived" and case_id in found:
            _keep_first(found[case_id], "arrived_at", at)
        order = detail.get("order") or _only(of_case.get(case_id, {}))
        if order is not None:
            reported[order].setdefault(_PROGRESS[kind], at)
    for case_id, states in of_case.items():
        found[case_id]["visits"] = tuple(
            Visit(state == "done", code, **reported[order])
            for order, (state, code) in sorted(states.items())
        )
    return found


def _only(orders: Mapping[int, Any]) -> int | None:
    """Return the one job of a case: lines of before said not which was meant."""
    return next(iter(orders)) if len(orders) == 1 else None


def _calls(session: Session, meant: ColumnElement[bool]) -> Part:
    """Return when the customer of a case first got in touch without having been asked."""
    wanted = (
        select(TimelineEntry.case_id, TimelineEntry.at, TimelineEntry.detail)
        .join(Case, col(Case.id) == TimelineEntry.case_id)
        .where(meant, TimelineEntry.kind == _WANTED)
    )
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    for case_id, at, detail in session.execute(wanted):
        is_customer = detail.get("role", "customer") in CUSTOMER_ROLES
        if is_customer and detail.get("wish") in _CALLS:
            _keep_first(found[case_id], "called_at", at)
    by_itself = or_(
        and_(col(Reply.message_id).is_(None), col(Reply.outcome).in_(_UNASKED)),
        col(Reply.intent).in_((TALK, COMPLAINT, ANGER)),
    )
    wrote = (
        select(Case.id, func.min(Reply.received_at))
        .join(Site, col(Site.id) == Case.site_id)
        .join(Reply, col(Reply.contact_id) == Site.contact_id)
        .where(meant, Reply.received_at >= Case.opened_at, by_itself)
        .where(or_(col(Reply.case_id).is_(None), col(Reply.case_id) == Case.id))
        # Once a case is over, what its customer writes is about something else.
        .where(or_(col(Case.closed_at).is_(None), col(Reply.received_at) <= col(Case.closed_at)))
        .group_by(col(Case.id))
    )
    for case_id, at in session.execute(wrote):
        _keep_first(found[case_id or 0], "called_at", at)
    return found


def _returned(session: Session, meant: ColumnElement[bool]) -> Part:
    """Return when the alarm of a case with a visit was first raised again after the case's end."""
    was_visited = exists().where(col(WorkOrder.case_id) == Case.id, col(WorkOrder.state) == "done")
    query = (
        select(Case.id, func.min(CaseAlarm.joined_at))
        .join(
            CaseAlarm,
            and_(
                col(CaseAlarm.rule) == Case.rule,
                col(CaseAlarm.device_id) == Case.device_id,
                col(CaseAlarm.case_id) > col(Case.id),
            ),
        )
        .where(meant, col(Case.closed_at).is_not(None), was_visited)
        .where(col(CaseAlarm.joined_at) > col(Case.closed_at))
        .group_by(col(Case.id))
    )
    return {number or 0: {"returned_at": at} for number, at in session.execute(query)}


def _keep_first(facts: dict[str, Any], name: str, at: datetime | None) -> None:
    known = facts.get(name)
    if at is not None and (known is None or at < known):
        facts[name] = at
