"""Grants as they are kept, and as they are written: `operator`, `viewer@area:north`, `author@site:t2`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, or_, select

from prevenant.access.roles import ROLE_WORDS, Grant, Role
from prevenant.access.tables import (
    AREA,
    CUSTOMER,
    EVERYWHERE,
    PLACES,
    SITE,
    AccessGrant,
    Account,
    ApiToken,
)
from prevenant.crm.tables import Area, Customer, Site
from prevenant.document import suggest
from prevenant.errors import ConfigurationError
from prevenant.store import in_chunks

_FORM = "write operator, or operator@area:north, operator@customer:acme, operator@site:t2"
_TABLES: dict[str, type[Area] | type[Customer] | type[Site]] = {
    AREA: Area,
    CUSTOMER: Customer,
    SITE: Site,
}


@dataclass(frozen=True, slots=True, order=True)
class Wanted:
    """A role at a place, as somebody asks for it."""

    role: Role
    place: str = EVERYWHERE
    place_id: str = ""

    def __str__(self) -> str:
        return f"{self.role.word}@{self.place}:{self.place_id}" if self.place else self.role.word


def parse_grant(text: str) -> Wanted:
    """Return the grant that a text names. Raises ConfigurationError with the form."""
    word, at, where = text.strip().partition("@")
    if word not in ROLE_WORDS:
        message = f"{word!r} is no role: {suggest(word, ROLE_WORDS)}"
        raise ConfigurationError(message)
    place, _, place_id = where.partition(":")
    if at and (place not in PLACES or not place_id):
        message = f"{text!r} is no grant: {_FORM}"
        raise ConfigurationError(message)
    return Wanted(Role[word.upper()], place, place_id)


def check_place(session: Session, wanted: Wanted) -> None:
    """Refuse a place that the CRM does not know. Raises ConfigurationError."""
    if wanted.place and session.get(_TABLES[wanted.place], wanted.place_id) is None:
        message = f"the CRM has no {wanted.place} {wanted.place_id!r}: import it first"
        raise ConfigurationError(message)


def give_grants(
    session: Session,
    holder: Account | ApiToken,
    wanted: Iterable[Wanted],
    now: datetime,
    by: str,
    *,
    is_by_group: bool = False,
) -> None:
    """Let somebody have these grants, and no others that were given the same way.

    Raises ConfigurationError where a place is not known.
    """
    left = set(wanted)
    for new in sorted(left):
        check_place(session, new)
    for one in find_grants(session, holder):
        if one.is_by_group == is_by_group:
            found = as_wanted(one)
            if found in left:
                left.remove(found)
            else:
                session.delete(one)
    for new in sorted(left):
        given = AccessGrant(
            role=new.role,
            place=new.place,
            place_id=new.place_id,
            is_by_group=is_by_group,
            given_at=now,
            given_by=by,
        )
        given.account = holder.name if isinstance(holder, Account) else None
        given.token = holder.name if isinstance(holder, ApiToken) else None
        session.add(given)
    session.flush()


def find_grants(session: Session, holder: Account | ApiToken) -> Sequence[AccessGrant]:
    """Return what somebody was granted, in the order in which it was given."""
    column = AccessGrant.account if isinstance(holder, Account) else AccessGrant.token
    query = select(AccessGrant).where(col(column) == holder.name).order_by(col(AccessGrant.id))
    return session.exec(query).all()


def as_wanted(grant: AccessGrant) -> Wanted:
    """Return a grant as somebody asks for it."""
    return Wanted(Role(grant.role), grant.place, grant.place_id)


def resolve_grants(session: Session, grants: Iterable[AccessGrant]) -> tuple[Grant, ...]:
    """Return what grants come to now: each role once, everywhere or with its sites."""
    places: dict[Role, dict[str, set[str]]] = {}
    for one in grants:
        places.setdefault(Role(one.role), {}).setdefault(one.place, set()).add(one.place_id)
    return tuple(
        Grant(role, None if EVERYWHERE in where else _sites(session, where))
        for role, where in sorted(places.items(), reverse=True)
    )


def _sites(session: Session, where: dict[str, set[str]]) -> frozenset[str]:
    found = set(where.get(SITE, ()))
    areas, customers = sorted(where.get(AREA, ())), sorted(where.get(CUSTOMER, ()))
    for few in in_chunks(
        [*((AREA, one) for one in areas), *((CUSTOMER, one) for one in customers)]
    ):
        of_areas = col(Site.area_id).in_([one for kind, one in few if kind == AREA])
        of_customers = col(Site.customer_id).in_([one for kind, one in few if kind == CUSTOMER])
        found.update(session.exec(select(Site.id).where(or_(of_areas, of_customers))))
    return frozenset(found)
