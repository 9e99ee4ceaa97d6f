"""What customers answered to surveys, and what that comes to."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime, BaseModel, Field
from sqlmodel import Session, col, select

from prevenant.api.access import require_token
from workflows.surveys import KINDS, MEANINGS, score
from workflows.tables import SentSurvey

router = APIRouter(prefix="/api/v1", dependencies=[Depends(require_token)])


class Wanted(BaseModel):
    """Which surveys are asked for; what is not named may be anything."""

    kind: str | None = None
    since: AwareDatetime | None = None
    answered: bool | None = None
    limit: int = Field(default=100, ge=1, le=1000)


@router.get("/surveys")
def list_surveys(request: Request, wanted: Annotated[Wanted, Query()]) -> list[dict[str, Any]]:
    """Return surveys that were sent, the newest first, with their answers."""
    query = select(SentSurvey).order_by(col(SentSurvey.id).desc()).limit(wanted.limit)
    if wanted.kind is not None:
        query = query.where(SentSurvey.kind == wanted.kind)
    if wanted.since is not None:
        query = query.where(col(SentSurvey.sent_at) >= wanted.since)
    if wanted.answered is not None:
        has_rating = col(SentSurvey.rating).is_not(None)
        query = query.where(has_rating if wanted.answered else ~has_rating)
    with request.app.state.store.read() as session:
        return [
            one.model_dump(exclude={"contact_id", "message_key"}) for one in session.exec(query)
        ]


@router.get("/surveys/scores")
def show_scores(request: Request, since: AwareDatetime | None = None) -> dict[str, Any]:
    """Return CSAT, NPS and CES of what was sent since a time, each with its meaning."""
    with request.app.state.store.read() as session:
        return {kind: _view_score(session, kind, since) for kind in KINDS}


def _view_score(session: Session, kind: str, since: AwareDatetime | None) -> dict[str, Any]:
    query = select(SentSurvey.rating).where(SentSurvey.kind == kind)
    if since is not None:
        query = query.where(col(SentSurvey.sent_at) >= since)
    found = score(kind, session.exec(query).all())
    return {
        "sent": found.sent,
        "answered": found.answered,
        "score": found.score,
        "means": MEANINGS[kind],
    }
