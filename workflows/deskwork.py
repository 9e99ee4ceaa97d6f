"""What people do with a case at their desk: acknowledge it, take it over, resolve it.

The command line and the API post what was done as an event of the case, wherever they run; the case hears
it like any other (`workflows.hearing`).
"""

from datetime import datetime

from sqlmodel import Session, select

from prevenant.errors import ConfigurationError
from prevenant.tables import CaseEvent, add_case_event
from workflows.tables import CLOSED, Case

ACKNOWLEDGED, TAKEN, RESOLVED = "case.acknowledged", "case.taken", "case.resolved"


def post(session: Session, kind: str, case_id: int, now: datetime, by: str, note: str) -> Case:
    """Let a case hear what somebody did with it. Raises ConfigurationError where that cannot be."""
    case = find_case(session, case_id)
    if case.state == CLOSED and not is_waited_for(case):
        message = f"case {case_id} is closed ({case.outcome}): there is nothing left to do"
        raise ConfigurationError(message)
    if not by.strip():
        raise ConfigurationError("say who does it")
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
        data={"by": by.strip(), "note": note.strip()},
    )
    add_case_event(session, event)
    return case


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
