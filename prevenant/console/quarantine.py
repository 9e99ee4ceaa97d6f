"""The page of the quarantine: what could not be read."""

from typing import Any

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from ingest.quarantine import ask_for_replay, discard
from prevenant.api.access import OperatorOfAll, ViewerOfAll
from prevenant.api.devices import count_refused, count_waiting, find_refused
from prevenant.console.shell import act, show

router = APIRouter(include_in_schema=False)

_SHOWN, _SHOWN_REASONS = 200, 12


@router.get("/quarantine")
def show_quarantine(request: Request, actor: ViewerOfAll) -> Response:
    """Show what could not be read."""
    return show(request, "quarantine.html", _quarantine, actor)


@router.post("/quarantine/replay")
def replay_quarantine(request: Request, actor: OperatorOfAll) -> Response:
    """Have everything that waits read again."""
    del actor
    return act(request, lambda session: ask_for_replay(session, None), "/quarantine")


@router.post("/quarantine/discard")
def discard_quarantine(request: Request, actor: OperatorOfAll) -> Response:
    """Set everything that waits aside for good."""
    del actor
    return act(request, lambda session: discard(session, None), "/quarantine")


def _quarantine(session: Session) -> dict[str, Any]:
    return {
        "refused": find_refused(session, limit=_SHOWN),
        "counts": count_refused(session)[:_SHOWN_REASONS],
        "waiting": count_waiting(session),
    }
