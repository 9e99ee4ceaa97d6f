"""What customers answered to surveys, and what that comes to."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from sqlmodel import Session, col, select

from prevenant.api.access import Viewer
from prevenant.api.bodies import Moment
from prevenant.api.paging import Paged
from prevenant.api.within import Sites, is_of_case_at
from workflows.surveys import KINDS, MEANINGS, score
from workflows.tables import SentSurvey

router = APIRouter(prefix="/api/v1")


class Wanted(BaseModel):
    """Which surveys are asked for; what is not named may be anything."""

    kind: Literal["csat", "nps", "ces"] | None = None
    since: Moment | None = None
    answered: bool | None = None


@router.get("/surveys")
def list_surveys(
    request: Request, wanted: Annotated[Wanted, Query()], page: Paged, actor: Viewer
) -> list[dict[str, Any]]:
    """Return surveys that were sent, the newest first, with their answers."""
    query = select(SentSurvey).order_by(col(SentSurvey.id).desc()).limit(page.fetched)
    if page.number is not None:
        query = query.where(col(SentSurvey.id) < page.number)
    if wanted.kind is not None:
        query = query.where(SentSurvey.kind == wanted.kind)
    if wanted.since is not None:
        query = query.where(col(SentSurvey.sent_at) >= wanted.since)
    if wanted.answered is not None:
        has_rating = col(SentSurvey.rating).is_not(None)
        query = query.where(has_rating if wanted.answered else ~has_rating)
    with request.app.state.store.read() as session:
        query = query.where(is_of_case_at(session, SentSurvey.case_id, actor.sites()))
        found = page.give(session.exec(query), lambda one: one.id)
    return [one.model_dump(exclude={"contact_id", "message_key"}) for one in found]


@router.get("/surveys/scores")
def show_scores(request: Request, actor: Viewer, since: Moment | None = None) -> dict[str, Any]:
    """Return CSAT, NPS and CES of what was sent since a time, each with its meaning."""
    with request.app.state.store.read() as session:
        return {kind: _view_score(session, kind, since, actor.sites()) for kind in KINDS}


def _view_score(session: Session, kind: str, since: Moment | None, sites: Sites) -> dict[str, Any]:
    query = select(SentSurvey.rating).where(SentSurvey.kind == kind)
    query = query.where(is_of_case_at(session, SentSurvey.case_id, sites))
    if since is not None:
        query = query.where(col(SentSurvey.sent_at) >= since)
    found = score(kind, session.exec(query).all())
    return {
        "sent": found.sent,
        "answered": found.answered,
        "score": found.score,
        "means": MEANINGS[kind],
    }
