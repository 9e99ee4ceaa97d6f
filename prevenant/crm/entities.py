"""The kinds of rows that the CRM takes: their form, their table, and what they refer to.

They stand in the order in which they have to be written.
"""

import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import create_model
from sqlmodel import SQLModel

from prevenant.consent import Consent
from prevenant.crm import rows
from prevenant.crm.rows import Row
from prevenant.crm.tables import (
    Area,
    Asset,
    Contact,
    Customer,
    Device,
    Exclusion,
    Leave,
    RoleHolder,
    Site,
    Technician,
)
from prevenant.document import suggest
from prevenant.domain import device_key
from prevenant.errors import ConfigurationError


@dataclass(frozen=True)
class Entity:
    """One kind of row."""

    name: str
    """As files and paths call it: `customers`."""
    row: type[Row]
    table: type[SQLModel]
    match: tuple[str, ...]
    """The columns of the table by which a row is found again."""
    identity: tuple[str, ...] = ("id",)
    """The columns of the file that say which row it is."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Columns of the file that the table calls otherwise."""
    references: Mapping[str, str] = field(default_factory=dict)
    """Columns of the file that name a row of another kind."""
    optional: frozenset[str] = frozenset()
    """Columns of the table that are NULL where the file says nothing."""
    unique: tuple[str, ...] = ()
    """Columns of the file that no two rows may share."""
    removal: str = "marked"
    """What becomes of a row that is listed no more: `marked`, `inactive`, `ended` or `kept`."""

    @cached_property
    def partial(self) -> type[Row]:
        """The form of a row of which only some columns are given."""
        hints = typing.get_type_hints(self.row, include_extras=True)
        fields: dict[str, Any] = {name: (hints[name], None) for name in self.row.model_fields}
        return create_model(f"Some{self.row.__name__}", __base__=Row, **fields)

    @cached_property
    def required(self) -> tuple[str, ...]:
        """The columns that a row cannot be made without."""
        return tuple(n for n, f in self.row.model_fields.items() if f.is_required())

    @cached_property
    def defaults(self) -> Mapping[str, Any]:
        """What the columns are that a new row does not give."""
        return {n: f.default for n, f in self.row.model_fields.items() if not f.is_required()}

    @cached_property
    def blank(self) -> Mapping[str, Any]:
        """What the table's columns are where nothing is said of them."""
        fields = self.table.model_fields
        return {
            name: field.get_default(call_default_factory=True)
            for name, field in fields.items()
            if not (field.is_required() or name == "id")
        }

    def key_of(self, given: Mapping[str, Any]) -> str:
        """Return which row it is, as a text that is unique among its kind."""
        return _KEYS[self.name](given)

    def match_of(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return which row of the table it is."""
        return tuple(values[name] for name in self.match)


def _id_key(given: Mapping[str, Any]) -> str:
    return str(given["id"])


def _joined(*names: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda given: "/".join(str(given.get(name) or "") for name in names)


def _leave_key(given: Mapping[str, Any]) -> str:
    return given.get("id") or f"{given['technician']}/{given['starts_at'].isoformat()}"


def _consent_key(given: Mapping[str, Any]) -> str:
    parts = given["contact"], given["channel"], given["state"], given["at"].isoformat()
    return "/".join(parts)


_KEYS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "areas": _id_key,
    "customers": _id_key,
    "contacts": _id_key,
    "sites": _id_key,
    "roles": _joined("contact", "role", "site"),
    "assets": _id_key,
    "devices": lambda given: given.get("id") or device_key(given["site"], given["device"]),
    "technicians": _id_key,
    "leave": _leave_key,
    "exclusions": _joined("technician", "customer"),
    "consents": _consent_key,
    "positions": lambda given: str(given["technician"]),
}

OF_JOBS = frozenset({"contacts", "technicians", "leave"})
"""Kinds of rows that can take a technician away from a job."""
ENTITIES: Mapping[str, Entity] = {
    one.name: one
    for one in (
        Entity("areas", rows.AreaRow, Area, ("id",)),
        Entity("customers", rows.CustomerRow, Customer, ("id",)),
        Entity(
            "contacts",
            rows.ContactRow,
            Contact,
            ("id",),
            columns={"customer": "customer_id", "active": "is_active"},
            references={"customer": "customers"},
            optional=frozenset({"customer_id"}),
            removal="inactive",
        ),
        Entity(
            "sites",
            rows.SiteRow,
            Site,
            ("id",),
            columns={"customer": "customer_id", "contact": "contact_id", "area": "area_id"},
            references={"customer": "customers", "contact": "contacts", "area": "areas"},
            optional=frozenset({"contact_id", "area_id"}),
        ),
        Entity(
            "roles",
            rows.RoleRow,
            RoleHolder,
            ("contact_id", "role", "site_id"),
            identity=("contact", "role", "site"),
            columns={"contact": "contact_id", "site": "site_id"},
            references={"contact": "contacts", "site": "sites"},
            removal="ended",
        ),
        Entity(
            "assets",
            rows.AssetRow,
            Asset,
            ("id",),
            columns={"site": "site_id"},
            references={"site": "sites"},
        ),
        Entity(
            "devices",
            rows.DeviceRow,
            Device,
            ("id",),
            identity=("site", "device"),
            columns={"site": "site_id", "asset": "asset_id"},
            references={"site": "sites", "asset": "assets"},
            optional=frozenset({"asset_id"}),
        ),
        Entity(
            "technicians",
            rows.TechnicianRow,
            Technician,
            ("id",),
            columns={"contact": "contact_id", "active": "is_active"},
            references={"contact": "contacts"},
            unique=("contact",),
            removal="inactive",
        ),
        Entity(
            "leave",
            rows.LeaveRow,
            Leave,
            ("key",),
            identity=("id", "technician", "starts_at"),
            columns={"technician": "technician_id"},
            references={"technician": "technicians"},
            removal="ended",
        ),
        Entity(
            "exclusions",
            rows.ExclusionRow,
            Exclusion,
            ("technician_id", "customer_id"),
            identity=("technician", "customer"),
            columns={"technician": "technician_id", "customer": "customer_id"},
            references={"technician": "technicians", "customer": "customers"},
            removal="ended",
        ),
        Entity(
            "consents",
            rows.ConsentRow,
            Consent,
            ("contact_id", "channel", "state", "at"),
            identity=("contact", "channel", "state", "at"),
            columns={"contact": "contact_id"},
            references={"contact": "contacts"},
            removal="kept",
        ),
        Entity(
            "positions",
            rows.PositionRow,
            Technician,
            ("id",),
            identity=("technician",),
            columns={
                "technician": "id",
                "latitude": "position_latitude",
                "longitude": "position_longitude",
                "observed_at": "position_at",
            },
            references={"technician": "technicians"},
            removal="kept",
        ),
    )
}


def find_entity(name: str) -> Entity:
    """Return a kind of row. Raises ConfigurationError with the nearest one."""
    entity = ENTITIES.get(name)
    if entity is None:
        message = f"the CRM has no {name!r}: {suggest(name, ENTITIES)}"
        raise ConfigurationError(message)
    return entity
