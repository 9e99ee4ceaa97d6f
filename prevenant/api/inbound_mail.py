"""Inbound e-mail: mails as they came, handed in by a mail provider or by your own mail server; signed.

A report on an e-mail of ours is its receipt; whatever else came in is a reply.
"""

import hashlib
import hmac
import re
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Header, HTTPException, Request, Response, status
from starlette.concurrency import run_in_threadpool

from notify.bounces import is_report, take_bounces
from notify.email import letters_of
from notify.replies import read_mail
from notify.webhook import is_signed
from prevenant.api.inbound import record_reply
from prevenant.clock import epoch_seconds

log = structlog.get_logger()

router = APIRouter(prefix="/webhooks/email", include_in_schema=False)

_LARGEST = 10 * 1024 * 1024
_FRESH_S = 15 * 60
"""As long as Mailgun's own examples have it: a call that failed is made again after some minutes."""


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
    now = request.app.state.clock.now()
    _check(request, is_proven=is_signed(secret, prevenant_signature, data, now))
    await run_in_threadpool(_record, request, data)
    return Response(status_code=status.HTTP_204_NO_CONTENT)


@router.post("/mailgun/mime")
async def take_from_mailgun(request: Request, secret: Secret) -> Response:
    """Take a mail from a Mailgun route whose address ends in `mime`, signed by Mailgun."""
    form = await request.form()
    fields = {name: str(form.get(name, "")) for name in ("timestamp", "token", "signature")}
    proof = f"{fields['timestamp']}{fields['token']}".encode()
    wanted = hmac.new(secret.encode(), proof, hashlib.sha256).hexdigest()
    is_proven = hmac.compare_digest(wanted.encode(), fields["signature"].encode())
    # The mail itself is not signed: who has seen one call could hand in any mail by it for ever.
    now = epoch_seconds(request.app.state.clock.now())
    is_fresh = is_proven and abs(now - _seconds(fields["timestamp"])) <= _FRESH_S
    _check(request, is_proven=is_fresh)
    mail = form.get("body-mime", "")
    data = await mail.read() if not isinstance(mail, str) else mail.encode()
    await run_in_threadpool(_record, request, data)
    return Response(status_code=status.HTTP_204_NO_CONTENT)


def _seconds(text: str) -> float:
    return int(text) if re.fullmatch(r"[0-9]{1,12}", text) else 0.0


def _check(request: Request, *, is_proven: bool) -> None:
    if not is_proven:
        log.warning("a webhook with a wrong signature was refused", path=request.url.path)
        raise HTTPException(status.HTTP_403_FORBIDDEN, "the signature does not match")


def _record(request: Request, data: bytes) -> None:
    state = request.app.state
    if is_report(data):
        with state.store.write() as session:
            if take_bounces(session, letters_of(state.settings), data, state.clock.now()):
                return
    record_reply(request, read_mail(data))
