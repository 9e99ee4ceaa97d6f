"""What Twilio calls: receipts, inbound texts, and the keys pressed in a call; all signed by it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, HTTPException, Request, Response, status
from sqlmodel import Session, select
from starlette.concurrency import run_in_threadpool
from twilio.request_validator import RequestValidator

from notify.delivery import is_known, take_receipt
from notify.message import Delivery, Message
from notify.opting_out import record_opt_out
from notify.receipts import read_twilio
from notify.replies import Inbound, receive
from notify.voice import (
    MOST_TRIES,
    PERSON_KEY,
    call_twiml,
    person_twiml,
    reaches_person,
    thanks_twiml,
)
from notify.whatsapp import PREFIX
from prevenant.api.inbound import record_reply
from prevenant.api.receipts import take_receipt_by

log = structlog.get_logger()

router = APIRouter(prefix="/webhooks/twilio", include_in_schema=False)

_PERSON = "talk to a person"
_EMPTY_TWIML = '<?xml version="1.0" encoding="UTF-8"?><Response/>'


async def signed_form(request: Request) -> dict[str, str]:
    """Return the fields of a request that Twilio has signed; refuse any other."""
    settings = request.app.state.settings
    secret = settings.twilio_auth_token.get_secret_value()
    if not secret or not settings.public_url:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "Twilio is not configured here")
    fields = {name: str(value) for name, value in (await request.form()).items()}
    url = f"{settings.public_url}{request.url.path}"
    if request.url.query:
        url += f"?{request.url.query}"
    signature = request.headers.get("x-twilio-signature", "")
    if not RequestValidator(secret).validate(url, fields, signature):
        log.warning("a webhook with a wrong signature was refused", path=request.url.path)
        raise HTTPException(status.HTTP_403_FORBIDDEN, "the signature does not match")
    return fields


SignedForm = Annotated[dict[str, str], Depends(signed_form)]


def _need(form: Mapping[str, str], name: str) -> str:
    """Return a field of a form; refuse one that lacks it."""
    if name not in form:
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, f"{name} is missing")
    return form[name]


@router.post("/status")
async def take_status(request: Request, key: str, form: SignedForm) -> Response:
    """Take a receipt of a text or a call."""
    await run_in_threadpool(_record_status, request, key, form)
    return Response(status_code=status.HTTP_204_NO_CONTENT)


@router.post("/sms")
async def take_sms(request: Request, form: SignedForm) -> Response:
    """Take an inbound text, or a message by WhatsApp."""
    sender = _need(form, "From")
    channel = "whatsapp" if sender.startswith(PREFIX) else "sms"
    inbound = Inbound(
        _need(form, "MessageSid"), channel, sender.removeprefix(PREFIX), form.get("Body", "")
    )
    await run_in_threadpool(record_reply, request, inbound)
    return Response(_EMPTY_TWIML, media_type="application/xml")


@router.post("/voice")
async def take_key(request: Request, key: str, form: SignedForm, tries: int = 1) -> Response:
    """Take the key that was pressed in a call, and say what follows from it."""
    digits, call = form.get("Digits", ""), _need(form, "CallSid")
    # Another key in the same call is another answer.
    number = f"{call}-key" if tries == 1 else f"{call}-key{tries}"
    inbound = Inbound(number, "voice", _need(form, "To"), digits, is_last=tries >= MOST_TRIES)
    twiml = await run_in_threadpool(_record_key, request, key, inbound, tries)
    return Response(twiml, media_type="application/xml")


@router.post("/answered")
async def take_answered(request: Request, key: str, form: SignedForm) -> Response:
    """Take who has answered a call: what a machine keeps has reached nobody yet."""
    await run_in_threadpool(_record_status, request, key, {**form, "CallStatus": ""})
    return Response(status_code=status.HTTP_204_NO_CONTENT)


def _record_status(request: Request, key: str, form: Mapping[str, str]) -> None:
    status = form.get("MessageStatus") or form.get("CallStatus") or ""
    receipt = read_twilio(status, form.get("ErrorCode", ""), form.get("AnsweredBy", ""))
    provider_id = form.get("MessageSid") or form.get("CallSid") or ""
    if receipt is None:
        return
    store = request.app.state.store
    if not receipt.takes_back and receipt.refusal is None:
        with store.read() as session:
            if is_known(session, key, provider_id, receipt.state):
                return

    def take(session: Session) -> None:
        now = request.app.state.clock.now()
        said = receipt.state, now, receipt.reason
        if not take_receipt(session, key, provider_id, *said, takes_back=receipt.takes_back):
            log.warning("a receipt for an unknown delivery", key=key)
        elif receipt.refusal is not None:
            query = select(Delivery).where(Delivery.key == key)
            record_opt_out(session, session.exec(query).one(), receipt.refusal, now)

    take_receipt_by(store, take)


def _record_key(request: Request, key: str, inbound: Inbound, tries: int) -> str:
    """Record a key press as the reply to the call's own question; return what is said then."""
    settings = request.app.state.settings
    with request.app.state.store.write() as session:
        query = select(Message).join(Delivery).where(Delivery.key == key)
        message = session.exec(query).first()
        language = message.language if message else "en"
        wants_person = inbound.text == PERSON_KEY and reaches_person(message and message.ask)
        if wants_person:
            inbound = replace(inbound, text=_PERSON)
        now = request.app.state.clock.now()
        reply = receive(session, request.app.state.templates, inbound, now, question=message)
        if wants_person or reply.outcome == "handed off":
            return person_twiml(language, settings.desk_phone)
        if message is None or reply.outcome != "unclear" or inbound.is_last:
            return thanks_twiml(language)
        again = f"{settings.public_url}/webhooks/twilio/voice?key={key}&tries={tries + 1}"
        return call_twiml(message, again, before="again")
