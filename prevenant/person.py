"""A person in the store: all rows that are about somebody, wherever they stand.

Every table that the code declares is searched, so that a new one is never forgotten: rows that name the
person's contact or technician, and every text, list and payload with the name, a number or an address.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import phonenumbers
from sqlalchemy import JSON, LargeBinary, String, Table
from sqlalchemy import select as select_columns
from sqlmodel import Session, SQLModel, col, func, or_, select

from notify.message import Delivery, Message
from prevenant.crm.entities import ENTITIES
from prevenant.crm.erased_rows import digest_of, digests_of
from prevenant.crm.exporting import HIDDEN
from prevenant.crm.tables import Contact, Customer, Site, Technician
from prevenant.errors import ConfigurationError
from prevenant.store import in_chunks
from workflows.tables import PICTURE, Case, Offer, WorkOrder

APART = ("book_version", "workflow_version")
"""Tables whose texts are sealed by a digest: a rule book that names a person has to be published anew."""
_OF_CONTACTS = ("contact_id",)
_OF_TECHNICIANS = ("technician_id",)
_SHORT = 3
"""Parts of a name that are shorter are not looked for alone."""
_TELLING = 12
"""A home's name or address that is shorter is looked for in the person's cases alone."""
_SECRETS = {"account": {"password"}, "webhook_subscription": {"secrets", "url"}}
"""Columns by table that open something: no export says more than that they are there."""


@dataclass(frozen=True)
class Subject:
    """Somebody, with everything by which traces are found."""

    contact_id: str
    name: str
    technician_ids: tuple[str, ...]
    addresses: frozenset[str]
    """Phone numbers and e-mail addresses, of today and of before."""
    case_ids: frozenset[int]
    """Cases that the person had to do with; there, parts of the name count too."""
    has_namesake: bool
    """Whether somebody else has the same name: then it counts in those cases alone."""
    names: tuple[str, ...] = ()
    """The name as it is and as it was, in messages and jobs."""
    homes: tuple[str, ...] = ()
    """Names and addresses of the person's home, where nobody else lives by our book."""
    message_ids: frozenset[int | None] = frozenset()
    """What the person was told."""
    digests: frozenset[str] = frozenset()
    """By which rows of the person and of the home are known when they come again."""

    @cached_property
    def everywhere(self) -> "re.Pattern[str] | None":
        """What is a trace wherever it stands; of texts that were folded."""
        texts = [_address_pattern(one) for one in sorted(self.addresses)]
        if not self.has_namesake:
            texts += [_name_pattern(one) for one in self.names if len(one.split()) > 1]
        texts += [_name_pattern(one) for one in self.homes if len(one) >= _TELLING]
        return _compiled(texts)

    @cached_property
    def in_cases(self) -> "re.Pattern[str] | None":
        """What is a trace in the person's own cases."""
        parts = {part for name in self.names for part in name.split() if len(part) >= _SHORT}
        texts = [_address_pattern(one) for one in sorted(self.addresses)]
        names = sorted((*self.names, *self.homes), key=len, reverse=True)
        texts += [_name_pattern(one) for one in names if one]
        texts += [_name_pattern(one) for one in sorted(parts, key=len, reverse=True)]
        return _compiled(texts)

    @cached_property
    def ids(self) -> frozenset[str]:
        """The person's ids."""
        return frozenset({self.contact_id, *self.technician_ids})

    def pattern_for(self, row: Mapping[str, Any]) -> "re.Pattern[str] | None":
        """Return what is a trace in this row."""
        # A reply that belongs to no case may be about any: there a first name is a trace, too.
        is_unbound = row.get("case_id", 0) is None and (
            "received_at" in row or row.get("kind") == "reply"
        )
        return self.in_cases if is_unbound or self.is_own_case(row) else self.everywhere

    def is_own_case(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row belongs to one of the person's cases."""
        is_case = "workflow_version" in row and row.get("id") in self.case_ids
        return is_case or row.get("case_id") in self.case_ids

    def owns(self, table: str, row: Mapping[str, Any]) -> bool:
        """Return whether a row is about the person by its keys."""
        if table == "contact":
            return bool(row["id"] == self.contact_id)
        if table == "technician":
            return row["id"] in self.technician_ids
        if table == "crm_record":
            kind = {"contacts": (self.contact_id,), "technicians": self.technician_ids}
            return row["record_id"] in kind.get(row["entity"], ())
        if table == "crm_skipped":
            entity = ENTITIES[row["entity"]]
            return not self.digests.isdisjoint(digests_of(entity, row["record_id"], row["values"]))
        if table in {"delivery", "reply"} and row["message_id"] in self.message_ids:
            return True
        return (
            any(row.get(name) == self.contact_id for name in _OF_CONTACTS)
            or any(row.get(name) in self.technician_ids for name in _OF_TECHNICIANS)
            or ("address" in row and row["address"] in self.addresses)
        )


@dataclass(frozen=True, slots=True)
class Trace:
    """A row that is about somebody, and why."""

    table: str
    key: tuple[Any, ...]
    row: Mapping[str, Any]
    reason: str
    """`own` by its keys, or `named` in the columns that follow."""
    columns: tuple[str, ...] = ()


def find_subject(session: Session, contact_id: str) -> Subject:
    """Return somebody by contact. Raises ConfigurationError where there is nobody, or nobody any more."""
    contact = session.get(Contact, contact_id)
    if contact is None:
        message = f"the CRM has no contact {contact_id!r}: see `prevenant crm show contacts`"
        raise ConfigurationError(message)
    if contact.erased_at is not None:
        message = f"{contact_id} was erased on {contact.erased_at:%Y-%m-%d}: nothing is held"
        raise ConfigurationError(message)
    technicians = session.exec(
        select(Technician.id).where(Technician.contact_id == contact_id)
    ).all()
    messages = session.exec(select(Message).where(Message.contact_id == contact_id)).all()
    others = select(Contact).where(Contact.id != contact_id)
    addresses = {contact.email, contact.phone, contact.whatsapp, contact.chat}
    ids = [one.id for one in messages]
    for some in in_chunks(ids):
        query = select(Delivery.address).where(col(Delivery.message_id).in_(some))
        addresses |= set(session.exec(query))
    names = {contact.name, *(one.name for one in messages)}
    jobs = session.exec(select(WorkOrder).where(WorkOrder.contact_id == contact_id)).all()
    names |= {one.technician_name for one in jobs}
    return Subject(
        contact_id=contact_id,
        name=contact.name,
        technician_ids=tuple(technicians),
        addresses=frozenset(addresses - {""} - _of_others(session, contact_id, addresses)),
        case_ids=_find_cases(session, contact, messages, jobs),
        has_namesake=session.exec(others.where(Contact.name == contact.name)).first() is not None,
        names=tuple(sorted(name for name in names if name)),
        homes=tuple(_home_words(session, contact_id)),
        message_ids=frozenset(ids),
        digests=frozenset(_digests(session, contact, technicians)),
    )


def _of_others(session: Session, contact_id: str, addresses: Iterable[str]) -> set[str]:
    """Return those of some addresses that somebody else has too: what went there may be theirs."""
    lowered = sorted({one.lower() for one in addresses if one})
    theirs = select(Contact.phone, Contact.email, Contact.whatsapp, Contact.chat).where(
        Contact.id != contact_id,
        col(Contact.erased_at).is_(None),
        or_(
            col(Contact.phone).in_(lowered),
            col(Contact.whatsapp).in_(lowered),
            func.lower(Contact.email).in_(lowered),
            func.lower(Contact.chat).in_(lowered),
        ),
    )
    held = {one.lower() for held_by in session.exec(theirs) for one in held_by}
    return {one for one in addresses if one.lower() in held}


def _digests(session: Session, contact: Contact, technician_ids: Iterable[str]) -> Iterator[str]:
    yield digest_of("contacts", contact.id)
    for technician_id in technician_ids:
        yield digest_of("technicians", technician_id)
    if contact.customer_id and is_private(session, contact.customer_id, contact.id):
        yield digest_of("customers", contact.customer_id)
    for site in private_sites(session, contact.id):
        yield digest_of("sites", site.id)
        yield digest_of("customers", site.customer_id)


def _home_words(session: Session, contact_id: str) -> Iterator[str]:
    for site in private_sites(session, contact_id):
        customer = session.get(Customer, site.customer_id)
        yield from filter(None, (site.name, site.address, customer.name if customer else ""))


def _find_cases(
    session: Session, contact: Contact, messages: Sequence[Message], jobs: Sequence[WorkOrder]
) -> frozenset[int]:
    found: set[int | None] = {one.case_id for one in messages} | {one.case_id for one in jobs}
    offers = select(Offer.case_id).where(Offer.contact_id == contact.id)
    offered = session.exec(offers).all()
    sites = select(Site.id).where(Site.contact_id == contact.id)
    cases = select(Case.id).where(or_(col(Case.site_id).in_(sites), Case.owner == contact.name))
    owned = session.exec(cases).all()
    return frozenset(one for one in (*found, *offered, *owned) if one is not None)


def private_sites(session: Session, contact_id: str) -> list[Site]:
    """Return the sites that are the person's home: nobody else belongs to their customer."""
    sites = session.exec(select(Site).where(Site.contact_id == contact_id)).all()
    return [site for site in sites if is_private(session, site.customer_id, contact_id)]


def is_private(session: Session, customer_id: str, contact_id: str) -> bool:
    """Return whether a customer is this person and nobody else."""
    others = select(Contact).where(
        Contact.customer_id == customer_id,
        Contact.id != contact_id,
        col(Contact.erased_at).is_(None),
    )
    elsewhere = select(Site).where(
        Site.customer_id == customer_id,
        col(Site.contact_id).is_not(None),
        Site.contact_id != contact_id,
    )
    return session.exec(others).first() is None and session.exec(elsewhere).first() is None


def find_traces(session: Session, subject: Subject) -> Iterator[Trace]:
    """Yield every row that is about somebody, in every table."""
    for table in SQLModel.metadata.sorted_tables:
        keys = [column.name for column in table.primary_key]
        for row in session.execute(select_columns(table)).mappings().yield_per(1_000):
            trace = judge_row(subject, table, keys, dict(row))
            if trace is not None:
                yield trace


def judge_row(
    subject: Subject, table: Table, keys: Sequence[str], row: Mapping[str, Any]
) -> Trace | None:
    """Return what a row has to do with somebody, or None."""
    key = tuple(row[name] for name in keys)
    if subject.owns(table.name, row):
        return Trace(table.name, key, row, "own")
    if table.name == "contact":
        # Another person's row: a shared name or number there is theirs.
        return None
    pattern = subject.pattern_for(row)
    columns = tuple(
        column.name
        for column in table.columns
        if holds_text(column) and _mentions(row[column.name], pattern, subject, row)
    )
    return Trace(table.name, key, row, "named", columns) if columns else None


def holds_text(column: Any) -> bool:
    """Return whether a column can hold words."""
    kind = getattr(column.type, "impl_instance", column.type)
    return PICTURE not in column.info and isinstance(kind, String | JSON | LargeBinary)


def _mentions(
    value: Any, pattern: "re.Pattern[str] | None", subject: Subject, row: Mapping[str, Any]
) -> bool:
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        is_id = subject.is_own_case(row) and value in subject.ids
        return is_id or (pattern is not None and pattern.search(fold(value)) is not None)
    if isinstance(value, Mapping):
        return any(_mentions(one, pattern, subject, row) for pair in value.items() for one in pair)
    if isinstance(value, list):
        return any(_mentions(one, pattern, subject, row) for one in value)
    return False


def export_person(session: Session, contact_id: str) -> dict[str, Any]:
    """Return everything that is held of somebody, by table, as plain values."""
    subject = find_subject(session, contact_id)
    homes = {site.id for site in private_sites(session, contact_id)}
    customers = {
        site.customer_id for site in session.exec(select(Site).where(col(Site.id).in_(homes)))
    }
    held: dict[str, list[dict[str, Any]]] = {}
    for trace in find_traces(session, subject):
        secret = _SECRETS.get(trace.table, set())
        row = {
            name: HIDDEN if value and name in secret else _plain(value)
            for name, value in trace.row.items()
        }
        held.setdefault(trace.table, []).append(row)
    known = {row["id"] for row in held.get("site", ())}
    for site in session.exec(select(Site).where(col(Site.id).in_(homes - known))):
        held.setdefault("site", []).append(site.model_dump())
    known = {row["id"] for row in held.get("customer", ())}
    for customer in session.exec(select(Customer).where(col(Customer.id).in_(customers - known))):
        held.setdefault("customer", []).append(customer.model_dump())
    cases = session.exec(select(Case).where(col(Case.id).in_(subject.case_ids)))
    known_cases = {row["id"] for row in held.get("case_file", ())}
    for case in cases:
        if case.id not in known_cases:
            held.setdefault("case_file", []).append(case.model_dump(exclude={"progress"}))
    return {"contact": contact_id, "name": subject.name, "held": held}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return value.isoformat() if isinstance(value, datetime) else value


def fold(text: str) -> str:
    """Return a text without accents and case, each character in its place."""
    return "".join(map(_fold_character, text))


def _fold_character(character: str) -> str:
    if character.isascii():
        return character.lower()
    return unicodedata.normalize("NFKD", character)[0].lower()[:1] or character


def _name_pattern(name: str) -> str:
    words = [re.escape(word) for word in fold(name).replace("-", " ").split()]
    joined = r"[\s._-]+".join(words)
    return rf"(?<![^\W_]){joined}(?![^\W_])"


def _address_pattern(address: str) -> str:
    """Return a pattern of an e-mail address, or of a number however it is written."""
    if "@" in address or not address.startswith("+"):
        return rf"(?<![\w.+-]){re.escape(fold(address))}(?![\w-])"
    try:
        number = phonenumbers.parse(address)
    except phonenumbers.NumberParseException:
        return re.escape(address)
    digits = str(number.national_number)
    within = r"[\s ./()-]*".join(digits)
    country = r"[\s./()-]*".join(str(number.country_code))
    return rf"(?<!\d)(?:(?:\+|00)\s*{country}[\s./()-]*(?:\(?0\)?[\s./()-]*)?|0[\s./()-]*)?{within}(?!\d)"


def _compiled(texts: Sequence[str]) -> "re.Pattern[str] | None":
    return re.compile("|".join(texts)) if texts else None
