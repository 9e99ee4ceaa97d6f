"""The console: its pages, their style and their scripts, added to the application."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Request, Response, status
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as StarletteHTTPException

from prevenant.api.access import PasswordDue, find_actor
from prevenant.api.problems import answer_problem
from prevenant.console import (
    access,
    account,
    asking,
    board,
    case,
    case_list,
    customers,
    deliveries,
    devices,
    draft,
    job_page,
    load,
    measures,
    model_work,
    models,
    on_call,
    openid,
    places,
    quarantine,
    rules,
    settings,
    sign_in,
    tasks,
    technicians,
    trail,
    visit_page,
    webhooks,
)
from prevenant.console.kept import KeptParts
from prevenant.console.link_live import LinkNews
from prevenant.console.shell import LANGUAGE_COOKIE, LANGUAGES, Guarded, go_on, show_plain

_FOR_PROGRAMS = ("/api/", "/webhooks/", "/static/", "/metrics")
_STATIC = Path(__file__).parent / "static"
_YEAR_S = 365 * 86_400

router = APIRouter(include_in_schema=False)


def add_console(app: FastAPI) -> None:
    """Add the console to an application that answers the API already."""
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    routers = [
        one.router
        for one in (
            sign_in,
            asking,
            load,
            places,
            case_list,
            case,
            devices,
            customers,
            technicians,
            quarantine,
            deliveries,
            measures,
            rules,
            draft,
            models,
            model_work,
            tasks,
            visit_page,
            job_page,
            openid,
            access,
            trail,
            account,
            on_call,
            settings,
            webhooks,
        )
    ]
    known = list(app.router.routes)
    app.include_router(board.router)
    # One path after the other is compared: what every open window asks for all the time comes first.
    app.router.routes[:] = [*app.router.routes[len(known) :], *known]
    for pages in (*routers, router):
        app.include_router(pages)
    app.state.kept = KeptParts(app.state.store)
    app.state.link_news = LinkNews(app.state.store)
    # The navigation leaves out what stands nowhere.
    app.state.pages = frozenset(
        path for pages in (board.router, *routers) for path in _paths_of(pages)
    )
    app.add_middleware(Guarded)
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _refused)


@router.get("/language/{code}")
def choose_language(code: str, to: str = "/") -> Response:
    """Remember in which language somebody reads."""
    response = go_on(to if to.startswith("/") and not to.startswith("//") else "/")
    if code in LANGUAGES:
        response.set_cookie(LANGUAGE_COOKIE, code, _YEAR_S, httponly=True, samesite="lax")
    return response


def _paths_of(pages: APIRouter) -> Iterator[str]:
    for route in pages.routes:
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()):
            yield route.path


async def _refused(request: Request, error: Exception) -> Response:
    """Answer what cannot be done: a person with a page, a program as the API does."""
    if request.url.path.startswith(_FOR_PROGRAMS):
        return await answer_problem(request, error)
    is_page = request.method == "GET"
    code = getattr(error, "status_code", status.HTTP_404_NOT_FOUND)
    if isinstance(error, PasswordDue):
        return _lead(request, "/account")
    if code == status.HTTP_401_UNAUTHORIZED:
        is_whole = is_page and not _is_part(request)
        return _lead(request, f"/login?to={quote(request.url.path)}" if is_whole else "/login")
    if is_page and code == status.HTTP_404_NOT_FOUND:
        actor = await run_in_threadpool(find_actor, request)
        return show_plain(request, "missing.html", {}, code, actor)
    if code == status.HTTP_403_FORBIDDEN:
        actor = await run_in_threadpool(find_actor, request)
        return show_plain(request, "refused.html", {}, code, actor)
    return await answer_problem(request, error)


def _lead(request: Request, path: str) -> Response:
    """Send a browser to another page; a part of a page must not be filled with it, but leave with all."""
    if not _is_part(request):
        return go_on(path)
    return Response(status_code=status.HTTP_403_FORBIDDEN, headers={"HX-Redirect": path})


def _is_part(request: Request) -> bool:
    return "hx-request" in request.headers or request.url.path.startswith("/partials/")
