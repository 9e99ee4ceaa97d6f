"""Inbound e-mail: mails as they came, handed in by a mail provider or by your own mail server; signed."""

import hashlib
import hmac
import re
from dataclasses import replace
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Header, HTTPException, Request, Response, status
from starlette.concurrency import run_in_threadpool

from notify.replies import read_mail, read_meaning, receive
from notify.webhook import sign
from prevenant.crm.directory import find_contacts_at

log = structlog.get_logger()

router = APIRouter(prefix="/webhooks/email", include_in_schema=False)

_LARGEST = 10 * 1024 * 1024


def shared_secret(request: Request) -> str:
    """Return the secret that signs what is handed in; without one nothing is taken."""
    secret: str = request.app.state.settings.email_webhook_secret.get_secret_value()
    if not secret:
        raise HTTPException(
            status.HTTP_404_NOT_FOUND, "inbound e-mail is off: set PREVENANT_EMAIL_WEBHOOK_SECRET"
        )
    return secret


Secret = Annotated[str, Depends(shared_secret)]


@router.post("")
async def take_mail(
    request: Request,
    secret: Secret,
    prevenant_signature: Annotated[str, Header()] = "",
) -> Response:
    """Take a mail as it came (RFC 5322), signed as our own webhooks are."""
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > _LARGEST:
            raise HTTPException(status.HTTP_413_CONTENT_TOO_LARGE, "a mail has 10 MB at most")
    at = prevenant_signature.partition(",")[0].removeprefix("t=")
    is_time = re.fullmatch(r"\d{1,12}", at, re.ASCII) is not None
    _check(sign(secret, int(at), data) if is_time else "", prevenant_signature, request)
    await run_in_threadpool(_record, request, data)
    return Response(status_code=status.HTTP_204_NO_CONTENT)


@router.post("/mailgun/mime")
async def take_from_mailgun(request: Request, secret: Secret) -> Response:
    """Take a mail from a Mailgun route whose address ends in `mime`, signed by Mailgun."""
    form = await request.form()
    fields = {name: str(form.get(name, "")) for name in ("timestamp", "token", "signature")}
    proof = f"{fields['timestamp']}{fields['token']}".encode()
    _check(
        hmac.new(secret.encode(), proof, hashlib.sha256).hexdigest(), fields["signature"], request
    )
    mail = form.get("body-mime", "")
    data = await mail.read() if not isinstance(mail, str) else mail.encode()
    await run_in_threadpool(_record, request, data)
    return Response(status_code=status.HTTP_204_NO_CONTENT)


def _check(wanted: str, given: str, request: Request) -> None:
    if not wanted or not hmac.compare_digest(wanted.encode(), given.encode()):
        log.warning("a webhook with a wrong signature was refused", path=request.url.path)
        raise HTTPException(status.HTTP_403_FORBIDDEN, "the signature does not match")


def _record(request: Request, data: bytes) -> None:
    state = request.app.state
    inbound = read_mail(data)
    meaning = read_meaning(inbound.text)
    with state.store.write() as session:
        contacts = find_contacts_at(session, inbound.channel, inbound.address)
        receive(
            session,
            state.templates,
            replace(inbound, contacts=contacts),
            state.clock.now(),
            meaning=meaning,
        )
