"""What people reach by a link of ours, without a login; what they do there is done by the link alone."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response, status
from fastapi.responses import HTMLResponse
from jinja2 import Environment
from sqlmodel import Session

from notify.links import PATH, UNSUBSCRIBE, Found, find_link
from notify.message import Message
from notify.unsubscribing import unsubscribe

router = APIRouter(include_in_schema=False)

_ONE_CLICK = "One-Click"
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
}
_WORDS = {
    "en": {
        "ask": "Shall we send you no more e-mails?",
        "button": "No more e-mails",
        "done": "You will get no more e-mails from us.",
        "expired": "This link has expired. Please write to us.",
        "unknown": "There is no such link. Please open it once more from the e-mail.",
    },
    "fr": {
        "ask": "Souhaitez-vous ne plus recevoir d'e-mails de notre part ?",
        "button": "Ne plus recevoir d'e-mails",
        "done": "Vous ne recevrez plus d'e-mails de notre part.",
        "expired": "Ce lien a expiré. Écrivez-nous, s'il vous plaît.",
        "unknown": "Ce lien n'existe pas. Ouvrez-le encore une fois depuis l'e-mail.",
    },
}
_PAGE = Environment(autoescape=True).from_string(
    """<!doctype html>
<html lang="{{ language }}">
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ words[said] }}</title>
<body style="margin:0;background:#f4f5f7;font:16px/1.5 system-ui,sans-serif;color:#1c2430">
<main style="max-width:30rem;margin:3rem auto;padding:2rem;background:#fff;border-radius:12px">
<p>{{ words[said] }}</p>
{% if said == "ask" %}<form method="post"><button style="font:inherit;padding:.6rem 1.2rem">
{{- words.button }}</button></form>{% endif %}
</main>
</body>
</html>
"""
)


@router.get(PATH + "{token}")
def show_link(request: Request, token: str) -> Response:
    """Ask before anything is done: mail programs open links by themselves."""
    with request.app.state.store.read() as session:
        found = find_link(session, token, request.app.state.clock.now())
        if found.link is not None and found.link.purpose != UNSUBSCRIBE:
            found = Found(None, "unknown")
        message = _message_of(session, found)
    return _page(request, found, message, "ask")


@router.post(PATH + "{token}")
def follow_link(
    request: Request,
    token: str,
    one_click: Annotated[str, Form(alias="List-Unsubscribe", max_length=100)] = "",
) -> Response:
    """End e-mail to whoever has the link: one click in a mail program, or the button of the page."""
    how = "one-click unsubscribe (RFC 8058)" if one_click == _ONE_CLICK else "unsubscribe page"
    with request.app.state.store.write() as session:
        found = unsubscribe(session, token, how, request.app.state.clock.now())
        message = _message_of(session, found)
    return _page(request, found, message, "done")


def _message_of(session: Session, found: Found) -> Message | None:
    number = found.link.message_id if found.link else None
    return session.get(Message, number) if number else None


def _page(request: Request, found: Found, message: Message | None, said: str) -> Response:
    wanted = message.language if message else request.headers.get("accept-language", "en")[:2]
    language = wanted if wanted in _WORDS else "en"
    code = status.HTTP_200_OK if found.link else status.HTTP_404_NOT_FOUND
    said = found.why_not or said
    page = _PAGE.render(language=language, words=_WORDS[language], said=said)
    return HTMLResponse(page, code, _HEADERS)
