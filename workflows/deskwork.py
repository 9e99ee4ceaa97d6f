"""What people do with a case at their desk: acknowledge it, take it over, resolve it.

The command line and the API post what was done as an event of the case, wherever they run; the case hears
it like any other (`workflows.hearing`).
"""

from datetime import datetime

from sqlmodel import Session, col, select

from prevenant.errors import ConfigurationError
from prevenant.tables import CaseEvent, add_case_event
from workflows.closing import CODES
from workflows.tables import ACTIVE_JOBS, CLOSED, Case, WorkOrder

ACKNOWLEDGED, TAKEN, RESOLVED = "case.acknowledged", "case.taken", "case.resolved"
DONE = "work_order.done"
"""The technician has done the job of a case."""


def post(
    session: Session, kind: str, case_id: int, now: datetime, by: str, note: str, code: str = ""
) -> Case:
    """Let a case hear what somebody did with it. Raises ConfigurationError where that cannot be."""
    case = find_case(session, case_id)
    if case.state == CLOSED and not is_waited_for(case):
        message = f"case {case_id} is closed ({case.outcome}): there is nothing left to do"
        raise ConfigurationError(message)
    if not by.strip():
        raise ConfigurationError("say who does it")
    found = {"cause": note.strip(), "code": code} if kind == DONE else {}
    if kind == DONE:
        _check_job(session, case_id, code)
    key = f"{kind}:{case_id}:{now.timestamp():.6f}:{by}"
    if session.exec(select(CaseEvent.id).where(CaseEvent.key == key)).first() is not None:
        return case
    event = CaseEvent(
        key=key,
        kind=kind,
        at=now,
        urgency=case.severity,
        case_id=case_id,
        site_id=case.site_id,
        data={"by": by.strip(), "note": note.strip(), **found},
    )
    add_case_event(session, event)
    return case


def _check_job(session: Session, case_id: int, code: str) -> None:
    """Raise ConfigurationError where no technician has a job to be done with, or the code is none."""
    jobs = select(WorkOrder.id).where(
        WorkOrder.case_id == case_id, col(WorkOrder.state).in_(ACTIVE_JOBS)
    )
    if session.exec(jobs).first() is None:
        message = f"no technician is under way for case {case_id}: nothing can be done with"
        raise ConfigurationError(message)
    if code and code not in CODES:
        message = f"{code!r} is no closing code: write one of {', '.join(CODES)}"
        raise ConfigurationError(message)


def is_waited_for(case: Case) -> bool:
    """Return whether somebody waits to be called back, also after the case's end."""
    return any(not one["taken_by"] for one in case.progress.get("callbacks", ()))


def find_case(session: Session, case_id: int) -> Case:
    """Return a case. Raises ConfigurationError where there is none of this number."""
    case = session.get(Case, case_id)
    if case is None:
        message = f"there is no case {case_id}: see `prevenant cases list`"
        raise ConfigurationError(message)
    return case
