"""The trail: who did what, on what, from where, and how it ended.

A line is begun before anything is done and ended when it is known how that went, so that no act stands
nowhere: one whose process died in between stays `begun`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete
from sqlmodel import Session, col, select

from prevenant.access.tables import Act

BEGUN, DONE, REFUSED, FAILED = "begun", "done", "refused", "failed"
OUTCOMES = (BEGUN, DONE, REFUSED, FAILED)
_LONGEST_PATH = 300
_FIRST_REFUSAL, _FIRST_FAILURE = 400, 500


@dataclass(frozen=True, slots=True)
class What:
    """What somebody does: the way, the route, and on what; secrets are left out already."""

    method: str
    route: str
    path: str


@dataclass(frozen=True, slots=True)
class Asked:
    """Which lines of the trail are asked for; what is not named may be anything."""

    actor: str = ""
    route: str = ""
    path: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None
    limit: int = 100


def begin_act(
    session: Session, what: What, now: datetime, *, actor: str, key: str, origin: str
) -> int:
    """Begin a line; return its number."""
    act = Act(
        at=now,
        actor=actor,
        key=key,
        method=what.method,
        route=what.route,
        path=what.path[:_LONGEST_PATH],
        outcome=BEGUN,
        origin=origin,
    )
    session.add(act)
    session.flush()
    return act.id or 0


def end_act(
    session: Session,
    number: int,
    status: int,
    detail: Mapping[str, Any] | None = None,
    *,
    is_refused: bool = False,
) -> None:
    """End a line with the code that was answered; a page may say with any that it was refused."""
    act = session.get(Act, number)
    if act is None:
        return
    act.status, act.outcome = status, REFUSED if is_refused else outcome_of(status)
    act.detail = {**act.detail, **(detail or {})}
    session.add(act)


def outcome_of(status: int) -> str:
    """Return how an act ended, by the code that was answered."""
    if status < _FIRST_REFUSAL:
        return DONE
    return REFUSED if status < _FIRST_FAILURE else FAILED


def find_acts(session: Session, asked: Asked) -> Sequence[Act]:
    """Return lines of the trail, the newest first."""
    query = select(Act).order_by(col(Act.id).desc()).limit(asked.limit)
    if asked.actor:
        query = query.where(Act.actor == asked.actor)
    if asked.route:
        query = query.where(col(Act.route).startswith(asked.route, autoescape=True))
    if asked.path:
        query = query.where(col(Act.path).startswith(asked.path, autoescape=True))
    if asked.outcome:
        query = query.where(Act.outcome == asked.outcome)
    if asked.since is not None:
        query = query.where(col(Act.at) >= asked.since)
    if asked.until is not None:
        query = query.where(col(Act.at) < asked.until)
    if asked.before is not None:
        query = query.where(col(Act.id) < asked.before)
    return session.exec(query).all()


def view_act(act: Act) -> dict[str, Any]:
    """Return a line as plain values."""
    return act.model_dump()


def forget_acts(session: Session, now: datetime, kept: timedelta) -> None:
    """Forget what was done longer ago than the trail is kept."""
    session.execute(delete(Act).where(col(Act.at) < now - kept))
