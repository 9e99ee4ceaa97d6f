"""The pages of messages: what was said to whom, how each attempt went, what machines were not given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response, status
from fastapi.responses import RedirectResponse
from pydantic import BaseModel
from sqlalchemy import ColumnElement, exists, true
from sqlmodel import Session, and_, col, func, or_, select

from notify.dead_letters import LOST, list_dead_letters, resend, view_dead_letter
from notify.message import (
    CHANNELS,
    COMMAND,
    GATHERED,
    QUEUED,
    REACHED,
    SENDING,
    SENT,
    SUBSCRIBER,
    SUPPRESSED,
    UNCERTAIN,
    WEBHOOK,
    Delivery,
    Message,
)
from notify.replies import Reply
from prevenant.api.access import Actor, Operator, Role, Viewer, check_site
from prevenant.api.cases import view_message
from prevenant.api.live import main_zone, view_entry
from prevenant.api.paging import RowId
from prevenant.console.shell import act, show
from prevenant.tables import TimelineEntry
from workflows.links import CUSTOMER_ROLES
from workflows.tables import Case

router = APIRouter(include_in_schema=False)

VIEWS: Mapping[str, Sequence[str]] = {
    "under_way": (QUEUED, SENDING, UNCERTAIN, GATHERED),
    "arrived": (*sorted(REACHED), SENT),
    "lost": ("undelivered", "failed"),
    "held": (SUPPRESSED,),
}
"""Views of the list, and the states of deliveries that each is about."""
TWICE = "twice"
"""The view of what may have been sent twice."""
WHO = ("customer", "technician", "staff", "machine")
_SHOWN = 50
_RECENT = 1_000
_LETTERS = 100


class Chosen(BaseModel):
    """Which messages somebody wants to see; what means nothing is left aside."""

    view: str = ""
    channel: str = ""
    who: str = ""
    case: str = ""
    name: str = ""
    before: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which messages are shown."""

    view: str = ""
    channel: str = ""
    who: str = ""
    case: int = 0
    name: str = ""
    before: int = 0

    def address(self, **changes: Any) -> str:
        """Return the address of this choice with other values for some; it begins at the newest."""
        of_it = {"view": self.view, "channel": self.channel, "who": self.who, "name": self.name}
        values = {**of_it, "case": self.case, "before": 0, **changes}
        asked = urlencode({name: value for name, value in values.items() if value})
        return f"/deliveries?{asked}" if asked else "/deliveries"

    def picks(self) -> ColumnElement[bool]:
        """Return what picks these messages."""
        wanted = [*self._of_deliveries()]
        if self.who:
            wanted.append(_is_for(self.who))
        if self.case:
            wanted.append(col(Message.case_id) == self.case)
        if self.name:
            wanted.append(col(Message.name).icontains(self.name, autoescape=True))
        if self.before:
            wanted.append(col(Message.id) < self.before)
        return and_(true(), *wanted)

    def _of_deliveries(self) -> list[ColumnElement[bool]]:
        of_it = [col(Delivery.message_id) == Message.id]
        if self.channel:
            of_it.append(col(Delivery.channel) == self.channel)
        if self.view == TWICE:
            of_it.append(col(Delivery.possible_duplicate).is_(True))
        elif self.view:
            of_it.append(col(Delivery.state).in_(VIEWS[self.view]))
        if len(of_it) == 1:
            return []
        found = exists().where(*of_it)
        # Whoever has no address has no delivery either, and was not reached.
        nowhere = and_(col(Message.state) == "failed", ~exists().where(of_it[0]))
        return [or_(found, nowhere) if self.view == "lost" and not self.channel else found]


@router.get("/outbox")
def show_where_it_was() -> Response:
    """Lead those who remember the page by its old address to it."""
    return RedirectResponse("/deliveries", status.HTTP_301_MOVED_PERMANENTLY)


@router.get("/deliveries")
def show_deliveries(
    request: Request, actor: Viewer, chosen: Annotated[Chosen, Query()]
) -> Response:
    """Show messages, the newest first, and how each attempt went."""
    choice = read_choice(chosen)
    return show(
        request, "deliveries.html", lambda session: _deliveries(session, choice, actor), actor
    )


@router.get("/deliveries/{message_id}")
def show_delivery(request: Request, actor: Viewer, message_id: RowId) -> Response:
    """Show everything about one message."""
    return show(
        request, "delivery.html", lambda session: _message(session, message_id, actor), actor
    )


@router.post("/deliveries/dead-letters/{delivery_id}/resend")
def resend_one(request: Request, actor: Operator, delivery_id: RowId) -> Response:
    """Give a machine again what it was not given."""
    now = request.app.state.clock.now()

    def change(session: Session) -> None:
        _check_letter(session, actor, delivery_id)
        resend(session, delivery_id, now, actor.name)

    return act(request, change, "/deliveries#dead-letters")


@router.post("/deliveries/dead-letters/resend")
def resend_all(request: Request, actor: Operator) -> Response:
    """Give machines again all that they were not given."""
    now = request.app.state.clock.now()

    def change(session: Session) -> None:
        for one in _dead_letters(session, actor, Role.OPERATOR):
            resend(session, one["id"], now, actor.name)

    return act(request, change, "/deliveries#dead-letters")


def read_choice(chosen: Chosen) -> Choice:
    """Return what is to be shown for what was asked in an address."""
    return Choice(
        view=chosen.view if chosen.view in {*VIEWS, TWICE} else "",
        channel=chosen.channel if chosen.channel in {*CHANNELS, WEBHOOK, COMMAND} else "",
        who=chosen.who if chosen.who in WHO else "",
        case=_number(chosen.case),
        name=chosen.name.strip()[:100],
        before=_number(chosen.before),
    )


def _number(text: str) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) <= 18  # noqa: PLR2004  what ids can be
    return int(text) if is_number else 0


def _is_for(who: str) -> ColumnElement[bool]:
    role = col(Message.role)
    to_machine = col(Message.contact_id) == ""
    match who:
        case "customer":
            return role.in_(CUSTOMER_ROLES)
        case "technician":
            return role == "technician"
        case "machine":
            return to_machine
        case _:
            return and_(role.not_in({*CUSTOMER_ROLES, "technician"}), ~to_machine)


def may_see(actor: Actor, role: Role = Role.VIEWER) -> ColumnElement[bool]:
    """Return what picks the messages about sites at which somebody has a role."""
    sites = actor.sites(role)
    if sites is None:
        # What subscribers are told has a page of its own.
        return col(Message.role) != SUBSCRIBER
    return col(Message.case_id).in_(select(Case.id).where(col(Case.site_id).in_(sites)))


def _deliveries(session: Session, choice: Choice, actor: Actor) -> dict[str, Any]:
    query = (
        select(Message)
        .where(choice.picks(), may_see(actor))
        .order_by(col(Message.id).desc())
        .limit(_SHOWN + 1)
    )
    found = session.exec(query).all()
    return {
        "choice": choice,
        "views": (*VIEWS, TWICE),
        "channels": (*CHANNELS, WEBHOOK, COMMAND),
        "whos": WHO,
        "messages": [view_message(session, message) for message in found[:_SHOWN]],
        "older": choice.address(before=found[_SHOWN - 1].id) if len(found) > _SHOWN else "",
        "counts": _counts(session, actor),
        "letters": _dead_letters(session, actor),
    }


def _counts(session: Session, actor: Actor) -> dict[str, int]:
    """Return how many of the latest deliveries stand in each view."""
    latest = (
        select(Delivery.state)
        .join(Message, col(Message.id) == Delivery.message_id)
        .where(may_see(actor))
        .order_by(col(Delivery.id).desc())
        .limit(_RECENT)
        .subquery()
    )
    states = dict(session.execute(select(latest.c.state, func.count()).group_by("state")).all())
    return {view: sum(states.get(one, 0) for one in of_it) for view, of_it in VIEWS.items()}


def _dead_letters(session: Session, actor: Actor, role: Role = Role.VIEWER) -> list[dict[str, Any]]:
    letters = list_dead_letters(session, _LETTERS)
    numbers = [message.id for _, message in letters]
    seen = set(
        session.exec(select(Message.id).where(col(Message.id).in_(numbers), may_see(actor, role)))
    )
    return [view_dead_letter(*one) for one in letters if one[1].id in seen]


def _check_letter(session: Session, actor: Actor, delivery_id: int) -> None:
    """Refuse a delivery about a site at which somebody may not give anything again."""
    query = (
        select(Case.site_id)
        .join(Message, col(Message.case_id) == Case.id)
        .join(Delivery, col(Delivery.message_id) == Message.id)
        .where(Delivery.id == delivery_id)
    )
    check_site(actor, Role.OPERATOR, session.exec(query).first() or "")


def _message(session: Session, number: int, actor: Actor) -> dict[str, Any] | None:
    query = select(Message).where(Message.id == number, may_see(actor))
    message = session.exec(query).first()
    if message is None:
        return None
    # Who may act for a customer may follow the customer's link.
    acts = select(Message.id).where(Message.id == number, may_see(actor, Role.OPERATOR))
    with_links = session.exec(acts).first() is not None and actor.may(Role.OPERATOR)
    zone = main_zone(session)
    entries: Sequence[TimelineEntry] = ()
    replies: Sequence[Reply] = ()
    if message.case_id is not None:
        told = select(TimelineEntry).where(TimelineEntry.case_id == message.case_id)
        entries = session.exec(told.order_by(col(TimelineEntry.id))).all()
        said = select(Reply).where(Reply.case_id == message.case_id, Reply.message_id == number)
        replies = session.exec(said.order_by(col(Reply.id))).all()
    return {
        "message": view_message(session, message, with_links=with_links),
        "story": [view_entry(one, zone) for one in entries if one.detail.get("message") == number],
        "replies": [one.model_dump(exclude={"address", "provider_id"}) for one in replies],
        "lost": LOST,
    }
