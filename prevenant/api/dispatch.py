"""What the API and the commands tell of dispatch: why this technician, and not the others."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, status
from sqlmodel import Session, col, select

from prevenant.api.access import Role, Viewer, check_site
from prevenant.api.paging import RowId
from workflows.tables import Candidate, Case, DispatchRound, Offer, WaitingJob, WorkOrder

router = APIRouter(prefix="/api/v1")


@router.get("/cases/{case_id}/candidates")
def show_candidates(
    request: Request,
    case_id: RowId,
    actor: Viewer,
    round: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,  # noqa: A002  a query's parameter
) -> dict[str, Any]:
    """Return each round of dispatch with its candidates and counts, the offers and what became of them."""
    with request.app.state.store.read() as session:
        case = session.get(Case, case_id)
        found = explain_dispatch(session, case_id, round)
    if case is None or found is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no case {case_id}")
    check_site(actor, Role.VIEWER, case.site_id)
    return found


def explain_dispatch(
    session: Session, case_id: int, number: int | None = None
) -> dict[str, Any] | None:
    """Return what dispatch did for a case, in all rounds or in one; None where there is no such case."""
    case = session.get(Case, case_id)
    if case is None:
        return None
    rounds = select(DispatchRound).where(DispatchRound.case_id == case_id)
    candidates = select(Candidate).where(Candidate.case_id == case_id)
    if number is not None:
        rounds = rounds.where(DispatchRound.round == number)
        candidates = candidates.where(Candidate.round == number)
    thought: dict[int, list[dict[str, Any]]] = {}
    for one in session.exec(candidates.order_by(col(Candidate.id))):
        values = one.model_dump(exclude={"id", "case_id", "round"})
        thought.setdefault(one.round, []).append(values)
    return {
        "case": case_id,
        "state": case.state,
        "rounds": [
            {
                **one.model_dump(exclude={"id", "case_id"}),
                "candidates": thought.get(one.round, []),
            }
            for one in session.exec(rounds.order_by(col(DispatchRound.round)))
        ],
        "offers": _rows(session, Offer, case_id, {"contact_id", "message_key"}),
        "work_orders": _rows(session, WorkOrder, case_id, {"contact_id"}),
        "waits": _rows(session, WaitingJob, case_id, {"need", "excluded"}),
    }


def _rows(session: Session, table: Any, case_id: int, hidden: set[str]) -> list[dict[str, Any]]:
    query = select(table).where(table.case_id == case_id).order_by(table.id)
    return [row.model_dump(exclude={"case_id", *hidden}) for row in session.exec(query)]
