"""Customers: their sites and people, and what goes on there; without addresses, which stand in the CRM."""

from typing import Any

from fastapi import APIRouter, HTTPException, Request, status
from pydantic import BaseModel
from sqlmodel import Session, col, func, select

from prevenant.api.access import Viewer
from prevenant.api.paging import Paged
from prevenant.api.within import Sites, is_at
from prevenant.crm.tables import ERASED, Contact, Customer, Device, Site
from workflows.tables import CLOSED, Case, SentSurvey

router = APIRouter(prefix="/api/v1")

_SHOWN_SURVEYS = 20


class CustomerShown(BaseModel):
    """A customer."""

    id: str
    name: str
    sites: list[str]
    """Those that one may see."""
    open_cases: int
    """At these sites."""


class SiteShown(BaseModel):
    """A site of a customer."""

    id: str
    name: str
    timezone: str
    contact: str | None
    """Who is told there, by id."""
    devices: int


class Somebody(BaseModel):
    """One of a customer's people."""

    id: str
    name: str
    language: str
    preferred: str
    """The channel that is tried first."""


class CustomerWhole(CustomerShown):
    """A customer with everything about them."""

    places: list[SiteShown]
    people: list[Somebody]
    cases: list[dict[str, Any]]
    """Those that are not closed, the newest first."""
    surveys: list[dict[str, Any]]
    """The last answers."""


@router.get("/customers")
def list_customers(request: Request, page: Paged, actor: Viewer) -> list[CustomerShown]:
    """Return customers, by id."""
    with request.app.state.store.read() as session:
        sites = actor.sites()
        query = select(Customer).order_by(col(Customer.id)).limit(page.fetched)
        query = query.where(~col(Customer.id).startswith(ERASED))
        if sites is not None:
            here = select(Site.customer_id).where(is_at(session, Site.id, sites))
            query = query.where(col(Customer.id).in_(here))
        if page.text is not None:
            query = query.where(col(Customer.id) > page.text)
        found = page.give(session.exec(query), lambda one: one.id)
        return [_view(session, one, sites) for one in found]


@router.get("/customers/{customer_id}")
def show_customer(request: Request, customer_id: str, actor: Viewer) -> CustomerWhole:
    """Return one customer with sites, people, open cases and the last answers to surveys."""
    with request.app.state.store.read() as session:
        sites = actor.sites()
        customer = session.get(Customer, customer_id)
        seen = _sites(session, customer_id, sites)
        if customer is None or customer.id.startswith(ERASED) or (sites is not None and not seen):
            message = f"there is no customer {customer_id!r}"
            raise HTTPException(status.HTTP_404_NOT_FOUND, message)
        return _view_whole(session, customer, seen, sites)


def _view(session: Session, customer: Customer, sites: Sites) -> CustomerShown:
    ids = [one.id for one in _sites(session, customer.id, sites)]
    query = select(func.count()).where(col(Case.site_id).in_(ids), Case.state != CLOSED)
    return CustomerShown(
        id=customer.id, name=customer.name, sites=ids, open_cases=session.exec(query).one()
    )


def _view_whole(
    session: Session, customer: Customer, seen: list[Site], sites: Sites
) -> CustomerWhole:
    ids = [one.id for one in seen]
    devices = dict(
        session.exec(
            select(Device.site_id, func.count())
            .where(col(Device.site_id).in_(ids))
            .group_by(col(Device.site_id))
        ).all()
    )
    people = select(Contact).where(Contact.customer_id == customer.id, col(Contact.is_active))
    cases = select(Case).where(col(Case.site_id).in_(ids), Case.state != CLOSED)
    surveys = select(SentSurvey).join(Case, col(Case.id) == SentSurvey.case_id)
    surveys = surveys.where(col(Case.site_id).in_(ids), col(SentSurvey.rating).is_not(None))
    answers = session.exec(surveys.order_by(col(SentSurvey.id).desc()).limit(_SHOWN_SURVEYS))
    hidden = {"contact_id", "message_key"}
    return CustomerWhole(
        **_view(session, customer, sites).model_dump(),
        places=[
            SiteShown(
                id=one.id,
                name=one.name,
                timezone=one.timezone,
                contact=one.contact_id,
                devices=devices.get(one.id, 0),
            )
            for one in seen
        ],
        people=[
            Somebody(id=one.id, name=one.name, language=one.language, preferred=one.preferred)
            for one in session.exec(people.order_by(col(Contact.id)))
        ],
        cases=[
            one.model_dump(exclude={"progress"})
            for one in session.exec(cases.order_by(col(Case.id).desc()))
        ],
        surveys=[one.model_dump(exclude=hidden) for one in answers],
    )


def _sites(session: Session, customer_id: str, sites: Sites) -> list[Site]:
    query = select(Site).where(Site.customer_id == customer_id, is_at(session, Site.id, sites))
    return list(session.exec(query.order_by(col(Site.id))))
