"""Customers, their sites and devices, contacts and technicians. Ids are the importer's own."""

from typing import Any

from sqlalchemy import JSON, Column
from sqlmodel import Field, SQLModel


class Customer(SQLModel, table=True):
    """Someone whom we serve: an airport, a household."""

    id: str = Field(primary_key=True)
    name: str


class Contact(SQLModel, table=True):
    """A person who can be told something."""

    id: str = Field(primary_key=True)
    name: str
    phone: str = ""
    """In the form +33…"""
    email: str = ""
    language: str = "en"
    timezone: str = "UTC"
    preferred: str = "sms"
    """The channel that the person likes best."""
    customer_id: str | None = Field(default=None, foreign_key="customer.id", index=True)


class RoleHolder(SQLModel, table=True):
    """A contact's role, everywhere (`site_id` empty) or at one site."""

    __tablename__ = "role_holder"

    contact_id: str = Field(primary_key=True, foreign_key="contact.id")
    role: str = Field(primary_key=True)
    site_id: str = Field(primary_key=True, default="")


class Site(SQLModel, table=True):
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


class Device(SQLModel, table=True):
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


class Technician(SQLModel, table=True):
    """Someone who can be sent."""

    id: str = Field(primary_key=True)
    contact_id: str = Field(foreign_key="contact.id", unique=True)
    latitude: float
    longitude: float
    timezone: str = "UTC"
    capacity: int = 1
    """How many jobs at a time."""
    skills: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    """Skill to level, from 1."""
    shifts: list[dict[str, Any]] = Field(sa_column=Column(JSON, nullable=False))
    """Each with `days` (0 is Monday), `start` and `end` as HH:MM in the technician's time zone."""
