"""Readings that a platform hands in: signed with a shared secret, fresh, and each once."""

import threading
from typing import Annotated
from uuid import uuid4

import structlog
from fastapi import APIRouter, Header, HTTPException, Request, status
from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool

from notify.webhook import is_signed
from prevenant.api.bodies import LARGEST
from prevenant.api.intake import MOST, Posted
from prevenant.api.problems import Refusal
from prevenant.api.readings import Taken, give, judge, read_frames
from prevenant.idempotency import Attempt, digest_of, find_answer

log = structlog.get_logger()

router = APIRouter(prefix="/webhooks/readings", include_in_schema=False)

_POSTED = TypeAdapter(list[Posted])
_under_way: set[str] = set()
_changing = threading.Lock()


@router.post("", status_code=status.HTTP_202_ACCEPTED)
async def take_readings(
    request: Request, prevenant_signature: Annotated[str, Header()] = ""
) -> Taken:
    """Take readings as `POST /api/v1/readings` does, signed as our own webhooks are."""
    secret = request.app.state.settings.readings_webhook_secret.get_secret_value()
    if not secret:
        message = "inbound readings are off: set PREVENANT_READINGS_WEBHOOK_SECRET"
        raise HTTPException(status.HTTP_404_NOT_FOUND, message)
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            message = f"a request has {LARGEST // 1024 // 1024} MB at most: send it in parts"
            raise HTTPException(status.HTTP_413_CONTENT_TOO_LARGE, message)
    if not is_signed(secret, prevenant_signature, body, request.app.state.clock.now()):
        log.warning("a webhook with a wrong signature was refused", path=request.url.path)
        message = "the signature does not match, or is more than five minutes old"
        raise HTTPException(status.HTTP_403_FORBIDDEN, message)
    return await run_in_threadpool(_take_once, request, prevenant_signature, body)


def _take_once(request: Request, signature: str, body: bytes) -> Taken:
    """Take what was signed, unless that very signature came before: then it is somebody's copy."""
    state = request.app.state
    attempt = Attempt(
        digest_of("webhook", signature), digest_of(body), uuid4().hex, state.clock.now()
    )
    with _changing:
        if attempt.digest in _under_way:
            raise _copied()
        _under_way.add(attempt.digest)
    try:
        with state.store.read() as session:
            if find_answer(session, attempt.digest, attempt.at) is not None:
                raise _copied()
        frames = read_frames(_read(body))
        judge(request, frames)
        taken = give(request, frames)
        with state.store.write() as session:
            attempt.write(session)
        return taken
    finally:
        with _changing:
            _under_way.discard(attempt.digest)


def _read(body: bytes) -> list[Posted]:
    try:
        posted = _POSTED.validate_json(body)
    except ValidationError as error:
        flaws = [
            {"place": ".".join(["body", *map(str, one["loc"])]), "message": one["msg"]}
            for one in error.errors(include_input=False, include_url=False)
        ]
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, flaws) from None
    if not 0 < len(posted) <= MOST:
        message = f"send between 1 and {MOST} readings"
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, message)
    return posted


def _copied() -> Refusal:
    message = "this signature came before: sign each request anew"
    return Refusal(status.HTTP_409_CONFLICT, "done-already", message)
