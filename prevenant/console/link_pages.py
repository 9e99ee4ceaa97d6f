"""What pages by link have in common: who has followed which link, one look, one way to press something.

No login and no cookie: whoever has the link may do what it is for, with one case. Looking changes nothing,
since programs open links by themselves; what is pressed is noted with the link.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response, status
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from jinja2 import Environment
from sqlmodel import Session, select

from notify import local_zone
from notify.links import Link, find_link, link_url, use_link
from notify.replies import Pressed, find_question, take_pressed
from prevenant.api.acts import name_doer
from prevenant.console.link_words import Times
from prevenant.console.shell import LANGUAGES, environment, language_of
from prevenant.crm.directory import Person, find_present
from prevenant.domain import first_name_of
from prevenant.errors import ConfigurationError
from prevenant.tables import CASE_EVENTS, CaseEvent
from workflows.running import RunningCase
from workflows.story import Story
from workflows.tables import Case
from workflows.versions import running

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(self)",
}
WAITING = "waiting"
"""What was pressed is kept, and its case has still to hear it."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whoever has followed a link: who it was given to, and the one case that it opens."""

    link: Link
    person: Person
    run: RunningCase
    language: str
    times: Times
    token: str

    @property
    def contact_id(self) -> str:
        """Whose link it is."""
        return self.person.contact_id

    @property
    def case_id(self) -> int:
        """Which case it opens."""
        return self.run.case.id or 0


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody has pressed."""

    ask: str
    intent: str
    what: str
    """For the story: what was done by the link."""
    number: int | None = None
    text: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


Settle = Callable[[Visitor, Wish], str]
"""Returns the code of what came of a press, once the case has heard it."""


def find_visitor(
    request: Request, session: Session, token: str, purpose: str
) -> tuple[Visitor | None, str]:
    """Return who has followed a link; or None, and why it leads nowhere."""
    state = request.app.state
    now: datetime = state.clock.now()
    found = find_link(session, token, now)
    if found.link is None or found.link.purpose != purpose:
        return None, found.why_not or "unknown"
    person = find_present(session, found.link.contact_id)
    case = session.get(Case, found.link.case_id) if found.link.case_id else None
    if person is None or case is None or case.storm_of:
        return None, "expired"
    run = running(session, Story({}, {}, state.templates), case, now)
    language = person.language if person.language in LANGUAGES else language_of(request)
    zone = person.timezone if person.timezone != "UTC" else run.place.timezone
    times = Times(local_zone(zone), language, now)
    return Visitor(found.link, person, run, language, times, token), ""


def show_visitor(
    request: Request,
    token: str,
    purpose: str,
    template: str,
    collect: Callable[[Visitor, Environment], Mapping[str, Any]],
    settle: Settle,
) -> Response:
    """Render the page of a link from what `collect` finds in one transaction.

    Whoever waits for what comes of a press is told that as soon as the case has heard it.
    """
    asked = request.query_params
    said, of = asked.get("said", ""), asked.get("of", "")
    with request.app.state.store.read() as session:
        visitor, why = find_visitor(request, session, token, purpose)
        if visitor is None:
            return show_nowhere(request, why)
        words = environment(visitor.language)
        values = collect(visitor, words)
        if said == WAITING:
            said = _outcome_of(session, visitor, of, settle)
    usual = {
        "base": link_url("", token, purpose),
        "language": visitor.language,
        "times": visitor.times,
        "first_name": first_name_of(visitor.person.name),
        "key": secrets.token_urlsafe(9),
        "said": said,
        "wait_at": _waiting_at(link_url("", token, purpose), of),
        "problem": "",
    }
    page = words.get_template(template).render({**usual, **values})
    return HTMLResponse(page, headers=HEADERS)


def show_nowhere(request: Request, why: str) -> Response:
    """Say that a link leads nowhere: it is over, or there was never such a one."""
    page = environment(language_of(request)).get_template("link_over.html")
    text = page.render(why=why, language=language_of(request), base="")
    code = status.HTTP_410_GONE if why == "expired" else status.HTTP_404_NOT_FOUND
    return HTMLResponse(text, code, HEADERS)


def press(
    request: Request,
    token: str,
    purpose: str,
    key: str,
    judge: Callable[[Visitor], Wish],
    settle: Settle,
) -> Response:
    """Give the case what was pressed, and go back to the page with what came of it.

    `judge` says what was meant, or raises ConfigurationError with the code of what cannot be.
    """
    state = request.app.state
    base = link_url("", token, purpose)
    with state.store.read() as session:
        visitor, why = find_visitor(request, session, token, purpose)
        try:
            wish = judge(visitor) if visitor else None
        except ConfigurationError as error:
            return go_back(base, str(error))
    # The case is not read in the transaction that writes: it may be heard within that.
    with state.store.write() as session:
        now = state.clock.now()
        used = use_link(session, token, purpose, wish.what if wish else "", now)
        if visitor is None or wish is None or used.link is None:
            return show_nowhere(request, used.why_not or why)
        about = visitor.case_id, visitor.contact_id
        question = find_question(session, *about, wish.ask) or find_question(session, *about)
        if question is None:
            return go_back(base, "over")
        number = _number_of(used.link, key)
        name_doer(request, f"{visitor.person.name} (by link)", f"link:{used.link.digest[:12]}")
        details = dict(wish.details)
        pressed = Pressed(number, wish.ask, wish.intent, wish.number, wish.text, details)
        take_pressed(session, question, pressed, now)
        # Whoever has pressed waits for what comes of it.
        state.store.go_on(session, CASE_EVENTS, question.severity)
    with state.store.read() as session:
        visitor, why = find_visitor(request, session, token, purpose)
        said = _outcome_of(session, visitor, key, settle) if visitor else why
    if said == WAITING:
        return RedirectResponse(_waiting_at(base, key), status.HTTP_303_SEE_OTHER)
    return go_back(base, said)


def _number_of(link: Link, key: str) -> str:
    """Return under which number it is kept what was pressed on a page that was given this key."""
    return f"{link.digest[:12]}-{key[:24]}"


def _outcome_of(session: Session, visitor: Visitor, key: str, settle: Settle) -> str:
    """Return the code of what came of a press; `WAITING` where the case has still to hear it."""
    number = _number_of(visitor.link, key)
    query = select(CaseEvent).where(CaseEvent.key == f"reply:link-{number}")
    event = session.exec(query.where(CaseEvent.case_id == visitor.case_id)).first()
    if event is None:
        return ""
    if event.heard_at is None:
        return WAITING
    return settle(visitor, Wish(event.data["ask"], event.data["intent"], "", details=event.data))


def _waiting_at(base: str, key: str) -> str:
    """Return where somebody waits for what comes of a press."""
    return f"{base}?{urlencode({'said': WAITING, 'of': key})}"


def go_back(base: str, said: str = "") -> Response:
    """Send a browser back to its page, which says one of its own sentences: never one from the address."""
    return RedirectResponse(f"{base}?said={said}" if said else base, status.HTTP_303_SEE_OTHER)


def stream_news(request: Request, token: str, purpose: str) -> Response:
    """Tell a page when there is news of its case."""
    news = request.app.state.link_news
    with request.app.state.store.read() as session:
        visitor, why = find_visitor(request, session, token, purpose)
        if visitor is None:
            return show_nowhere(request, why)
        case_id = visitor.case_id
    if news.is_full:
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    return StreamingResponse(
        news.stream(request, case_id), media_type="text/event-stream", headers=HEADERS
    )
