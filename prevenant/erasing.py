"""Erasing a person: name, addresses, words and places go, counts, times and ratings stay.

The person's rows stay under an id that says nothing, so that what happened can still be counted. STOP is
kept as a digest of the address: nobody is written to again because we forgot them.
"""

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Table, delete, insert, update
from sqlalchemy import select as select_columns
from sqlmodel import Session, SQLModel, col, or_, select

from notify.consent import OptOut, digest_address
from notify.links import Link
from notify.message import GATHERED, QUEUED, SUPPRESSED, Delivery, Message
from prevenant.consent import WITHDRAWN, find_consent
from prevenant.crm.changes import TechnicianChange
from prevenant.crm.tables import (
    CRM,
    ERASED,
    Contact,
    CrmRecord,
    CrmSkipped,
    Customer,
    Device,
    Erasure,
    RoleHolder,
    Site,
    Technician,
)
from prevenant.errors import ConfigurationError
from prevenant.idempotency import forget_answers
from prevenant.person import (
    APART,
    Subject,
    find_subject,
    find_traces,
    fold,
    is_private,
    private_sites,
)
from prevenant.store import wake
from prevenant.tables import add_timeline, wake_cases
from workflows.on_call import OnCallOverride
from workflows.tables import ACTIVE_JOBS, HANDED_OVER, OPEN, Case, Offer, Photo, WorkOrder

GONE = "(erased)"
_CHANNELS = ("sms", "voice", "email", "whatsapp", "chat")
_WORDS = frozenset({"text", "texts", "said", "note", "body", "subject", "html", "proof", "address"})
"""Under these keys stands what was said to somebody or by somebody."""


@dataclass(slots=True)
class Erased:
    """What an erasure took, or would take."""

    contact_id: str
    rows: Counter[str] = field(default_factory=Counter)
    """Rows changed, by table."""
    handed_over: list[int] = field(default_factory=list)
    """Open cases that needed the person."""
    left: list[str] = field(default_factory=list)
    """What has to be changed by hand, in words."""


def erase_person(
    session: Session, contact_id: str, now: datetime, *, by: str = "", force: bool = False
) -> Erased:
    """Erase somebody in the transaction of `session`. Raises ConfigurationError with the reason.

    Where an open case needs the person it is refused; with `force` such cases are handed over to `by`.
    """
    subject = find_subject(session, contact_id)
    needing = find_needing_cases(session, subject)
    if needing and not force:
        cases = ", ".join(str(case.id) for case in needing)
        message = (
            f"open cases need this person ({cases}): end them first, or hand them over to "
            "yourself with --force"
        )
        raise ConfigurationError(message)
    if needing and by in {*subject.names, *subject.ids}:
        message = (
            f"{by} is erased and cannot have these cases: hand them over to somebody with --by"
        )
        raise ConfigurationError(message)
    erased = Erased(f"{ERASED}{secrets.token_hex(4)}")
    for case in needing:
        _hand_over(session, case, subject, now, by)
        erased.handed_over.append(case.id or 0)
    _keep_stops(session, subject)
    session.execute(delete(Link).where(col(Link.contact_id) == subject.contact_id))
    _forget_pictures(session, subject)
    _forget_homes(session, subject)
    _say_nothing_more(session, subject, now)
    _forget_callbacks(session, subject)
    _end_overrides(session, subject, now)
    forget_answers(session)
    session.flush()
    traces = list(find_traces(session, subject))
    _Scrubber(session, subject, erased).scrub(traces, now)
    for digest in subject.digests:
        session.merge(Erasure(digest=digest, erased_at=now))
    for technician_id in subject.technician_ids:
        # What notes who has changed has noted all this, too, by the name.
        mine = col(TechnicianChange.technician_id) == technician_id
        session.execute(delete(TechnicianChange).where(mine))
    add_timeline(session, now, "person.erased", f"a person's data was erased ({erased.contact_id})")
    wake(session, CRM)
    session.flush()
    session.expire_all()
    return erased


def find_needing_cases(session: Session, subject: Subject) -> list[Case]:
    """Return the cases that are not closed and that the person owns, has a job in, or is the customer of.

    The customer of a case that somebody has taken over is not needed to end it.
    """
    cases = session.exec(
        select(Case)
        .where(col(Case.state).in_([OPEN, HANDED_OVER]), col(Case.id).in_(subject.case_ids))
        .order_by(col(Case.id))
    ).all()
    return [case for case in cases if _needs(session, case, subject)]


def _needs(session: Session, case: Case, subject: Subject) -> bool:
    job = select(WorkOrder.id).where(
        WorkOrder.case_id == case.id,
        WorkOrder.contact_id == subject.contact_id,
        col(WorkOrder.state).in_(ACTIVE_JOBS),
    )
    offer = select(Offer.id).where(
        Offer.case_id == case.id, Offer.contact_id == subject.contact_id, Offer.state == "open"
    )
    site = session.get(Site, case.site_id)
    is_customer = case.state == OPEN and site is not None and site.contact_id == subject.contact_id
    return (
        is_customer
        or case.owner in subject.names
        or session.exec(job).first() is not None
        or session.exec(offer).first() is not None
    )


def _hand_over(session: Session, case: Case, subject: Subject, now: datetime, by: str) -> None:
    """Stop a case's tracks, end what it asks of anybody, and give it to whoever erases."""
    session.refresh(case, with_for_update=True)
    case.progress = {**case.progress, "tracks": [], "callbacks": []}
    case.state, case.owner, case.due_at = HANDED_OVER, by, None
    case.outcome = f"handed over to {by}: a person that it needs was erased"
    session.add(case)
    for order in session.exec(
        select(WorkOrder).where(
            WorkOrder.case_id == case.id,
            WorkOrder.contact_id == subject.contact_id,
            col(WorkOrder.state).in_(ACTIVE_JOBS),
        )
    ):
        order.state, order.updated_at = "cancelled", now
        session.add(order)
    open_offers = select(Offer).where(Offer.case_id == case.id, Offer.state == "open")
    for offer in session.exec(open_offers):
        offer.state, offer.answered_at = "withdrawn", now
        session.add(offer)
    for message in session.exec(
        select(Message).where(Message.case_id == case.id, col(Message.ask_open))
    ):
        message.ask_open = False
        session.add(message)
    add_timeline(
        session, now, "case.handed_over", f"case {case.id}: {case.outcome}", case_id=case.id
    )
    wake_cases(session)


def _forget_pictures(session: Session, subject: Subject) -> None:
    """Forget what was photographed at the person's home."""
    homes = [site.id for site in private_sites(session, subject.contact_id)]
    cases = select(Case.id).where(col(Case.site_id).in_(homes))
    session.execute(delete(Photo).where(col(Photo.case_id).in_(cases)))


def _say_nothing_more(session: Session, subject: Subject, now: datetime) -> None:
    """Hand over nothing more of what waits to be said to the person."""
    theirs = (
        select(Message).where(Message.contact_id == subject.contact_id).order_by(col(Message.id))
    )
    messages = {one.id: one for one in session.exec(theirs.with_for_update(key_share=True))}
    waiting = select(Delivery).where(
        col(Delivery.message_id).in_(messages), col(Delivery.state).in_([QUEUED, GATHERED])
    )
    for delivery in session.exec(waiting.order_by(col(Delivery.id)).with_for_update()):
        delivery.state, delivery.reason = SUPPRESSED, "the person was erased"
        delivery.next_at, delivery.updated_at = None, now
        session.add(delivery)
    for message in messages.values():
        message.ask_open, message.move_on_at = False, None
        if message.state == QUEUED:
            message.state, message.outdated = SUPPRESSED, "the person was erased"
        session.add(message)


def _end_overrides(session: Session, subject: Subject, now: datetime) -> None:
    """Give back to the schedules what the person stands in for: there would be nobody on call."""
    for override in session.exec(
        select(OnCallOverride)
        .where(OnCallOverride.contact_id == subject.contact_id, OnCallOverride.ends_at > now)
        .order_by(col(OnCallOverride.id))
    ):
        override.ends_at = max(now, override.starts_at)
        session.add(override)
        summary = f"nobody stands in for {override.schedule} any more: the person was erased"
        add_timeline(session, now, "on_call.override", summary)


def _forget_callbacks(session: Session, subject: Subject) -> None:
    """Ask nobody any more to call the person back, and forget what was said to have that."""
    cases = select(Case).where(col(Case.id).in_(subject.case_ids)).order_by(col(Case.id))
    for case in session.exec(cases.with_for_update()):
        callbacks = case.progress.get("callbacks", [])
        theirs = [one for one in callbacks if one.get("contact") == subject.contact_id]
        if not theirs:
            continue
        others = [one for one in callbacks if one not in theirs]
        case.progress = {**case.progress, "callbacks": others}
        session.add(case)
        asked = select(Message).where(Message.case_id == case.id, Message.ask == "person")
        for message in session.exec(asked):
            message.texts, message.ask_open = _emptied(message.texts), False
            session.add(message)


def _keep_stops(session: Session, subject: Subject) -> None:
    """Keep STOP, and consent that was withdrawn, as digests of the addresses."""
    kept: dict[tuple[str, str], datetime] = {}
    addresses = sorted({*subject.addresses, *map(str.lower, subject.addresses)})
    for stop in session.exec(select(OptOut).where(col(OptOut.address).in_(addresses))):
        kept[stop.channel, stop.address] = stop.since
        session.delete(stop)
    for channel in _CHANNELS:
        word = find_consent(session, subject.contact_id, channel)
        if word is not None and word.state == WITHDRAWN:
            for address in addresses:
                if _is_of(channel, address):
                    kept.setdefault((channel, address), word.at)
    session.flush()
    for (channel, address), since in kept.items():
        digest = digest_address(address)
        if session.get(OptOut, (channel, digest)) is None:
            session.add(OptOut(channel=channel, address=digest, since=since, proof=GONE))


def _is_of(channel: str, address: str) -> bool:
    """Return whether an address has the form of a channel's."""
    if "://" in address:
        return channel == "chat"
    return channel == "email" if "@" in address else channel not in {"email", "chat"}


def _forget_homes(session: Session, subject: Subject) -> None:
    """Take name and address from a home; at a firm's site the person is told nothing any more."""
    contact = session.get_one(Contact, subject.contact_id)
    for site in private_sites(session, subject.contact_id):
        site.name, site.address = GONE, ""
        # Ten kilometres are near enough for statistics.
        site.latitude, site.longitude = round(site.latitude, 1), round(site.longitude, 1)
        session.add(site)
        for device in session.exec(select(Device).where(Device.site_id == site.id)):
            device.label, device.place = device.type, ""
            device.camera_url = device.loudspeaker_url = ""
            device.latitude = device.longitude = None
            session.add(device)
        customer = session.get_one(Customer, site.customer_id)
        customer.name = GONE
        session.add(customer)
    if contact.customer_id and is_private(session, contact.customer_id, subject.contact_id):
        customer = session.get_one(Customer, contact.customer_id)
        customer.name = GONE
        session.add(customer)
    for site in session.exec(select(Site).where(Site.contact_id == subject.contact_id)):
        site.contact_id = None
        session.add(site)


class _Scrubber:
    """Takes a person out of rows."""

    def __init__(self, session: Session, subject: Subject, erased: Erased) -> None:
        self._session = session
        self._subject = subject
        self._erased = erased
        self._ids = {subject.contact_id: erased.contact_id}
        # A contact is one technician at most, so that both can have the same new id.
        self._technicians = dict.fromkeys(subject.technician_ids, erased.contact_id)
        self._ids |= self._technicians

    def scrub(self, traces: Sequence[Any], now: datetime) -> None:
        """Change every row that is about the person."""
        self._replace_people(now)
        for trace in traces:
            table = SQLModel.metadata.tables[trace.table]
            if trace.table in {"contact", "technician"}:
                continue
            if trace.table in APART:
                name = trace.row.get("id") or trace.row.get("name")
                kind = trace.table.replace("_", " ")
                self._erased.left.append(f"{kind} {name} names the person: publish it without")
                continue
            if trace.table == "crm_skipped" and trace.reason == "own":
                self._drop_skipped(trace.key)
                continue
            self._scrub_row(table, trace)

    def _replace_people(self, now: datetime) -> None:
        """Put rows without a name in the place of the person's own, and lead everything there."""
        session, old = self._session, self._subject.contact_id
        contact = session.get_one(Contact, old)
        session.add(
            Contact(
                id=self._erased.contact_id,
                name=GONE,
                language=contact.language,
                timezone=contact.timezone,
                preferred=contact.preferred,
                is_active=False,
                erased_at=now,
            )
        )
        session.execute(delete(RoleHolder).where(col(RoleHolder.contact_id) == old))
        self._drop_records()
        session.flush()
        for technician_id in self._subject.technician_ids:
            row = session.get_one(Technician, technician_id).model_dump()
            row |= {
                "id": self._technicians[technician_id],
                "contact_id": self._erased.contact_id,
                "is_active": False,
                "latitude": 0.0,
                "longitude": 0.0,
                "position_latitude": None,
                "position_longitude": None,
                "position_at": None,
                "parts": {},
            }
            session.execute(insert(Technician), [row])
        self._lead_references("technician", self._technicians)
        for technician_id in self._subject.technician_ids:
            session.execute(delete(Technician).where(col(Technician.id) == technician_id))
        self._lead_references("contact", {old: self._erased.contact_id})
        session.execute(delete(Contact).where(col(Contact.id) == old))
        self._erased.rows["contact"] += 1
        self._erased.rows["technician"] += len(self._subject.technician_ids)

    def _lead_references(self, target: str, ids: Mapping[str, str]) -> None:
        """Let every column that refers to the person, by key or by name, refer to the new id."""
        for table in SQLModel.metadata.sorted_tables:
            for column in table.columns:
                refers = any(key.column.table.name == target for key in column.foreign_keys)
                if refers or column.name == f"{target}_id":
                    for old, new in ids.items():
                        statement = update(table).where(column == old).values({column.name: new})
                        self._session.execute(statement)

    def _drop_records(self) -> None:
        kinds = {"contacts": [self._subject.contact_id], "technicians": self._technicians}
        for kind, ids in kinds.items():
            mine = col(CrmRecord.entity) == kind, col(CrmRecord.record_id).in_(list(ids))
            self._session.execute(delete(CrmRecord).where(*mine))
        begins = (
            col(CrmRecord.record_id).startswith(f"{one}/", autoescape=True) for one in self._ids
        )
        kept = delete(CrmRecord).where(col(CrmRecord.entity).in_(_NAMED_AFTER_PEOPLE))
        self._session.execute(kept.where(or_(*begins)))

    def _drop_skipped(self, key: tuple[Any, ...]) -> None:
        """Let a row that an outside CRM has, and that was kept to be tried again, go."""
        self._session.delete(self._session.get_one(CrmSkipped, key))
        self._erased.rows["crm_skipped"] += 1

    def _scrub_row(self, table: Table, trace: Any) -> None:
        keys = [column.name for column in table.primary_key]
        where = [
            table.c[name] == self._ids.get(value, value)
            if name in _ID_COLUMNS
            else table.c[name] == value
            for name, value in zip(keys, trace.key, strict=True)
        ]
        row = self._session.execute(select_columns(table).where(*where)).mappings().first()
        if row is None:
            return
        changed = {}
        for column in table.columns:
            value = row[column.name]
            cleaned = self._clean(trace, column.name, value)
            if cleaned != value:
                changed[column.name] = cleaned
        if changed:
            self._session.execute(update(table).where(*where).values(changed))
        self._erased.rows[table.name] += 1

    def _clean(self, trace: Any, column: str, value: Any) -> Any:
        """Return a cell without the person."""
        if trace.reason == "own" and isinstance(value, str | dict | list):
            own = _OWN.get(trace.table, {})
            if column in own:
                return own[column] if not isinstance(value, dict) else _emptied(value)
        if column in _ID_COLUMNS:
            return value
        return self._without(value, trace.row)

    def _without(self, value: Any, row: Mapping[str, Any]) -> Any:
        if isinstance(value, bytes):
            text = value.decode(errors="replace")
            cleaned = self._without(text, row)
            return value if cleaned == text else cleaned.encode()
        if isinstance(value, str):
            return self._text(value, row)
        if isinstance(value, Mapping):
            speaks = self._subject.is_own_case(row) and self._concerns(value, row)
            return {
                self._text(str(key), row): _emptied(one)
                if speaks and key in _WORDS
                else self._without(one, row)
                for key, one in value.items()
            }
        if isinstance(value, list):
            return [self._without(one, row) for one in value]
        return value

    def _concerns(self, value: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
        """Return whether what stands here was said to the person, or by the person."""
        people = {*self._ids, *self._subject.names}
        if value.get("template") == _ASKS_FOR_PERSON:
            return True
        if any(value.get(key) in people for key in ("contact", "to", "name")):
            return True
        # A line of the story says in its summary whose words its details are.
        summary, pattern = row.get("summary"), self._subject.in_cases
        is_said = bool({"intent", "said"} & set(value)) and isinstance(summary, str)
        return is_said and pattern is not None and bool(pattern.search(fold(str(summary))))

    def _text(self, text: str, row: Mapping[str, Any]) -> str:
        """Return a text with what was found put out; everything around it stays."""
        if self._subject.is_own_case(row) and text in self._ids:
            return self._ids[text]
        pattern = self._subject.pattern_for(row)
        if pattern is None:
            return text
        pieces, end = [], 0
        for match in pattern.finditer(fold(text)):
            pieces += [text[end : match.start()], GONE]
            end = match.end()
        return "".join([*pieces, text[end:]]) if pieces else text


_ASKS_FOR_PERSON = "customer_needs_person"
"""The message that tells a dispatcher what somebody has said."""
_ID_COLUMNS = frozenset({"contact_id", "technician_id"})
_NAMED_AFTER_PEOPLE = ("roles", "consents", "leave", "exclusions")
"""Kinds of rows whose ids begin with a person's."""
_OWN: Mapping[str, Mapping[str, Any]] = {
    "message": {"name": GONE, "texts": GONE, "addresses": GONE, "reason": ""},
    "delivery": {"address": GONE, "reason": "", "letter": GONE},
    "reply": {"address": GONE, "text": GONE, "reason": ""},
    "survey": {"comment": ""},
    "consent": {"proof": GONE, "source": ""},
    "leave": {"reason": "", "key": None},
    "exclusion": {"reason": ""},
    "on_call_override": {"reason": ""},
    "offer": {"technician_name": GONE},
    "work_order": {"technician_name": GONE},
    "candidate": {"technician_name": GONE},
}
"""What goes from a row that is the person's own, whatever stands there."""


def _emptied(value: Any) -> Any:
    """Return a value in which every text is gone and its form is kept."""
    if isinstance(value, Mapping):
        return {key: _emptied(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_emptied(one) for one in value]
    return GONE if isinstance(value, str) and value else value
