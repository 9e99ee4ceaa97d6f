"""The pages of customers: all of them, and everything that there is of one."""

from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response, status
from sqlmodel import Session, col, func, or_, select

from ingest.registry import HeardDevice
from notify.consent import find_objection
from notify.message import CHANNELS, Message
from prevenant.api.access import Actor, Role, Viewer
from prevenant.api.cases import view_message
from prevenant.consent import Consent
from prevenant.console.shell import show
from prevenant.crm.directory import view_person
from prevenant.crm.tables import (
    ERASED,
    Asset,
    Contact,
    Customer,
    Device,
    Exclusion,
    RoleHolder,
    Site,
    Technician,
)
from prevenant.domain import Severity
from workflows.tables import CLOSED, Case, SentSurvey

router = APIRouter(include_in_schema=False)

_SHOWN, _SHOWN_CASES, _SHOWN_MESSAGES, _SHOWN_DEVICES = 60, 25, 25, 300


@router.get("/customers")
def show_customers(
    request: Request,
    actor: Viewer,
    q: Annotated[str, Query(max_length=100)] = "",
    page: Annotated[int, Query(ge=0, le=100_000)] = 0,
) -> Response:
    """Show the customers, by name."""
    return show(
        request,
        "customers.html",
        lambda session: _customers(session, actor, q.strip(), page),
        actor,
    )


@router.get("/customers/{customer_id:path}")
def show_customer(request: Request, customer_id: str, actor: Viewer) -> Response:
    """Show everything that there is of one customer."""
    now = request.app.state.clock.now()
    return show(
        request, "customer.html", lambda session: _customer(session, actor, customer_id, now), actor
    )


def _customers(session: Session, actor: Actor, text: str, page: int) -> dict[str, Any]:
    query = select(Customer).order_by(col(Customer.name), col(Customer.id))
    seen = actor.sites()
    if seen is not None:
        query = query.where(
            col(Customer.id).in_(select(Site.customer_id).where(col(Site.id).in_(seen)))
        )
    if text:
        of_sites = select(Site.customer_id).where(
            or_(
                col(Site.name).icontains(text, autoescape=True),
                col(Site.address).icontains(text, autoescape=True),
            )
        )
        names = (Customer.name, Customer.id)
        hits = [col(one).icontains(text, autoescape=True) for one in names]
        query = query.where(or_(*hits, col(Customer.id).in_(of_sites)))
    found = session.exec(query.offset(page * _SHOWN).limit(_SHOWN + 1)).all()
    ids = [one.id for one in found[:_SHOWN]]
    sites = _counts(session, select(Site.customer_id, func.count()), ids, Site.customer_id)
    devices = _counts(
        session,
        select(Site.customer_id, func.count()).join(Device, col(Device.site_id) == Site.id),
        ids,
        Site.customer_id,
    )
    cases = _counts(
        session,
        select(Site.customer_id, func.count())
        .join(Case, col(Case.site_id) == Site.id)
        .where(Case.state != CLOSED),
        ids,
        Site.customer_id,
    )
    return {
        "customers": [
            {
                "id": one.id,
                "name": one.name,
                "sites": sites.get(one.id, 0),
                "devices": devices.get(one.id, 0),
                "cases": cases.get(one.id, 0),
            }
            for one in found[:_SHOWN]
        ],
        "text": text,
        "page": page,
        "has_more": len(found) > _SHOWN,
    }


def _counts(session: Session, query: Any, ids: Collection[str], key: Any) -> dict[str, int]:
    return dict(session.exec(query.where(col(key).in_(ids)).group_by(key)).all())


def _customer(
    session: Session, actor: Actor, customer_id: str, now: datetime
) -> dict[str, Any] | None:
    customer = session.get(Customer, customer_id)
    if customer is None:
        return None
    seen = actor.sites()
    query = select(Site).where(Site.customer_id == customer_id).order_by(col(Site.name))
    sites = [one for one in session.exec(query) if seen is None or one.id in seen]
    if not sites and seen is not None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "there is nothing of that name")
    ids = [one.id for one in sites]
    may_call = actor.may(Role.OPERATOR) and all(actor.may(Role.OPERATOR, one) for one in ids)
    contacts = _contacts(session, customer_id, sites)
    people = [one.id for one in contacts]
    surveys = list(
        session.exec(
            select(SentSurvey)
            .join(Case, col(Case.id) == SentSurvey.case_id)
            .where(col(Case.site_id).in_(ids))
            .order_by(col(SentSurvey.id).desc())
            .limit(_SHOWN_CASES)
        )
    )
    told = select(Message).where(col(Message.contact_id).in_(people), Message.role != "technician")
    if seen is not None:
        told = told.join(Case, col(Case.id) == Message.case_id).where(col(Case.site_id).in_(ids))
    messages = session.exec(told.order_by(col(Message.id).desc()).limit(_SHOWN_MESSAGES))
    return {
        "customer": customer,
        "sites": [_view_site(session, one, now) for one in sites],
        "contacts": [_view_contact(session, one) for one in contacts],
        "may_call": may_call,
        "cases": _cases(session, ids),
        "messages": [view_message(session, one) for one in messages],
        "surveys": surveys,
        "excluded": _excluded(session, customer_id),
        "severities": {int(one): one.word for one in Severity},
    }


def _contacts(session: Session, customer_id: str, sites: Collection[Site]) -> list[Contact]:
    named = [one.contact_id for one in sites if one.contact_id]
    query = select(Contact).where(
        or_(Contact.customer_id == customer_id, col(Contact.id).in_(named)),
        ~col(Contact.id).startswith(ERASED),
    )
    found = session.exec(query.order_by(col(Contact.is_active).desc(), col(Contact.name)))
    return list(found)


def _view_contact(session: Session, contact: Contact) -> dict[str, Any]:
    """Return somebody with what may be said to them on which channel, and why not."""
    person = view_person(contact)
    roles = select(RoleHolder).where(RoleHolder.contact_id == contact.id)
    words = select(Consent).where(Consent.contact_id == contact.id).order_by(col(Consent.at).desc())
    return {
        "contact": contact,
        "roles": [
            f"{one.role}@{one.site_id}" if one.site_id else one.role for one in session.exec(roles)
        ],
        "channels": [
            {
                "name": channel,
                "address": person.addresses[channel] if channel != "chat" else "",
                "objection": find_objection(
                    session, channel, person.addresses[channel], contact.id
                ),
                "is_preferred": channel == contact.preferred,
            }
            for channel in CHANNELS
            if channel in person.addresses
        ],
        "consents": list(session.exec(words)),
    }


def _view_site(session: Session, site: Site, now: datetime) -> dict[str, Any]:
    query = (
        select(Device, HeardDevice)
        .join(HeardDevice, col(HeardDevice.id) == Device.id, isouter=True)
        .where(Device.site_id == site.id)
        .order_by(col(Device.label))
        .limit(_SHOWN_DEVICES)
    )
    assets = {x.id: x for x in session.exec(select(Asset).where(Asset.site_id == site.id))}
    return {
        "site": site,
        "devices": [
            {
                "id": device.id,
                "label": device.label,
                "place": device.place,
                "type": device.type,
                "state": heard.state_at(now) if heard else "",
                "asset": assets.get(device.asset_id or ""),
            }
            for device, heard in session.exec(query)
        ],
    }


def _cases(session: Session, sites: Collection[str]) -> list[Case]:
    query = select(Case).where(col(Case.site_id).in_(sites))
    order = (col(Case.state) == CLOSED, col(Case.id).desc())
    return list(session.exec(query.order_by(*order).limit(_SHOWN_CASES)))


def _excluded(session: Session, customer_id: str) -> list[tuple[str, str]]:
    """Return who is not to be sent to a customer, and why."""
    query = (
        select(Contact.name, Exclusion.reason)
        .join(Technician, col(Technician.contact_id) == Contact.id)
        .join(Exclusion, col(Exclusion.technician_id) == Technician.id)
        .where(Exclusion.customer_id == customer_id)
    )
    return list(session.exec(query.order_by(col(Contact.name))))
