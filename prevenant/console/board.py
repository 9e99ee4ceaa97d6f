"""The board: what needs somebody, what alarms ask of people, and the story as it happens."""

import json
from collections.abc import Callable, Hashable
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response, status
from fastapi.responses import HTMLResponse
from markupsafe import Markup
from sqlmodel import Session, col, or_, select
from starlette.concurrency import run_in_threadpool

from prevenant.api.access import Actor, Operator, Role, Viewer, check_site, find_actor
from prevenant.api.live import LiveStory, main_zone, view_entry
from prevenant.api.load import find_watch
from prevenant.console.kept import Given, KeptParts
from prevenant.console.shell import go_on, language_of, show
from prevenant.console.sign_in import sign_in_by_token
from prevenant.console.worklist import Filters, Sites, find_sites, find_worklist
from prevenant.errors import ConfigurationError
from prevenant.shelving import acknowledge, find_alarm, reset
from prevenant.tables import Alarm, TimelineEntry
from workflows import deskwork
from workflows.tables import Case

router = APIRouter(include_in_schema=False)

_SHOWN_STORY = 60
_LEAST_PACE_MS, _PACE_OF_EACH_MS, _LONGEST_PACE_MS = 300, 8, 2_000
"""How soon a window may ask again: up to 250 of them ask a hundred times a second together."""

Asked = Annotated[Filters, Depends()]


@router.get("/")
async def show_board(request: Request, filters: Asked, token: str = "") -> Response:
    """Show what is going on, to whoever is known or has just been given the token."""
    actor = await run_in_threadpool(find_actor, request)
    if token and actor is None:
        signed_in = await run_in_threadpool(sign_in_by_token, request, token, "/")
        if signed_in is not None:
            return signed_in
    if actor is None or not actor.may(Role.VIEWER):
        return go_on("/login")
    given = await _part(request, filters, actor, waits=True)
    part = Markup(given.text)  # noqa: S704  a template of ours made it
    return await run_in_threadpool(show, request, "board.html", _board(filters, part, actor), actor)


@router.get("/partials/board")
async def show_board_part(request: Request, filters: Asked, actor: Viewer) -> Response:
    """Return the part of the board that changes."""
    return _give(request, await _part(request, filters, actor))


@router.get("/partials/watch")
async def show_watch(request: Request, actor: Viewer) -> Response:
    """Return the life-safety alarms that nobody has acknowledged, for the top of every page."""
    key = "watch", language_of(request), actor.grants

    def collect(session: Session) -> dict[str, Any]:
        sites = actor.sites(Role.VIEWER)
        return {"list": find_worklist(session, Filters(severity="life_safety"), sites)}

    return _give(request, await _kept(request, key, _maker(request, "watch.html", collect, actor)))


@router.post("/board/cases/{case_id}/acknowledge")
def acknowledge_case(request: Request, case_id: int, actor: Operator) -> Response:
    """Say that somebody has seen a case and looks after it."""
    return _do(
        request, lambda session: _post(session, request, deskwork.ACKNOWLEDGED, case_id, actor)
    )


@router.post("/board/cases/{case_id}/take")
def take_case(request: Request, case_id: int, actor: Operator) -> Response:
    """Take a case over from its workflow."""
    return _do(request, lambda session: _post(session, request, deskwork.TAKEN, case_id, actor))


@router.post("/board/alarms/{alarm_id}/acknowledge")
def acknowledge_alarm(request: Request, alarm_id: int, actor: Operator) -> Response:
    """Say that somebody has seen an alarm that no case is about."""

    def change(session: Session) -> Alarm:
        _own_alarm(session, alarm_id, actor)
        return acknowledge(session, alarm_id, _now(request), actor.name)

    return _do(request, change)


@router.post("/board/alarms/{alarm_id}/reset")
def reset_alarm(request: Request, alarm_id: int, actor: Operator) -> Response:
    """End a latched alarm that no case is about."""

    def change(session: Session) -> Alarm:
        _own_alarm(session, alarm_id, actor)
        return reset(session, alarm_id, _now(request), actor.name)

    return _do(request, change)


async def _part(request: Request, filters: Filters, actor: Actor, *, waits: bool = False) -> Given:
    key = "board", language_of(request), actor.grants, tuple(filters.model_dump().values())
    collect = _changing(request, filters, actor)
    maker = _maker(request, "board_part.html", collect, actor)
    return await _kept(request, key, maker, waits=waits)


async def _kept(
    request: Request, key: Hashable, make: Callable[[], str], *, waits: bool = False
) -> Given:
    kept: KeptParts = request.app.state.kept
    return await kept.get(key, make, waits=waits)


def _maker(
    request: Request, template: str, collect: Callable[[Session], dict[str, Any]], actor: Actor
) -> Callable[[], str]:
    return lambda: bytes(show(request, template, collect, actor).body).decode()


def _changing(
    request: Request, filters: Filters, actor: Actor
) -> Callable[[Session], dict[str, Any]]:
    def collect(session: Session) -> dict[str, Any]:
        sites, operators = actor.sites(Role.VIEWER), request.app.state.settings.operators
        return {
            "list": find_worklist(session, filters, sites),
            "watch": find_watch(session, _now(request), operators, sites),
            "filters": filters,
        }

    return collect


def _board(filters: Filters, part: Markup, actor: Actor) -> Callable[[Session], dict[str, Any]]:
    def collect(session: Session) -> dict[str, Any]:
        sites, zone = actor.sites(Role.VIEWER), main_zone(session)
        story = _find_story(session, sites)
        return {
            "part": part,
            "filters": filters,
            "asked": urlencode(filters.words()),
            "sites": find_sites(session, sites),
            "story": [view_entry(entry, zone) for entry in story],
            "newest": story[0].id if story else 0,
        }

    return collect


def _find_story(session: Session, sites: Sites) -> list[TimelineEntry]:
    """Return the latest lines of the story, of some sites those of their cases and alarms."""
    query = select(TimelineEntry).order_by(col(TimelineEntry.id).desc()).limit(_SHOWN_STORY)
    if sites is not None:
        query = (
            query.outerjoin(Case, col(Case.id) == TimelineEntry.case_id)
            .outerjoin(Alarm, col(Alarm.id) == TimelineEntry.alarm_id)
            .where(or_(col(Case.site_id).in_(sites), col(Alarm.site_id).in_(sites)))
        )
    return list(session.exec(query))


def _post(session: Session, request: Request, kind: str, case_id: int, actor: Actor) -> Case:
    check_site(actor, Role.OPERATOR, deskwork.find_case(session, case_id).site_id)
    return deskwork.post(session, kind, case_id, _now(request), actor.name, "")


def _own_alarm(session: Session, alarm_id: int, actor: Actor) -> None:
    check_site(actor, Role.OPERATOR, find_alarm(session, alarm_id).site_id)


def _do(request: Request, change: Callable[[Session], object]) -> Response:
    """Do it in one transaction; a script is told how it went, another browser goes back to the board."""
    problem = ""
    try:
        with request.app.state.store.write() as session:
            change(session)
        request.app.state.kept.note_act()
    except ConfigurationError as error:
        problem = str(error)
    if "hx-request" not in request.headers:
        return go_on("/", problem)
    if problem:
        return show_problem(problem)
    return Response(status_code=status.HTTP_204_NO_CONTENT, headers={"HX-Trigger": "moved"})


def show_problem(problem: str) -> Response:
    """Return what went wrong, for the place on the page where that is said."""
    return HTMLResponse(Markup('<p class="problem">{}</p>').format(problem))


def _give(request: Request, part: Given) -> Response:
    """Return a part, with how soon to ask again; whoever got one that is behind does so (live.js)."""
    live: LiveStory = request.app.state.live
    pace_ms = min(max(_LEAST_PACE_MS, live.streams * _PACE_OF_EACH_MS), _LONGEST_PACE_MS)
    said: dict[str, Any] = {"pace": {"ms": pace_ms}} | ({"behind": {}} if part.is_behind else {})
    return HTMLResponse(
        part.text, headers={"Cache-Control": "no-store", "HX-Trigger": json.dumps(said)}
    )


def _now(request: Request) -> datetime:
    now: datetime = request.app.state.clock.now()
    return now
