"""The pages of webhooks: whom outside programs have told what, how that goes, and what was not taken."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request, Response, status
from sqlmodel import Session, col, select

from notify.dead_letters import resend
from notify.hook import queue_test
from notify.message import Delivery, Message
from notify.subscription import Subscription
from prevenant.access.roles import Role
from prevenant.api.access import Actor, Administrator
from prevenant.api.acts import add_detail, call_refused
from prevenant.api.live_topics import TOPICS
from prevenant.api.paging import RowId
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
from prevenant.api.subscriptions import resend_lost
from prevenant.console.shell import act, go_on, show
from prevenant.crm.tables import Site
from prevenant.errors import ConfigurationError

router = APIRouter(include_in_schema=False)

_PATH = "/settings/webhooks"
_GIVEN_SHOWN = 100
_SUGGESTED = 200

Text = Annotated[str, Form(max_length=2_000)]
Sites = Annotated[str, Form(max_length=200_000)]
Topics = Annotated[list[str], Form(max_length=len(TOPICS))]


@router.get(_PATH)
def show_webhooks(request: Request, actor: Administrator) -> Response:
    """Show subscriptions, and a form for one more."""
    return show(request, "webhooks.html", lambda session: _collect(session, actor), actor)


@router.post(_PATH)
def subscribe(
    request: Request,
    actor: Administrator,
    name: Text,
    url: Text,
    topics: Topics,
    kinds: Text = "",
    sites: Sites = "",
) -> Response:
    """Subscribe an endpoint, and show its secret this once."""
    add_detail(request, about=name[:100])
    new = NewSubscription.model_construct(
        name=name[:100],
        url=url,
        topics=topics,
        kinds=_words(kinds),
        sites=_words(sites) or None,
        enabled=True,
    )

    def change(session: Session) -> tuple[int, str]:
        made = make(session, new, actor, request.app.state.settings, _now(request))
        return made.id or 0, made.secrets[0]["secret"]

    return _show_secret(request, actor, change, _PATH)


@router.get("/settings/webhooks/{subscription_id}")
def show_webhook(request: Request, actor: Administrator, subscription_id: RowId) -> Response:
    """Show one subscription, and what it was given."""
    return show(
        request, "webhook.html", lambda session: _one(session, actor, subscription_id), actor
    )


@router.post("/settings/webhooks/{subscription_id}")
def change_webhook(
    request: Request,
    actor: Administrator,
    subscription_id: RowId,
    name: Text,
    url: Text,
    topics: Topics,
    kinds: Text = "",
    sites: Sites = "",
) -> Response:
    """Change what an endpoint is told."""
    change = Change.model_construct(
        _fields_set={"name", "url", "topics", "kinds", "sites"},
        name=name[:100],
        url=url,
        topics=topics,
        kinds=_words(kinds),
        sites=_words(sites) or None,
    )
    return _alter(request, actor, subscription_id, change)


@router.post("/settings/webhooks/{subscription_id}/pause")
def pause_webhook(request: Request, actor: Administrator, subscription_id: RowId) -> Response:
    """Tell an endpoint nothing for now."""
    return _alter(request, actor, subscription_id, Change(enabled=False))


@router.post("/settings/webhooks/{subscription_id}/resume")
def resume_webhook(request: Request, actor: Administrator, subscription_id: RowId) -> Response:
    """Tell an endpoint again, first of all what happened meanwhile."""
    return _alter(request, actor, subscription_id, Change(enabled=True))


@router.post("/settings/webhooks/{subscription_id}/rotate")
def rotate_webhook(
    request: Request, actor: Administrator, subscription_id: RowId, keeps: Text = KEEPS
) -> Response:
    """Give a new secret, and show it this once."""

    def change(session: Session) -> tuple[int, str]:
        found = _mine(session, actor, subscription_id)
        return subscription_id, rotate(session, found, keeps.strip(), _now(request))

    return _show_secret(request, actor, change, _page_of(subscription_id))


@router.post("/settings/webhooks/{subscription_id}/test")
def test_webhook(request: Request, actor: Administrator, subscription_id: RowId) -> Response:
    """Give an endpoint something that tells nothing."""
    return _do(
        request,
        actor,
        subscription_id,
        lambda session, found: queue_test(session, found, _now(request)),
    )


@router.post("/settings/webhooks/{subscription_id}/end")
def end_webhook(request: Request, actor: Administrator, subscription_id: RowId) -> Response:
    """End a subscription for good."""

    def change(session: Session) -> None:
        drop(session, _mine(session, actor, subscription_id), _now(request))

    return act(request, change, _PATH)


@router.post("/settings/webhooks/{subscription_id}/resend")
def give_all_again(request: Request, actor: Administrator, subscription_id: RowId) -> Response:
    """Give an endpoint again all that it did not take."""
    return _do(
        request,
        actor,
        subscription_id,
        lambda session, found: resend_lost(session, found, _now(request)),
    )


@router.post("/settings/webhooks/{subscription_id}/deliveries/{delivery_id}/resend")
def give_again(
    request: Request, actor: Administrator, subscription_id: RowId, delivery_id: RowId
) -> Response:
    """Give an endpoint again one thing that it did not take."""

    def change(session: Session, found: Subscription) -> None:
        delivery = session.get(Delivery, delivery_id)
        if delivery is None or delivery.subscription_id != found.id:
            message = f"there is no delivery {delivery_id} of this webhook"
            raise ConfigurationError(message)
        resend(session, delivery_id, _now(request), actor.name)

    return _do(request, actor, subscription_id, change)


def _collect(session: Session, actor: Actor) -> dict[str, Any]:
    return {
        "webhooks": [view(session, one) for one in list_mine(session, actor)],
        "topics": TOPICS,
        "chosen": {"topics": ("story",), "kinds": (), "sites": ()},
        **_places(session, actor),
    }


def _one(session: Session, actor: Actor, number: int, secret: str = "") -> dict[str, Any] | None:
    found = find_mine(session, actor, number)
    if found is None:
        return None
    query = (
        select(Delivery, Message)
        .where(Delivery.message_id == Message.id, Delivery.subscription_id == number)
        .order_by(col(Delivery.id).desc())
        .limit(_GIVEN_SHOWN)
    )
    return {
        "webhook": view(session, found),
        "given": [view_given(*one) for one in session.exec(query)],
        "secret": secret,
        "keeps": KEEPS,
        "topics": TOPICS,
        **_places(session, actor),
    }


def _places(session: Session, actor: Actor) -> dict[str, Any]:
    mine = actor.sites(Role.ADMINISTRATOR)
    rows = session.exec(select(Site.id, Site.name).order_by(Site.id).limit(_SUGGESTED))
    return {
        "is_everywhere": mine is None,
        "places": [one for one in rows if mine is None or one[0] in mine],
    }


def _show_secret(
    request: Request,
    actor: Actor,
    change: Callable[[Session], tuple[int, str]],
    refused_to: str,
) -> Response:
    """Show the page of a webhook with its new secret, which stands there and nowhere else."""
    try:
        with request.app.state.store.write() as session:
            number, secret = change(session)
    except ConfigurationError as error:
        call_refused(request, str(error))
        return go_on(refused_to, str(error))
    return show(
        request, "webhook.html", lambda session: _one(session, actor, number, secret), actor
    )


def _alter(request: Request, actor: Actor, number: int, change: Change) -> Response:
    settings, now = request.app.state.settings, _now(request)
    return _do(
        request,
        actor,
        number,
        lambda session, found: alter(session, found, change, actor, settings, now),
    )


def _do(
    request: Request,
    actor: Actor,
    number: int,
    change: Callable[[Session, Subscription], object],
) -> Response:
    return act(
        request,
        lambda session: change(session, _mine(session, actor, number)),
        _page_of(number),
    )


def _mine(session: Session, actor: Actor, number: int) -> Subscription:
    found = find_mine(session, actor, number, to_change=True)
    if found is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no webhook {number}")
    return found


def _words(text: str) -> Sequence[str]:
    return text.replace(",", " ").split()


def _page_of(number: int) -> str:
    return f"{_PATH}/{number}"


def _now(request: Request) -> datetime:
    at: datetime = request.app.state.clock.now()
    return at
