"""Which case an alarm belongs to: the open one of its rule and device, one that gathers, or its own.

Alarms of one site and workflow that are raised within the workflow's `group_wait` of the first join one
case. It is open at once. What it does begins when the time is over, so that the first message speaks of
all; an alarm that is critical has it begin at once, and later ones join. Life-safety waits for nobody and
joins nothing.

Alarms are given to cases in the order in which they were written, whatever is heard first, and by the time
at which they were raised: the same alarms make the same cases, live, late or again. Of several workers
one at a time decides on the alarms of a rule and device, and of a site and workflow.
"""

from datetime import datetime, timedelta

import msgspec
from sqlalchemy import bindparam
from sqlmodel import Session, col, func, or_, select

from prevenant.clock import epoch_seconds, from_epoch
from prevenant.domain import Severity
from prevenant.tables import CLEARED, NO_WORKFLOW, Alarm, CaseEvent
from workflows import case as cases
from workflows import members, storms
from workflows.claims import claim_case
from workflows.definition import Workflow
from workflows.holding import hold
from workflows.running import Progress, RunningCase, opened_here
from workflows.story import Story
from workflows.tables import OPEN, Case, CaseAlarm
from workflows.versions import keep_version, run_case, running

_AT_ONCE = 500
"""How many alarms are given to cases in one transaction."""
_MAX_OPENINGS = 2
"""How often a workflow may fail to begin before a person has the case."""


def take_alarm(session: Session, story: Story, event: CaseEvent, now: datetime) -> None:
    """Give a raised alarm to its case, which is opened where there is none."""
    alarm = session.get_one(Alarm, event.alarm_id)
    hold(session, f"alarm {alarm.rule} {alarm.device_id}")
    found = story.find(alarm.rule)
    arrivals = [(event, alarm)]
    if found is not None and _gathers(found[0], alarm):
        hold(session, f"group {found[0].name} {alarm.site_id}")
        arrivals = _unheard(session, story, event, alarm, found[0].name)
    given = [_give(session, story, waiting, other, now) for waiting, other in arrivals]
    # Only now, so that what begins knows of all.
    for case in {one.id: one for one in given if one is not None}.values():
        run = running(session, story, case, now)
        if event.attempts < _MAX_OPENINGS or run.has_begun:
            _begin(run)
        else:
            # An alarm must not be left without a case because its workflow cannot begin.
            cases.fail(run, f"the workflow cannot begin: {event.error}", instead=True)


def find_case(session: Session, alarm_id: int | None) -> Case | None:
    """Return the case that is, or was last, about an alarm; nobody else moves it meanwhile."""
    query = select(func.max(CaseAlarm.case_id)).where(CaseAlarm.alarm_id == alarm_id)
    case_id = session.exec(query).one()
    return None if case_id is None else claim_case(session, case_id)


def part_life_safety(session: Session, story: Story, event: CaseEvent, now: datetime) -> bool:
    """Give an alarm that has become one of life-safety a case of its own, if it shares one with others."""
    if event.kind != "alarm.levelled" or event.data["severity"] < Severity.LIFE_SAFETY:
        return False
    case = find_case(session, event.alarm_id)
    if case is None or case.state != OPEN or not members.is_shared(session, case):
        return False
    alarm = session.get_one(Alarm, event.alarm_id)
    run = running(session, story, case, now)
    members.end(session, case, event)
    run.note("alarm.parted", f"{alarm.rule} on {alarm.device_id} is life-safety: a case of its own")
    found = story.find(alarm.rule)
    workflow = found[0] if found else run.workflow
    own = _open(session, story, alarm, workflow, event.at, now)
    _begin(running(session, story, own, now))
    return True


def _gathers(workflow: Workflow, alarm: Alarm) -> bool:
    return (
        workflow.group_wait_s > 0 and alarm.site_id != "" and alarm.severity < Severity.LIFE_SAFETY
    )


def _unheard(
    session: Session, story: Story, event: CaseEvent, alarm: Alarm, workflow: str
) -> list[tuple[CaseEvent, Alarm]]:
    """Return the alarms of a site and workflow that no case has heard of, as they were written.

    One that has failed is tried again by itself, so that it does not fail all others with it.
    """
    query = (
        select(CaseEvent, Alarm)
        .where(col(CaseEvent.heard_at).is_(None), CaseEvent.site_id == alarm.site_id)
        .where(CaseEvent.kind == "alarm.raised", CaseEvent.alarm_id == Alarm.id)
        .where(CaseEvent.attempts == 0)
        .order_by(col(CaseEvent.id))
        .limit(_AT_ONCE)
    )
    waiting = [(one, other) for one, other in session.exec(query) if one.id != event.id]
    gathering = []
    for one, other in waiting:
        found = story.find(other.rule)
        if found is not None and found[0].name == workflow and _gathers(found[0], other):
            gathering.append((one, other))
    return sorted([*gathering, (event, alarm)], key=lambda pair: pair[0].id or 0)


def _give(
    session: Session, story: Story, event: CaseEvent, alarm: Alarm, now: datetime
) -> Case | None:
    """Give an alarm to a case and return it, unless that was done when another one was given."""
    params = {"rule": alarm.rule, "device": alarm.device_id, "alarm": alarm.id}
    of_it = session.exec(_CASES_OF, params=params).all()
    if any((one, at) == (alarm.id, event.at) for one, at, _, _ in of_it):
        return None
    opened = next((case_id for _, _, case_id, state in of_it if state == OPEN), None)
    known = None if opened is None else _open_case_of(session, alarm, opened)
    if known is not None:
        run = running(session, story, known, now)
        members.join(session, known, alarm, event.at)
        cases.hear(run, event)
        _hear_end(run, alarm)
        return known
    found = story.find(alarm.rule)
    if found is None:
        event.outcome = NO_WORKFLOW
        session.add(event)
        return None
    workflow = found[0]
    gathering = _gathering_case(session, workflow, alarm, event.at)
    if gathering is None:
        return _open(session, story, alarm, workflow, event.at, now)
    _join(running(session, story, gathering, now), event, alarm)
    return gathering


# What becomes of this very alarm, and which cases of its rule and device are open, the latest first.
_CASES_OF = (
    select(CaseAlarm.alarm_id, CaseAlarm.joined_at, Case.id, Case.state)
    .join(Case)
    .where(CaseAlarm.rule == bindparam("rule"), CaseAlarm.device_id == bindparam("device"))
    .where(or_(Case.state == OPEN, CaseAlarm.alarm_id == bindparam("alarm")))
    .order_by(col(Case.id).desc())
)


def _open_case_of(session: Session, alarm: Alarm, case_id: int) -> Case | None:
    """Claim the open case of an alarm's rule and device; one of life-safety shares none with others."""
    case = claim_case(session, case_id)
    if alarm.severity < Severity.LIFE_SAFETY:
        return case
    others = {(one.rule, one.device_id) for one in members.find_members(session, case.id or 0)}
    return case if others == {(alarm.rule, alarm.device_id)} else None


def _gathering_case(
    session: Session, workflow: Workflow, alarm: Alarm, at: datetime
) -> Case | None:
    if not _gathers(workflow, alarm):
        return None
    query = (
        select(Case.id)
        .where(Case.site_id == alarm.site_id, Case.workflow == workflow.name)
        .where(col(Case.gathers_until).is_not(None))
        .order_by(col(Case.id).desc())
        .limit(1)
    )
    case_id = session.exec(query).first()
    case = None if case_id is None else claim_case(session, case_id)
    if case is None or case.state != OPEN or case.gathers_until is None or at > case.gathers_until:
        return None
    return None if case.severity >= Severity.LIFE_SAFETY else case


def _join(run: RunningCase, event: CaseEvent, alarm: Alarm) -> None:
    members.join(run.session, run.case, alarm, event.at)
    count = len({one.device_id for one in members.find_members(run.session, run.case.id or 0)})
    run.note(
        "alarm.joined",
        f"{alarm.rule} on {alarm.device_id} joins: {alarm.reason}",
        {"rule": alarm.rule, "device": alarm.device_id, "devices": count},
    )
    _hear_end(run, alarm)


def _open(
    session: Session,
    story: Story,
    alarm: Alarm,
    workflow: Workflow,
    at: datetime,
    now: datetime,
) -> Case:
    """Open a case for an alarm; what it does begins where it gathers no others."""
    keep_version(session, workflow, story.kept)
    found = story.find(alarm.rule)
    gathers = timedelta(seconds=workflow.group_wait_s) if _gathers(workflow, alarm) else None
    progress = Progress(message=dict(found[1]) if found else {})
    progress.begins_at = epoch_seconds(now if gathers is None else at + gathers)
    storm = storms.latest_storm(session, workflow.name)
    case = Case(
        alarm_id=alarm.id or 0,
        parent_id=None if storm is None else storm.id,
        rule=alarm.rule,
        device_type=alarm.device_type,
        site_id=alarm.site_id,
        device_id=alarm.device_id,
        severity=alarm.severity,
        workflow=workflow.name,
        workflow_version=workflow.version,
        gathers_until=None if gathers is None else at + gathers,
        opened_at=now,
        # As it stands once it gathers, and with its storm: what is written twice costs twice.
        progress=msgspec.to_builtins(progress),
        due_at=from_epoch(progress.begins_at or 0.0),
    )
    session.add(case)
    session.flush()
    opened_here(session).add(case.id)
    members.begin(session, case, alarm, at)
    run = run_case(session, story, workflow, case, now)
    where = f"{run.place.label}, {run.place.site_name}"
    run.note(
        "case.opened",
        f"case {case.id}: {alarm.rule} on {where}; runs {workflow.name}",
        {"rule": alarm.rule, "workflow": workflow.name},
    )
    storms.take_case(run)
    cases.gather(run, case.gathers_until or now)
    _hear_end(run, alarm)
    return case


def _begin(run: RunningCase) -> None:
    """Begin what a case does, where there is nothing or no time to wait for."""
    until = run.case.gathers_until
    waits = until is not None and until > run.now and run.case.severity < Severity.CRITICAL
    if not run.has_begun and not waits:
        cases.gather(run, None)


def _hear_end(run: RunningCase, alarm: Alarm) -> None:
    """Let a case hear that its alarm is over, where that was heard before there was a case to hear it."""
    if alarm.state != CLEARED or alarm.cleared_at is None:
        return
    query = select(CaseEvent).where(CaseEvent.alarm_id == alarm.id)
    ends = run.session.exec(query.where(CaseEvent.kind == "alarm.cleared"))
    # As this transaction knows them: it may have heard one just now.
    if all(one.heard_at is not None for one in ends):
        over = CaseEvent(
            key="", kind="alarm.cleared", urgency=0, alarm_id=alarm.id, at=alarm.cleared_at
        )
        cases.hear(run, over)
