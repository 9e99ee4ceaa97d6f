"""Questions to the CRM, answered as values."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import BindParameter, bindparam
from sqlmodel import Session, col, func, or_, select

from prevenant.crm.tables import (
    Contact,
    Customer,
    Device,
    Exclusion,
    Leave,
    RoleHolder,
    Site,
    Technician,
)
from prevenant.errors import StoreUnavailable
from prevenant.store import Store

_REREAD_S = 60.0
_ANSWERS = "crm answers"

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Person:
    """A contact, with the addresses by channel."""

    contact_id: str
    name: str
    language: str
    timezone: str
    preferred: str
    addresses: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an alarm is: the device, its site, its customer. Unknown parts carry the ids as names."""

    device_id: str
    label: str
    place: str
    type: str
    camera_url: str
    loudspeaker_url: str
    site_id: str
    site_name: str
    address: str
    timezone: str
    position: tuple[float, float] | None
    """Latitude and longitude in degrees; None where the CRM does not know the device's site."""
    customer_name: str
    customer: Person | None
    """Whom to tell as the customer."""
    customer_id: str = ""
    area_id: str = ""


@dataclass(frozen=True, slots=True)
class TechnicianView:
    """A technician as dispatch sees one."""

    id: str
    person: Person
    position: tuple[float, float]
    """Latitude and longitude in degrees: where last seen, else where the technician sets out from."""
    timezone: str
    capacity: int
    skills: dict[str, int]
    shifts: list[dict[str, Any]]
    position_at: datetime | None = None
    """When the technician was seen there; None: it is where the technician sets out from."""
    base: tuple[float, float] | None = None
    holidays: str = ""
    areas: frozenset[str] = frozenset()
    parts: Mapping[str, int] = field(default_factory=dict)
    leave: Sequence[tuple[datetime, datetime, str]] = ()
    """From when to when, and why."""
    excluded_by: Mapping[str, str] = field(default_factory=dict)
    """Customers to whom the technician is not sent, and why."""


def remember_answers(session: Session) -> None:
    """Let a session that writes nothing here look each place and each role's holders up once."""
    session.info[_ANSWERS] = {}


def find_place(session: Session, device_type: str, site_id: str, device_id: str) -> Place:
    """Return where a device is. A device or site that the CRM does not know is no error."""
    key = "place", device_type, site_id, device_id
    return _once(session, key, lambda: _find_place(session, device_type, site_id, device_id))


def _once(session: Session, key: tuple[str, ...], find: Callable[[], _Answer]) -> _Answer:
    answers = session.info.get(_ANSWERS)
    if answers is None:
        return find()
    if key not in answers:
        with session.no_autoflush:
            answers[key] = find()
    answer: _Answer = answers[key]
    return answer


def _find_place(session: Session, device_type: str, site_id: str, device_id: str) -> Place:
    row = session.exec(_PLACE, params={"id": device_id, "site_id": site_id}).first()
    device, site, customer, contact = row or (None, None, None, None)
    if contact is not None and not contact.is_active:
        contact = None
    position = None
    if device and device.latitude is not None and device.longitude is not None:
        position = (device.latitude, device.longitude)
    elif site:
        position = (site.latitude, site.longitude)
    name = device_id.rpartition("/")[2]
    return Place(
        device_id=device_id,
        label=device.label if device else name,
        place=device.place if device else "",
        type=device.type if device else device_type,
        camera_url=device.camera_url if device else "",
        loudspeaker_url=device.loudspeaker_url if device else "",
        site_id=site.id if site else site_id,
        site_name=site.name if site else site_id,
        address=site.address if site else "",
        timezone=site.timezone if site else "UTC",
        position=position,
        customer_name=customer.name if customer else "",
        customer=view_person(contact) if contact else None,
        customer_id=customer.id if customer else "",
        area_id=(site.area_id or "") if site else "",
    )


# The device with its site; of one that is not known, the site that is named. One statement, since each
# costs more than what it asks for.
_DEVICE_ID: BindParameter[str] = bindparam("id")
_SITE_ID = func.coalesce(
    select(Device.site_id).where(Device.id == _DEVICE_ID).scalar_subquery(), bindparam("site_id")
)
_PLACE: Any = (
    select(Device, Site, Customer, Contact)
    .select_from(Site)
    .outerjoin(Device, col(Device.id) == _DEVICE_ID)
    .outerjoin(Customer, col(Site.customer_id) == Customer.id)
    .outerjoin(Contact, col(Site.contact_id) == Contact.id)
    .where(Site.id == _SITE_ID)
)


def find_role_holders(session: Session, role: str, site_id: str) -> list[Person]:
    """Return who has a role at a site: those named for the site, or else those named for all."""
    key = "holders", role, site_id
    return list(_once(session, key, lambda: _find_role_holders(session, role, site_id)))


def _find_role_holders(session: Session, role: str, site_id: str) -> list[Person]:
    rows = session.exec(_HOLDERS, params={"role": role, "site_id": site_id}).all()
    here = [contact for holder, contact in rows if holder.site_id == site_id]
    return [view_person(contact) for contact in here or [contact for _, contact in rows]]


_HOLDERS = (
    select(RoleHolder, Contact)
    .where(RoleHolder.contact_id == Contact.id, RoleHolder.role == bindparam("role"))
    .where(col(Contact.is_active))
    .where(or_(RoleHolder.site_id == bindparam("site_id"), RoleHolder.site_id == ""))
    .order_by(col(Contact.id))
)


def find_customer(session: Session, customer_id: str) -> Person | None:
    """Return whom to tell as a customer whose site names nobody: the first contact, by id."""
    query = select(Contact).where(Contact.customer_id == customer_id, col(Contact.is_active))
    contact = session.exec(query.order_by(col(Contact.id))).first() if customer_id else None
    return view_person(contact) if contact else None


def find_role_positions(
    session: Session, role: str
) -> list[tuple[Person, list[tuple[float, float]]]]:
    """Return everybody who is there and has a role anywhere, by id, each with where they may be.

    A technician is where last seen, or else at the base; anybody else at the sites of the role.
    """
    query = (
        select(Contact, Technician, Site)
        .join(RoleHolder, col(RoleHolder.contact_id) == Contact.id)
        .join(Technician, col(Technician.contact_id) == Contact.id, isouter=True)
        .join(Site, col(Site.id) == RoleHolder.site_id, isouter=True)
        .where(RoleHolder.role == role, col(Contact.is_active))
        .order_by(col(Contact.id))
    )
    found: dict[str, tuple[Person, list[tuple[float, float]]]] = {}
    rows: Sequence[tuple[Contact, Technician | None, Site | None]] = session.exec(query).all()
    for contact, technician, site in rows:
        _, positions = found.setdefault(contact.id, (view_person(contact), []))
        if technician is not None:
            positions[:] = [_position_of(technician)]
        elif site is not None:
            positions.append((site.latitude, site.longitude))
    return list(found.values())


def find_person(session: Session, contact_id: str) -> Person | None:
    """Return a contact by id, also one who is not there any more: what they did has their name."""
    contact = session.get(Contact, contact_id)
    return view_person(contact) if contact else None


def find_present(session: Session, contact_id: str) -> Person | None:
    """Return a contact who is still there, and can be told something."""
    contact = session.get(Contact, contact_id)
    return view_person(contact) if contact and contact.is_active else None


def find_contacts_at(session: Session, channel: str, address: str) -> tuple[str, ...]:
    """Return the contacts who are still there and are reached at an address on a channel."""
    if not address:
        return ()
    match channel:
        case "email":
            here = func.lower(Contact.email) == address.lower()
        case "whatsapp":
            here = or_(Contact.whatsapp == address, Contact.phone == address)
        case _:
            here = col(Contact.phone) == address
    query = select(Contact.id).where(here, col(Contact.is_active)).order_by(col(Contact.id))
    return tuple(session.exec(query))


def find_quiet_hours(session: Session, ids: Collection[str]) -> dict[str, tuple[str, str]]:
    """Return the quiet hours and the time zones of contacts, by id."""
    query = select(Contact.id, Contact.quiet_hours, Contact.timezone)
    rows = session.exec(query.where(col(Contact.id).in_(ids)))
    return {contact_id: (hours, zone) for contact_id, hours, zone in rows}


def find_technicians(session: Session, ids: Sequence[str] | None = None) -> list[TechnicianView]:
    """Return the technicians who work for us, by id; with `ids`, those of them alone.

    A technician whose contact is not there any more does not.
    """
    query = (
        select(Technician, Contact)
        .where(Technician.contact_id == Contact.id)
        .where(col(Technician.is_active), col(Contact.is_active))
        .order_by(col(Technician.id))
    )
    away, refused = select(Leave), select(Exclusion)
    if ids is not None:
        query = query.where(col(Technician.id).in_(ids))
        away = away.where(col(Leave.technician_id).in_(ids))
        refused = refused.where(col(Exclusion.technician_id).in_(ids))
    leave: dict[str, list[tuple[datetime, datetime, str]]] = defaultdict(list)
    for one in session.exec(away):
        leave[one.technician_id].append((one.starts_at, one.ends_at, one.reason))
    excluded_by: dict[str, dict[str, str]] = defaultdict(dict)
    for exclusion in session.exec(refused):
        excluded_by[exclusion.technician_id][exclusion.customer_id] = exclusion.reason
    return [
        _view_technician(technician, contact, leave[technician.id], excluded_by[technician.id])
        for technician, contact in session.exec(query)
    ]


def _view_technician(
    technician: Technician,
    contact: Contact,
    leave: Sequence[tuple[datetime, datetime, str]],
    excluded_by: Mapping[str, str],
) -> TechnicianView:
    base = (technician.latitude, technician.longitude)
    position = _position_of(technician)
    seen_at = technician.position_at if technician.position_latitude is not None else None
    return TechnicianView(
        id=technician.id,
        person=view_person(contact),
        position=position,
        timezone=technician.timezone,
        capacity=technician.capacity,
        skills=technician.skills,
        shifts=technician.shifts,
        position_at=seen_at,
        base=base,
        holidays=technician.holidays,
        areas=frozenset(technician.areas),
        parts=technician.parts,
        leave=tuple(leave),
        excluded_by=excluded_by,
    )


def _position_of(technician: Technician) -> tuple[float, float]:
    """Return where a technician was last seen, or else sets out from."""
    if technician.position_latitude is None or technician.position_longitude is None:
        return technician.latitude, technician.longitude
    return technician.position_latitude, technician.position_longitude


def view_person(contact: Contact) -> Person:
    """Return a contact as a value."""
    addresses = {
        "sms": contact.phone,
        "voice": contact.phone,
        "email": contact.email,
        "whatsapp": contact.whatsapp,
        "chat": contact.chat,
    }
    return Person(
        contact.id,
        contact.name,
        contact.language,
        contact.timezone,
        contact.preferred,
        {channel: address for channel, address in addresses.items() if address},
    )


class SiteZones:
    """The time zones of sites, for rules that are watched at certain hours.

    A site that is not known counts as being in UTC, and is looked up again after a minute; so are all
    while the store is away.
    """

    def __init__(self, store: Store, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._monotonic = monotonic
        self._zones: dict[str, str] = {}
        self._read_at = -_REREAD_S

    def zone_of(self, site: str) -> str:
        """Return the IANA name of a site's time zone."""
        zone = self._zones.get(site)
        if zone is None and self._monotonic() - self._read_at >= _REREAD_S:
            self._read_at = self._monotonic()
            with suppress(StoreUnavailable), self._store.read() as session:
                self._zones = dict(session.exec(select(Site.id, Site.timezone)).all())
            zone = self._zones.get(site)
        return zone or "UTC"
