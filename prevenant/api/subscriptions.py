"""Webhooks out: what administrators say of whom outside programs have told what, and what came of it."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response, status
from pydantic import Field
from sqlmodel import Session, col, select

from notify.dead_letters import LOST, resend
from notify.hook import queue_test
from notify.message import Delivery, Message
from notify.subscription import Subscription
from prevenant.api.access import Actor, Administrator, Role, check_site
from prevenant.api.acts import add_detail
from prevenant.api.bodies import Body
from prevenant.api.paging import Paged, RowId
from prevenant.api.subscribing import (
    KEEPS,
    Change,
    NewSubscription,
    alter,
    drop,
    find_mine,
    list_mine,
    make,
    rotate,
    view,
    view_given,
)
from prevenant.errors import ConfigurationError

router = APIRouter(prefix="/api/v1")


class Rotation(Body):
    """How long the secret of before is good beside the new one."""

    keeps: str = Field(default=KEEPS, max_length=20)


@router.get("/webhooks")
def list_subscriptions(request: Request, actor: Administrator) -> list[dict[str, Any]]:
    """Return subscriptions, in the order in which they were made, without their secrets."""
    with request.app.state.store.read() as session:
        return [view(session, one) for one in list_mine(session, actor)]


@router.post("/webhooks", status_code=status.HTTP_201_CREATED)
def subscribe(
    request: Request, response: Response, new: NewSubscription, actor: Administrator
) -> dict[str, Any]:
    """Have an endpoint told of what happens from now on; `secret` is shown now and never again."""
    response.headers["Cache-Control"] = "no-store"
    add_detail(request, about=new.name)
    _check_sites(actor, new.sites)
    with request.app.state.store.write() as session:
        try:
            made = make(session, new, actor, request.app.state.settings, _now(request))
        except ConfigurationError as error:
            raise _unusable(error) from None
        return {**view(session, made), "secret": made.secrets[0]["secret"]}


@router.get("/webhooks/{subscription_id}")
def show_subscription(
    request: Request, subscription_id: RowId, actor: Administrator
) -> dict[str, Any]:
    """Return one subscription, without its secrets."""
    with request.app.state.store.read() as session:
        return view(session, _mine(session, actor, subscription_id))


@router.patch("/webhooks/{subscription_id}")
def change_subscription(
    request: Request, subscription_id: RowId, change: Change, actor: Administrator
) -> dict[str, Any]:
    """Change what an endpoint is told, or whether; after a pause it is told what happened meanwhile."""
    _check_sites(actor, change.sites)
    with request.app.state.store.write() as session:
        found = _mine(session, actor, subscription_id, to_change=True)
        try:
            alter(session, found, change, actor, request.app.state.settings, _now(request))
        except ConfigurationError as error:
            raise _unusable(error) from None
        return view(session, found)


@router.delete("/webhooks/{subscription_id}", status_code=status.HTTP_204_NO_CONTENT)
def end_subscription(request: Request, subscription_id: RowId, actor: Administrator) -> Response:
    """Tell an endpoint nothing more, and forget its address, its secrets and what it was given."""
    with request.app.state.store.write() as session:
        drop(session, _mine(session, actor, subscription_id, to_change=True), _now(request))
    return Response(status_code=status.HTTP_204_NO_CONTENT)


@router.post("/webhooks/{subscription_id}/rotate")
def rotate_secret(
    request: Request,
    response: Response,
    subscription_id: RowId,
    rotation: Rotation,
    actor: Administrator,
) -> dict[str, Any]:
    """Give a new `secret`, shown now and never again; the one of before signs beside it for a while."""
    response.headers["Cache-Control"] = "no-store"
    with request.app.state.store.write() as session:
        found = _mine(session, actor, subscription_id, to_change=True)
        try:
            secret = rotate(session, found, rotation.keeps, _now(request))
        except ConfigurationError as error:
            raise _unusable(error) from None
        return {**view(session, found), "secret": secret}


@router.post("/webhooks/{subscription_id}/test", status_code=status.HTTP_202_ACCEPTED)
def test_subscription(
    request: Request, subscription_id: RowId, actor: Administrator
) -> dict[str, Any]:
    """Queue something that tells nothing, also while it is paused; its delivery says what came of it."""
    with request.app.state.store.write() as session:
        found = _mine(session, actor, subscription_id, to_change=True)
        delivery = queue_test(session, found, _now(request))
        return view_given(delivery, session.get_one(Message, delivery.message_id))


@router.get("/webhooks/{subscription_id}/deliveries")
def list_given(
    request: Request, subscription_id: RowId, page: Paged, actor: Administrator
) -> list[dict[str, Any]]:
    """Return what was queued for an endpoint and what came of it, the newest first."""
    with request.app.state.store.read() as session:
        found = _mine(session, actor, subscription_id)
        query = (
            select(Delivery, Message)
            .where(Delivery.message_id == Message.id, Delivery.subscription_id == found.id)
            .order_by(col(Delivery.id).desc())
            .limit(page.fetched)
        )
        if page.number is not None:
            query = query.where(col(Delivery.id) < page.number)
        rows = session.exec(query).all()
    return [view_given(*one) for one in page.give(rows, lambda one: one[0].id)]


@router.post(
    "/webhooks/{subscription_id}/deliveries/{delivery_id}/resend",
    status_code=status.HTTP_202_ACCEPTED,
)
def give_again(
    request: Request, subscription_id: RowId, delivery_id: RowId, actor: Administrator
) -> dict[str, Any]:
    """Queue what an endpoint did not take again, under the id that it knows it by."""
    with request.app.state.store.write() as session:
        found = _mine(session, actor, subscription_id, to_change=True)
        delivery = session.get(Delivery, delivery_id)
        if delivery is None or delivery.subscription_id != found.id:
            raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no delivery {delivery_id}")
        try:
            resend(session, delivery_id, _now(request), actor.name)
        except ConfigurationError as error:
            raise _unusable(error) from None
        return view_given(delivery, session.get_one(Message, delivery.message_id))


@router.post("/webhooks/{subscription_id}/resend", status_code=status.HTTP_202_ACCEPTED)
def give_all_again(
    request: Request, subscription_id: RowId, actor: Administrator
) -> dict[str, int]:
    """Queue all that an endpoint did not take again, in the order of the story."""
    with request.app.state.store.write() as session:
        found = _mine(session, actor, subscription_id, to_change=True)
        return {"queued": resend_lost(session, found, _now(request))}


def resend_lost(session: Session, subscription: Subscription, now: datetime) -> int:
    """Queue all that an endpoint did not take again; return how much."""
    query = select(Delivery.id).where(
        Delivery.subscription_id == subscription.id, col(Delivery.state).in_(LOST)
    )
    lost = session.exec(query.order_by(col(Delivery.id))).all()
    for number in lost:
        resend(session, number or 0, now)
    return len(lost)


def _mine(session: Session, actor: Actor, number: int, *, to_change: bool = False) -> Subscription:
    found = find_mine(session, actor, number, to_change=to_change)
    if found is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no webhook {number}")
    return found


def _check_sites(actor: Actor, sites: Iterable[str] | None) -> None:
    for site in sites or ():
        check_site(actor, Role.ADMINISTRATOR, site)


def _unusable(error: ConfigurationError) -> HTTPException:
    return HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, str(error))


def _now(request: Request) -> datetime:
    at: datetime = request.app.state.clock.now()
    return at
