"""What lies within the sites at which somebody has a role, as conditions of queries; None is all sites."""

import json
from typing import Any

from sqlalchemy import ColumnElement, String, cast, exists, func, or_, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Session, col, select

from prevenant.consent import Consent
from prevenant.crm.entities import Entity
from prevenant.crm.tables import Area, Contact, Customer, RoleHolder, Site
from prevenant.tables import Alarm, TimelineEntry
from workflows.tables import Case

Sites = frozenset[str] | None

_FEW = 200


def is_at(session: Session, column: Any, sites: Sites) -> ColumnElement[bool]:
    """Return the condition that a column names one of the sites, however many they are."""
    if sites is None:
        return true()
    # Not only a column: a device that was heard may be known at another site.
    named: ColumnElement[str] = column
    if len(sites) <= _FEW:
        return named.in_(sorted(sites))
    # One value, since a statement takes no more than some thousands.
    if session.get_bind().dialect.name == "sqlite":
        listed = func.json_each(json.dumps(sorted(sites))).table_valued("value")
        return named.in_(select(listed.c.value))
    return named == func.any(cast(sorted(sites), ARRAY(String)))


def is_of_case_at(session: Session, column: Any, sites: Sites) -> ColumnElement[bool]:
    """Return the condition that a column names a case at one of the sites."""
    if sites is None:
        return true()
    at_site = is_at(session, Case.site_id, sites)
    return exists().where(col(Case.id) == column, at_site)


def is_told_at(session: Session, sites: Sites) -> ColumnElement[bool]:
    """Return the condition that a line of the story is of a case or an alarm at one of the sites."""
    if sites is None:
        return true()
    of_alarm = exists().where(
        col(Alarm.id) == TimelineEntry.alarm_id, is_at(session, Alarm.site_id, sites)
    )
    return or_(
        is_of_case_at(session, TimelineEntry.case_id, sites),
        col(TimelineEntry.case_id).is_(None) & of_alarm,
    )


def is_row_at(session: Session, entity: Entity, sites: Sites) -> ColumnElement[bool] | None:
    """Return the condition that a row of the CRM is of one of the sites; None where none is of a site."""
    if sites is None:
        return true()
    here = is_at(session, Site.id, sites)
    customers = select(Site.customer_id).where(here)
    match entity.name:
        case "sites":
            return here
        case "devices" | "assets" | "roles":
            table: Any = entity.table
            return is_at(session, table.site_id, sites)
        case "customers":
            return col(Customer.id).in_(customers)
        case "areas":
            return col(Area.id).in_(select(Site.area_id).where(here))
        case "contacts":
            return col(Contact.id).in_(_contacts(session, sites))
        case "consents":
            return col(Consent.contact_id).in_(_contacts(session, sites))
    return None


def _contacts(session: Session, sites: Sites) -> Any:
    """Return who is of a customer of these sites, is told of one of them, or has a role at one."""
    here = is_at(session, Site.id, sites)
    customers = select(Site.customer_id).where(here)
    told = select(Site.contact_id).where(here)
    holders = select(RoleHolder.contact_id).where(is_at(session, RoleHolder.site_id, sites))
    return select(Contact.id).where(
        or_(
            col(Contact.customer_id).in_(customers),
            col(Contact.id).in_(told),
            col(Contact.id).in_(holders),
        )
    )
