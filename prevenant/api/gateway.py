"""What an SMS gateway calls: receipts and what people write, proved by a secret of its file."""

import hmac
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import structlog
from fastapi import APIRouter, HTTPException, Request, Response, status
from sqlmodel import Session, select
from starlette.concurrency import run_in_threadpool

from notify.delivery import take_receipt
from notify.gateway import sign_key
from notify.gateway_file import Gateway, Receipts, Replies, text_at
from notify.message import DELIVERED, SENT, UNDELIVERED, Delivery
from notify.numbers import read_number
from notify.replies import Inbound
from prevenant.api.inbound import record_reply
from prevenant.api.receipts import take_receipt_by
from prevenant.errors import mask_addresses

log = structlog.get_logger()

router = APIRouter(prefix="/webhooks/gateway", include_in_schema=False)

_STATES: Mapping[str, str] = {"sent": SENT, "delivered": DELIVERED, "failed": UNDELIVERED}


@router.api_route("/status", methods=["GET", "POST"])
async def take_status(request: Request) -> Response:
    """Take a receipt of a text."""
    gateway: Gateway | None = request.app.state.gateway
    if gateway is None or gateway.receipts is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "no gateway's receipts are described here")
    receipts = gateway.receipts
    key = request.query_params.get("key", "")
    proof = request.query_params.get("proof", "")
    is_proved = bool(key) and hmac.compare_digest(
        proof.encode(), sign_key(receipts.secret, key).encode()
    )
    if not is_proved:
        key = ""
        _check_token(request, receipts.secret)
    told = await _read(request)
    await run_in_threadpool(_record_receipt, request, receipts, key, told)
    return Response(status_code=status.HTTP_204_NO_CONTENT)


@router.api_route("/reply", methods=["GET", "POST"])
async def take_reply(request: Request) -> Response:
    """Take an inbound text."""
    gateway: Gateway | None = request.app.state.gateway
    if gateway is None or gateway.replies is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "no gateway's replies are described here")
    _check_token(request, gateway.replies.secret)
    told = await _read(request)
    inbound = _read_inbound(gateway.replies, told)
    if inbound is None:
        raise HTTPException(
            status.HTTP_422_UNPROCESSABLE_CONTENT, "its sender is no number in international form"
        )
    await run_in_threadpool(record_reply, request, inbound)
    return Response(status_code=status.HTTP_204_NO_CONTENT)


def _check_token(request: Request, secret: str) -> None:
    token = request.query_params.get("token", "")
    if not hmac.compare_digest(token.encode(), secret.encode()):
        log.warning("a gateway's call without its proof was refused", path=request.url.path)
        raise HTTPException(status.HTTP_403_FORBIDDEN, "the proof does not match")


async def _read(request: Request) -> Any:
    """Return what is told: a JSON body, whatever it is called, or the fields of a form or the address."""
    is_called_json = "json" in request.headers.get("content-type", "")
    if is_called_json or (await request.body()).lstrip()[:1] in {b"{", b"["}:
        try:
            return await request.json()
        except (ValueError, RecursionError):
            raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, "this is no JSON") from None
    form = await request.form() if request.method == "POST" else {}
    fields = {name: str(value) for name, value in request.query_params.items()}
    return {**fields, **{name: str(value) for name, value in form.items()}}


def _record_receipt(request: Request, receipts: Receipts, key: str, told: Any) -> None:
    word = text_at(receipts.state, told)
    state = _STATES.get(receipts.states.get(word, ""))
    if state is None:
        return
    provider_id = text_at(receipts.id, told)
    reason = ""
    if state == UNDELIVERED:
        more = text_at(receipts.reason, told)
        reason = mask_addresses(f"the SMS gateway says {word}{f' ({more})' if more else ''}")[:300]

    def take(session: Session) -> None:
        of = key or text_at(receipts.key, told) or _find_key(session, provider_id)
        now = request.app.state.clock.now()
        if not take_receipt(session, of, provider_id, state, now, reason):
            log.warning("a receipt for an unknown delivery", key=of)

    take_receipt_by(request.app.state.store, take)


def _find_key(session: Session, provider_id: str) -> str:
    query = select(Delivery.key).where(Delivery.provider_id == provider_id)
    return (session.exec(query).first() if provider_id else None) or ""


def _read_inbound(replies: Replies, told: Any) -> Inbound | None:
    number = read_number(text_at(replies.sender, told))
    if not number:
        return None
    identity = f"gateway-{text_at(replies.id, told) or uuid4().hex}"
    return Inbound(identity, "sms", number, text_at(replies.text, told))
