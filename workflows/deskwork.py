"""What people do with a case at their desk: acknowledge it, take it over, resolve it.

The command line and the API post what was done as an event of the case, wherever they run; the case hears
it like any other.
"""

from datetime import datetime

from sqlmodel import Session, select

from prevenant.errors import ConfigurationError
from prevenant.tables import CaseEvent, add_case_event
from workflows.definition import Wait
from workflows.running import RunningCase
from workflows.tables import CLOSED, HANDED_OVER, OPEN, Case

ACKNOWLEDGED, TAKEN, RESOLVED = "case.acknowledged", "case.taken", "case.resolved"


def post(session: Session, kind: str, case_id: int, now: datetime, by: str, note: str) -> Case:
    """Let a case hear what somebody did with it. Raises ConfigurationError where that cannot be."""
    case = find_case(session, case_id)
    if case.state == CLOSED:
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


def find_case(session: Session, case_id: int) -> Case:
    """Return a case. Raises ConfigurationError where there is none of this number."""
    case = session.get(Case, case_id)
    if case is None:
        message = f"there is no case {case_id}: see `prevenant cases list`"
        raise ConfigurationError(message)
    return case


def hear(run: RunningCase, event: CaseEvent) -> None:
    """Do with a case what somebody has done at the desk; offers and jobs follow from its end."""
    by, note = str(event.data.get("by") or "somebody"), str(event.data.get("note") or "")[:300]
    words = f": {note}" if note else ""
    if run.case.state == CLOSED:
        run.note(f"{event.kind}.late", f"{by} comes too late: the case is closed{words}")
        return
    match event.kind:
        case "case.acknowledged":
            _take_note(run, by)
            run.note(ACKNOWLEDGED, f"{by} has seen it{words}", {"by": by, "note": note})
        case "case.taken":
            _take_note(run, by)
            run.case.owner = by
            run.set_fact("taken_over")
            run.note(TAKEN, f"{by} takes it over{words}", {"by": by, "note": note})
            if run.case.state == OPEN and not _is_waited_for(run, "taken_over"):
                run.end(HANDED_OVER, f"handed over to {by}")
        case "case.resolved":
            run.case.owner = run.case.owner or by
            run.note(RESOLVED, f"{by} has resolved it{words}", {"by": by, "note": note})
            run.end(CLOSED, f"resolved by {by}{words}")
            run.stop_asking("progress")


def _is_waited_for(run: RunningCase, fact: str) -> bool:
    """Return whether the workflow goes on by itself once a fact has come about."""
    waits = [run.step_at(track.path) for track in run.progress.tracks]
    return any(isinstance(step, Wait) and fact in step.facts for step in waits)


def _take_note(run: RunningCase, by: str) -> None:
    """Take it that somebody looks after the case; whoever did before goes on doing so."""
    run.case.owner = run.case.owner or by
    run.set_fact("acknowledged")
    run.stop_asking("acknowledge")
