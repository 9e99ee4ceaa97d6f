"""What Twilio calls: receipts, inbound texts, and the keys pressed in a call; all signed by it."""

from collections.abc import Mapping
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, HTTPException, Request, Response, status
from sqlmodel import select
from starlette.concurrency import run_in_threadpool
from twilio.request_validator import RequestValidator

from notify.delivery import take_receipt
from notify.message import Delivery, Message
from notify.receipts import read_twilio
from notify.replies import Inbound, receive
from notify.voice import thanks_twiml

log = structlog.get_logger()

router = APIRouter(prefix="/webhooks/twilio", include_in_schema=False)

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


@router.post("/status")
async def take_status(request: Request, key: str, form: SignedForm) -> Response:
    """Take a receipt of a text or a call."""
    await run_in_threadpool(_record_status, request, key, form)
    return Response(status_code=status.HTTP_204_NO_CONTENT)


@router.post("/sms")
async def take_sms(request: Request, form: SignedForm) -> Response:
    """Take an inbound text."""
    inbound = Inbound(form["MessageSid"], "sms", form["From"], form.get("Body", ""))
    await run_in_threadpool(_record_reply, request, inbound)
    return Response(_EMPTY_TWIML, media_type="application/xml")


@router.post("/voice")
async def take_key(request: Request, key: str, form: SignedForm) -> Response:
    """Take the key that was pressed in a call."""
    inbound = Inbound(f"{form['CallSid']}-key", "voice", form["To"], form.get("Digits", ""))
    language = await run_in_threadpool(_record_key, request, key, inbound)
    return Response(thanks_twiml(language), media_type="application/xml")


def _record_status(request: Request, key: str, form: Mapping[str, str]) -> None:
    status = form.get("MessageStatus") or form.get("CallStatus") or ""
    receipt = read_twilio(status, form.get("ErrorCode", ""))
    provider_id = form.get("MessageSid") or form.get("CallSid") or ""
    if receipt is None:
        return
    with request.app.state.store.write() as session:
        now = request.app.state.clock.now()
        if not take_receipt(session, key, provider_id, receipt.state, now, receipt.reason):
            log.warning("a receipt for an unknown delivery", key=key)


def _record_reply(request: Request, inbound: Inbound) -> None:
    with request.app.state.store.write() as session:
        receive(session, request.app.state.templates, inbound, request.app.state.clock.now())


def _record_key(request: Request, key: str, inbound: Inbound) -> str:
    """Record a key press as the reply to the call's own question; return the contact's language."""
    with request.app.state.store.write() as session:
        query = select(Message).join(Delivery).where(Delivery.key == key)
        message = session.exec(query).first()
        now = request.app.state.clock.now()
        receive(session, request.app.state.templates, inbound, now, question=message)
        return message.language if message else "en"
