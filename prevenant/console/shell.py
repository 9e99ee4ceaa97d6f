"""What every page of the console stands in: layout, language, times, notices, headers that guard it."""

import io
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache, partial
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from babel.dates import format_date, format_datetime, format_timedelta
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import Translations
from fastapi import Request, Response, status
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from sqlmodel import Session, func, select
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prevenant import __version__
from prevenant.api.access import CSRF_FIELD, Actor, Role, csrf_token
from prevenant.api.acts import call_refused
from prevenant.api.live import local_time, main_zone
from prevenant.console.kinds import name_kind, name_kinds
from prevenant.console.said import name_said, translate
from prevenant.domain import Severity
from prevenant.durations import parse_duration
from prevenant.errors import ConfigurationError
from prevenant.tables import TimelineEntry
from rules.explain import shown_value

LANGUAGES = ("en", "fr")
LANGUAGE_COOKIE = "language"

_NOTICE = "notice"
_LONGEST_NOTICE = 600
_NOTICE_S = 60
_WORDS = Path(__file__).parent / "words"
POLICY = (
    "default-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)

T = TypeVar("T")


class Guarded:
    """Gives every answer the headers that keep a browser from running or showing what is not ours."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and give its answer the headers that it has not itself."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", POLICY)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "no-referrer")
            await send(message)

        await self._app(scope, receive, guarded if scope["type"] == "http" else send)


@cache
def environment(language: str) -> Environment:
    """Return the templates in a language; `_("…")` in them is the English text, which is its own key."""
    made = Environment(
        loader=PackageLoader("prevenant.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    words = read_words(language)
    kinds = name_kinds(words.gettext)
    made.install_gettext_translations(words, newstyle=True)  # type: ignore[attr-defined]
    made.globals |= {
        "version": __version__,
        "language": language,
        "Role": Role,
        "csrf_field": _csrf_field,
        "kinds": kinds,
    }
    made.filters |= {
        "clock": _clock,
        "moment": _moment,
        "day": _day,
        "span": _span,
        "burden": _burden,
        "held": _held,
        "length_of": parse_duration,
        "kind": partial(name_kind, words=kinds),
        "number": partial(format_decimal, format="#,##0.#", locale=language),
        "severity": _severity,
        "severity_word": lambda severity: Severity(severity).word,
        "shown": _shown,
        "said": partial(translate, said=name_said(words.gettext)),
    }
    return made


def read_words(language: str) -> Translations:
    """Return a language's words, of all its catalogues; English needs none."""
    words = Translations()
    for path in sorted((_WORDS / language).glob("*.po")):
        compiled = io.BytesIO()
        with path.open("rb") as file:
            write_mo(compiled, read_po(file, locale=language))
        compiled.seek(0)
        words.merge(Translations(compiled))
    return words


def language_of(request: Request) -> str:
    """Return the language that somebody has chosen here, else the one that the browser asks for."""
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    if chosen in LANGUAGES:
        return chosen
    for wanted in request.headers.get("accept-language", "").split(","):
        code = wanted.strip()[:2].lower()
        if code in LANGUAGES:
            return code
    return LANGUAGES[0]


def show(
    request: Request,
    template: str,
    collect: Callable[[Session], Mapping[str, Any] | None],
    actor: Actor,
) -> Response:
    """Render a page from what `collect` finds in one transaction; None is a page that there is not."""
    with request.app.state.store.read() as session:
        values = collect(session)
        zone = main_zone(session)
        newest = session.exec(select(func.max(TimelineEntry.id))).one() or 0
    if values is None:
        return show_plain(request, "missing.html", {}, status.HTTP_404_NOT_FOUND, actor)
    return show_plain(request, template, {"newest": newest, **values, "zone": zone}, actor=actor)


def show_plain(
    request: Request,
    template: str,
    values: Mapping[str, Any],
    code: int = status.HTTP_200_OK,
    actor: Actor | None = None,
) -> Response:
    """Render a page that needs nothing of the store, perhaps for somebody who is not known."""
    page = environment(language_of(request)).get_template(template)
    notice = unquote(request.cookies.get(_NOTICE, ""))
    usual = {
        "path": request.url.path,
        "actor": actor,
        "pages": request.app.state.pages,
        "csrf": csrf_token(request),
        "notice": notice,
        "now": request.app.state.clock.now(),
    }
    response = HTMLResponse(page.render({**usual, **values}), code)
    response.headers["Cache-Control"] = "no-store"
    if notice:
        response.delete_cookie(_NOTICE)
    return response


def act(request: Request, change: Callable[[Session], object], path: str) -> Response:
    """Do what was asked for in one transaction, and go on to `path`, with what went wrong where it did."""
    problem = ""
    try:
        with request.app.state.store.write() as session:
            change(session)
        request.app.state.kept.note_act()
    except ConfigurationError as error:
        problem = str(error)
        call_refused(request, problem)
    return go_on(path, problem)


def go_on(path: str, notice: str = "") -> Response:
    """Send a browser to a page of ours, which shows `notice` once."""
    response = RedirectResponse(path, status.HTTP_303_SEE_OTHER)
    if notice:
        # Not in the address, where anybody could write what our page is to say.
        said = quote(notice[:_LONGEST_NOTICE])
        response.set_cookie(_NOTICE, said, _NOTICE_S, httponly=True, samesite="lax")
    return response


@pass_context
def _csrf_field(context: Context) -> Markup:
    """Return what each form carries, so that no other site can have it sent."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(CSRF_FIELD, context["csrf"])


@pass_context
def _clock(context: Context, at: datetime | None) -> str:
    """14:30:05, in the zone of the page."""
    return local_time(at, context["zone"]) if at else ""


@pass_context
def _moment(context: Context, at: datetime | None) -> str:
    """4 May 2026, 14:30, in the zone and language of the page."""
    if at is None:
        return ""
    text: str = format_datetime(
        at, "d MMM y, HH:mm", tzinfo=context["zone"], locale=context["language"]
    )
    return text


@pass_context
def _day(context: Context, at: datetime | None) -> str:
    """4 May 2026, of a day that is kept as its midnight in UTC."""
    return format_date(at.date(), "d MMM y", locale=context["language"]) if at else ""


@pass_context
def _shown(context: Context, value: Any) -> str:
    """9.28, or yes: a value of a device in the language of the page."""

    def _(text: str) -> str:
        return str(context.call(context["gettext"], text))

    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if not isinstance(value, float) or not isfinite(value):
        return str(value)
    text = shown_value(value)
    # What is too large or too small to be spelled out stays as it is.
    if "e" in text:
        return text
    return str(format_decimal(Decimal(text), format="#,##0.######", locale=context["language"]))


@pass_context
def _span(context: Context, lasts: timedelta | float | None) -> str:
    """3 min, from a length of time or seconds."""
    if lasts is None:
        return ""
    length = lasts if isinstance(lasts, timedelta) else timedelta(seconds=lasts)
    text: str = format_timedelta(length, locale=context["language"], format="narrow", threshold=1.2)
    return text


@pass_context
def _severity(context: Context, severity: Severity | int | str) -> str:
    """Life-safety, in the language of the page."""

    def _(text: str) -> str:
        return str(context.call(context["gettext"], text))

    said: dict[str, str] = {
        "info": _("info"),
        "minor": _("minor"),
        "major": _("major"),
        "critical": _("critical"),
        "life_safety": _("life-safety"),
    }
    return said[severity if isinstance(severity, str) else Severity(severity).word]


@pass_context
def _burden(context: Context, burden: str) -> str:
    """Too much, in the language of the page: what alarms ask of whoever watches."""

    def _(text: str) -> str:
        return str(context.call(context["gettext"], text))

    said = {
        "calm": _("calm"),
        "busy": _("busy"),
        "too_much": _("too much"),
        "flood": _("flood"),
    }
    return said[burden]


@pass_context
def _held(context: Context, why: str) -> str:
    """Shelved, in the language of the page: why nobody is told of an alarm."""

    def _(text: str) -> str:
        return str(context.call(context["gettext"], text))

    said = {
        "shelved": _("shelved"),
        "maintenance": _("maintenance"),
        "flapping": _("shelved for flapping"),
        "explained": _("explained by another"),
    }
    return said[why]
