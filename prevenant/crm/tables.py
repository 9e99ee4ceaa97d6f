"""Customers, their sites and devices, contacts and technicians. Ids are the importer's own."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, Index
from sqlmodel import Field

from prevenant.rows import TableRow
from prevenant.tables import json_column, list_column, utc_column

CRM = "crm"
"""The bell that rings when anything here has changed."""
ERASED = "erased-"
"""How the ids of erased people begin."""


class Customer(TableRow, table=True):
    """Someone whom we serve: an airport, a household."""

    id: str = Field(primary_key=True)
    name: str


class Contact(TableRow, table=True):
    """A person who can be told something."""

    id: str = Field(primary_key=True)
    name: str
    phone: str = ""
    """In the form +33…"""
    email: str = ""
    whatsapp: str = ""
    """The number that is written to by WhatsApp, in the form +33…"""
    chat: str = ""
    """An Apprise URL, which holds secrets of its service: never shown."""
    language: str = "en"
    timezone: str = "UTC"
    preferred: str = "sms"
    """The channel that the person likes best."""
    quiet_hours: str = ""
    """When the person is not to be disturbed, as `22:00-07:00` in the person's time zone."""
    is_active: bool = True
    """Whether the person is still there; nobody else is told anything new."""
    customer_id: str | None = Field(default=None, foreign_key="customer.id", index=True)
    erased_at: datetime | None = utc_column(nullable=True)
    """When the person's data was erased; the row stays for the statistics, without a name."""


class RoleHolder(TableRow, table=True):
    """A contact's role, everywhere (`site_id` empty) or at one site."""

    __tablename__ = "role_holder"
    __table_args__ = (Index("ix_role_holder_role", "role"),)

    contact_id: str = Field(primary_key=True, foreign_key="contact.id")
    role: str = Field(primary_key=True)
    site_id: str = Field(primary_key=True, default="")


class Area(TableRow, table=True):
    """A part of the country or of a building, to which sites belong and technicians are assigned."""

    id: str = Field(primary_key=True)
    name: str


class Site(TableRow, table=True):
    """A place with devices."""

    id: str = Field(primary_key=True)
    name: str
    customer_id: str = Field(foreign_key="customer.id")
    contact_id: str | None = Field(default=None, foreign_key="contact.id")
    """Whom to tell as the customer."""
    address: str = ""
    latitude: float
    longitude: float
    timezone: str = "UTC"
    area_id: str | None = Field(default=None, foreign_key="area.id", index=True)


class Asset(TableRow, table=True):
    """What is served: an appliance, a machine. One or more devices speak for it."""

    id: str = Field(primary_key=True)
    site_id: str = Field(foreign_key="site.id", index=True)
    name: str
    model: str = ""
    serial: str = ""
    installed_at: datetime | None = utc_column(nullable=True)
    warranty_until: datetime | None = utc_column(nullable=True)


class Device(TableRow, table=True):
    """Something that speaks MQTT. Its id is that of its readings: `site/device`."""

    id: str = Field(primary_key=True)
    site_id: str = Field(foreign_key="site.id", index=True)
    type: str
    label: str
    place: str = ""
    """Where at the site, in words."""
    latitude: float | None = None
    longitude: float | None = None
    camera_url: str = ""
    loudspeaker_url: str = ""
    asset_id: str | None = Field(default=None, foreign_key="asset.id", index=True)


class Technician(TableRow, table=True):
    """Someone who can be sent."""

    id: str = Field(primary_key=True)
    contact_id: str = Field(foreign_key="contact.id", unique=True)
    latitude: float
    """Where the technician sets out from, where nothing later is known."""
    longitude: float
    timezone: str = "UTC"
    capacity: int = 1
    """How many jobs at a time."""
    skills: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    """Skill to level, from 1."""
    shifts: list[dict[str, Any]] = Field(sa_column=Column(JSON, nullable=False))
    """Each with `days` (0 is Monday), `start` and `end` as HH:MM in the technician's time zone."""
    holidays: str = ""
    """Whose public holidays are free: a country, perhaps with a region, such as `FR` or `DE-BY`."""
    areas: list[str] = list_column()
    """The areas that the technician serves; none means everywhere."""
    parts: dict[str, Any] = json_column()
    """Parts carried: name to count."""
    position_latitude: float | None = None
    position_longitude: float | None = None
    position_at: datetime | None = utc_column(nullable=True)
    """When the technician was last seen at the position above."""
    is_active: bool = True
    """Whether the technician works for us; nobody who does not is considered at all."""


class Leave(TableRow, table=True):
    """A time in which a technician does not work."""

    id: int | None = Field(default=None, primary_key=True)
    key: str | None = Field(default=None, unique=True)
    """The importer's own id, by which it is found again."""
    technician_id: str = Field(foreign_key="technician.id", index=True)
    starts_at: datetime = utc_column()
    ends_at: datetime = utc_column()
    reason: str = ""
    """`leave`, `ill`, or in words."""


class Exclusion(TableRow, table=True):
    """A technician who is not to be sent to a customer."""

    technician_id: str = Field(primary_key=True, foreign_key="technician.id")
    customer_id: str = Field(primary_key=True, foreign_key="customer.id")
    reason: str = ""


class CrmRecord(TableRow, table=True):
    """Whose a row of the CRM is, and since when it is listed there no more."""

    __tablename__ = "crm_record"

    entity: str = Field(primary_key=True)
    record_id: str = Field(primary_key=True)
    source: str = Field(default="", index=True)
    """Who brought it last: a name given to an import, or an outside CRM; empty for the API."""
    removed_at: datetime | None = utc_column(nullable=True)


class CrmSync(TableRow, table=True):
    """How far one kind of row of an outside CRM has been read, and how that went last."""

    __tablename__ = "crm_sync"

    source: str = Field(primary_key=True)
    entity: str = Field(primary_key=True)
    cursor: str = ""
    """Up to where all was read, as JSON; empty before the first time."""
    synced_at: datetime | None = utc_column(nullable=True)
    """When all was read last: what we know is that old."""
    failed_at: datetime | None = utc_column(nullable=True)
    """Since when it cannot be read; None while it can."""
    error: str = ""
    rows: int = 0
    """How many rows were read ever."""
    mapping: str = ""
    """A digest of what its columns were when the cursor was kept: under other ones all is read again."""


class CrmLease(TableRow, table=True):
    """Which process reads an outside CRM just now."""

    __tablename__ = "crm_lease"

    source: str = Field(primary_key=True)
    holder: str
    """A name made for one reading; empty while nobody reads it."""
    until: datetime = utc_column()
    """When another may take over, unless the holder goes on."""


class CrmSkipped(TableRow, table=True):
    """A row of an outside CRM that could not be taken; it is tried again with every sync."""

    __tablename__ = "crm_skipped"

    source: str = Field(primary_key=True)
    entity: str = Field(primary_key=True)
    record_id: str = Field(primary_key=True)
    reason: str
    values: dict[str, Any] = json_column()
    at: datetime = utc_column()


class Erasure(TableRow, table=True):
    """A person, or a person's home, that was erased: a digest that a row can be compared with."""

    digest: str = Field(primary_key=True)
    """SHA-256 of what it was: `contacts:ID`, `technicians:ID`, `customers:ID`, `sites:ID`."""
    erased_at: datetime = utc_column()
