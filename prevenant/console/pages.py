"""The console's pages, rendered on the server; the board follows the story live."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from fastapi import APIRouter, FastAPI, Form, Request, Response, status
from fastapi.exception_handlers import http_exception_handler, request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, StrictUndefined
from sqlmodel import Session, col, func, select
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest.quarantine import ask_for_replay, discard
from notify import message as ledger
from prevenant import __version__
from prevenant.api.access import COOKIE, is_allowed, token_of
from prevenant.api.cases import view_case, view_message
from prevenant.api.devices import (
    adopt_heard,
    count_refused,
    count_waiting,
    find_devices,
    find_refused,
)
from prevenant.api.live import local_time, main_zone, view_entry
from prevenant.crm.directory import find_place
from prevenant.domain import Severity
from prevenant.errors import ConfigurationError
from prevenant.tables import Alarm, TimelineEntry
from rules.explain import shown_value
from workflows.saying import predictions_in
from workflows.tables import CLOSED, HANDED_OVER, OPEN, Case

router = APIRouter(include_in_schema=False)

_FOR_PROGRAMS = ("/api/", "/webhooks/", "/static/")
_STATIC = Path(__file__).parent / "static"
_SHOWN_CASES, _SHOWN_STORY, _SHOWN_MESSAGES = 40, 60, 200
_SHOWN_DEVICES, _SHOWN_REFUSED, _SHOWN_REASONS = 500, 200, 12
_POLICY = (
    "default-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)


def add_console(app: FastAPI) -> None:
    """Add the pages, their style and their script to the application."""
    environment = Environment(
        loader=PackageLoader("prevenant.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["version"] = __version__
    app.state.pages = environment
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.include_router(router)
    app.add_middleware(_Guarded)
    app.add_exception_handler(StarletteHTTPException, _missing)
    app.add_exception_handler(RequestValidationError, _missing)


class _Guarded:
    """Gives every answer the headers that keep a browser from running or showing what is not ours."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", _POLICY)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "no-referrer")
            await send(message)

        await self._app(scope, receive, guarded if scope["type"] == "http" else send)


@router.get("/login")
def show_login(request: Request) -> HTMLResponse:
    """Ask for the token."""
    return _page(request, "login.html", {"wrong": False})


@router.post("/login")
def log_in(request: Request, token: Annotated[str, Form()]) -> Response:
    """Take the token and remember it in a cookie."""
    if is_allowed(request.app.state.store, token):
        return _remember(request, token, "/")
    return _page(request, "login.html", {"wrong": True}, status.HTTP_403_FORBIDDEN)


@router.get("/")
def show_board(request: Request) -> Response:
    """Show what is going on, live."""
    token = parse_qs(urlsplit(str(request.url)).query).get("token", [""])[0]
    if token and is_allowed(request.app.state.store, token):
        return _remember(request, token, "/")
    return _for_known(request, "board.html", _board)


@router.get("/partials/board")
def show_board_part(request: Request) -> Response:
    """Return the part of the board that changes."""
    return _for_known(request, "board_part.html", _board)


@router.get("/cases/{case_id}")
def show_case(request: Request, case_id: int) -> Response:
    """Show everything about one case."""
    return _for_known(request, "case.html", lambda session: _case(session, case_id))


@router.get("/outbox")
def show_outbox(request: Request) -> Response:
    """Show every message and how it went."""
    return _for_known(request, "outbox.html", _outbox)


@router.get("/devices")
def show_devices(request: Request, problem: str = "") -> Response:
    """Show every device that was heard, unknown ones first."""
    now = request.app.state.clock.now()
    return _for_known(request, "devices.html", lambda session: _devices(session, now, problem))


@router.post("/devices/adopt")
def adopt_device(
    request: Request,
    device: Annotated[str, Form()],
    site: Annotated[str, Form()],
    label: Annotated[str, Form()] = "",
) -> Response:
    """Make a device that was heard known to the CRM."""

    def adopt(session: Session) -> None:
        adopt_heard(session, request.app.state.clock.now(), device, site, label)

    return _act(request, adopt, "/devices")


@router.get("/quarantine")
def show_quarantine(request: Request) -> Response:
    """Show what could not be read."""
    return _for_known(request, "quarantine.html", _quarantine)


@router.post("/quarantine/replay")
def replay_quarantine(request: Request) -> Response:
    """Have everything that waits read again."""
    return _act(request, lambda session: ask_for_replay(session, None), "/quarantine")


@router.post("/quarantine/discard")
def discard_quarantine(request: Request) -> Response:
    """Set everything that waits aside for good."""
    return _act(request, lambda session: discard(session, None), "/quarantine")


def _act(request: Request, change: Callable[[Session], object], path: str) -> Response:
    """Do what somebody with a token asked for, and show the page again with what went wrong."""
    store = request.app.state.store
    if not is_allowed(store, token_of(request)):
        return RedirectResponse("/login", status.HTTP_303_SEE_OTHER)
    try:
        with store.write() as session:
            change(session)
    except ConfigurationError as error:
        path = f"{path}?{urlencode({'problem': str(error)})}"
    return RedirectResponse(path, status.HTTP_303_SEE_OTHER)


def _remember(request: Request, token: str, path: str) -> Response:
    response = RedirectResponse(path, status.HTTP_303_SEE_OTHER)
    secure = request.app.state.settings.public_url.startswith("https://")
    response.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=secure)
    return response


def _for_known(request: Request, template: str, collect: Any) -> Response:
    """Render a page for someone with a token; show anybody else the login."""
    store = request.app.state.store
    if not is_allowed(store, token_of(request)):
        return RedirectResponse("/login", status.HTTP_303_SEE_OTHER)
    with store.read() as session:
        values = collect(session)
    if values is None:
        return _page(request, "missing.html", {}, status.HTTP_404_NOT_FOUND)
    return _page(request, template, values)


def _page(
    request: Request, template: str, values: Mapping[str, Any], code: int = status.HTTP_200_OK
) -> HTMLResponse:
    page = request.app.state.pages.get_template(template)
    return HTMLResponse(page.render(values, path=request.url.path), code)


async def _missing(request: Request, error: Exception) -> Response:
    """Answer an address that leads nowhere: a person with a page, a program as the API does."""
    is_lost = isinstance(error, RequestValidationError) or (
        isinstance(error, StarletteHTTPException) and error.status_code == status.HTTP_404_NOT_FOUND
    )
    if is_lost and request.method == "GET" and not request.url.path.startswith(_FOR_PROGRAMS):
        return _page(request, "missing.html", {}, status.HTTP_404_NOT_FOUND)
    if isinstance(error, RequestValidationError):
        return await request_validation_exception_handler(request, error)
    if isinstance(error, StarletteHTTPException):
        return await http_exception_handler(request, error)
    raise error


def _board(session: Session) -> dict[str, Any]:
    zone = main_zone(session)
    query = select(Case).order_by(
        (col(Case.state) == CLOSED), col(Case.severity).desc(), col(Case.id).desc()
    )
    cases = session.exec(query.limit(_SHOWN_CASES)).all()
    story = session.exec(
        select(TimelineEntry).order_by(col(TimelineEntry.id).desc()).limit(_SHOWN_STORY)
    ).all()
    return {
        "zone": zone.key,
        "cases": [_view_card(session, case, zone) for case in cases],
        "story": [view_entry(entry, zone) for entry in story],
        "newest": story[0].id if story else 0,
        "counts": {
            "alarms": _count(session, select(func.count()).where(Alarm.state == "active")),
            "open": _count(session, select(func.count()).where(Case.state == OPEN)),
            "handed_over": _count(session, select(func.count()).where(Case.state == HANDED_OVER)),
            "messages": _count(session, select(func.count()).select_from(ledger.Message)),
        },
    }


def _count(session: Session, query: Any) -> int:
    return int(session.exec(query).one())


def _view_card(session: Session, case: Case, zone: Any) -> dict[str, Any]:
    place = find_place(session, case.device_type, case.site_id, case.device_id)
    last = session.exec(
        select(TimelineEntry)
        .where(TimelineEntry.case_id == case.id)
        .order_by(col(TimelineEntry.id).desc())
        .limit(1)
    ).first()
    return {
        "id": case.id,
        "rule": case.rule,
        "label": place.label,
        "site": place.site_name or "several sites",
        "severity": Severity(case.severity).word,
        "state": case.state,
        "outcome": case.outcome,
        "owner": case.owner,
        "opened": local_time(case.opened_at, zone),
        "last": last.summary if last else "",
    }


def _case(session: Session, case_id: int) -> dict[str, Any] | None:
    found = view_case(session, case_id)
    if found is None:
        return None
    case = found["case"]
    place = find_place(session, case["device_type"], case["site_id"], case["device_id"])
    last_round = max((one["round"] for one in found["candidates"]), default=0)
    return {
        **found,
        "place": place,
        "severity": Severity(case["severity"]).word,
        "prediction": predictions_in(found["alarm"]["values"]),
        "last_candidates": [one for one in found["candidates"] if one["round"] == last_round],
    }


def _outbox(session: Session) -> dict[str, Any]:
    zone = main_zone(session)
    query = select(ledger.Message).order_by(col(ledger.Message.id).desc()).limit(_SHOWN_MESSAGES)
    messages = []
    for message in session.exec(query):
        view = view_message(session, message)
        view["time"] = local_time(message.created_at, zone)
        messages.append(view)
    return {"messages": messages}


def _devices(session: Session, now: datetime, problem: str) -> dict[str, Any]:
    zone = main_zone(session)
    groups = []
    for title, unknown in (("Unknown", True), ("Known", False)):
        devices = find_devices(session, now, unknown=unknown, limit=_SHOWN_DEVICES)
        for one in devices:
            one["seen"] = local_time(one["last_seen_at"], zone) if one["last_seen_at"] else ""
            one["shown"] = ", ".join(f"{n} {shown_value(v)}" for n, v in one["values"].items())
        if devices:
            groups.append((title, devices))
    return {"groups": groups, "problem": problem}


def _quarantine(session: Session) -> dict[str, Any]:
    zone = main_zone(session)
    refused = find_refused(session, limit=_SHOWN_REFUSED)
    for one in refused:
        one["time"] = local_time(one["received_at"], zone)
    return {
        "refused": refused,
        "counts": count_refused(session)[:_SHOWN_REASONS],
        "waiting": count_waiting(session),
    }
