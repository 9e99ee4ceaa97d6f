"""Leave: a time in which a technician does not work, as somebody says it of one technician."""

from datetime import datetime
from difflib import get_close_matches

from sqlmodel import Session, select

from prevenant.crm.tables import CRM, Leave, Technician
from prevenant.errors import ConfigurationError
from prevenant.store import wake

_COMPARED = 5_000


def record_leave(
    session: Session, technician_id: str, starts_at: datetime, ends_at: datetime, reason: str
) -> Leave:
    """Keep a technician's leave. Raises ConfigurationError."""
    if session.get(Technician, technician_id) is None:
        known = session.exec(select(Technician.id).limit(_COMPARED)).all()
        close = get_close_matches(technician_id, known, 1)
        hint = f"did you mean {close[0]!r}?" if close else "see `prevenant crm show technicians`"
        message = f"the CRM has no technician {technician_id!r}: {hint}"
        raise ConfigurationError(message)
    if ends_at <= starts_at:
        message = "the leave would end before it begins: give a later end"
        raise ConfigurationError(message)
    leave = Leave(technician_id=technician_id, starts_at=starts_at, ends_at=ends_at, reason=reason)
    session.add(leave)
    session.flush()
    leave.key = f"{technician_id}/{leave.id}"
    session.add(leave)
    wake(session, CRM)
    return leave
