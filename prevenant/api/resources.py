"""What the API tells of alarms, cases and messages."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, status
from fastapi.responses import StreamingResponse
from sqlmodel import Session, col, select

from notify.message import Delivery, Message
from prevenant.api.access import require_token
from prevenant.api.live import main_zone, view_entry
from prevenant.crm.ages import find_age
from prevenant.tables import Alarm, TimelineEntry
from workflows.tables import Candidate, Case, Offer, WorkOrder

router = APIRouter(prefix="/api/v1", dependencies=[Depends(require_token)])

Limit = Annotated[int, Query(ge=1, le=1000)]


@router.get("/cases")
def list_cases(request: Request, state: str | None = None, limit: Limit = 100) -> list[Case]:
    """Return cases, the newest first, perhaps only those in one state."""
    query = select(Case).order_by(col(Case.id).desc()).limit(limit)
    if state is not None:
        query = query.where(Case.state == state)
    with request.app.state.store.read() as session:
        return list(session.exec(query))


@router.get("/cases/{case_id}")
def show_case(request: Request, case_id: int) -> dict[str, Any]:
    """Return a case with everything that was decided and said about it."""
    with request.app.state.store.read() as session:
        found = view_case(session, case_id)
    if found is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no case {case_id}")
    return found


@router.get("/messages")
def list_messages(request: Request, limit: Limit = 100) -> list[dict[str, Any]]:
    """Return messages, the newest first, each with its deliveries; without addresses."""
    with request.app.state.store.read() as session:
        query = select(Message).order_by(col(Message.id).desc()).limit(limit)
        return [view_message(session, message) for message in session.exec(query)]


@router.get("/live")
async def stream_story(
    request: Request, after: Annotated[int, Query(ge=0)] = 0
) -> StreamingResponse:
    """Stream the story as server-sent events; `Last-Event-ID` or `after` says what is known already."""
    known = request.headers.get("last-event-id", "")
    first = int(known) if known.isdigit() else after
    stream = request.app.state.live.stream(request, first)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


def view_case(session: Session, case_id: int) -> dict[str, Any] | None:
    """Return everything about a case as plain values, or None."""
    case = session.get(Case, case_id)
    if case is None:
        return None
    zone = main_zone(session)

    def rows(table: Any) -> list[Any]:
        return list(session.exec(select(table).where(table.case_id == case_id).order_by(table.id)))

    entries = session.exec(
        select(TimelineEntry)
        .where(
            (col(TimelineEntry.case_id) == case_id) | (col(TimelineEntry.alarm_id) == case.alarm_id)
        )
        .order_by(col(TimelineEntry.id))
    )
    return {
        "case": case.model_dump(exclude={"progress"}),
        "alarm": session.get_one(Alarm, case.alarm_id).model_dump(),
        "timeline": [view_entry(entry, zone) for entry in entries],
        "candidates": [row.model_dump() for row in rows(Candidate)],
        "offers": [row.model_dump(exclude={"contact_id"}) for row in rows(Offer)],
        "work_orders": [row.model_dump(exclude={"contact_id"}) for row in rows(WorkOrder)],
        "messages": [view_message(session, row) for row in rows(Message)],
        "crm_as_of": find_age(session),
    }


def view_message(session: Session, message: Message) -> dict[str, Any]:
    """Return a message and its deliveries as plain values, without addresses."""
    query = select(Delivery).where(Delivery.message_id == message.id).order_by(col(Delivery.id))
    deliveries = [
        one.model_dump(exclude={"address", "message_id", "severity"}) for one in session.exec(query)
    ]
    return {**message.model_dump(exclude={"addresses"}), "deliveries": deliveries}
