"""What a mail server hands to us, signed: reports on e-mails that did not arrive, or did."""

from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, HTTPException, Request, Response, status
from starlette.concurrency import run_in_threadpool

from notify.bounces import is_report, take_bounces
from notify.email import letters_of
from notify.webhook import is_signed

log = structlog.get_logger()

router = APIRouter(prefix="/webhooks", include_in_schema=False)

_MAX_BYTES = 1_000_000


async def signed_mail(request: Request) -> bytes:
    """Return an e-mail that was signed with our secret, within five minutes; refuse any other."""
    secret = request.app.state.settings.webhook_secret.get_secret_value()
    if not secret:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "set PREVENANT_WEBHOOK_SECRET first")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BYTES:
            raise HTTPException(
                status.HTTP_413_CONTENT_TOO_LARGE, "an e-mail has at most 1 MB here"
            )
    signature = request.headers.get("prevenant-signature", "")
    if not is_signed(secret, signature, body, request.app.state.clock.now()):
        log.warning("an e-mail with a wrong signature was refused")
        raise HTTPException(status.HTTP_403_FORBIDDEN, "the signature does not match")
    return body


SignedMail = Annotated[bytes, Depends(signed_mail)]


@router.post("/email")
async def take_mail(request: Request, raw: SignedMail) -> Response:
    """Take a report on an e-mail of ours; anything else is left alone."""
    taken = await run_in_threadpool(_take, request, raw)
    code = status.HTTP_204_NO_CONTENT if taken else status.HTTP_202_ACCEPTED
    return Response(status_code=code)


def _take(request: Request, raw: bytes) -> int:
    state = request.app.state
    if not is_report(raw):
        log.info("an e-mail that is no report was left alone")
        return 0
    with state.store.write() as session:
        taken = take_bounces(session, letters_of(state.settings), raw, state.clock.now())
    if not taken:
        log.info("a report on no e-mail of ours was left alone")
    return taken
